"""Detectors of series: each mode finds what it is for, sees no later row, and answers bad input."""

from copy import copy

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import Ridge

from fintech_dl import (
    AER,
    CNN,
    Autoencoder,
    NeuralDetector,
    NeuralRegressor,
    SeriesDetector,
    SpectralResidual,
    SubPCA,
    load,
    save,
)
from fintech_dl.estimators.series_errors import (
    end_errors,
    in_range,
    mean_over_windows,
    robust_z,
    smoothed,
    warped_error,
)

N = 500
EVENT = slice(400, 415)
FAST = {"batch_size": 64, "learning_rate": 0.01, "random_state": 0}


def series(kind="shape", seed=0):
    random = np.random.default_rng(seed)
    x = np.sin(np.arange(N) * 2 * np.pi / 20) + random.normal(0, 0.05, N)
    if kind == "shape":
        x[EVENT] = random.normal(0, 0.05, 15)
    elif kind == "fast":
        x[EVENT] = np.sin(np.arange(N) * 4 * np.pi / 20)[EVENT]
    elif kind == "spike":
        x[405] += 3
    return 1000 + 50 * x[:, None]


DETECTORS = {
    "forecast": SeriesDetector(
        estimator=NeuralRegressor(network=CNN(filters=4, hidden=8), epochs=20, **FAST), window=20
    ),
    "rebuild": SeriesDetector(
        estimator=NeuralDetector(network=Autoencoder(units=16, code=3), epochs=60, **FAST),
        window=20,
    ),
    "both": SeriesDetector(
        estimator=NeuralDetector(network=AER(units=8), epochs=30, **FAST), mode="both", window=20
    ),
    "window": SeriesDetector(estimator=IsolationForest(n_estimators=20, random_state=0), window=20),
    "window, in the middle": SeriesDetector(estimator=SubPCA(), window=20, at="middle"),
    "whole": SeriesDetector(estimator=SpectralResidual(smooth=20), mode="whole"),
}
each = pytest.mark.parametrize("name", DETECTORS)


@pytest.fixture(scope="module")
def fitted():
    kinds = {"forecast": "spike", "whole": "spike", "window, in the middle": "fast"}
    made = {}
    for name, detector in DETECTORS.items():
        X = series(kinds.get(name, "shape"))
        made[name] = (clone(detector).fit(X), X)
    return made


@each
def test_the_worst_rows_are_those_of_the_event(fitted, name):
    model, X = fitted[name]
    scores = model.anomaly_score(X)
    assert scores.shape == (N,)
    assert np.isfinite(scores).all()
    worst = int(scores.argmax())
    assert EVENT.start - 20 <= worst < EVENT.stop + 20
    assert scores[worst] > np.quantile(scores[50:350], 0.99)


@each
def test_signs_are_those_of_scikit_learn(fitted, name):
    model, X = fitted[name]
    assert (model.score_samples(X) == -model.anomaly_score(X)).all()
    flagged = model.predict(X) == -1
    assert (flagged == (model.decision_function(X) < 0)).all()
    assert 0 < flagged.mean() < 0.5


@pytest.mark.parametrize("name", ["forecast", "window"])
def test_scores_at_the_end_depend_on_no_later_row(fitted, name):
    model, X = fitted[name]
    whole, begun = model.anomaly_score(X), model.anomaly_score(X[:430])
    np.testing.assert_array_equal(whole[:430], begun)


def test_both_errors_are_combined_as_asked_without_another_fit(fitted):
    model, X = fitted["both"]
    scores = {
        way: copy(model).set_params(combine=way).anomaly_score(X)
        for way in ("product", "sum", "ends")
    }
    ends = in_range(scores["ends"], model.fitted_[0]["ends"])
    between = scores["product"] / ends
    assert 1 <= ends.min() <= ends.max() <= 2
    np.testing.assert_allclose(scores["sum"], (ends + between) / 2 - 1, atol=1e-12)
    assert between.std() > 0
    assert between[1:-1].min() >= 1


def test_series_are_fitted_and_scored_apart():
    one, two = series("shape"), series("spike", seed=1) / 100
    frame = pd.DataFrame(
        {
            "name": ["one", "two"] * N,
            "at": np.repeat(pd.date_range("2024-01-01", periods=N), 2),
            "value": np.column_stack([one, two]).ravel(),
        }
    )
    detector = SeriesDetector(estimator=SubPCA(), window=20, series="name", time="at")
    both = detector.fit(frame).anomaly_score(frame)
    for at, own in enumerate((one, two)):
        alone = SeriesDetector(estimator=SubPCA(), window=20).fit(own)
        np.testing.assert_array_equal(both[at::2], alone.anomaly_score(own))
    later = frame.iloc[::-1].sort_values(["name", "at"])  # another order of series: same scores
    again = pd.Series(detector.anomaly_score(later), later.index).sort_index()
    np.testing.assert_array_equal(again, both)
    with pytest.raises(ValueError, match="'three' was not fitted"):
        detector.anomaly_score(frame[::2].assign(name="three"))
    assert detector.offset_.shape == (2,)


def test_channels_are_seen_together():
    quiet = series("none")
    X = np.hstack([quiet, series("spike", seed=2)])
    model = SeriesDetector(estimator=Ridge(), window=20).fit(X)
    assert model.anomaly_score(X).argmax() == 405
    with pytest.raises(ValueError, match="1 channels"):
        model.anomaly_score(quiet)


def test_units_do_not_matter():
    X = series("spike")
    model = SeriesDetector(estimator=Ridge(), window=20)
    one, two = (model.fit(x).anomaly_score(x) for x in (X, 7 + X / 1000))
    np.testing.assert_allclose(one, two, rtol=1e-2)


def test_rows_without_a_window_have_the_lowest_score(fitted):
    model, X = fitted["forecast"]
    scores = model.anomaly_score(X)
    assert (scores[:20] == scores.min()).all()
    assert (model.anomaly_score(X[:5]) == model.fitted_[0]["low"]).all()


@pytest.mark.parametrize("x", [np.ones((60, 1)), np.r_[np.ones(59), 1e30][:, None]], ids=str)
@pytest.mark.parametrize("estimator", [Ridge(), SubPCA(), SpectralResidual()], ids=repr)
def test_flat_and_extreme_series_have_finite_scores(estimator, x):
    scores = SeriesDetector(estimator=estimator, window=12).fit(x).anomaly_score(x)
    assert np.isfinite(scores).all()


def test_missing_values_are_answered():
    X = series("spike")
    X[100:103] = np.nan
    scores = SeriesDetector(estimator=Ridge(), window=20).fit(X).anomaly_score(X)
    assert scores.argmax() == 405


def test_a_share_of_rows_is_flagged():
    X = series("shape")
    model = SeriesDetector(estimator=SubPCA(), window=20, contamination=0.05).fit(X)
    assert (model.predict(X) == -1).sum() == 25


def test_windows_learned_from_are_bounded():
    class Counted(SubPCA):
        def fit(self, X, y=None):
            self.rows_ = len(X)
            return super().fit(X)

    model = SeriesDetector(estimator=Counted(), window=20, max_windows=50).fit(series())
    assert model.fitted_[0]["estimator"].rows_ == 50


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"window": N}, f"window={N} with the {N} rows; allowed: 1 to the rows less 2"),
        ({"mode": "rebuild"}, "needs a NeuralDetector"),
        ({"mode": "both"}, "needs a NeuralDetector"),
        ({"mode": "forecast"}, "needs a regressor"),
        ({"mode": "whole"}, "saliency"),
        ({"mode": "sideways"}, "allowed: 'forecast'"),
        ({"contamination": 0.9}, "contamination=0.9"),
        ({"at": "start"}, "at='start'"),
        ({"smooth": 1.0}, "smooth=1.0"),
        ({"combine": "mean"}, "combine='mean'"),
    ],
)
def test_parameters_out_of_range_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        SeriesDetector(estimator=SubPCA(), **given).fit(series())


def test_a_series_too_short_for_any_window_is_refused():
    with pytest.raises(ValueError, match="give more rows"):
        SeriesDetector(estimator=SubPCA()).fit([[1.0], [2.0]])


def test_the_errors_before_set_the_scale():
    error = np.random.default_rng(0).normal(size=(400, 1))
    error[200:] *= 10
    z = robust_z(error, np.zeros(1), np.ones(1), 50).ravel()
    assert np.median(z[300:]) == pytest.approx(np.median(z[50:150]), rel=0.3)
    assert np.median(z[200:210]) > 3 * np.median(z[50:150])
    changed = error.copy()
    changed[300:] = 99
    again = robust_z(changed, np.zeros(1), np.ones(1), 50).ravel()
    np.testing.assert_array_equal(z[:300], again[:300])


def test_windows_are_averaged_row_by_row():
    values = np.random.default_rng(0).normal(size=(4, 3))
    expected = [np.mean([values[w, r - w] for w in range(4) if 0 <= r - w < 3]) for r in range(6)]
    np.testing.assert_allclose(mean_over_windows(values, 6), expected)


def slow_warp(a, b):
    cost = np.full((len(a) + 1, len(b) + 1), np.inf)
    cost[0, 0] = 0
    for i in range(len(a)):
        for j in range(len(b)):
            before = min(cost[i, j], cost[i, j + 1], cost[i + 1, j])
            cost[i + 1, j + 1] = (a[i] - b[j]) ** 2 + before
    return np.sqrt(cost[-1, -1])


def test_warping_is_what_its_definition_says():
    a, b = np.random.default_rng(0).normal(size=(2, 40))
    found = warped_error(a[:, None], b[:, None])
    for row in (5, 20, 34):
        near = slice(row - 5, row + 6)
        assert found[row] == pytest.approx(slow_warp(a[near], b[near]))


def test_ends_are_averaged_where_both_are_known():
    errors = np.column_stack([np.arange(1.0, 5.0), np.arange(10.0, 50.0, 10)])
    assert end_errors(errors, 6, smooth=0.0).tolist() == [1, 2, (3 + 10) / 2, (4 + 20) / 2, 30, 40]


def test_a_smoothed_error_is_finite_and_keeps_its_peak_near():
    error = np.zeros(300)
    error[150] = 1.0
    out = smoothed(error, 0.05)
    assert np.isfinite(out).all()
    assert abs(int(out.argmax()) - 150) <= 8


@pytest.mark.parametrize("name", ["both", "window, in the middle"])
def test_a_saved_detector_gives_the_same_scores(fitted, name, tmp_path):
    model, X = fitted[name]
    again = load(save(model, tmp_path / "artefact"))
    np.testing.assert_array_equal(again.anomaly_score(X), model.anomaly_score(X))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
