"""Calibrated intervals: what they promise, whom they look at, and when."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.dummy import DummyRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fintech_dl import MLP, ConformalRegressor, NeuralQuantileRegressor, load, save
from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.coverage import terciles
from fintech_dl.evaluation.online import online_bands, online_intervals
from fintech_dl.evaluation.risk_tests import kupiec
from fintech_dl.table import Table

ZERO = DummyRegressor(strategy="constant", constant=0.0)


class Band(RegressorMixin, BaseEstimator):
    """Forecast 0, give or take the first column."""

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X):
        return np.zeros(len(X))

    def predict_interval(self, X, coverage=0.9):
        half = coverage * np.asarray(X, float)[:, 0]
        return -half, half


def calibrated(y, estimator=ZERO, X=None, when=None, **parameters):
    X = np.ones((len(y), 1)) if X is None else X
    targets = np.zeros((2, *np.shape(y)[1:]))
    return ConformalRegressor(estimator, **parameters).fit(X[:2], targets).calibrate(X, y, when)


def held(y, low, high):
    return (low <= y) & (y <= high)


def garch(n, seed=0):
    """Return a frame with the volatility that a RiskMetrics forecast expects, returns, true one."""
    random = np.random.default_rng(seed)
    variance, average = np.empty(n), np.empty(n)
    y, now, ewma = np.empty(n), 1.0, 1.0
    for t in range(n):
        variance[t], average[t] = now, ewma
        y[t] = np.sqrt(now) * random.standard_normal()
        now = 0.02 + 0.1 * y[t] ** 2 + 0.88 * now
        ewma = 0.94 * ewma + 0.06 * y[t] ** 2
    return pd.DataFrame({"volatility": np.sqrt(average)}), y, np.sqrt(variance)


@parametrize_with_checks([ConformalRegressor(LinearRegression())])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_the_margin_is_the_score_of_its_rank():
    """Of 1 to 19 the ranks are ceil(20 * coverage)."""
    y = np.arange(1.0, 20.0) * np.where(np.arange(19) % 2, 1, -1)
    model = calibrated(y, coverage=[0.9, 0.5, 0.52])
    for coverage, margin in ((None, 18.0), (0.9, 18.0), (0.5, 10.0), (0.52, 11.0)):
        low, high = model.predict_interval(np.ones((2, 1)), coverage)
        assert (low.tolist(), high.tolist()) == ([-margin] * 2, [margin] * 2)


def test_each_side_misses_half_if_not_symmetric():
    y = np.concatenate([-10 * np.arange(1.0, 11.0), np.arange(1.0, 10.0)])  # 10 fell, 9 rose
    low, high = calibrated(y, coverage=0.8, symmetric=False).predict_interval(np.ones((1, 1)))
    assert (low.item(), high.item()) == (-90.0, 8.0)  # rank ceil(20 * 0.9) = 18 of 19 on each side
    low, high = calibrated(y, coverage=0.8).predict_interval(np.ones((1, 1)))
    assert (low.item(), high.item()) == (-70.0, 70.0)


@pytest.mark.parametrize(("symmetric", "needed"), [(True, 9), (False, 19)])
def test_too_few_rows_are_an_error_that_says_how_many(symmetric, needed):
    y = np.arange(float(needed))
    calibrated(y, symmetric=symmetric)
    with pytest.raises(DataError, match=f"{needed - 1} rows.*{needed} are needed"):
        calibrated(y[1:], symmetric=symmetric)


@pytest.mark.parametrize("symmetric", [True, False])
def test_new_rows_like_the_old_ones_are_covered_as_promised(symmetric):
    """Exactly 0.9 on average for 39 rows; 1,000 trials have a standard error of 0.001."""
    random = np.random.default_rng(0)
    shares = []
    for _ in range(1_000):
        y = random.standard_t(4, size=439) + 0.5
        low, high = calibrated(y[:39], symmetric=symmetric).predict_interval(np.ones((400, 1)))
        shares.append(held(y[39:], low, high).mean())
    assert np.mean(shares) == pytest.approx(0.9, abs=0.005)


def test_intervals_in_units_of_volatility_hold_in_calm_and_in_storm():
    X, y, true = garch(24_000)
    fit, test = slice(0, 8_000), slice(8_000, None)
    groups = terciles(true[test])

    def shares(scale):
        model = calibrated(y[fit], X=X[fit], scale=scale)
        inside = held(y[test], *model.predict_interval(X[test]))
        return {name: inside[groups == name].mean() for name in ("low", "middle", "high")}

    plain, scaled = shares(None), shares("volatility")
    assert plain["low"] > 0.95
    assert plain["high"] < 0.84
    assert max(scaled.values()) - min(scaled.values()) < 0.04
    assert all(0.87 < share < 0.93 for share in scaled.values())


def test_adaptive_intervals_recover_after_a_break():
    random = np.random.default_rng(0)
    y = random.standard_normal(1_500) * np.repeat([1.0, 2.5], [900, 600])
    X, day = np.ones((1_500, 1)), np.arange(1_500)
    new = slice(500, None)
    model = calibrated(y[:500], adapt=0.05, window=250)
    still = held(y[new], *model.predict_interval(X[new]))
    moved = held(y[new], *online_intervals(model, X[new], y[new], day[new]))
    assert still[:400].mean() == pytest.approx(0.9, abs=0.03)
    assert still[400:].mean() < 0.6
    assert moved.mean() == pytest.approx(0.9, abs=0.015)
    assert moved[-300:].mean() == pytest.approx(0.9, abs=0.03)


def test_alpha_moves_by_the_share_of_misses_of_a_date():
    """Three of four assets missed, and 10 % are allowed."""
    y = np.tile(np.arange(1.0, 11.0), 4)
    model = calibrated(y, when=np.repeat(np.arange(10), 4), adapt=0.02)
    model.update(np.ones((4, 1)), [99.0, 99.0, -99.0, 0.0], when=[10] * 4)
    assert model.alpha_.item() == pytest.approx(0.1 + 0.02 * (0.1 - 0.75))
    model.update(np.ones((8, 1)), [0.0] * 8, when=[11] * 4 + [12] * 4)
    assert model.alpha_.item() == pytest.approx(0.1 + 0.02 * (0.1 - 0.75) + 2 * 0.02 * 0.1)
    for _ in range(100):
        model.update(np.ones((1, 1)), [1.1 * model.scores_.max()])
    assert model.alpha_.item() == 0.001
    assert model.predict_interval(np.ones((1, 1)))[1] == model.scores_.max()  # finite


def test_the_share_of_misses_asked_for_has_an_end():
    model = calibrated(np.arange(1.0, 41.0), adapt=0.2, coverage=[0.9, 0.5])
    for _ in range(100):
        model.update(np.ones((1, 1)), [0.0])
    assert model.alpha_.tolist() == [[0.5, 0.75]]


def test_an_outcome_is_judged_by_the_interval_that_was_given():
    """With a horizon of 3 the interval has moved on three times before the outcome is known."""
    y = np.arange(1.0, 20.0)
    model = calibrated(y, adapt=0.1, horizon=3, coverage=0.5)
    assert model.predict_interval(np.ones((1, 1)))[1] == 10.0
    alphas = []
    for outcome in (10.5, 10.5, 10.5, 10.5):
        model.update(np.ones((1, 1)), [outcome])
        alphas.append(model.alpha_.item())
    assert model.margins_[0].max() > 10.5  # by now; the fourth was given a wider one
    assert np.diff([0.5, *alphas]) == pytest.approx([-0.05, -0.05, -0.05, 0.05])


def test_update_keeps_the_latest_dates():
    y = np.arange(1.0, 41.0)
    model = calibrated(y, when=np.repeat(np.arange(10), 4), window=3)
    assert len(model.scores_) == 40
    model.update(np.ones((5, 1)), [50.0, 51.0, 52.0, 53.0, 54.0], when=[10] * 2 + [11] * 3)
    assert model.residuals_[:, 0].tolist() == [37.0, 38, 39, 40, 50, 51, 52, 53, 54]
    assert len(np.unique(model.steps_)) == 3
    whole = calibrated(y, window=None).update(np.ones((5, 1)), [50.0, 51.0, 52.0, 53.0, 54.0])
    assert len(whole.scores_) == 45
    with pytest.raises(DataError, match="window=5: 5 rows"):
        calibrated(y, window=5).update(np.ones((1, 1)), [1.0])


def test_quantile_intervals_are_moved_to_what_they_promise():
    random = np.random.default_rng(0)
    X = random.uniform(1, 4, (6_000, 1))
    y = X[:, 0] * random.standard_normal(6_000)
    half = slice(0, 3_000)
    for parameters in ({"scale": 0}, {"scale": None}, {"scale": 0, "symmetric": False}):
        model = calibrated(y[half], Band(), X[half], method="cqr", **parameters)
        low, high = model.predict_interval(X[3_000:])
        assert held(y[3_000:], low, high).mean() == pytest.approx(0.9, abs=0.02)
        own_low, _ = Band().predict_interval(X[3_000:])
        assert (low < own_low).all()
    if_unscaled = calibrated(y[half], Band(), X[half], method="cqr")
    moved = own_low - if_unscaled.predict_interval(X[3_000:])[0]
    assert np.ptp(moved) < 1e-12  # all rows by the same


def test_intervals_that_are_too_wide_shrink_and_never_turn():
    X = np.full((99, 1), 1000.0)
    model = calibrated(np.linspace(-1, 1, 99), Band(), X, method="cqr")
    low, high = model.predict_interval(X[:1])
    assert (low.item(), high.item()) == pytest.approx((-0.9, 0.9), abs=0.03)
    low, high = model.predict_interval(np.full((3, 1), 1.0))  # of a width of 1.8, moved by 899
    assert low.tolist() == high.tolist() == [0.0] * 3


def test_each_target_has_margins_of_its_own():
    y = np.column_stack([np.arange(1.0, 20.0), 100 * np.arange(1.0, 20.0)])
    zero = DummyRegressor(strategy="constant", constant=[0.0, 0.0])
    model = calibrated(y, zero, X=np.full((19, 1), 1.0), scale=0)
    low, high = model.predict_interval(np.array([[1.0], [2.0]]))
    assert high.tolist() == [[18.0, 1800.0], [36.0, 3600.0]]
    assert (low == -high).all()
    var, shortfall = model.predict_risk(np.ones((1, 1)), level=0.1)
    assert var.tolist() == [[-2.0, -200.0]]
    assert shortfall.tolist() == [[-1.5, -150.0]]


def test_value_at_risk_and_shortfall_by_hand():
    """Of -10 to 9 the two lowest of 20 are hits at 10 %: floor(21 * 0.1) = 2."""
    X = pd.DataFrame({"x": [1.0, 2.0], "volatility": [1.0, 3.0]})
    y = np.arange(-10.0, 10.0)
    frame = pd.DataFrame({"x": 0.0, "volatility": 1.0}, index=range(20))
    model = ConformalRegressor(FrozenEstimator(LinearRegression().fit(X, [1.0, 2.0])), scale="x")
    with pytest.raises(DataError, match=r"x is 0\.0"):
        model.fit(X, [1.0, 2.0]).calibrate(frame, y)
    model = calibrated(y, X=frame, scale="volatility")
    var, shortfall = model.predict_risk(X, level=0.1)
    assert var.tolist() == [9.0, 27.0]
    assert shortfall.tolist() == [9.5, 28.5]
    with pytest.raises(DataError, match="99 rows"):
        model.predict_risk(X, level=0.01)
    with pytest.raises(UsageError, match="level"):
        model.predict_risk(X, level=5)


def test_value_at_risk_is_hit_as_often_as_it_should():
    X, y, _ = garch(12_000, seed=1)
    model = calibrated(y[:6_000], X=X[:6_000], scale="volatility")
    for level in (0.01, 0.05):
        var, shortfall = model.predict_risk(X[6_000:], level=level)
        assert kupiec(y[6_000:] < -var, level).p_value > 0.01
        assert (shortfall > var).all()
        beyond = y[6_000:] < -var
        assert (-y[6_000:] / shortfall)[beyond].mean() == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("horizon", [1, 4])
def test_nothing_that_is_not_known_yet_matters(horizon):
    """Outcomes known after a date may be anything: intervals up to then stay as they are."""
    X, y, _ = garch(400)
    day = np.repeat(np.arange(100), 4)
    model = calibrated(y, X=X, when=day, scale="volatility", adapt=0.05, horizon=horizon, window=9)
    before = online_intervals(model, X, y, day)
    for at in (horizon - 1, 40, 77):
        changed = np.where(day > at - horizon, 1e3 * (1 + y), y)
        after = online_intervals(model, X, changed, day)
        for old, new in zip(before, after, strict=True):
            assert old[day <= at].tobytes() == new[day <= at].tobytes()
            assert not np.array_equal(old[day == at + 1], new[day == at + 1])
        unknown = np.where(day > at - horizon, np.nan, y)
        low, _ = online_intervals(model, X, unknown, day)
        assert low[day <= at].tobytes() == before[0][day <= at].tobytes()


@pytest.mark.parametrize("horizon", [1, 3])
def test_a_walk_is_what_updates_by_hand_give(horizon):
    X, y, _ = garch(400)
    day = np.repeat(np.arange(100), 4)
    model = calibrated(y, X=X, when=day, scale="volatility", adapt=0.03, horizon=horizon, window=20)
    low, high = online_intervals(model, X, y, day)
    when = pd.to_datetime("2024-01-01") + pd.to_timedelta(day, "D")
    until = when + pd.Timedelta(days=horizon)
    again = online_intervals(model, X, y, when, until)
    assert (low.tobytes(), high.tobytes()) == (again[0].tobytes(), again[1].tobytes())
    assert model.alpha_.item() == pytest.approx(0.1)  # the model itself has learnt nothing
    for t in range(100):
        if t >= horizon:
            known = day == t - horizon
            model.update(X[known], y[known], day[known])
        found = model.predict_interval(X[day == t])
        assert found[0].tobytes() == low[day == t].tobytes()
        assert found[1].tobytes() == high[day == t].tobytes()


def test_outcomes_that_never_become_known_are_never_learnt():
    X, y, _ = garch(60)
    when = pd.Series(pd.date_range("2024-01-01", periods=60))
    model = calibrated(y, X=X, adapt=0.02)
    never = pd.Series(pd.NaT, index=range(60), dtype=when.dtype)
    for low, high in (
        online_intervals(model, X, y, when, never),
        online_intervals(model, X, np.full(60, np.nan), when),
    ):
        assert (low == -high).all()
        assert np.ptp(high) == 0
    until = (when + pd.Timedelta(days=2)).where(when.index != 3, when)
    with pytest.raises(DataError, match=r"not later than `when` in 1 rows \(first: 3\)"):
        online_intervals(model, X, y, when, until)


def test_a_row_stands_for_itself():
    X, y, _ = garch(500)
    model = calibrated(y, X=X, scale="volatility")
    low, high = model.predict_interval(X)
    alone = [model.predict_interval(X[i : i + 1]) for i in range(20)]
    assert np.concatenate([part[0] for part in alone]).tobytes() == low[:20].tobytes()
    assert np.concatenate([part[1] for part in alone]).tobytes() == high[:20].tobytes()


def test_the_estimator_is_cloned_and_a_frozen_one_stays():
    X, y, _ = garch(100)
    inner = LinearRegression()
    model = ConformalRegressor(inner, coverage=(0.5, 0.9)).fit(X, y, sample_weight=np.ones(100))
    assert not hasattr(inner, "coef_")
    assert model.feature_names_in_.tolist() == ["volatility"]
    assert model.predict(X).tobytes() == inner.fit(X, y).predict(X).tobytes()
    again = clone(model).set_params(estimator__fit_intercept=False)
    assert again.get_params()["coverage"] == (0.5, 0.9)
    assert not again.estimator.fit_intercept
    frozen = ConformalRegressor(FrozenEstimator(inner)).fit(X, -y)
    assert frozen.predict(X).tobytes() == model.predict(X).tobytes()


def test_calibration_is_asked_for_and_forgotten_by_fit():
    X, y, _ = garch(100)
    model = ConformalRegressor(LinearRegression())
    with pytest.raises(NotFittedError):
        model.calibrate(X, y)
    model.fit(X, y)
    for act in (model.predict_interval, model.predict_risk, lambda X: model.update(X, y)):
        with pytest.raises(NotFittedError, match="not calibrated yet; call calibrate"):
            act(X)
    first = model.calibrate(X, y).predict_interval(X)[0]
    assert (model.calibrate(X, 5 * y).predict_interval(X)[0] < first).all()  # not both
    assert len(model.scores_) == 100
    with pytest.raises(NotFittedError, match="not calibrated"):
        model.fit(X, y).predict_interval(X)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"coverage": 1.0}, "coverage=1.0"),
        ({"coverage": [0.5, 0.0]}, "coverage="),
        ({"coverage": []}, "coverage="),
        ({"method": "jackknife"}, "'split' or 'cqr'"),
        ({"method": "cqr"}, "LinearRegression has no predict_interval"),
        ({"adapt": -0.1}, "adapt=-0.1"),
        ({"window": 0}, "window=0"),
        ({"horizon": 0}, "horizon=0"),
        ({"scale": "spread"}, "'spread' is missing"),
    ],
)
def test_what_is_not_allowed_is_said(parameters, said):
    X, y, _ = garch(30)
    with pytest.raises(ValueError, match=said):
        ConformalRegressor(LinearRegression(), **parameters).fit(X, y)


def test_bad_rows_are_said():
    X, y, _ = garch(60)
    model = ConformalRegressor(LinearRegression(), scale="volatility").fit(X, y)
    model.calibrate(X, y)
    with pytest.raises(DataError, match=r"2 of 60 outcomes are missing.*first: row 7"):
        model.calibrate(X, np.where(np.isin(np.arange(60), [7, 9]), np.nan, y))
    with pytest.raises(DataError, match="shape"):
        model.calibrate(X, y[1:])
    with pytest.raises(DataError, match="rising order"):
        model.update(X, y, when=np.arange(60)[::-1])
    with pytest.raises(DataError, match="1 missing"):
        model.update(X, y, when=pd.Series(pd.date_range("2024", periods=60)).shift())
    with pytest.raises(UsageError, match=r"coverage=0\.5; calibrated for: 0\.9"):
        model.predict_interval(X, coverage=0.5)
    for bad in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(DataError, match="row 5: volatility"):
            model.predict_interval(X.assign(volatility=X["volatility"].where(X.index != 5, bad)))
    plain = ConformalRegressor(ZERO, scale="volatility")
    with pytest.raises(DataError, match="give its position"):
        plain.fit(X.to_numpy(), y)


def test_saved_and_loaded_it_gives_the_same_bits_and_goes_on_learning(tmp_path):
    X, y, _ = garch(200)
    X["x"] = np.linspace(-1, 1, 200)
    network = NeuralQuantileRegressor(network=MLP(units=4), epochs=1, random_state=0)
    models = {
        "around": ConformalRegressor(
            make_pipeline(StandardScaler().set_output(transform="pandas"), network),
            method="cqr",
            scale="volatility",
            coverage=[0.9, 0.5],
            adapt=0.02,
        ),
        "frozen": ConformalRegressor(
            FrozenEstimator(network.fit(X, y)), scale="volatility", symmetric=False
        ),
    }
    for name, model in models.items():
        model.fit(X[:100], y[:100]).calibrate(X[100:180], y[100:180])
        back = load(save(model, tmp_path / name))
        for step in range(2):
            for mine, theirs in zip(
                model.predict_interval(X), back.predict_interval(X), strict=True
            ):
                assert mine.tobytes() == theirs.tobytes(), step
            assert model.predict_risk(X)[1].tobytes() == back.predict_risk(X)[1].tobytes()
            for each in (model, back):
                each.update(X[180:], 5 * y[180:], np.arange(20))
    last = make_pipeline(StandardScaler(), ConformalRegressor(LinearRegression(), horizon=2))
    last.fit(X[:100], y[:100])[-1].calibrate(last[:-1].transform(X[100:]), y[100:])
    back = load(save(last, tmp_path / "last step"))
    assert back.predict(X).tobytes() == last.predict(X).tobytes()
    mine, theirs = (each[-1].predict_interval(each[:-1].transform(X)) for each in (last, back))
    assert mine[0].tobytes() == theirs[0].tobytes()


# ---- several columns as scale, logarithms ----------------------------------------------------


def test_a_scale_of_several_columns_is_weighted_as_the_errors_say():
    """Errors grow with the root of one column and not with the other: by hand the same margins."""
    random = np.random.default_rng(0)
    X = pd.DataFrame(np.exp(random.normal(size=(6_000, 2))), columns=["day", "month"])
    y = np.sqrt(X["day"]) * random.standard_normal(6_000)
    names = ["day", "month"]
    model = ConformalRegressor(ZERO, scale=names).fit(X[:4_000], y[:4_000])
    assert model.weights_ == pytest.approx([0.0, 0.5, 0.0], abs=0.04)
    model.calibrate(X[4_000:5_000], y[4_000:5_000])
    low, high = model.predict_interval(X[5_000:])
    inside = held(y[5_000:], low, high)
    groups = terciles(X["day"][5_000:])
    assert all(inside[groups == name].mean() > 0.86 for name in ("low", "middle", "high"))
    assert np.corrcoef(np.log(high), np.log(X["day"][5_000:]))[0, 1] > 0.99
    array = ConformalRegressor(ZERO, scale=[0, 1]).fit(X[:4_000].to_numpy(), y[:4_000])
    assert array.weights_.tobytes() == model.weights_.tobytes()
    alone = model.predict_interval(X[5_000:5_001])[1]
    assert alone.tobytes() == high[:1].tobytes()


def test_errors_of_nothing_and_bad_columns_are_no_riddle():
    X = pd.DataFrame({"a": np.linspace(1, 2, 30), "b": np.linspace(2, 1, 30)})
    model = ConformalRegressor(ZERO, scale=["a", "b"]).fit(X, np.zeros(30))
    low, high = model.calibrate(X, np.zeros(30)).predict_interval(X)
    assert low.tolist() == high.tolist() == [0.0] * 30
    with pytest.raises(DataError, match=r"scale: row 3: b is 0\.0; 1 of 60 values"):
        model.predict_interval(X.assign(b=X["b"].where(X.index != 3, 0.0)))
    with pytest.raises(ValueError, match="'c' is missing"):
        ConformalRegressor(ZERO, scale=["a", "c"]).fit(X, np.zeros(30))


def test_intervals_of_logarithms_stay_above_0():
    y = np.exp(np.arange(1.0, 20.0) * np.where(np.arange(19) % 2, 1, -1))
    one = DummyRegressor(strategy="constant", constant=1.0)
    low, high = calibrated(y, one, logs=True).predict_interval(np.ones((1, 1)))
    assert (low.item(), high.item()) == pytest.approx((np.exp(-18), np.exp(18)))
    plain_low, _ = calibrated(y, one).predict_interval(np.ones((1, 1)))
    assert plain_low < 0 < low
    with pytest.raises(DataError, match="19 of 19 forecasts are 0 or below"):
        calibrated(y, logs=True)
    with pytest.raises(DataError, match="1 of 19 outcomes are 0 or below"):
        calibrated(np.where(y == y[4], 0.0, y), one, logs=True)
    with pytest.raises(UsageError, match="logs=True"):
        calibrated(y, one, logs=True).predict_risk(np.ones((1, 1)), level=0.1)


# ---- the walk through a table ----------------------------------------------------------------


def walked(X, y, when, until, rows=slice(None)):
    return Table(X=X, y=pd.Series(y), when=when, until=until).rows(np.arange(len(y))[rows])


def days(n):
    when = pd.Series(np.repeat(pd.date_range("2024-01-01", periods=n // 2), 2))
    return when, when + pd.Timedelta(days=3)


def test_a_table_that_grows_by_a_day_gives_what_the_walk_gave():
    X, y, _ = garch(240)
    when, until = days(240)
    model = calibrated(
        y[:80], X=X[:80], when=when[:80], scale="volatility", adapt=0.05, symmetric=False
    )
    at = np.arange(100, 240)
    whole = online_bands(model, walked(X, y, when, until), at)
    assert not np.array_equal(whole.ends[0.9][0], whole.frozen[0])
    for first in range(100, 240, 34):
        own = slice(first, first + 2)
        known = np.where(until <= when[first], y, np.nan)
        past = walked(X, known, when, until, slice(0, first + 2))
        found = online_bands(model, past, np.arange(first, first + 2))
        there = slice(first - 100, first - 98)
        for mine, theirs in zip(found.ends[0.9], whole.ends[0.9], strict=True):
            assert mine.tobytes() == theirs[there].tobytes()
        assert found.var.tobytes() == whole.var[there].tobytes()
        assert found.shortfall.tobytes() == whole.shortfall[there].tobytes()
        low, high = model.predict_interval(X[own])
        assert (found.frozen[0].tobytes(), found.frozen[1].tobytes()) == (
            low.tobytes(),
            high.tobytes(),
        )


def test_rows_of_the_calibration_and_rows_without_a_label_are_not_learnt():
    X, y, _ = garch(240)
    when, until = days(240)
    model = calibrated(y[:80], X=X[:80], when=when[:80], adapt=0.05)
    at = np.arange(200, 240)
    before = online_bands(model, walked(X, y, when, until), at)
    without = online_bands(model, walked(X, y, when, until, slice(80, None)), at - 80)
    assert before.ends[0.9][1].tobytes() == without.ends[0.9][1].tobytes()
    kept = (np.arange(240) < 120) | (np.arange(240) >= 130)  # whole dates of no label
    blank = np.where(kept, y, np.nan)
    fewer = online_bands(model, walked(X, blank, when, until).rows(kept), at - 10)
    blind = online_bands(model, walked(X, blank, when, until), at)
    assert blind.ends[0.9][1].tobytes() == fewer.ends[0.9][1].tobytes()
    assert blind.ends[0.9][1].tobytes() != before.ends[0.9][1].tobytes()


def test_value_at_risk_learns_as_days_come():
    random = np.random.default_rng(0)
    y = random.standard_normal(1_000) * np.repeat([1.0, 3.0], [400, 600])
    X = pd.DataFrame({"x": np.zeros(1_000)})
    when = pd.Series(pd.date_range("2020-01-01", periods=1_000))
    model = calibrated(y[:400], X=X[:400], when=when[:400], window=250)
    table = walked(X, y, when, when + pd.Timedelta(days=1))
    at = np.arange(700, 1_000)
    bands = online_bands(model, table, at)
    assert (y[at] < -bands.var).mean() == pytest.approx(0.05, abs=0.03)
    assert (y[at] < -model.predict_risk(X.iloc[at])[0]).mean() > 0.2
