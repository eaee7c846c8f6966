"""Which of today's card transactions will be confirmed as fraud?

Runs the shipped pipeline `fraud` on a small simulated portfolio, reads its verdict, then scores a
new day with the model that the run left behind. Needs no data and no network:

    python card_fraud.py
"""

from fintech_dl import load_frame, run_pipeline, score
from fintech_dl.cards import pipeline_card

# the card as it is shipped, on fewer transactions and with fewer epochs
card = pipeline_card("fraud", dataset="synthetic_card_transactions_small")
run = run_pipeline(card, set_params={"model__epochs": 5})

print(run.record["verdict"]["text"])
for model in run.record["models"]:
    if model["ran"]:
        ap = model["metrics"]["average_precision"]
        print(f"  {model['title']:<22} AP {ap['value']:.3f} [{ap['low']:.3f}, {ap['high']:.3f}]")
    else:
        print(f"  {model['title']:<22} not run: {model['reason']}")
print(f"The whole evidence: {run.folder / 'report.html'}")

# a new day arrives: its labels are unknown, so they are left out
frame = load_frame(card.dataset)
past = frame[frame["time"] < "2018-08-23"]
new = frame[frame["time"] >= "2018-08-23"].drop(columns=["is_fraud", "fraud_scenario"])
scores = score(run.folder / "artefact", new, history=past)

print(f"\n{len(scores)} new transactions, {scores['alert'].sum()} alerts; the most suspicious:")
print(scores.nlargest(5, "score").to_string(index=False))

# a week later the labels are known
fraud = scores.merge(frame[["transaction_id", "is_fraud"]])["is_fraud"] == 1
caught = (fraud & scores["alert"]).sum()
print(f"Confirmed later: {fraud.sum()} frauds, {caught} of them among the alerts.")
