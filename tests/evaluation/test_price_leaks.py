"""Checks of pipelines of prices: each finds the fault it is for, and leaves a clean one alone."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from fintech_dl import MLP, NeuralRanker
from fintech_dl.bars import check_bars
from fintech_dl.errors import DataError, UsageError
from fintech_dl.estimators.ranker import LONGEST
from fintech_dl.evaluation.noise_bars import noise_bars
from fintech_dl.evaluation.price_leaks import price_leaks
from fintech_dl.evaluation.volatility_baselines import LastValue
from fintech_dl.features.prices import panel
from fintech_dl.table import Table

NAMES = [
    *("future", "shuffled labels", "noise", "planted signal", "follower"),
    *("truncated history", "asset constants", "label ends", "implausible", "bars"),
]


def market(n_dates=260, n_assets=12, seed=0, planted=False):
    dates = pd.bdate_range("2022-01-03", periods=n_dates)
    random = np.random.default_rng(seed)
    bars = pd.DataFrame(
        {
            "date": np.repeat(dates, n_assets),
            "asset": np.tile([f"S{i:02}" for i in range(n_assets)], n_dates),
            "close": 50 * np.exp(0.01 * random.normal(size=n_dates * n_assets)),
        }
    ).assign(open=1.0, high=1.0, low=1.0, volume=1.0)
    return noise_bars(bars, seed=seed, planted=planted)


def table_of(bars, *, leak="", label="return", keep=1.0):
    """Returns over 1, 5 and 20 bars, and their spread; the label begins at the next close."""
    wide = bars.pivot(index="date", columns="asset", values="close")
    steps = np.log(wide).diff()
    parts = {f"past_{w}": np.log(wide).diff(w) for w in (1, 5, 20)}
    parts["spread"] = steps.rolling(20).std()
    future = wide.shift(-2) / wide.shift(-1) - 1 if label == "return" else wide.shift(-1)
    ahead = 2 if label == "return" else 1
    if label == "price":
        parts["close"] = wide
    if leak == "future":
        parts["next"] = steps.shift(-2)
    if leak == "scale":
        parts["level"] = wide / wide.max()
    if leak == "constant":
        parts["sector"] = wide * 0 + np.arange(wide.shape[1])
    rows = pd.DataFrame({name: part.stack() for name, part in parts.items()}).dropna()
    rows = rows.reset_index()
    y = future.stack().reindex(pd.MultiIndex.from_frame(rows[["date", "asset"]])).to_numpy()
    dates = wide.index
    until = pd.Series(dates).shift(-ahead).set_axis(dates).reindex(rows["date"])
    if leak == "early":
        until = rows.set_index("date").index.to_series()
    return Table(
        X=rows[list(parts)],
        y=pd.Series(y, name=label),
        when=rows["date"],
        until=None if leak == "no ends" else until.reset_index(drop=True),
        who=rows["asset"],
        aside=pd.DataFrame({"forward_return": y}) if label == "return" else None,
    )


def failed(build, model=None, bars=None, **given):
    """The names of the checks that did not pass."""
    bars = market() if bars is None else bars
    model = LinearRegression() if model is None else model
    found = price_leaks(build, model, bars, **({"n_noise": 0} | given))
    assert [one.name for one in found] == NAMES
    return [one.name for one in found if one.passed is False]


def test_a_clean_pipeline_passes_everything():
    found = price_leaks(table_of, LinearRegression(), market(), n_noise=20)
    assert all(one.passed for one in found), [one for one in found if not one.passed]
    by = {one.name: one for one in found}
    assert by["noise"].number <= 0.2
    assert by["planted signal"].number > 2
    assert "mean rank IC" in by["implausible"].text
    assert "net Sharpe ratio" in by["implausible"].text


def test_the_same_of_a_model_that_only_orders():
    found = price_leaks(table_of, LinearRegression(), market(), n_noise=10, ranks=True)
    assert {one.name for one in found if not one.passed} == {"follower"}
    assert {one.name for one in found if one.passed is None} == {"follower"}


def test_a_ranker_is_told_the_dates(monkeypatch):
    """Behind another step too; without dates all rows are one group, which is too large."""
    monkeypatch.setitem(LONGEST, "ic", 12)  # as many assets as a date has
    ranker = NeuralRanker(network=MLP(units=4), epochs=15, learning_rate=0.02, random_state=0)
    found = price_leaks(table_of, ranker, market(), n_noise=1, ranks=True)
    assert {one.name for one in found if not one.passed} == {"follower"}
    assert next(one for one in found if one.name == "planted signal").number > 2
    behind = make_pipeline(StandardScaler(), ranker.set_params(epochs=1))
    assert failed(table_of, behind, ranks=True) == []
    with pytest.raises(ValueError, match="all rows are one group"):
        ranker.fit(*[part.iloc[:100] for part in (table_of(market()).X, table_of(market()).y)])


def test_tables_of_this_package_pass():
    """Rows without a label are left out of one, and not of the other."""
    bars = market(200, 8)
    for labelled in (False, True):
        build = partial(
            panel, features=["returns", "alphas"], windows=[5], horizon=2, labelled=labelled
        )
        found = price_leaks(build, LinearRegression(), bars, n_noise=0)
        assert not [one for one in found if one.passed is False]
    for features in ("volatility", "indicators"):  # each alone: the longest would hide the others
        build = partial(panel, features=[features], horizon=2, labelled=True)
        found = price_leaks(build, LinearRegression(), bars, n_noise=0)
        assert not [one for one in found if one.passed is False]


def test_a_feature_that_sees_the_future():
    """It changes with the future, is found in noise, and makes results nobody has."""
    build = partial(table_of, leak="future")
    found = failed(build, n_noise=5)
    assert {"future", "noise", "implausible"} <= set(found)
    assert not {"label ends", "shuffled labels", "asset constants", "bars"} & set(found)
    [one] = [one for one in price_leaks(build, LinearRegression(), market(), n_noise=0)][:1]
    assert one.text.startswith("next changed")


def test_a_level_scaled_by_the_whole_history():
    """Prices over their highest close, test included, as in a data set of many papers."""
    assert "truncated history" in failed(partial(table_of, leak="scale"))


def test_a_model_that_looks_at_the_rows_beside():
    class Centred(RegressorMixin, BaseEstimator):
        def fit(self, X, y):
            self.line_ = LinearRegression().fit(X, y)
            return self

        def predict(self, X):
            found = self.line_.predict(X)
            return found - found.mean()

    assert "future" in failed(table_of, Centred())


def test_a_score_that_differs_in_its_last_bits():
    class Nearly(LinearRegression):
        def predict(self, X):
            found = super().predict(X)
            return found * (1 + 1e-12 * np.asarray(X)[-1, 0])

    found = price_leaks(table_of, Nearly(), market(), n_noise=0)
    assert found[0].passed is False
    assert found[0].text.startswith("the model's score changed")


def test_labels_known_earlier_than_they_are():
    assert "future" in failed(partial(table_of, leak="early"))


def test_test_rows_that_are_trained_on():
    bars = market()
    n = int(table_of(bars).y.notna().sum())
    both = np.arange(n), np.arange(n - 600, n)
    found = failed(table_of, DecisionTreeRegressor(random_state=0), bars, fold=both)
    assert {"shuffled labels", "label ends"} <= set(found)


def test_training_labels_that_end_in_the_test():
    bars = market()
    table = table_of(bars)
    when = table.when[table.y.notna()]
    begin = when.iloc[-900]
    fold = np.flatnonzero(when < begin), np.flatnonzero(when >= begin)
    assert failed(table_of, bars=bars, fold=fold) == ["label ends"]
    assert "label ends" in failed(partial(table_of, leak="no ends"), bars=bars)


def test_a_number_that_stands_for_an_asset():
    assert failed(partial(table_of, leak="constant")) == ["asset constants"]
    alone = market(n_assets=1)
    found = price_leaks(table_of, LinearRegression(), alone, n_noise=0)
    assert [one.passed for one in found if one.name == "asset constants"] == [None]


def test_a_forecast_that_follows_the_price():
    """The last price, and a line fitted to it, look good and say nothing."""
    build = partial(table_of, label="price")
    bars = market(seed=3)
    assert "follower" in failed(build, LastValue("close"), bars, ic_limit=None)
    assert "follower" in failed(build, LinearRegression(), bars, ic_limit=None)

    class Onward(LastValue):
        def predict(self, X):
            return (X["close"] * np.exp(0.08 * X["past_5"])).to_numpy()

    drifting = market(600, seed=5, planted=True)
    assert "follower" in failed(build, LastValue("close"), drifting, ic_limit=None)
    assert "follower" not in failed(build, Onward("close"), drifting, ic_limit=None)


def test_a_model_that_learns_nothing():
    class Idle(RegressorMixin, BaseEstimator):
        def fit(self, X, y):
            self.mean_ = float(np.mean(y))
            return self

        def predict(self, X):
            return np.full(len(X), self.mean_)

    assert failed(table_of, Idle(), n_noise=2) == ["planted signal"]


def test_results_that_nobody_has():
    signal = market(planted=True)
    assert failed(table_of, bars=signal) == ["implausible"]
    assert failed(table_of, bars=signal, ic_limit=0.9, sharpe_limit=99) == []
    assert failed(table_of, bars=signal, ic_limit=None, sharpe_limit=99) == []


def test_bars_that_are_not_adjusted():
    bars = market()
    later = (bars["asset"] == "S03") & (bars["date"] >= "2022-06-01")
    bars.loc[later, ["open", "high", "low", "close"]] /= 4
    bars.loc[later, "volume"] *= 4
    found = price_leaks(table_of, LinearRegression(), bars, n_noise=0)
    last = found[-1]
    assert (last.name, last.passed) == ("bars", False)
    assert "split_jump" in last.text
    assert last.number == 1


@pytest.mark.parametrize("fault", ["twice", "order"])
def test_dates_twice_or_out_of_order(fault):
    bars = market()
    bad = pd.concat([bars, bars[:1]]) if fault == "twice" else bars[::-1]

    def build(frame):
        frame = frame.drop_duplicates(["date", "asset"]).sort_values(["date", "asset"])
        return table_of(frame)

    assert failed(build, bars=bad.reset_index(drop=True)) == ["bars"]


def variances():
    """Variances of assets large and small, and a table that forecasts the next by the last ones."""
    size = np.tile(np.geomspace(1, 10, 12), 260)
    rv = size * np.random.default_rng(0).lognormal(size=260 * 12)
    frame = market()[["date", "asset"]].assign(rv=rv)

    def build(frame, leak=False):
        of_asset = frame.groupby("asset")["rv"]
        rows = frame.assign(last=frame["rv"], y=of_asset.shift(-1))
        rows["week"] = of_asset.transform(lambda x: x.rolling(5).mean())
        if leak:
            rows["next"] = rows["y"].fillna(0.0)
        days = pd.Series(rows["date"].unique())
        rows["until"] = rows["date"].map(days.shift(-1).set_axis(days))
        rows = rows[rows["week"].notna()].reset_index(drop=True)
        X = rows[["last", "week", *(["next"] if leak else [])]]
        return Table(X=X, y=rows["y"], when=rows["date"], until=rows["until"], who=rows["asset"])

    return frame, build


def test_variances_that_are_given_are_made_of_noise_too():
    frame, build = variances()
    found = price_leaks(build, LinearRegression(), frame, n_noise=10, ic_limit=None, variance="rv")
    by = {one.name: one for one in found}
    assert by["noise"].passed is by["planted signal"].passed is True
    assert by["noise"].number <= 0.2
    assert by["planted signal"].number > 2
    leaky = price_leaks(
        partial(build, leak=True), LinearRegression(), frame, n_noise=5, variance="rv"
    )
    assert {"future", "noise"} <= {one.name for one in leaky if one.passed is False}


def test_random_variances_are_of_the_usual_size_and_forget():
    frame, _ = variances()
    made = noise_bars(frame, seed=1, variance="rv")
    assert list(made) == list(frame)
    for planted, low, high in ((False, -0.2, 0.2), (True, 0.7, 1.0)):
        made = noise_bars(frame, seed=1, variance="rv", planted=planted)
        of_asset = np.log(made["rv"]).groupby(made["asset"])
        memory = of_asset.apply(lambda x: np.corrcoef(x[1:], x[:-1])[0, 1])
        assert memory.between(low, high).all()
        ratio = made.groupby("asset")["rv"].median() / frame.groupby("asset")["rv"].median()
        assert ratio.between(0.2, 5).all()
    both = noise_bars(market().assign(rv=1.0), seed=1, planted=True, variance="rv")
    size = np.log(both["close"]).groupby(both["asset"]).diff().abs()
    assert spearmanr(size, both["rv"], nan_policy="omit").statistic > 0.2
    with pytest.raises(DataError, match="no column 'variance'"):
        noise_bars(frame, seed=0, variance="variance")


def test_what_does_not_apply_is_said():
    variance, build = variances()
    found = price_leaks(build, LinearRegression(), variance, n_noise=3, ic_limit=None)
    by = {one.name: one for one in found}
    assert {name for name, one in by.items() if one.passed is None} == {
        *("noise", "planted signal", "implausible")
    }
    assert by["noise"].text == "the frame holds no long bars"
    assert by["bars"].passed is True
    with pytest.raises(UsageError, match="needs `y` and `when`"):
        price_leaks(lambda frame: Table(X=frame), LinearRegression(), variance)
    with pytest.raises(UsageError, match="a date needs 5 assets"):
        price_leaks(table_of, LinearRegression(), market(n_assets=3), ranks=True)


def test_noise_bars_are_sound_and_of_the_same_volatility():
    bars = market(1000, 3)
    check_bars(bars)
    assert (bars["high"] >= bars[["open", "close"]].max(axis=1) - 1e-9).all()
    assert (bars["low"] <= bars[["open", "close"]].min(axis=1) + 1e-9).all()
    made = noise_bars(bars, seed=5)
    assert made[["date", "asset"]].equals(bars[["date", "asset"]])
    for _, own in made.groupby("asset"):
        real = bars.loc[own.index, "close"]
        steps, theirs = np.diff(np.log(own["close"])), np.diff(np.log(real))
        assert steps.std() == pytest.approx(theirs.std(), rel=0.12)
        assert abs(np.corrcoef(steps[1:], steps[:-1])[0, 1]) < 0.1
        assert own["close"].iloc[0] == real.iloc[0]
    assert not made["close"].equals(noise_bars(bars, seed=6)["close"])
    assert made.equals(noise_bars(bars, seed=5))
    planted = noise_bars(bars, seed=5, planted=True)
    for _, own in planted.groupby("asset"):
        steps = np.diff(np.log(own["close"]))
        assert np.corrcoef(steps[1:], steps[:-1])[0, 1] > 0.05
        assert np.corrcoef(np.abs(steps)[1:], np.abs(steps)[:-1])[0, 1] > 0.05
    with pytest.raises(DataError, match="no column 'close'"):
        noise_bars(bars.drop(columns="close"), seed=0)
