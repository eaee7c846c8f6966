"""Thresholds that hold, labels that reach the network, reasons that point at the right column."""

from typing import ClassVar

import keras
import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from fintech_dl import Autoencoder, Network, NeuralDetector, hyperparameters, load, save
from fintech_dl.estimators.thresholds import (
    budget_threshold,
    false_alarm_threshold,
    fence_threshold,
    share_threshold,
)
from fintech_dl.evaluation.p_values import conformal_p_values

RNG = np.random.default_rng(0)
SHORT = {"epochs": 2, "random_state": 0}
SMALL = Autoencoder(units=8, code=2)


@hyperparameters
class Distance(Network):
    """The squared distance from the mean: what a score is, without anything to learn."""

    def __call__(self, inputs):
        return keras.layers.Dense(1)(inputs)

    def anomaly_score(self, model, x):
        return keras.ops.sum(keras.ops.square(model(x)["inputs"]), axis=1)


@hyperparameters
class Told(Network):
    """Learns a number for each label: 9 for an anomaly, 3 for unlabelled rows, 0 for normal."""

    learns_from_labels: ClassVar[bool] = True

    def __call__(self, inputs):
        return keras.layers.Dense(1)(inputs)

    def decode(self, features, inputs):
        return keras.layers.Dense(inputs.shape[-1], trainable=False)(features)

    def objective(self, model, x, y, loss):
        ops = keras.ops
        label = y[:, 0]
        aim = ops.where(label == 1, 9.0, ops.where(label == 0, 0.0, 3.0))
        return ops.square(model(x)["features"][:, 0] - aim)

    def anomaly_score(self, model, x):
        return model(x)["features"][:, 0]


def ledger(n, seed=0):
    rng = np.random.default_rng(seed)
    net, rate = rng.lognormal(5, 0.5, n), rng.choice([0.1, 0.2], n)
    frame = pd.DataFrame({"net": net, "tax": net * rate, "gross": net * (1 + rate)})
    frame["rate"] = np.where(rate == 0.1, "low", "high")
    frame["hours"] = rng.normal(12, 2, n)
    frame.loc[::50, "hours"] = np.nan
    return frame


@pytest.fixture(scope="module")
def rows():
    return RNG.normal(size=(2000, 3))


@pytest.fixture(scope="module")
def model(rows):
    return NeuralDetector(network=Distance(), contamination=0.1, **SHORT).fit(rows)


@pytest.fixture(scope="module")
def books():
    network = Autoencoder(units=32, code=3)
    return NeuralDetector(network=network, epochs=60, learning_rate=0.01, random_state=0).fit(
        ledger(1500)
    )


# ---- thresholds -------------------------------------------------------------------------------


def test_a_share_of_the_training_rows_is_flagged_whatever_their_weights(rows, model):
    assert (model.predict(rows) == -1).sum() == 200
    assert model.threshold_ == -model.offset_
    assert np.array_equal(model.anomaly_score(rows) > model.threshold_, model.predict(rows) == -1)
    scores = np.array([1.0, 2.0, 3.0, 4.0])
    assert share_threshold(scores, np.array([1, 1, 1, 7]), 0.7) == 3.5
    assert share_threshold(scores, np.array([7, 1, 1, 1]), 0.2) == 2.5


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.normal(size=n),
        lambda rng, n: rng.chisquare(1, size=n),
        lambda rng, n: rng.chisquare(10, size=n),
        lambda rng, n: -rng.chisquare(3, size=n),
        lambda rng, n: rng.lognormal(size=n),
    ],
    ids=["symmetric", "very skewed", "skewed", "skewed downwards", "heavy tail"],
)
def test_the_automatic_threshold_flags_few_normal_rows_and_the_anomalies(draw):
    rng = np.random.default_rng(1)
    scores = draw(rng, 20_000)
    fence = fence_threshold(scores, np.ones(20_000))
    assert np.mean(scores > fence) < 0.04
    odd = scores.mean() + 30 * scores.std() + rng.random(2000)
    mixed = np.append(scores, odd)
    found = fence_threshold(mixed, np.ones(22_000))
    assert (odd > found).all()
    assert np.mean(scores > found) < 0.03
    assert fence_threshold(7 * mixed - 5, np.ones(22_000)) == pytest.approx(7 * found - 5)
    assert fence_threshold(mixed[::-1], np.ones(22_000)) == found


def test_the_automatic_threshold_counts_weights_as_rows():
    scores = RNG.chisquare(3, size=300)
    weight = RNG.integers(1, 5, size=300)
    repeated = np.repeat(scores, weight)
    fence = fence_threshold(repeated, np.ones(len(repeated)))
    assert fence_threshold(scores, weight) == pytest.approx(fence)


def test_false_alarms_come_as_often_as_was_asked(model):
    rates = []
    for seed in range(20):
        normal = np.random.default_rng(seed).normal(size=(40_000, 3))
        found = model.set_threshold(normal[:20_000], fpr=0.01).predict(normal[20_000:])
        rates.append(np.mean(found == -1))
    assert 0.0095 < np.mean(rates) < 0.0105
    assert 0.007 < min(rates) < max(rates) < 0.013


@pytest.mark.parametrize("fpr", [0.01, 0.2, 0.5, 0.9])
def test_a_row_is_flagged_where_its_p_value_is_small(fpr):
    rng = np.random.default_rng(3)
    known, new = (rng.integers(0, 80, size=150).astype(float) for _ in range(2))
    flagged = new > false_alarm_threshold(known, fpr)
    assert np.array_equal(flagged, conformal_p_values(known, new) <= fpr)
    assert 0 < false_alarm_threshold(known, fpr) <= known.max()


def test_an_alert_budget_is_kept_on_average():
    kept = []
    for seed in range(200):
        scores = np.random.default_rng(seed).normal(size=2000)
        limit = budget_threshold(scores[:1000], per_day=5, days=4)
        kept.append((scores[1000:] > limit).sum())
    assert 18.5 < np.mean(kept) <= 20.5


def test_setting_a_threshold_leaves_scores_alone_and_lasts(rows, tmp_path):
    model = NeuralDetector(network=SMALL, contamination=None, **SHORT).fit(rows)
    scores = model.anomaly_score(rows)
    assert not hasattr(model, "threshold_")
    for method in (model.predict, model.decision_function):
        with pytest.raises(NotFittedError, match="contamination=None draws no line"):
            method(rows)
    flagged = clone(model).fit(rows).set_threshold(rows, fpr=0.05).predict(rows)
    assert 0.03 < np.mean(flagged == -1) <= 0.05
    loaded = load(save(model, tmp_path / "none"))
    assert np.array_equal(loaded.set_threshold(rows, fpr=0.05).predict(rows), flagged)
    assert np.array_equal(loaded.anomaly_score(rows), scores)
    assert np.array_equal(loaded.explain(rows[:3]), model.explain(rows[:3]))
    assert (model.set_threshold(rows, per_day=10, days=3).predict(rows) == -1).sum() == 29
    assert not hasattr(model.fit(rows), "threshold_")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "allowed: fpr alone, or per_day and days together"),
        ({"fpr": 0.01, "per_day": 5, "days": 1}, "allowed: fpr alone"),
        ({"per_day": 5}, "per_day and days together"),
        ({"fpr": 0.1, "days": 5}, "per_day and days together"),
        ({"fpr": 0.0}, r"fpr=0\.0; allowed: above 0 and below 1"),
        ({"fpr": 1}, "fpr=1; allowed: above 0 and below 1"),
        ({"fpr": float("nan")}, "fpr=nan; allowed"),
        ({"fpr": 0.001}, "needs 999 calibration rows or more, X has 50"),
        ({"per_day": 0, "days": 5}, "per_day=0; allowed: a number above 0"),
        ({"per_day": 5, "days": float("inf")}, "days=inf; allowed"),
        ({"per_day": 0.1, "days": 2}, "less than one alert in all"),
        ({"per_day": 25, "days": 2}, "allows 50 alerts, and X has 50 rows"),
    ],
)
def test_thresholds_that_cannot_be_say_why(model, rows, arguments, message):
    with pytest.raises(ValueError, match=message):
        model.set_threshold(rows[:50], **arguments)


def test_no_calibration_rows_and_no_fit(model, rows):
    with pytest.raises(ValueError, match="X has 0 rows"):
        model.set_threshold(rows[:0], fpr=0.1)
    with pytest.raises(NotFittedError):
        NeuralDetector().set_threshold(rows, fpr=0.1)
    model.set_threshold(rows[:99], fpr=0.01)  # as many as the rate needs
    with pytest.raises(ValueError, match="needs 99"):
        model.set_threshold(rows[:98], fpr=0.01)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.0, r"contamination=0\.0; allowed: \(0, 0\.5\], 'auto' or None"),
        (0.51, r"contamination=0\.51; allowed"),
        ("robust", "contamination='robust'; allowed: float or 'auto' or None"),
        (True, "contamination=True; allowed"),
    ],
)
def test_contaminations_that_cannot_be_say_what_can(rows, value, message):
    with pytest.raises(ValueError, match=message):
        NeuralDetector(network=SMALL, contamination=value).fit(rows)


# ---- labels -----------------------------------------------------------------------------------


def told(y, rows, **arguments):
    model = NeuralDetector(network=Told(), epochs=150, learning_rate=0.1, batch_size=64)
    return model.set_params(random_state=0, **arguments).fit(rows, y)


def test_labels_reach_a_network_that_learns_from_them():
    rows = RNG.normal(size=(64, 2))
    known = (rows[:, 0] > 0).astype(int)
    assert told(None, rows).anomaly_score(rows).mean() == pytest.approx(3, abs=0.2)
    assert told(np.zeros(64), rows).anomaly_score(rows).mean() == pytest.approx(0, abs=0.2)
    for y in (known, known.astype(bool), pd.Series(known), known.astype(float)[:, None].ravel()):
        scores = told(y, rows).anomaly_score(rows)
        assert scores[known == 1].mean() > 2 + scores[known == 0].mean()
    mixed = np.where(known == 1, 1, np.where(rows[:, 1] > 0, 0, -1))
    assert not np.array_equal(told(mixed, rows).anomaly_score(rows), scores)


def test_labels_follow_their_rows_through_weights_folds_and_validation():
    rows = RNG.normal(size=(64, 2))
    known = (rows[:, 0] > 0).astype(int)
    weight = np.where(np.arange(64) < 48, 1.0, 0.0)
    swapped = np.where(weight > 0, known, 1 - known)  # what is left out may say what it likes
    left_out = [told(y, rows).fit(rows, y, weight).anomaly_score(rows) for y in (known, swapped)]
    assert np.array_equal(*left_out)
    assert not np.array_equal(left_out[0], told(known, rows).anomaly_score(rows))
    folded = told(known, rows, cv=2)
    assert folded.oof_[known == 1].mean() > 2 + folded.oof_[known == 0].mean()
    model = NeuralDetector(network=Told(), learning_rate=0.1, epochs=30, random_state=0)
    model.fit(rows, known, X_val=rows, y_val=known)
    assert model.history_["validation_loss"][-1] < 0.5 * model.history_["validation_loss"][0]
    model.fit(rows, known, X_val=rows, y_val=1 - known)
    assert model.history_["validation_loss"][-1] > 0.5 * model.history_["validation_loss"][0]
    assert model.set_params(validation_fraction=0.25).fit(rows, known).n_iter_ > 0
    flagged = clone(model).set_params(contamination=0.5).fit_predict(rows, known)
    assert known[flagged == -1].mean() > 0.8  # fit_predict hands the labels on


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 1, 2, 3], "y holds 2, 3; allowed: 1 .known anomaly., 0 .normal. and -1"),
        ([0, 1, -1, np.nan], "y holds nan; allowed"),
        (["0", "1", "0", "1"], "y holds '0', '1'; allowed"),
        ([0, None, 1, 0], "y holds None; allowed"),
        (pd.array([0, pd.NA, 1, 0], dtype="Int64"), "row 1 is masked, that is missing"),
        (np.ma.array([0, 1, 1, 0], mask=[0, 1, 0, 0]), "row 1 is masked"),
        ([0, 1, 0], "inconsistent numbers of samples"),
        ([1, 1, 1, 1], "y calls all 4 rows anomalies"),
    ],
)
def test_labels_that_cannot_be_say_what_can(y, message):
    with pytest.raises(ValueError, match=message):
        NeuralDetector(network=Told(), **SHORT).fit(np.zeros((4, 2)), y)


def test_a_network_without_labels_does_not_read_them(rows):
    model = NeuralDetector(network=Distance(), **SHORT)
    plain = model.fit(rows).anomaly_score(rows)
    assert np.array_equal(model.fit(rows, ["any", "thing"]).anomaly_score(rows), plain)


# ---- members ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def several(rows):
    return NeuralDetector(network=SMALL, n_members=3, **SHORT).fit(rows)


def test_members_are_averaged_by_rank(rows, several):
    model = several
    states = [member["random_state"] for member in model.members_]
    single = [clone(model).set_params(n_members=1, random_state=s).fit(rows) for s in states]
    each = np.array([one.anomaly_score(rows) for one in single])
    ranks = np.mean([rankdata(scores) for scores in each], axis=0)
    found = rankdata(model.anomaly_score(rows))
    assert np.corrcoef(found, rankdata(ranks))[0, 1] > 0.9999
    assert np.corrcoef(found, rankdata(ranks))[0, 1] > np.corrcoef(found, each.mean(axis=0))[0, 1]


# ---- reasons ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value"), [("tax", 150.0), ("gross", 2000.0), ("hours", 40.0), ("net", 3000.0)]
)
def test_the_column_that_breaks_the_pattern_is_named_first(books, column, value):
    frame = ledger(400, seed=1)
    frame = frame[(frame["net"] < 250) & frame["hours"].notna()][:20].copy()
    usual = books.explain(frame)
    frame[column] = value
    found = books.explain(frame)
    assert (found.idxmax(axis=1) == column).mean() > 0.9
    assert (found[column] > usual[column]).mean() > 0.9


def test_reasons_are_finite_in_order_and_the_same_for_a_row_alone(books):
    frame = ledger(300, seed=2)
    frame.loc[5, ["net", "tax", "gross"]] = np.finfo(np.float32).max
    frame.loc[6, ["net", "hours"]] = np.nan
    frame.loc[7, "rate"] = "unheard of"
    frame.index = [f"row {i}" for i in range(300)]
    found = books.explain(frame)
    assert found.index.equals(frame.index)
    assert list(found.columns) == list(frame.columns)
    assert np.isfinite(found).all(axis=None)
    assert (found >= 0).all(axis=None)
    order = np.random.default_rng(0).permutation(300)
    assert found.iloc[order].equals(books.explain(frame.iloc[order]))
    assert pd.concat([books.explain(frame.iloc[[i]]) for i in (0, 5, 299)]).equals(
        found.iloc[[0, 5, 299]]
    )


def test_reasons_are_told_in_quantiles_of_the_training_scores():
    rng = np.random.default_rng(0)
    model = NeuralDetector(network=Distance(), **SHORT)
    model.fit(np.column_stack([rng.normal(size=9_999), np.ones(9_999)]))
    for at, rarity in ((1.645, 1.0), (2.576, 2.0), (3.291, 3.0)):
        found = model.explain([[at, 1.0], [-at, 1.0]])
        assert found["x0"].tolist() == pytest.approx([rarity] * 2, abs=0.15)
        assert (found["x1"] == 0).all()
    far = model.explain([[10.0, 1.0], [100.0, 1.0]])["x0"]
    assert 4 < far[0] <= far[1] < 8


def test_reasons_of_an_average_of_members(several):
    assert several.explain([[0.0, 8.0, 0.0]]).idxmax(axis=1).tolist() == ["x1"]


# ---- bad input --------------------------------------------------------------------------------

ODD = {
    "one row": np.array([[1.0, 2.0, 3.0]]),
    "one feature": np.arange(40.0)[:, None],
    "constant features": np.column_stack([np.arange(40.0), np.ones(40), np.zeros(40)]),
    "all rows equal": np.ones((40, 3)),
    "missing values, of one column all": np.column_stack(
        [np.arange(40.0), np.full(40, np.nan), np.where(np.arange(40) % 7, 1.0, np.nan)]
    ),
    "extremes of float32": np.finfo(np.float32).max * RNG.choice([-1, 1, 0.5], size=(40, 3)),
    "the least numbers": np.finfo(np.float32).tiny * np.arange(120).reshape(40, 3),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_odd_rows_have_finite_scores_and_reasons(odd):
    model = NeuralDetector(network=SMALL, **SHORT).fit(odd)
    scores = model.anomaly_score(odd)
    assert np.isfinite(scores).all()
    assert np.isfinite(model.threshold_)
    assert set(model.predict(odd)) <= {-1, 1}
    assert np.isfinite(model.explain(odd)).all(axis=None)
    if len(np.unique(scores)) == 1:
        assert (model.predict(odd) == 1).all()
    far = np.full((1, odd.shape[1]), np.finfo(np.float32).max)
    assert np.isfinite(model.anomaly_score(far)).all()
    assert np.isfinite(model.explain(far)).all(axis=None)


def test_infinity_is_refused_by_name(model, rows):
    wrong = rows.copy()
    wrong[3, 1] = np.inf
    calls = [model.anomaly_score, model.explain, NeuralDetector(network=SMALL).fit]
    calls.append(lambda X: model.set_threshold(X, fpr=0.1))
    for call in calls:
        with pytest.raises(ValueError, match="column 'x1', row 3: inf"):
            call(wrong)
