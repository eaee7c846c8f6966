"""What can be forecast of a market: the variance of tomorrow, the order of stocks, or their prices?

Runs three shipped pipelines on small simulated markets, each beside its simple rivals: the last
variance and log-HAR, ridge regression and reversal, the last price. Then scores the last days of
one as a night job would. Needs no data and no network:

    python markets.py
"""

import pandas as pd

from fintech_dl import load_frame, run_pipeline, score
from fintech_dl.cards import pipeline_card

DATA = {
    "volatility": "synthetic_garch_panel_small",
    "stock-ranking": "synthetic_stocks_small",
    "stock-price": "synthetic_garch_panel",
}

# the cards as they are shipped, two of them on fewer days, all with fewer epochs
runs = {}
for name, dataset in DATA.items():
    card = pipeline_card(name, dataset=dataset)
    runs[name] = run_pipeline(card, set_params={"model__epochs": 10, "model__n_members": 1})
    print(f"{name}: {runs[name].record['verdict']['text']}")

# order that does not survive costs is no money
trading = runs["stock-ranking"].record["forecast"]["trading"]
gross, net = trading["gross"]["sharpe"], trading["net"]["sharpe"]
cost = f"{trading['cost_bp']:g} bp"
print(f"\nBest tenth less worst tenth: Sharpe {gross:.2f}, after {cost} {net:.2f}")

# a price forecast is worth what its interval is
intervals = runs["stock-price"].record["forecast"]["intervals"]
print(f"Of the outcomes {intervals['share']:.1%} lie in intervals for {intervals['coverage']:.0%}:")
for third in intervals["by_volatility"]:
    print(f"  {third['group']:>6} volatility {third['share']:.1%}")

# tonight: the last five days are new, those before are their history
bars = load_frame(DATA["stock-price"])
first = bars["date"].drop_duplicates().iloc[-5]
past, new = bars[bars["date"] < first], bars[bars["date"] >= first]
found = score(runs["stock-price"].folder / "artefact", new, history=past)
last = found[found["date"] == found["date"].max()].head(3)
print(f"\nLog price in five days over that of {last['date'].iloc[0]:%Y-%m-%d}, and its interval:")
told = {name: last[name].map("{:+.4f}".format) for name in ("score", "low", "high")}
print(pd.DataFrame({"asset": last["asset"], **told}).to_string(index=False))
print(f"\nThe whole evidence: {runs['volatility'].folder / 'report.html'}")
