"""The ranker: what its losses are, that groups stay whole, and what it finds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import pearsonr, spearmanr
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fintech_dl import MLP, NeuralRanker, NeuralRegressor, Table, TabM, load, save
from fintech_dl.cards import pipeline_card
from fintech_dl.estimators.group_losses import GROUP_LOSSES
from fintech_dl.estimators.groups import in_turn, mean_rank_ic, whole_groups
from fintech_dl.estimators.members import Share
from fintech_dl.estimators.training import batches
from fintech_dl.evaluation.panel_splits import PurgedWalkForward
from fintech_dl.fitting import fit

LOSSES = ("ic", "pairwise", "listwise")
FAST = {"network": MLP(units=8), "epochs": 4, "learning_rate": 0.02, "batch_size": 64}
FAST |= {"random_state": 0}

RNG = np.random.default_rng(0)
SIZES = RNG.integers(3, 20, 40)
DATES = np.repeat(np.arange(40), SIZES)
X = RNG.normal(size=(len(DATES), 4))
MARKET = RNG.normal(size=40)[DATES]
Y = X[:, 0] + 0.5 * X[:, 1] * X[:, 2] + 3 * MARKET + RNG.normal(size=len(DATES))


@pytest.fixture(scope="module", params=LOSSES)
def loss(request):
    """Return each loss in turn; what is compiled for it serves test after test."""
    return request.param


def ranker(**parameters):
    return NeuralRanker(**{**FAST, **parameters})


def same_but_for_level(a, b):
    np.testing.assert_allclose(a - a.mean(), b - b.mean(), atol=1e-4)


# ---- the losses -------------------------------------------------------------------------------


def by_hand(loss, y, score):
    """Return the loss of one group, in plain NumPy."""
    if np.ptp(y) == 0:
        return 0.0
    if loss == "ic":
        return 1 - pearsonr(y, score)[0]
    if loss == "listwise":
        wanted = softmax((y - y.mean()) / y.std())
        return -(wanted * log_softmax(score)).sum() - np.log(len(y))
    pairs = [(i, j) for i in range(len(y)) for j in range(len(y)) if y[i] > y[j]]
    return np.mean([np.log1p(np.exp(score[j] - score[i])) for i, j in pairs])


def computed(loss, y, score, codes, weight=None, longest=None):
    """Return the loss of each group, by code."""
    weight = np.ones(len(y)) if weight is None else weight
    at, weights = whole_groups(codes, weight, longest or np.bincount(codes).max())
    y, score = (np.float32(values[at].ravel()[:, None]) for values in (y, score))
    found = np.asarray(GROUP_LOSSES[loss](y, score, weights)).reshape(at.shape)
    assert (found == found[:, :1]).all()  # every row bears the loss of its group
    return found[:, 0]


@pytest.mark.parametrize("longest", [None, 50])
def test_the_loss_of_uneven_groups_is_the_plain_formula(loss, longest):
    score = RNG.normal(size=len(Y))
    y = np.round(Y)  # with ties
    found = computed(loss, y, score, DATES, longest=longest)
    expected = [by_hand(loss, y[d == DATES], score[d == DATES]) for d in range(40)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_what_changes_no_order_changes_no_loss(loss):
    score = RNG.normal(size=len(Y))
    found = computed(loss, Y, score, DATES)
    moved = computed(loss, Y + 7 * RNG.normal(size=40)[DATES], score, DATES)
    np.testing.assert_allclose(moved, found, atol=1e-5)
    order = RNG.permutation(len(Y))
    mixed = computed(loss, Y[order], score[order], DATES[order])
    np.testing.assert_allclose(mixed, found, atol=1e-6)
    other = RNG.permutation(40)
    np.testing.assert_allclose(computed(loss, Y, score, other[DATES])[other], found, atol=1e-6)
    shifted = computed(loss, Y, score + RNG.normal(size=40)[DATES], DATES)
    np.testing.assert_allclose(shifted, found, atol=1e-5)
    assert np.abs(computed(loss, Y, -score, DATES) - found).max() > 0.1


def test_a_weight_of_two_is_the_row_twice(loss):
    score, weight = RNG.normal(size=len(Y)), RNG.integers(1, 4, len(Y))
    again = np.repeat(np.arange(len(Y)), weight)
    np.testing.assert_allclose(
        computed(loss, Y, score, DATES, weight.astype(float)),
        computed(loss, Y[again], score[again], DATES[again]),
        atol=2e-6,
    )


def test_a_group_without_an_order_teaches_nothing(loss):
    y = np.where(DATES == 3, 5.0, Y)
    one = (DATES == 4) & (np.cumsum(DATES == 4) > 1)
    keep = ~one
    found = computed(loss, y[keep], X[keep, 0], DATES[keep])
    assert found[3] == found[4] == 0
    assert (np.delete(found, [3, 4]) != 0).all()
    alike = ranker(loss=loss).fit(MARKET[:, None], y, groups=DATES)
    assert np.isfinite(alike.predict(MARKET[:, None])).all()
    assert np.isfinite(alike.history_["loss"]).all()


# ---- groups stay whole ------------------------------------------------------------------------


def test_batches_are_whole_groups_each_once_and_in_another_order_each_epoch():
    parts = in_turn([Share(0, np.arange(len(Y)), np.ones(len(Y)), DATES)])
    rngs = [np.random.default_rng(0)]
    orders = []
    for _ in range(2):
        index, weight = batches(rngs, parts, steps=6)
        assert (DATES[index] == DATES[index[:, :, :1]]).all()
        real = weight > 0
        assert sorted(index[real]) == list(range(len(Y)))  # every row once, none lost
        orders.append(DATES[index[:, :, 0]][real[:, :, 0]].tolist())
        assert sorted(orders[-1]) == list(range(40))
    assert orders[0] != orders[1]


def test_the_mean_loss_of_training_and_validation_groups_is_exact(loss, monkeypatch):
    """Of groups, not of rows: a date of 3 assets counts as one of 19. Over several blocks too."""
    monkeypatch.setattr("fintech_dl.estimators.ranker.BLOCK_ROWS", 100)
    model = ranker(loss=loss, epochs=1, learning_rate=0.0, batch_size=10_000)
    model.fit(X, Y, groups=DATES, X_val=X, y_val=Y, groups_val=DATES)
    score = model.predict(X)
    expected = np.mean([by_hand(loss, Y[d == DATES], score[d == DATES]) for d in range(40)])
    assert model.history_["validation_loss"][0] == pytest.approx(expected, abs=1e-5)
    assert model.history_["loss"][0] == pytest.approx(expected, abs=1e-5)
    assert model.history_["monitor"][0] == -model.history_["validation_loss"][0]


def test_neither_the_order_of_rows_nor_the_level_of_a_date_changes_the_model(loss):
    model = ranker(loss=loss)
    score = model.fit(X, Y, groups=DATES).predict(X)
    order = RNG.permutation(len(Y))
    names = pd.to_datetime("2024-01-01") + pd.to_timedelta(DATES, unit="D")
    again = clone(model).fit(X[order], Y[order], groups=names[order])
    same_but_for_level(again.predict(X), score)
    level = clone(model).fit(X, Y + 1e6 * MARKET, groups=DATES)
    same_but_for_level(level.predict(X), score)


def test_a_row_is_scored_alone():
    model = ranker().fit(X, Y, groups=DATES)
    score = model.predict(X)
    assert np.array_equal(model.predict(X[5:6]), score[5:6])


def test_the_date_with_more_weight_is_learned_better():
    sign = np.where(DATES % 2, 1.0, -1.0)
    y = sign * X[:, 0]
    for odd in (True, False):
        weight = np.where((DATES % 2 == 1) == odd, 1.0, 0.01)
        score = ranker(epochs=10).fit(X, y, weight, groups=DATES).predict(X)
        assert mean_rank_ic(X[:, 0] if odd else -X[:, 0], score, DATES) > 0.9


# ---- what it finds ----------------------------------------------------------------------------


def test_it_finds_the_order_within_dates_where_pooled_rows_show_the_opposite(loss):
    """A high column means a high market, and a low place within its date."""
    rng = np.random.default_rng(3)
    dates = np.repeat(np.arange(80), 15)
    market, own = 2 * rng.normal(size=80)[dates], rng.normal(size=1200)
    rows = np.column_stack([own + market, rng.normal(size=1200)])
    y = 3 * market - own + rng.normal(size=1200)
    seen, new = dates < 60, dates >= 60

    def found(**parameters):
        model = ranker(**parameters, epochs=8).fit(rows[seen], y[seen], groups=dates[seen])
        return model.score(rows[new], y[new], groups=dates[new])

    assert found(loss=loss) > 0.5
    assert found(loss="squared_error") < -0.5


def test_squared_error_is_the_regressor():
    scores = [
        kind(**FAST, loss="squared_error").fit(X, Y).predict(X)
        for kind in (NeuralRanker, NeuralRegressor)
    ]
    assert np.array_equal(*scores)
    assert np.array_equal(
        ranker(loss="squared_error").fit(X, Y, groups=DATES).predict(X), scores[0]
    )


def test_the_default_loss_is_ic():
    scores = [ranker(loss=loss).fit(X, Y, groups=DATES).predict(X) for loss in (None, "ic")]
    assert np.array_equal(*scores)


def test_several_predictions_of_a_row_are_trained_each_by_its_own_loss():
    model = ranker(
        network=TabM(k=3, units=8, bins=4, dropout=0.0),
        batch_size=10_000,
        epochs=1,
        learning_rate=0.0,
    )
    model.fit(X, Y, groups=DATES, X_val=X, y_val=Y, groups_val=DATES)
    live = model._live()
    each = np.asarray(live.model(X.astype(np.float32), training=True)["outputs"])[..., 0]
    assert each.shape == (len(X), 3)
    expected = [
        by_hand("ic", Y[d == DATES], each[d == DATES, k]) for d in range(40) for k in range(3)
    ]
    assert model.history_["loss"][0] == pytest.approx(np.mean(expected), abs=2e-4)
    together = [by_hand("ic", Y[d == DATES], model.predict(X)[d == DATES]) for d in range(40)]
    assert model.history_["validation_loss"][0] == pytest.approx(np.mean(together), abs=2e-4)


# ---- members, folds, early stopping -----------------------------------------------------------


def test_members_are_separate_fits_averaged(loss):
    model = ranker(loss=loss, n_members=2).fit(X, Y, groups=DATES)
    separate = [
        ranker(loss=loss, random_state=member["random_state"]).fit(X, Y, groups=DATES).predict(X)
        for member in model.members_
    ]
    same_but_for_level(model.predict(X), np.mean(separate, axis=0))
    assert np.std(separate, axis=0).mean() > 0.01


@pytest.mark.parametrize("cv", [3, PurgedWalkForward(10, 20)], ids=str)
def test_folds_are_of_whole_groups(cv):
    model = ranker(cv=cv).fit(X, Y, groups=DATES)
    held = np.isfinite(model.oof_)
    if cv == 3:
        folds = [np.isin(DATES, part) for part in np.array_split(np.arange(40), 3)]
        parts = [(np.flatnonzero(~out), np.flatnonzero(out)) for out in folds]
    else:
        parts = list(cv.split(X, Y, DATES))
    assert len(model.members_) == len(parts)
    assert np.array_equal(np.flatnonzero(held), np.unique(np.concatenate([p[1] for p in parts])))
    learned, out = parts[0]
    seed = model.members_[0]["random_state"] if len(parts) > 1 else 0
    alone = ranker(random_state=seed).fit(X[learned], Y[learned], groups=DATES[learned])
    only = np.setdiff1d(out, np.concatenate([p[1] for p in parts[1:]] or [[]]))
    assert len(only)
    assert spearmanr(alone.predict(X[only]), model.oof_[only])[0] > 0.95


def test_early_stopping_watches_the_rank_correlation_of_held_out_dates():
    parameters = {"monitor": "rank_ic", "epochs": 12, "patience": 3, "learning_rate": 0.1}
    seen = DATES < 30
    model = ranker(**parameters, validation_fraction=0.25, temporal=True).fit(X, Y, groups=DATES)
    best = model.history_["monitor"][model.best_epoch_ - 1]
    assert best == max(model.history_["monitor"])
    late = [spearmanr(Y[d == DATES], model.predict(X[d == DATES]))[0] for d in range(30, 40)]
    assert best == pytest.approx(np.mean(late), abs=1e-9)
    assert best == pytest.approx(model.score(X[~seen], Y[~seen], groups=DATES[~seen]), abs=1e-9)
    given = ranker(**parameters).fit(
        X[seen],
        Y[seen],
        groups=DATES[seen],
        X_val=X[~seen],
        y_val=Y[~seen],
        groups_val=DATES[~seen],
    )
    assert given.history_["monitor"] == pytest.approx(model.history_["monitor"], abs=0.02)


def test_random_held_out_rows_are_whole_dates():
    held = ranker(validation_fraction=0.25)._hold_out(np.column_stack([Y, DATES]), len(Y), 0)
    assert not set(DATES[held[0]]) & set(DATES[held[1]])
    assert len(set(DATES[held[1]])) == 10


def test_rank_ic_counts_alike_scores_as_nothing_and_leaves_out_what_has_no_order():
    y = np.array([1.0, 2, 3, 1, 2, 3, 4, 4, 4, 9])
    score = np.array([1.0, 2, 3, 5, 5, 5, 1, 2, 3, 1])
    codes = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 3])
    assert mean_rank_ic(y, score, codes) == pytest.approx(0.5)
    assert np.isnan(mean_rank_ic(y[6:], score[6:], codes[6:]))


def test_going_on_with_more_dates():
    model = ranker(epochs=1).fit(X, Y, groups=DATES)
    first = model.score(X, Y, groups=DATES)
    for _ in range(5):  # dates of other lengths too
        model.partial_fit(X, Y, groups=DATES)
        model.partial_fit(X[:30], Y[:30], groups=np.arange(30) % 2)
    assert model.n_iter_ == 11
    assert model.score(X, Y, groups=DATES) > first
    warm = ranker(epochs=1, warm_start=True).fit(X, Y, groups=DATES).fit(X, Y, groups=DATES)
    assert warm.n_iter_ == 2


def test_an_artefact_keeps_scores(tmp_path):
    model = make_pipeline(StandardScaler(), ranker(n_members=2))
    model.fit(X, Y, neuralranker__groups=DATES)
    again = load(save(model, tmp_path / "artefact"))
    assert np.array_equal(again.predict(X), model.predict(X))


class Spy(RegressorMixin, BaseEstimator):
    def fit(self, X, y, *, groups=None, X_val=None, y_val=None, groups_val=None):
        self.rows_, self.groups_, self.groups_val_ = X, groups, groups_val
        return self


def test_a_pipeline_hands_the_dates_over():
    when = pd.Series(pd.to_datetime("2024-01-01") + pd.to_timedelta(DATES, unit="D"))
    table = Table(X=pd.DataFrame(X), y=pd.Series(Y), when=when)
    card = pipeline_card("fraud-ulb", {"split.validation_fraction": 0.2})
    card = replace(card, calibration=None)
    model = fit(make_pipeline(StandardScaler(), Spy()), card, table, np.arange(300), own=True)[-1]
    n = len(model.rows_)
    assert model.groups_.tolist() == when[:n].tolist()
    assert model.groups_val_.tolist() == when[n:300].tolist()
    assert 200 < n < 260
    plain = fit(make_pipeline(StandardScaler(), Spy()), card, table, np.arange(300), own=False)[-1]
    assert plain.groups_.tolist() == when[:300].tolist()
    assert plain.groups_val_ is None


# ---- what is refused --------------------------------------------------------------------------

BAD = np.arange(6) // 2
ROWS, TARGET = X[:6], np.arange(6.0)
REFUSED = {
    "missing": ({"groups": [1, 1, None, 2, 2, 2]}, "groups: row 2 has no label"),
    "missing date": (
        {"groups": pd.to_datetime(["2024-01-01"] * 5 + [None])},
        "groups: row 5 has no label",
    ),
    "too few": ({"groups": [1, 2, 3]}, r"groups has the shape \(3,\); allowed: \(6,\)"),
    "too many dimensions": ({"groups": np.ones((6, 2))}, r"shape \(6, 2\)"),
    "one row each": ({"groups": np.arange(6)}, r"nothing to rank: 6 sample\(s\) in 6 group\(s\)"),
    "validation without": (
        {"groups": BAD, "X_val": ROWS, "y_val": TARGET},
        "groups_val is missing",
    ),
    "validation of one row each": (
        {"groups": BAD, "X_val": ROWS, "y_val": TARGET, "groups_val": np.arange(6)},
        "nothing to rank.*groups_val",
    ),
}


@pytest.mark.parametrize(("given", "told"), REFUSED.values(), ids=REFUSED)
def test_groups_that_cannot_be_are_refused(given, told):
    with pytest.raises(ValueError, match=told):
        ranker(epochs=1).fit(ROWS, TARGET, **given)


def test_held_out_dates_without_an_order_are_refused():
    y = np.where(DATES < 30, Y, 1.0)
    model = ranker(validation_fraction=0.25, temporal=True)
    with pytest.raises(ValueError, match=r"nothing to rank: .* groups of the validation rows"):
        model.fit(X, y, groups=DATES)


def test_groups_too_large_to_be_one_date_are_refused():
    rows, y = np.zeros((20_001, 1)), np.arange(20_001.0)
    with pytest.raises(ValueError, match=r"groups: all rows are one group, of 20001 rows.*20000"):
        ranker().fit(rows, y)
    with pytest.raises(ValueError, match=r"the largest group, of 15000 rows.*'pairwise': 5000"):
        ranker(loss="pairwise").fit(rows, y, groups=np.arange(20_001) > 5000)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"cv": 41}, "cv=41: folds are of whole groups, of which there are 40"),
        ({"cv": KFold(3, shuffle=True, random_state=0)}, "tears 39 of 40 groups"),
        ({"loss": "huber"}, "loss='huber'; allowed: 'ic', 'pairwise'"),
        ({"monitor": "r2"}, "monitor='r2'; allowed: 'loss', 'rank_ic'"),
    ],
)
@pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
def test_parameters_that_cannot_be_are_refused(parameters, told):
    with pytest.raises(ValueError, match=told):
        ranker(**parameters).fit(X, Y, groups=DATES)


def test_several_targets_are_refused():
    with pytest.raises(ValueError, match="one number per row to rank by"):
        ranker().fit(X, np.column_stack([Y, Y]), groups=DATES)
