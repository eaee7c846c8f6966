"""A scorecard as a table of points: it says what the network says, and needs nothing else."""

import copy
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from fintech_dl import MLP, NeuralClassifier, NeuralRegressor, Scorecard, points_table, score_points
from fintech_dl.errors import DataError, UsageError
from fintech_dl.estimators.point_scores import compare_points

N = 1200
FACTOR = 20 / np.log(2)


def frame():
    rng = np.random.default_rng(1)
    x = pd.DataFrame(
        {
            "age": rng.integers(18, 80, N),
            "debt": np.exp(3 * rng.normal(size=N)),
            "late": rng.choice([0, 0, 0, 0, 1, 2, 5, 96, 98], N),
            "home": rng.choice(["own", "01", "NA", "-1", 'say "x"', "1e3"], N),
            "branch": rng.integers(1, 4, N),
            "vip": rng.random(N) < 0.3,
        }
    )
    x.loc[::7, "debt"] = np.nan
    x.loc[::11, "home"] = None
    return x


X = frame()
Z = (50 - X["age"]) / 20 + np.log(X["debt"]).fillna(2) / 2 + X["late"].clip(upper=3)
Z += X["home"].map({"own": -1, "01": 1, "NA": 2}).fillna(0)
Y = (Z + np.random.default_rng(0).normal(size=N) > 1.5).astype(int).to_numpy()
# cells that training never saw, or that lie beyond it
NEW = X.iloc[:60].copy().astype({"home": object, "age": float, "vip": object})
NEW.loc[:5, "age"], NEW.loc[6:9, "age"], NEW.loc[10:12, "age"] = np.nan, 17, 300
NEW.loc[13:20, "home"], NEW.loc[21:25, "branch"], NEW.loc[26:30, "vip"] = "castle", 9, None
NEW.loc[31:40, "debt"], NEW.loc[41:45, "debt"] = 1e12, -1e12


def fit(**parameters):
    network = parameters.pop("network", Scorecard(bins=6, monotone={"age": "decreasing"}))
    given = {"epochs": 6, "learning_rate": 0.05, "batch_size": 128, "random_state": 0}
    given |= {"special_codes": {"late": [96, 98]}, "categorical": ["branch", "vip"]}
    return NeuralClassifier(network=network, **{**given, **parameters})


@pytest.fixture(scope="module")
def single():
    return fit().fit(X, Y)


@pytest.fixture(scope="module")
def folds():
    return fit(n_members=3, average="logit", cv=3).fit(X, Y)


@pytest.fixture(params=["single", "folds"])
def model(request):
    return request.getfixturevalue(request.param)


def network_score(model, rows):
    return 600 - FACTOR * (model.decision_function(rows).astype(float) + np.log(50))


@pytest.mark.parametrize("rows", [X, NEW], ids=["training", "unseen"])
def test_the_table_scores_as_the_network_does(model, rows):
    score = score_points(points_table(model), rows)
    np.testing.assert_allclose(score, network_score(model, rows), atol=2e-3, rtol=0)
    assert score.index.equals(rows.index)


def test_the_table_says_what_it_means(model):
    table = points_table(model).set_index("feature")
    assert table.loc["(base)", "rule"] == "base"
    assert table.index.unique().tolist() == ["(base)", *X.columns]
    late = table.loc["late"]
    assert late.loc[late["rule"] == "code", "value"].tolist() == ["96", "98"]
    assert late.loc[late["rule"] == "range", "to"].tolist() == [0, 1, 2, 5, np.inf]
    home = table.loc["home"]
    assert home["value"].tolist()[:3] == ['"-1"', '"01"', '"1e3"']
    assert home["rule"].tolist() == ["category"] * 6 + ["other"]
    age = table.loc["age"]
    assert age["rule"].iloc[-1] == "missing"
    ranges = age[age["rule"] == "range"]
    assert (ranges["from"].iloc[1:].to_numpy() == ranges["to"].iloc[:-1].to_numpy()).all()
    steps = ranges["points_to"] - ranges["points_from"]
    assert (steps >= 0).all()  # risk decreasing: points increasing
    assert steps.sum() > 5


def test_points_of_a_column_are_0_for_the_average_training_row(single):
    table = points_table(single)
    only = table[table["feature"].isin(["(base)", "age"])]
    base = table["points_from"].iloc[0]
    assert score_points(only, X).mean() == pytest.approx(base, abs=1e-4)


def test_pdo_points_double_the_odds(model):
    rows = X.iloc[:40]
    p = model.predict_proba(rows)[:, 1]
    odds = (1 - p) / p
    for pdo, base_score, base_odds in [(20, 600, 50), (50, 660, 15), (1, 0, 1)]:
        given = {"pdo": pdo, "base_score": base_score, "base_odds": base_odds}
        score = score_points(points_table(model, **given), rows)
        expected = base_odds * 2 ** ((score - base_score) / pdo)
        np.testing.assert_allclose(odds, expected, rtol=1e-3)


def test_a_csv_file_of_the_table_scores_the_same(model, tmp_path):
    for round_to in (None, 1):
        table = points_table(model, round_to=round_to)
        table.to_csv(tmp_path / "points.csv", index=False)
        read = pd.read_csv(tmp_path / "points.csv")
        for rows in (X, NEW):
            a, b = score_points(table, rows), score_points(read, rows)
            np.testing.assert_allclose(a, b, atol=1e-9, rtol=0)


def test_a_csv_file_where_all_values_are_numbers_or_flags(tmp_path):
    for name in ("branch", "vip"):
        model = fit(network=Scorecard(), special_codes=None, categorical=[name], epochs=2)
        model.fit(X[[name]], Y)
        points_table(model).to_csv(tmp_path / "points.csv", index=False)
        score = score_points(pd.read_csv(tmp_path / "points.csv"), X)
        np.testing.assert_allclose(score, network_score(model, X[[name]]), atol=1e-3, rtol=0)
        assert score.nunique() == X[name].nunique()


@pytest.mark.parametrize("round_to", [1, 5])
def test_rounded_points_are_whole_and_close(model, round_to):
    exact, table = points_table(model), points_table(model, round_to=round_to)
    assert (table["points_from"] % round_to == 0).all()
    assert (table["points_from"] == table["points_to"]).all()
    for feature in X.columns:
        a, b = (t[t["feature"].isin(["(base)", feature])] for t in (exact, table))
        gap = score_points(a, X) - score_points(b, X)
        base = exact["points_from"].iloc[0] - table["points_from"].iloc[0]
        assert (gap - base).abs().max() <= round_to / 2 + 1e-3
    assert ((score_points(table, X) % round_to) == 0).all()
    assert (score_points(table, X) - score_points(exact, X)).abs().mean() < round_to


def test_columns_of_whole_numbers_are_rounded_in_whole_numbers(model):
    table = points_table(model, round_to=1)
    numbers = table[table["rule"].isin(["range", "whole"])]
    rules = numbers.groupby("feature")["rule"].unique().map(list).to_dict()
    assert rules == {"age": ["whole"], "debt": ["range"], "late": ["whole"]}
    exact = points_table(model)
    for feature in ("age", "late"):
        own = numbers[numbers["feature"] == feature]
        ends = own[["from", "to"]].to_numpy()
        assert (ends[1:, 0] == ends[:-1, 1] + 1).all()  # no whole number is lost, none told twice
        assert (ends[:, 0] <= ends[:, 1]).all()
        assert np.isneginf(ends[0, 0])
        assert np.isposinf(ends[-1, 1])
        rows = pd.DataFrame({feature: np.arange(-3, 95)})
        a, b = (t[t["feature"].isin(["(base)", feature])] for t in (exact, table))
        base = exact["points_from"].iloc[0] - table["points_from"].iloc[0]
        assert (score_points(a, rows) - score_points(b, rows) - base).abs().max() <= 0.5 + 1e-3
        between = score_points(b, rows + 0.4)
        assert between.equals(score_points(b, rows))


def test_one_fraction_among_the_training_values_makes_ranges():
    rows = X[["age"]].astype(float)
    rows.iloc[-1] = 40.5
    model = fit(network=Scorecard(bins=3), special_codes=None, categorical=None, epochs=3)
    table = points_table(model.fit(rows, Y), round_to=1)
    assert set(table["rule"]) == {"base", "range", "missing"}
    whole = points_table(model.fit(rows.iloc[:-1], Y[:-1]), round_to=1)
    assert set(whole["rule"]) == {"base", "whole", "missing"}


def test_flips_at_a_cutoff_are_counted(model):
    cutoff = float(np.median(network_score(model, X)))
    exact = compare_points(model, points_table(model), X, cutoff + 1e-2)
    assert exact["rows"] == N
    assert exact["flips"] == 0
    assert exact["largest_gap"] < 2e-3
    coarse = points_table(model, round_to=20)
    found = compare_points(model, coarse, X, cutoff)
    by_hand = (score_points(coarse, X) >= cutoff) != (network_score(model, X) >= cutoff)
    assert found["flips"] == by_hand.sum() > 0
    raised = coarse.assign(points_from=coarse["points_from"] + 1000)
    all_in = compare_points(model, raised, X, cutoff)
    assert all_in["approved_by_table"] == all_in["flips"] > N / 4


def test_scoring_by_a_table_needs_no_keras(single, tmp_path):
    points_table(single).to_csv(tmp_path / "points.csv", index=False)
    X.to_csv(tmp_path / "x.csv")
    code = (
        "import sys, pandas as pd; from fintech_dl import score_points\n"
        "table, rows = (pd.read_csv(f'{sys.argv[1]}/{n}.csv') for n in ('points', 'x'))\n"
        "print(score_points(table, rows).iloc[0])\n"
        "assert not {'keras', 'tensorflow', 'jax'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(score_points(points_table(single), X).iloc[0])


@pytest.mark.parametrize("average", ["probability", "rank"])
def test_members_averaged_otherwise_are_no_sum(folds, single, average):
    told = rf"average='{average}' of 3 members .* average=\"logit\""
    with pytest.raises(UsageError, match=told):
        points_table(copy.deepcopy(folds).set_params(average=average))
    alone = copy.deepcopy(single).set_params(average=average)
    assert points_table(alone).equals(points_table(single))


def test_what_is_no_scorecard_is_refused():
    three = fit(network=Scorecard(), epochs=1).fit(X, np.arange(N) % 3)
    for other, told in [
        (fit(network=MLP(units=2)), "NeuralClassifier is no scorecard"),
        (NeuralRegressor(network=Scorecard()), "NeuralRegressor is no scorecard"),
        (make_pipeline(fit()), "Pipeline is no scorecard: .* without steps before it"),
        (three, "has 3 classes"),
    ]:
        with pytest.raises(UsageError, match=told):
            points_table(other)
    with pytest.raises(NotFittedError):
        points_table(fit())


@pytest.mark.parametrize(
    "wrong", [{"pdo": 0}, {"base_odds": -1}, {"base_score": np.nan}, {"round_to": 0}]
)
def test_wrong_parameters_are_refused(model, wrong):
    with pytest.raises(UsageError, match=f"{next(iter(wrong))}=.*; allowed: "):
        points_table(model, **wrong)


def test_tables_and_frames_that_do_not_fit_are_refused(model):
    table = points_table(model)
    for bad, rows, told in [
        (table.drop(columns="rule"), X, r"no column \['rule'\]"),
        (table.assign(rule="rang"), X, "rule 'rang'; allowed: base, range"),
        (table.iloc[1:], X, "0 lines of rule 'base'"),
        (table.assign(feature=table["feature"].where(table.index != 3)), X, "without a feature"),
        (table, X.drop(columns=["age"]), r"lacks columns of the table of points: \['age'\]"),
    ]:
        with pytest.raises(DataError, match=told):
            score_points(bad, rows)
    with pytest.raises(ValueError, match="'debt', row 0: inf"):
        score_points(table, X.assign(debt=np.inf))
