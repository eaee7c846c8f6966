"""Search: what it sees, what it finds, what it says of trials that fail."""

import copy
import json
import sys
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from fintech_dl import load, run_pipeline
from fintech_dl.cards import Decision, PipelineCard, Range, Search, Split
from fintech_dl.errors import CardError, NotInstalledError, UsageError
from fintech_dl.evaluation.earlier import earlier_folds
from fintech_dl.evaluation.outcomes import Outcome, evaluate
from fintech_dl.evaluation.splits import folds
from fintech_dl.search import check_search, search_parameters, with_parameters, write_trials
from fintech_dl.table import Table

WEEKS = Split(kind="prequential", train="7d", gap="3d", test="7d", folds=2)
MONEY = Decision(rule="cost", false_alarm=1.0, amount="amount")
N = 1500
METHODS = ["random", "grid", "halving", "optuna"]


class Spy(ClassifierMixin, BaseEstimator):
    """Ranks by the signal, better the nearer ``dial`` is to 7; remembers what it is shown."""

    shown: ClassVar = []

    def __init__(self, dial=0, text="", inner=None):
        self.dial, self.text, self.inner = dial, text, inner

    def fit(self, X, y, sample_weight=None):
        if self.dial == 13:
            raise ValueError("dial: got 13, which brings bad luck")
        self.classes_ = np.unique(y)
        Spy.shown.append(("fit", X["row"].to_numpy(), sample_weight))
        return self

    def predict_proba(self, X):
        Spy.shown.append(("predict", X["row"].to_numpy(), None))
        noise = np.random.default_rng(0).permutation(N)[X["row"].to_numpy()] / N
        p = (X["signal"].to_numpy() + abs(self.dial - 7) * noise) / (1 + abs(self.dial - 7))
        return np.column_stack([1 - p, p])


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    monkeypatch.setattr(Spy, "shown", [])
    monkeypatch.setattr("sklearn.dummy.Spy", Spy, raising=False)


@pytest.fixture(scope="module")
def table():
    """Return ten weeks of payments, each label known three days later."""
    random = np.random.default_rng(1)
    when = pd.Timestamp("2024-01-01") + pd.to_timedelta(
        np.sort(random.integers(0, 70 * 86_400, N)), unit="s"
    )
    y = (random.random(N) < 0.2).astype(int)
    signal = np.where(y == 1, 0.6, 0.4) + random.normal(0, 0.1, N)
    return Table(
        X=pd.DataFrame({"row": np.arange(N), "signal": signal.clip(0, 1)}),
        y=pd.Series(y),
        when=pd.Series(when),
        until=pd.Series(when + pd.Timedelta("3D")),
        who=pd.Series(random.integers(0, 400, N)),
        weight=pd.Series(random.integers(1, 4, N).astype(float)),
        aside=pd.DataFrame({"amount": random.gamma(2, 20, N)}),
    )


def card(**search):
    given = {"space": {"model__dial": [0, 2, 4, 7, 9]}, **search}
    return PipelineCard(
        title="t",
        question="q?",
        dataset="d",
        table={"use": "x"},
        split=given.pop("split", WEEKS),
        step=[{"name": "model", "use": "sklearn.dummy.Spy"}],
        metrics=["average_precision"],
        decision=given.pop("decision", None),
        search=Search(**given),
        name="mine",
    )


def searched(table, page, model=None, seed=0, fixed=(), tell=None):
    model = Pipeline([("model", Spy())]) if model is None else model
    wanted = check_search(page, model, dict.fromkeys(fixed))
    parts = folds(table, page.split)
    extra = {"tell": tell} if tell else {}
    return search_parameters(page, wanted, model, table, parts, seed=seed, **extra)


def settled(record):
    """Return a search without its durations."""
    record = copy.deepcopy(record)
    for trial in [record, *record["log"], record["default"], record["best"]]:
        trial.pop("seconds", None)
    return record


# ---- what it sees ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("known", [False, True])
def test_no_test_row_and_no_label_unknown_in_time_is_touched(table, method, known):
    page = card(method=method, n_iter=4, split=Split(**{**vars(WEEKS), "remove_known": known}))
    tests = folds(table, page.split)
    first = min(part.test_from for part in tests)
    assert len(tests) == 2
    found = searched(table, page)
    tested = np.unique(np.concatenate([part.test for part in tests]))
    assert len(Spy.shown) == 2 * 3 * (1 + found["tried"])
    for fit, predict in zip(Spy.shown[::2], Spy.shown[1::2], strict=True):
        assert (fit[0], predict[0]) == ("fit", "predict")
        for _, rows, _ in (fit, predict):
            assert not np.intersect1d(rows, tested).size
            assert table.until.iloc[rows].max() <= first
        assert table.until.iloc[fit[1]].max() <= table.when.iloc[predict[1]].min()
    rows = np.unique(np.concatenate([rows for _, rows, _ in Spy.shown]))
    assert found["rows"] == len(rows)
    assert max(fold["test_to"] for fold in found["folds"]) <= str(first)


def test_the_latest_fold_alone_would_show_test_rows_of_an_earlier_one(table):
    tests = folds(table, WEEKS)
    own = np.concatenate([rows for f in earlier_folds(table, WEEKS, tests, 3) for rows in
                          (f.train, f.test)])  # fmt: skip
    alone = np.concatenate([f.test for f in earlier_folds(table, WEEKS, tests[:1], 3)])
    assert np.intersect1d(alone, tests[1].test).size
    assert not np.intersect1d(own, tests[1].test).size


def test_weights_reach_fit_and_metric(table):
    page = card(n_iter=1)
    found = searched(table, page)
    for fit, predict in zip(Spy.shown[::2], Spy.shown[1::2], strict=True):
        assert fit[2].tolist() == table.weight.iloc[fit[1]].tolist()
        assert set(predict[1]) <= set(range(N))
    inner = earlier_folds(table, WEEKS, folds(table, WEEKS), 3)
    for fold, value in zip(inner, found["default"]["folds"], strict=True):
        rows = table.rows(fold.test)
        score = Spy().predict_proba(rows.X)[:, 1]
        wanted = evaluate(Outcome(y=rows.y, score=score, weight=rows.weight), ["average_precision"])
        assert value == wanted["average_precision"]
        plain = evaluate(Outcome(y=rows.y, score=score), ["average_precision"])
        assert value != plain["average_precision"]


def test_metrics_of_persons_days_and_money_get_what_they_need(table):
    table = Table(**{**vars(table), "weight": None})
    for name in ("card_precision_at_5", "precision_at_5", "savings", "log_loss"):
        found = searched(table, card(metric=name, decision=MONEY, n_iter=5, method="grid"))
        assert found["metric"] == name
        assert not [trial["reason"] for trial in found["log"] if trial["reason"]]
    good = [trial["mean"] for trial in found["log"]]
    assert found["best"]["mean"] == min(good)  # log loss: less is better


# ---- what it finds ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_the_planted_value_is_found(table, method):
    n_iter = {"optuna": 15}.get(method, 5)
    found = searched(table, card(method=method, n_iter=n_iter))
    assert found["best"]["params"] == {"model__dial": 7}
    assert found["improved"]
    assert found["log"][0] == found["default"]
    assert found["default"]["params"] == {"model__dial": 0}
    assert found["tried"] == found["planned"] == len(found["log"]) - 1
    assert found["best"]["mean"] == np.mean(found["best"]["folds"]) > found["default"]["mean"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    model = with_parameters(Pipeline([("model", Spy())]), found["best"]["params"], 0)
    assert model.steps[-1][1].dial == 7


def test_what_is_not_beaten_stays(table):
    best = Pipeline([("model", Spy(dial=7))])
    found = searched(table, card(space={"model__dial": [0, 9, 7]}), best)
    assert not found["improved"]
    assert found["best"] == found["default"]
    assert best.steps[-1][1].dial == 7


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_tries_the_same(table, method):
    space = {"model__dial": Range(low=0.0, high=20.0), "model__text": ["a", "b", "c"]}
    if method == "grid":
        space["model__dial"] = Range(low=0.0, high=20.0, step=5.0)
    one, two, other = (
        searched(table, card(method=method, n_iter=6, space=space), seed=seed) for seed in (3, 3, 4)
    )
    assert settled(one) == settled(two)
    tried = [[trial["params"] for trial in found["log"]] for found in (one, other)]
    assert (tried[0] == tried[1]) == (method == "grid")


@pytest.mark.parametrize("method", ["random", "optuna"])
@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({"low": 1, "high": 4}, {1, 2, 3, 4}),
        ({"low": 1, "high": 8, "step": 3}, {1, 4, 7}),
        ({"low": 1, "high": 6, "log": True}, {1, 2, 3, 4, 5, 6}),
        ({"low": 0.5, "high": 1.6, "step": 0.5}, {0.5, 1.0, 1.5}),
        ({"low": 1e-3, "high": 10.0, "log": True}, None),
        ({"low": 2, "high": 3.5}, None),
    ],
)
def test_ranges_hold_their_ends_and_their_type(table, method, given, allowed):
    page = card(method=method, n_iter=30, space={"model__dial": Range(**given)}, folds=1)
    values = [trial["params"]["model__dial"] for trial in searched(table, page)["log"][1:]]
    if allowed is None:
        assert all(type(v) is float and given["low"] <= v <= given["high"] for v in values)
        assert len(set(values)) == 30
        low = sum(v < 0.1 for v in values)
        assert low > 8 if given.get("log") and method == "random" else low < 30
    else:
        assert set(values) == allowed
        assert {type(v) for v in values} == {type(v) for v in allowed}


def test_halving_spends_all_rows_on_the_best_alone(table):
    dials = [20, 30, 40, 7, 8, 50, 60, 70, 80]
    found = searched(table, card(method="halving", n_iter=9, space={"model__dial": dials}))
    shares = [trial["share"] for trial in found["log"][1:]]
    assert shares == [1 / 9] * 9 + [1 / 3] * 3 + [1.0]
    sizes = [len(rows) for what, rows, _ in Spy.shown if what == "fit"]
    assert np.mean(sizes[3:30]) < 0.2 * np.mean(sizes[-3:])
    assert sorted(trial["params"]["model__dial"] for trial in found["log"][10:13]) == [7, 8, 20]
    assert found["best"] == found["log"][-1]  # as good on few rows, which does not count
    assert found["best"]["params"] == {"model__dial": 7}


def test_a_table_of_use_is_built_anew_for_each_trial(table):
    dummy = {"use": "sklearn.dummy.DummyClassifier", "strategy": "prior"}
    space = {"model__inner": [dummy, {"use": "sklearn.dummy.DummyRegressor"}], "model__dial": [7]}
    found = searched(table, card(space=space, method="grid"))
    assert found["best"]["params"] == {"model__inner": dummy, "model__dial": 7}
    model = with_parameters(Pipeline([("model", Spy())]), found["best"]["params"], 5)
    assert model.steps[-1][1].inner.random_state == 5


def test_two_processes_find_what_one_finds(table):
    model = Pipeline([("model", LogisticRegression())])
    space = {"model__C": [1e-6, 1.0], "model__tol": [1e-4, -1.0]}
    one, two = (searched(table, card(method="grid", space=space, n_jobs=n), model) for n in (1, 2))
    assert settled(one) == settled(two)
    assert sum(bool(trial["reason"]) for trial in two["log"]) == 2


def test_rows_without_time_are_searched_too(table):
    plain = Table(X=table.X, y=table.y)
    found = searched(plain, card(split=Split(kind="holdout"), method="grid"))
    assert found["best"]["params"] == {"model__dial": 7}
    assert found["rows"] == len(folds(plain, Split(kind="holdout"))[0].train)


# ---- what goes wrong -------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_value_that_breaks_is_logged_and_the_search_goes_on(table, method):
    space = {"model__dial": [13, 3, 7]}
    found = searched(table, card(method=method, space=space, n_iter=12))
    broken = [t for t in found["log"] if t["params"] == {"model__dial": 13}]
    assert broken
    for trial in broken:
        assert (trial["mean"], trial["folds"]) == (None, [])
        assert trial["reason"] == "ValueError: dial: got 13, which brings bad luck"
    assert found["best"]["params"] == {"model__dial": 7}


def test_no_value_that_was_tried_is_a_formula_to_a_spreadsheet(table, tmp_path):
    space = {"model__text": ["=1+1", "@sum", "-3.5", "plain"]}
    write_trials(searched(table, card(space=space, method="grid")), tmp_path / "search.csv")
    found = pd.read_csv(tmp_path / "search.csv", dtype=str)["model__text"].dropna()
    assert sorted(found) == ["'=1+1", "'@sum", "-3.5", "plain"]


@pytest.mark.parametrize("method", METHODS)
def test_a_search_without_one_success_says_why(table, method):
    page = card(
        method=method, space={"model__dial": [13], "model__text": ["a", "b", "c"]}, n_iter=3
    )
    told = r"mine: search: all \d trials failed; the first, .*'model__dial': 13.*brings bad luck"
    with pytest.raises(UsageError, match=told):
        searched(table, page)


def test_a_model_that_fails_as_it_is_may_be_mended(table):
    found = searched(table, card(), Pipeline([("model", Spy(dial=13))]))
    assert found["default"]["mean"] is None
    assert found["improved"]
    assert found["best"]["params"] == {"model__dial": 7}


def test_time_is_kept_between_trials(table):
    told = []
    page = card(time_limit=1e-9)
    found = searched(table, page, tell=lambda text, share: told.append((text, share)))
    assert (found["tried"], found["planned"], found["stopped"]) == (0, 5, True)
    assert not found["improved"]
    assert told == [("searching: the parameters as they are", 0.0)]
    assert not searched(table, card(time_limit=1e9))["stopped"]


def test_what_is_set_by_hand_is_not_searched(table):
    page = card(space={"model__dial": [7], "model__text": ["a"]})
    model = Pipeline([("model", Spy(dial=2))])
    found = searched(table, page, model, fixed=["model__dial"])
    assert [trial["params"] for trial in found["log"]] == [
        {"model__text": ""},
        {"model__text": "a"},
    ]
    with pytest.raises(UsageError, match="every address of its space is set by hand"):
        searched(table, page, fixed=["model__dial", "model__text"])


@pytest.mark.parametrize(
    ("given", "kind", "told"),
    [
        ({"space": {"model__dail": [1]}}, UsageError, "'model__dail'; did you mean 'model__dial'"),
        ({"space": {"model": [1]}}, UsageError, "no parameter has the address 'model'"),
        ({"space": {"model__inner": [{"use": "os.system"}]}}, CardError, "'os.system' is not allo"),
        ({"metric": "roc_acu"}, UsageError, r"unknown metric 'roc_acu'; did you mean 'roc_auc'"),
        ({"metric": "savings"}, UsageError, r"savings needs a \[decision\]"),
        ({"split": Split(kind="purged_kfold", folds=3)}, UsageError, "leaves none to search on"),
    ],
)
def test_a_search_that_cannot_be_is_refused(table, given, kind, told):
    with pytest.raises(kind, match=told):
        searched(table, card(**given))
    assert not Spy.shown


def test_optuna_is_asked_for_by_its_extra(table, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(NotInstalledError, match=r'pip install "fintech-dl\[search\]"'):
        searched(table, card(method="optuna"))
    assert searched(table, card(method="grid"))["improved"]


# ---- in a run --------------------------------------------------------------------------------


def test_a_run_takes_the_best_parameters(quick_fraud, tmp_path):
    rates = {"model__learning_rate": [1e-6, 0.01], "model__network__dropout": [0.1, "<b>much</b>"]}
    page = quick_fraud({"search": {"method": "grid", "space": rates, "folds": 2}, "step": STEP})
    told = []
    run = run_pipeline(
        page, tmp_path / "run", search=True, progress=lambda *words: told.append(words)
    )
    found = run.record["search"]
    assert found["best"]["params"] == {
        "model__learning_rate": 0.01,
        "model__network__dropout": 0.1,
    }
    last = run.model.steps[-1][1]
    assert (last.learning_rate, last.network.dropout, last.random_state) == (0.01, 0.1, 0)
    assert run.record["training"]["settings"]["learning_rate"] == 0.01
    assert load(run.folder / "artefact").steps[-1][1].learning_rate == 0.01
    broken = [trial for trial in found["log"] if trial["reason"]]
    assert len(broken) == 2
    assert json.loads((run.folder / "metrics.json").read_text())["search"] == found
    rows = pd.read_csv(run.folder / "search.csv")
    assert rows["trial"].tolist() == list(range(5))
    assert rows.loc[rows["what"] == "best", "model__learning_rate"].tolist() == [0.01]
    assert rows["what"].tolist()[0] == "default"
    assert rows["average_precision"].notna().tolist() == [not t["reason"] for t in found["log"]]
    assert rows["fold 1"].max() == max(t["folds"][0] for t in found["log"] if t["folds"])
    html = (run.folder / "report.html").read_text()
    assert '<section id="search">' in html
    assert "2 failed" in html
    assert "&lt;b&gt;much&lt;/b&gt;" in html
    assert "<b>much" not in html
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert ("searching: trial 4 of 4", 0.1 + 0.4 * 4 / 5) in told


STEP = [
    {
        "name": "model",
        "use": "fintech_dl.NeuralClassifier",
        "network": {"use": "fintech_dl.MLP", "units": [8]},
        "epochs": 4,
        "batch_size": 64,
        "learning_rate": 1e-6,
    }
]


def test_a_run_without_the_word_searches_nothing(fraud_run):
    assert "search" not in fraud_run.record
    assert not (fraud_run.folder / "search.csv").exists()


def test_a_card_without_a_search_says_what_to_add(quick_fraud, tmp_path):
    page = replace(quick_fraud(), search=None)
    with pytest.raises(UsageError, match=r"fraud: the card has no \[search\]; add one"):
        run_pipeline(page, tmp_path / "run", search=True)
    assert not list(tmp_path.iterdir())


def test_stopping_a_search_leaves_nothing(quick_fraud, tmp_path, monkeypatch):
    def stop(self, X, y, sample_weight=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(Spy, "fit", stop)
    step = [{"name": "model", "use": "sklearn.dummy.Spy"}]
    page = quick_fraud({"search": {"space": {"model__dial": [1, 2]}}, "step": step})
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(page, tmp_path / "run", search=True)
    assert not list(tmp_path.iterdir())


def test_the_shipped_search_is_of_its_card(quick_fraud):
    from fintech_dl.pipelines import build_pipeline

    page = quick_fraud()
    assert check_search(page, build_pipeline(page), {}).metric == page.metrics[0]
