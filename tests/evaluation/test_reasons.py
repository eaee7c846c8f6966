"""Attributions add up; reasons name what was scored, never what is protected; stability is told."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fintech_dl import MLP, NeuralClassifier
from fintech_dl.data.frames import write_csv
from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.attribution import attributions, best_profile, reference_profile
from fintech_dl.evaluation.reasons import reason_codes, reason_stability, reason_texts

NAMES = ["debt", "income", "late", "age", "use", "term"]
RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.normal(size=(400, 6)), columns=NAMES)
WEIGHTS = np.array([1.0, -0.8, 0.6, 0.5, 0.3, 0.2])
Y = (X @ WEIGHTS + RNG.normal(size=400) > 0).astype(int)
LINEAR = LogisticRegression().fit(X, Y)
USUAL = reference_profile(X[LINEAR.predict(X) == 0])
TEXTS = pd.DataFrame({"feature": NAMES, "text": [f"{name} was against you" for name in NAMES]})
EXACT = {"method": "exact"}


@pytest.fixture
def network():
    network = MLP(units=16, activation="gelu")
    return NeuralClassifier(network=network, epochs=10, learning_rate=0.02, random_state=0)


@pytest.fixture
def fitted(network):
    return network.fit(X, Y)


class Untouched:
    """A model that fails the test when it is asked for anything."""

    def __getattr__(self, name):
        raise AssertionError(f"{name} was asked for")


# ---- attributions ---------------------------------------------------------------------------


def test_a_linear_model_gives_its_coefficients_times_the_difference():
    found = attributions(LINEAR, X, USUAL, **EXACT)
    assert np.allclose(found, (X - USUAL.to_numpy()) * LINEAR.coef_)
    assert found.attrs["steps"] == 2**6


def test_a_network_adds_up_to_its_log_odds_by_either_method(fitted):
    some = X[:8]
    difference = fitted.decision_function(some) - fitted.decision_function(USUAL)
    for method in ("integrated_gradients", "exact"):
        found = attributions(fitted, some, USUAL, method)
        assert np.allclose(found.sum(axis=1), difference, atol=1e-4)
        assert found.attrs["method"] == method


def test_shapley_values_share_what_two_columns_do_together():
    class Product(LogisticRegression):
        def decision_function(self, X):
            return X["a"].to_numpy() * X["b"].to_numpy()

    frame = pd.DataFrame({"a": [2.0], "b": [3.0], "c": [9.0]})
    model = Product().fit(frame.to_numpy().repeat(2, 0), [0, 1])
    found = attributions(model, frame, frame * 0, **EXACT)
    assert found.to_numpy().tolist() == [[3.0, 3.0, 0.0]]
    together = attributions(
        model, frame, frame * 0, groups={"both": ["a", "b"], "c": ["c"]}, **EXACT
    )
    assert together.to_dict("list") == {"both": [6.0], "c": [0.0]}


def test_more_than_ten_columns_are_exact_only_where_they_add_up():
    wide = pd.DataFrame(RNG.normal(size=(200, 12))).rename(columns="c{}".format)
    y = wide["c0"] * wide["c1"] > 0
    linear = LogisticRegression().fit(wide, y)
    found = attributions(linear, wide, reference_profile(wide), **EXACT)
    assert np.allclose(found, (wide - wide.median()) * linear.coef_)
    trees = HistGradientBoostingClassifier(max_iter=20, min_samples_leaf=5).fit(wide, y)
    with pytest.raises(UsageError, match="12 groups are too many"):
        attributions(trees, wide, reference_profile(wide), **EXACT)


def test_steps_that_keep_the_columns_are_gone_through(network):
    pipeline = make_pipeline(StandardScaler(), network).fit(X, Y)
    assert attributions(pipeline, X[:5], USUAL).attrs["of"] == "X"
    assert list(attributions(pipeline, X[:5], USUAL)) == NAMES
    turned = make_pipeline(PCA(2), network).fit(X, Y)
    found = attributions(turned, X[:5], USUAL)
    assert found.attrs["of"] == "network"
    assert list(found) == ["pca0", "pca1"]
    whole = attributions(turned, X[:5], USUAL, **EXACT)
    assert whole.attrs["of"] == "X"
    assert np.allclose(whole.sum(axis=1), found.sum(axis=1), atol=2e-4)


def test_a_calibrated_network_is_attributed_before_its_calibration(fitted):
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted)).fit(X, Y)
    assert attributions(calibrated, X[:5], USUAL).equals(attributions(fitted, X[:5], USUAL))


def test_names_that_the_network_does_not_know_are_no_warning(network):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        pipeline = make_pipeline(StandardScaler(), network).fit(X, Y)
        attributions(pipeline, X[:5], USUAL)


def test_what_cannot_be_attributed_is_refused(fitted):
    with pytest.raises(UsageError, match='method="exact"'):
        attributions(LINEAR, X, USUAL)
    with pytest.raises(UsageError, match="1 row with the columns of X"):
        attributions(fitted, X, X[:2])
    with pytest.raises(UsageError, match="in no group"):
        attributions(fitted, X, USUAL, groups={"money": ["debt", "income"]})
    with pytest.raises(UsageError, match="a DataFrame"):
        attributions(fitted, X.to_numpy(), USUAL)
    with pytest.raises(UsageError, match="allowed"):
        attributions(fitted, X, USUAL, "shap")
    three = LogisticRegression().fit(X, np.arange(len(X)) % 3)
    with pytest.raises(UsageError, match="one per row"):
        attributions(three, X, USUAL, **EXACT)


# ---- references -----------------------------------------------------------------------------


def test_the_usual_row_is_made_of_medians_and_commonest_categories():
    frame = pd.DataFrame(
        {
            "late": [-9, 1, 2, 3, -9, -9],
            "home": ["rent", "own", "own", "rent", None, None],
            "branch": [7, 7, 8, 9, 9, 9],
            "paid": [True, True, True, False, False, True],
            "none": [np.nan] * 6,
            "kind": pd.Categorical(["b", "b", "a", "b", "a", "b"]),
        }
    )
    usual = reference_profile(frame, categorical=["branch"], special_codes={"late": [-9]})
    cells = usual.iloc[0].tolist()
    assert [*cells[:4], cells[5]] == [2, "own", 9, True, "b"]
    assert np.isnan(cells[4])
    assert usual["kind"].dtype == frame["kind"].dtype


def test_the_best_points_are_the_least_risk_in_each_column():
    best = best_profile(LINEAR, X)
    for name, weight in zip(NAMES, LINEAR.coef_[0], strict=True):
        assert best[name].item() == (X[name].min() if weight > 0 else X[name].max())
    assert (attributions(LINEAR, X, best, **EXACT) > -1e-9).all(axis=None)


# ---- reasons --------------------------------------------------------------------------------


def test_reasons_are_the_largest_pushes_towards_decline():
    found = reason_codes(LINEAR, X, USUAL, TEXTS, threshold=0.5, **EXACT)
    declined = X.index[LINEAR.predict_proba(X)[:, 1] >= 0.5]
    assert found["row"].unique().tolist() == declined.tolist()
    assert found.groupby("row").size().max() == 4
    pushes = (X - USUAL.to_numpy()) * LINEAR.coef_
    for row, part in found.groupby("row"):
        expected = pushes.loc[row].round(4)
        expected = expected[expected > 0].sort_values(ascending=False, kind="stable")[:4]
        assert part["feature"].tolist() == expected.index.tolist()
        assert part["rank"].tolist() == list(range(1, len(part) + 1))
        assert np.allclose(part["contribution"], pushes.loc[row, part["feature"]])
    first = found.iloc[0]
    assert first["text"] == f"{first['feature']} was against you"
    assert float(first["value"]) == pytest.approx(X.loc[first["row"], first["feature"]], rel=1e-4)
    assert float(first["reference"]) == pytest.approx(USUAL[first["feature"]].item(), rel=1e-4)


@pytest.mark.parametrize("seed", range(12))
def test_nothing_protected_excluded_or_unscored_is_ever_named(seed):
    rng = np.random.default_rng(seed)
    rows = X.sample(40, random_state=seed)
    hidden = rng.permutation(NAMES)[: rng.integers(0, 6)].tolist()
    cut = rng.integers(0, len(hidden) + 1)
    reference = rows.sample(1, random_state=seed).set_axis(["other"])
    given = {"excluded": hidden[:cut], "protected": [*hidden[cut:], "sex"]}
    texts = TEXTS[~TEXTS["feature"].isin(hidden)]
    found = reason_codes(
        LINEAR, rows, reference, texts, top=int(rng.integers(1, 5)), **given, **EXACT
    )
    named = found[found["rank"] > 0]
    assert set(named["feature"]) <= set(NAMES) - set(hidden)
    assert named.groupby("row").size().max() <= 4
    assert (named["contribution"] > 0).all()
    assert set(found["row"]) == set(rows.index)  # whoever has no reason is told too
    assert found.loc[found["rank"] == 0, "text"].eq("").all()


def test_a_withheld_reason_is_counted():
    asked = {"declined": np.arange(len(X)) < 50, **EXACT}
    assert reason_codes(LINEAR, X, USUAL, TEXTS, **asked).attrs["withheld"] == 0
    without = reason_codes(LINEAR, X, USUAL, TEXTS, protected=["debt"], **asked)
    pushed = ((X["debt"] - USUAL["debt"].item())[:50] > 0).sum()
    assert 0 < without.attrs["withheld"] <= pushed


def test_equal_pushes_stand_in_the_order_of_the_columns():
    twins = X[["debt"]].assign(again=X["debt"])[["again", "debt"]]
    model = LogisticRegression().fit(twins, Y)
    texts = pd.DataFrame({"feature": ["debt", "again"], "text": ["one", "two"]})
    found = reason_codes(model, twins, twins.min().to_frame().T, texts, **EXACT)
    named = found[found["rank"] > 0]
    assert named.loc[named["rank"] == 1, "feature"].eq("again").all()


def test_a_text_is_told_once_and_missing_values_have_their_own():
    frame = pd.DataFrame(
        {"late": RNG.choice([-9.0, 0.0, 3.0], 300), "home": RNG.choice(["own", "rent"], 300)}
    )
    frame["use"] = RNG.random(300)
    frame.loc[::5, "use"] = np.nan
    frame.loc[1::5, "home"] = "=1+1"
    risk = (frame["late"] != 0) | frame["use"].isna() | (frame["home"] != "own")
    model = NeuralClassifier(
        network=MLP(units=8), special_codes={"late": [-9]}, epochs=20, random_state=0
    )
    model.set_params(learning_rate=0.02).fit(frame, risk.astype(int))
    texts = pd.DataFrame(
        [
            ("late", "", "Payments were late"),
            ("late", "-9", "No credit file"),
            ("use", "", "Credit lines are drawn"),
            ("use", "missing", "No credit file"),
            ("home", "", "Home"),
        ],
        columns=["feature", "condition", "text"],
    )
    one = pd.DataFrame({"late": [0.0], "home": ["own"], "use": [0.5]})
    found = reason_codes(model, frame, one, texts)
    assert not found.duplicated(["row", "text"]).any()
    late = found[found["feature"] == "late"]
    assert set(late.loc[late["value"] == "-9", "text"]) == {"No credit file"}
    assert set(late.loc[late["value"] == "3", "text"]) == {"Payments were late"}
    assert set(found.loc[found["value"] == "missing", "text"]) == {"No credit file"}
    both = frame.index[(frame["late"] == -9) & frame["use"].isna() & (frame["home"] == "own")]
    assert (found[found["row"].isin(both)].groupby("row").size() == 1).all()


def test_a_feature_without_a_text_is_an_error_before_anything_is_scored():
    with pytest.raises(UsageError, match=r"no text .* for \['debt'\]"):
        reason_codes(Untouched(), X, USUAL, TEXTS[1:], threshold=0.5, **EXACT)


def test_steps_of_a_window_are_one_feature_and_groups_have_texts_of_their_own():
    windows = X[["debt", "use"]].set_axis(["debt@-1", "debt@-0"], axis=1)
    model = LogisticRegression().fit(windows, Y)
    texts = TEXTS[TEXTS["feature"] == "debt"]
    found = reason_codes(model, windows, windows.median().to_frame().T, texts, **EXACT)
    assert set(found["feature"]) == {"debt", ""}
    assert found["value"].iloc[0].startswith("debt@-1=")
    groups = {"money": ["debt", "income", "use"], "person": ["age"], "past": ["late", "term"]}
    words = pd.DataFrame({"feature": ["money", "past"], "text": ["a", "b"]})
    given = {"groups": groups, "protected": ["age"], **EXACT}
    assert set(reason_codes(LINEAR, X, USUAL, words, **given)["feature"]) <= {"money", "past", ""}
    with pytest.raises(UsageError, match="group of its own"):
        reason_codes(LINEAR, X, USUAL, words, **{**given, "protected": ["late"]})


def test_what_earlier_steps_made_of_a_protected_column_is_not_guessed(network):
    turned = make_pipeline(PCA(2), network).fit(X, Y)
    texts = pd.DataFrame({"feature": ["pca0", "pca1"], "text": ["a", "b"]})
    with pytest.raises(UsageError, match="cannot be followed"):
        reason_codes(turned, X, USUAL, texts, protected=["age"])
    found = reason_codes(turned, X[:5], USUAL, texts)
    assert set(found["feature"]) <= {"pca0", "pca1", ""}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"top": 5}, "allowed: 1 to 4"),
        ({"threshold": 0.5, "declined": [True] * 400}, "one of them"),
        ({"excluded": ["debts"]}, "neither features nor columns"),
        ({"excluded": "debt"}, "a sequence of names"),
        ({"declined": [1] * 400}, "True or False"),
        ({"X": pd.concat([X[:2], X[:2]])}, "index of their own"),
    ],
)
def test_what_cannot_be_meant_is_refused(given, text):
    with pytest.raises((UsageError, DataError), match=text):
        reason_codes(
            **{"model": LINEAR, "X": X, "reference": USUAL, "texts": TEXTS, **EXACT, **given}
        )


def test_nobody_declined_is_an_empty_table():
    found = reason_codes(LINEAR, X, USUAL, TEXTS, threshold=1.1, **EXACT)
    assert not len(found)
    assert list(found)[:4] == ["row", "rank", "feature", "text"]


def test_reasons_are_written_without_formulas(tmp_path):
    frame = pd.DataFrame({"home": ["own", "=1+1"] * 100})
    model = NeuralClassifier(network=MLP(units=4), epochs=20, learning_rate=0.05, random_state=0)
    model.fit(frame, [0, 1] * 100)
    texts = pd.DataFrame({"feature": ["home"], "text": ["+home"]})
    found = reason_codes(model, frame, frame[:1], texts, declined=np.arange(200) == 1)
    assert found["value"].tolist() == ["=1+1"]
    write_csv(found, tmp_path / "reasons.csv")
    cells = (tmp_path / "reasons.csv").read_text().splitlines()[1].split(",")
    assert cells[3] == "'+home"
    assert cells[5] == "'=1+1"


def test_texts_come_from_files_too(tmp_path):
    lines = "feature,condition,text\ndebt,,Debts\ndebt,missing,No debts known\n"
    (tmp_path / "a.csv").write_text(lines)
    toml = '[[reason]]\nfeature="debt"\ntext="Debts"\n[[reason]]\nfeature="debt"\n'
    (tmp_path / "a.toml").write_text(toml + 'condition="missing"\ntext="No debts known"\n')
    assert reason_texts(tmp_path / "a.csv").equals(reason_texts(tmp_path / "a.toml"))
    assert reason_texts(tmp_path / "a.csv")["condition"].tolist() == ["", "missing"]
    (tmp_path / "b.toml").write_text("reason = 3 =")
    for name in ("b.toml", "none.csv", "a.xlsx"):
        with pytest.raises(UsageError, match=name):
            reason_texts(tmp_path / name)


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ({"feature": ["a"]}, "lacking columns: \\['text'\\]"),
        ({"feature": ["a"], "text": [" "]}, "line 1"),
        ({"feature": ["a", "a"], "text": ["b", "c"]}, "line 2"),
        ({"feature": ["a"], "text": ["b"], "reason": ["c"]}, "unknown: \\['reason'\\]"),
    ],
)
def test_a_table_of_texts_with_a_fault_is_refused(lines, text):
    with pytest.raises(UsageError, match=text):
        reason_texts(pd.DataFrame(lines))


# ---- stability ------------------------------------------------------------------------------


def test_the_same_reasons_agree_wholly_and_others_less():
    declined = LINEAR.predict(X) == 1
    asked = {"texts": TEXTS, "declined": declined, **EXACT}
    other = LogisticRegression().fit(X[:60], Y[:60])
    reasons = {
        "whole": reason_codes(LINEAR, X, USUAL, **asked),
        "again": reason_codes(LINEAR, X, USUAL, **asked),
        "few rows": reason_codes(other, X, USUAL, **asked),
    }
    found = reason_stability(reasons).set_index(["first", "second"])
    assert found["rows"].iloc[:3].eq(declined.sum()).all()
    measures = ["jaccard", "rank_biased", "same_first"]
    assert found.loc[("whole", "again"), measures].eq(1).all()
    assert found.loc[("whole", "few rows"), measures].between(0.05, 0.999).all()
    assert found.loc[("all", "all"), "jaccard"] == pytest.approx(found["jaccard"].iloc[:3].mean())


def test_rank_biased_overlap_weighs_the_first_reason_most():
    def listed(*names):
        return pd.DataFrame({"row": 0, "rank": range(1, len(names) + 1), "feature": names})

    first = {
        "a": listed("x", "y", "z"),
        "late": listed("x", "y", "q"),
        "early": listed("q", "y", "z"),
    }
    found = reason_stability(first).set_index(["first", "second"])
    assert found.loc[("a", "late"), "jaccard"] == found.loc[("a", "early"), "jaccard"] == 0.5
    by_hand = (1 + 0.9 * 1 + 0.81 * 2 / 3) / (1 + 0.9 + 0.81)
    assert found.loc[("a", "late"), "rank_biased"] == pytest.approx(by_hand)
    assert found.loc[("a", "early"), "rank_biased"] < by_hand
    nothing = pd.DataFrame({"row": [0], "rank": [0], "feature": [""]})
    lost = reason_stability({"a": first["a"], "b": nothing, "c": nothing})
    assert lost["jaccard"].iloc[:3].tolist() == [0, 0, 1]


def test_what_cannot_be_compared_is_refused():
    one = pd.DataFrame({"row": [0], "rank": [1], "feature": ["x"]})
    with pytest.raises(UsageError, match="two or more"):
        reason_stability({"a": one})
    with pytest.raises(UsageError, match="no row in common"):
        reason_stability({"a": one, "b": one.assign(row=1)})
