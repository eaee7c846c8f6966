"""The additive scorecard: curves that keep their direction, add up, and know what is missing."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl import NeuralClassifier, NeuralDetector, NeuralRegressor, Scorecard
from fintech_dl.networks.curves import curves, edges_of

RNG = np.random.default_rng(0)
N = 1500
FAST = {"epochs": 12, "learning_rate": 0.05, "batch_size": 128, "random_state": 0}


def frame():
    rng = np.random.default_rng(1)
    x = pd.DataFrame(
        {
            "age": rng.integers(18, 80, N),
            "debt": np.exp(rng.normal(size=N)),
            "late": rng.choice([0, 0, 0, 0, 1, 2, 5, 96], N),
            "home": rng.choice(["own", "rent", "other"], N),
            "income": rng.normal(3000, 900, N),
        }
    )
    x.loc[::7, "income"] = np.nan
    return x


X = frame()
# the younger, the deeper in debt and the later, the worse; 96 and a missing income are bad too
Z = (50 - X["age"]) / 20 + np.log(X["debt"]) + X["late"].replace(96, 3) + X["income"].isna()
Y = (Z + RNG.normal(size=N) > 1).astype(int).to_numpy()
CODES = {"late": [96]}
# all of them against what the rows say
WRONG_WAY = {"age": "increasing", "debt": "decreasing", "late": "decreasing"}


def fit(monotone=None, target=Y, rows=X, **parameters):
    network = Scorecard(bins=8, monotone=monotone)
    model = NeuralClassifier(network=network, special_codes=CODES, **{**FAST, **parameters})
    return model.fit(rows, target)


def along(model, column, grid):
    """Return logits of one row, a column of it moved along a grid."""
    rows = pd.concat([X.iloc[[1]]] * len(grid), ignore_index=True)
    rows[column] = grid
    return model.decision_function(rows)


@pytest.fixture(scope="module")
def free():
    return fit()


@pytest.fixture(scope="module", params=[1, 3], ids=["one", "members"])
def forced(request):
    return fit(WRONG_WAY, n_members=request.param, average="logit")


@pytest.mark.parametrize("column", WRONG_WAY)
def test_a_curve_keeps_its_direction_whatever_the_rows_say(forced, column):
    grid = np.linspace(X[column].min() - 50, 95 if column == "late" else 300, 10_000)
    steps = np.diff(along(forced, column, grid))
    violations = (steps < 0) if WRONG_WAY[column] == "increasing" else (steps > 0)
    assert violations.sum() == 0


@pytest.mark.parametrize("column", WRONG_WAY)
def test_unforced_curves_go_the_other_way(free, column):
    grid = np.linspace(X[column].min(), 5 if column == "late" else X[column].max(), 100)
    change = np.ptp(along(free, column, grid))
    end = along(free, column, grid[[0, -1]])
    assert change > 0.5
    assert (end[1] > end[0]) == (WRONG_WAY[column] == "decreasing")


def test_a_direction_that_the_rows_support_is_learned():
    model = fit({"age": "decreasing", "debt": "increasing", "late": "increasing"})
    assert model.score(X, Y) > 0.78
    for column, way in {"age": -1, "debt": 1, "late": 1}.items():
        grid = np.linspace(X[column].min(), 5 if column == "late" else X[column].max(), 10_000)
        logits = along(model, column, grid)
        assert (way * np.diff(logits) >= 0).all()
        assert way * (logits[-1] - logits[0]) > 0.5


def test_a_step_that_was_cut_can_come_back():
    model = fit({"age": "increasing"})
    first = np.ptp(along(model, "age", [18, 79]))
    again = model.set_params(warm_start=True, epochs=60).fit(X, 1 - Y)
    assert first == 0
    assert np.ptp(along(again, "age", [18, 79])) > 0.5


def test_columns_add_up(free):
    def logit(**cells):
        return float(free.decision_function(X.iloc[[2]].assign(**cells))[0])

    moves = {"age": 61, "debt": 0.2, "late": 5, "home": "own", "income": np.nan}
    alone = [logit(**{name: value}) - logit() for name, value in moves.items()]
    assert min(map(abs, alone)) > 1e-3
    assert logit(**moves) - logit() == pytest.approx(sum(alone), abs=1e-5)


def test_curves_are_flat_beyond_the_training_rows(free):
    low, high = X["debt"].min(), X["debt"].max()
    logits = along(free, "debt", [-1e9, low, high, 1e9])
    assert logits[0] == logits[1] != logits[2] == logits[3]


def test_curves_are_continuous(free):
    live = free._live().model
    edges = curves(live, free.columns_)[1]["edges"]
    assert len(edges) == 9
    for edge in edges[1:-1]:
        logits = along(free, "debt", edge + np.array([-1e-4, 0, 1e-4]))
        assert np.ptp(logits) < 1e-2


def test_missing_special_and_rare_cells_have_values_of_their_own(free):
    late = along(free, "late", [95.9, 96, 96.1, np.nan])
    assert late[0] == late[2]
    assert len({*late.tolist()}) == 3
    assert along(free, "income", [np.nan])[0] > along(free, "income", X["income"].dropna()).mean()
    rare = fit(min_frequency=0.5, rows=X.assign(home=np.where(X.index % 9, "own", X["home"])))
    seen, other, unseen, missing = along(rare, "home", ["own", "rent", "castle", None])
    assert seen != other == unseen == missing


def test_what_training_never_saw_counts_as_the_average(free):
    for column in ("age", "home"):
        seen = free.decision_function(X.iloc[[0] * N].assign(**{column: X[column].to_numpy()}))
        assert along(free, column, [None])[0] - along(free, column, X.loc[[0], column])[
            0
        ] == pytest.approx(seen.mean() - free.decision_function(X.iloc[[0]])[0], abs=1e-3)


def test_penalties_flatten_and_straighten_curves():
    def heights(**penalty):
        network = Scorecard(bins=8, **penalty)
        model = NeuralClassifier(network=network, **FAST).fit(X[["debt"]], Y)
        return curves(model._live().model, model.columns_)[0]["heights"]

    free, small, straight = heights(l2=0, smoothness=0), heights(l2=1), heights(smoothness=1)
    assert np.ptp(small) < 0.2 * np.ptp(free)
    assert np.ptp(straight) > np.ptp(small)
    assert np.abs(np.diff(straight, 2)).max() < 0.2 * np.abs(np.diff(free, 2)).max()


def test_few_large_values_among_many_equal_ones_get_bins():
    values = np.r_[np.zeros(900), RNG.uniform(1, 9, 100)].astype(np.float32)
    edges = edges_of(values, np.ones(1000), 8)
    assert len(edges) >= 7
    assert edges[0] == 0
    assert edges[-1] == values.max()
    even = edges_of(np.arange(8000.0), np.ones(8000), 8)
    np.testing.assert_allclose(np.diff(even), 1000, atol=2)
    heavy = edges_of(np.arange(8000.0), np.r_[np.ones(4000), np.full(4000, 1e-9)], 8)
    assert (heavy < 4000).sum() >= 8


@pytest.mark.parametrize(
    ("monotone", "told"),
    [
        ({"agee": "increasing"}, r"'agee', which is no column; allowed: columns of numbers, of"),
        ({"home": "increasing"}, "'home', which is a category"),
        ({"age": "up"}, r"monotone\['age'\]='up'; allowed: 'increasing', 'decreasing'"),
        ({"age": 1}, r"monotone\['age'\]=1; allowed: 'increasing', 'decreasing'"),
        ("age", "monotone='age'; allowed: Mapping or None"),
    ],
)
def test_a_wrong_direction_is_refused(monotone, told):
    with pytest.raises(ValueError, match=told):
        fit(monotone)


@pytest.mark.parametrize("wrong", [{"bins": 0}, {"l2": -1}, {"smoothness": float("nan")}])
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}=.*; allowed: "):
        NeuralClassifier(network=Scorecard(**wrong)).fit(X, Y)


def test_a_direction_needs_one_output():
    network = Scorecard(monotone={"age": "increasing"})
    with pytest.raises(ValueError, match="with 3 outputs; allowed: two classes"):
        NeuralClassifier(network=network).fit(X, np.arange(N) % 3)
    with pytest.raises(ValueError, match=r"with .* outputs; allowed"):
        NeuralDetector(network=network).fit(X)


def test_three_classes_numbers_and_rows_without_a_target():
    p = NeuralClassifier(network=Scorecard(), epochs=1).fit(X, np.arange(N) % 3).predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    network = Scorecard(monotone={"debt": "increasing"})
    model = NeuralRegressor(network=network, **FAST).fit(X, -X["debt"])
    assert np.ptp(along_regressor(model, [0.1, 1, 5])) == 0
    assert np.isfinite(NeuralDetector(network=Scorecard(), epochs=1).fit(X).score_samples(X)).all()


def along_regressor(model, grid):
    return model.predict(pd.concat([X.iloc[[1]]] * len(grid)).assign(debt=grid))


def test_columns_without_a_value_or_with_a_single_one():
    odd = pd.DataFrame({"empty": np.nan, "one": 3.0, "none": None, "x": X["debt"]})
    model = NeuralClassifier(network=Scorecard(), **FAST).fit(odd, Y)
    assert np.isfinite(model.decision_function(odd.assign(empty=1.0, one=np.nan))).all()


def test_a_frame_with_numbers_as_names():
    network = Scorecard(monotone={0: "decreasing"})
    rows = X[["debt"]].set_axis([0], axis=1)
    model = NeuralClassifier(network=network, **FAST).fit(rows, Y)
    assert np.ptp(model.decision_function(rows)) == 0
