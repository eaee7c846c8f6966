import json
import math
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _beside_it(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture
def credit():
    return import_module("credit")


@pytest.fixture
def data():
    return import_module("credit_data")


@pytest.fixture
def state():
    return import_module("credit_state")


@pytest.fixture
def table():
    return import_module("credit_table")


@pytest.fixture
def ours():
    return import_module("credit_ours")


def line(auc=0.8, **more):
    """Return what a job measures."""
    quality = {"auc": auc, "log_loss": 0.4, "brier": 0.1, "ks": 0.5}
    size = {"train_rows": 80, "test_rows": 20, "peak_mb": 300, "threads": 2}
    spent = {"fit_seconds": 1.5, "predict_seconds": 0.1, "seconds": 36.0, "load": 0.1}
    where = {"libraries": "lightgbm 4", "machine": "any, 2 cores", "date": "2026-01-02"}
    return {**quality, **size, **spent, **where, **more}


def of_ours(auc=0.8, data="taiwan", method="MLP", **more):
    """Return what a job of ours measures."""
    return line(auc, settings=import_module("credit_ours").settings(method, data), **more)


def applications(n=60):
    rng = np.random.default_rng(0)
    bad = rng.integers(0, 2, n)
    income = np.where(rng.random(n) < 0.2, np.nan, bad + rng.normal(size=n))
    purpose = pd.Series(rng.choice(["car", "home"], n), dtype="category")
    return pd.DataFrame({"income": income, "purpose": purpose, "one": 1.0}), pd.Series(bad)


def test_jobs_are_selected_and_a_tuning_comes_before_its_fits(credit):
    found = list(credit.jobs(["taiwan"], ["XGBoost tuned", "MLP"], [0], [0, 1]))
    assert [(job.method, job.seed) for job in found] == [
        ("XGBoost tuned", None),
        ("XGBoost tuned", 0),
        ("XGBoost tuned", 1),
        ("MLP", 0),
        ("MLP", 1),
    ]
    everything = list(credit.jobs())
    assert {job.data for job in everything} == set(credit.PROTOCOLS)
    assert {job.fold for job in everything if job.data == "gmsc"} == set(range(5))
    assert {job.fold for job in everything if job.data == "bank"} == {0}
    of_logistic = {job.seed for job in everything if job.method == "logistic regression"}
    assert of_logistic == {0}
    assert {job.seed for job in everything if job.data == "german"} == {0, None}


def test_words_of_the_command_line_name_data_and_methods(credit, capsys):
    given = credit.arguments(["--data", "gmsc", "--methods", "mlp,LightGBM tuned", "--folds", "1"])
    assert (given.data, given.methods) == (["gmsc"], ["MLP", "LightGBM tuned"])
    assert given.folds == [1]
    with pytest.raises(SystemExit):
        credit.arguments(["--methods", "lightgb"])
    assert "lightgb: allowed are" in capsys.readouterr().err


def test_a_second_start_goes_on_where_the_first_was_stopped(credit, monkeypatch, tmp_path):
    monkeypatch.setattr(credit, "absent", lambda method: "")
    monkeypatch.setattr(credit, "TRIALS", 3)
    asked = list(credit.jobs(["taiwan"], ["LightGBM tuned", "MLP"], [0], [0, 1]))
    seen, faults = [], [1]

    def take(job):
        seen.append(job)
        name = job["job"]
        if name["seed"] is None:
            for number in range(len(job["done"]), 3):
                if faults and number == 2:
                    raise ChildProcessError("killed")
                yield {"trial": number, "loss": 0.5, "seconds": 2.0}
        elif name["method"] == "MLP" and name["seed"] == 0:
            raise ChildProcessError("killed")
        else:
            yield of_ours() if name["method"] == "MLP" else line()

    failed = credit.run(credit.left(asked, tmp_path), tmp_path, tmp_path, take=take)
    assert failed == asked[:4]  # what waits for the tuning too; the fifth job is done
    assert credit.left(asked, tmp_path) == failed
    faults.clear()
    seen.clear()
    assert credit.run(failed, tmp_path, tmp_path, take=take) == [asked[3]]
    assert [trial["trial"] for trial in seen[0]["done"]] == [0, 1]
    assert [trial["trial"] for trial in seen[1]["done"]] == [0, 1, 2]
    assert credit.left(asked, tmp_path) == [asked[3]]
    assert credit.left(asked, tmp_path, again=True) == [
        job for job in asked if job.seed is not None
    ]


def test_no_job_starts_when_the_hours_are_over(credit, tmp_path):
    asked = list(credit.jobs(["bank"], ["MLP"]))
    assert credit.run(asked, tmp_path, tmp_path, hours=-1, take=lambda job: 1 / 0) == []
    assert credit.left(asked, tmp_path) == asked


def test_an_ensemble_has_a_row_only_where_it_is_more_than_the_single_network(credit, ours):
    numbers = {name: ours.members(pipeline) for name, (_, pipeline) in ours.CARDS.items()}
    assert (numbers["german"], numbers["taiwan"], numbers["gmsc"]) == (5, 5, 1)
    asked = {job.data for job in credit.jobs(methods=["network ensemble"])}
    assert asked == {name for name, number in numbers.items() if number > 1}
    for name in asked:
        assert ours.settings("network ensemble", name) != ours.settings("TabM", name)


def test_a_job_is_done_for_the_settings_that_it_was_measured_with(
    credit, ours, state, monkeypatch, tmp_path
):
    monkeypatch.setattr(credit, "absent", lambda method: "")
    asked = list(credit.jobs(["taiwan"], ["TabM", "MLP", "LightGBM"], [0], [0]))
    for job in asked:
        known = {"settings": ours.settings(job.method, "taiwan")}
        known = {} if job.method == "LightGBM" else known
        state.keep_result(job, line(**known), tmp_path)
    assert credit.left(asked, tmp_path) == []
    card = ours.pipeline_card("credit-taiwan")
    longer = [{**card.step[-1], "epochs": 99}]
    monkeypatch.setattr(ours, "pipeline_card", lambda name: replace(card, step=longer))
    assert [job.method for job in credit.left(asked, tmp_path)] == ["TabM"]
    assert [job.method for job in state.results("taiwan", tmp_path)] == ["MLP", "LightGBM"]
    monkeypatch.setitem(ours.OTHERS, "MLP", ({"units": 1}, {}))
    assert [job.method for job in credit.left(asked, tmp_path)] == ["TabM", "MLP"]


def test_columns_that_a_pipeline_makes_are_settings_of_every_method(data, ours, monkeypatch):
    before = {name: ours.settings("LightGBM", name) for name in ("taiwan", "taiwan-ratios")}
    card = data.pipeline_card("credit-taiwan")
    fewer = {**card.table, "status": card.table["status"][:2]}
    aside = {**card.table, "protected": ["sex"]}
    for table, same in ((fewer, False), (aside, True)):
        monkeypatch.setattr(data, "pipeline_card", lambda name, t=table: replace(card, table=t))
        assert ours.settings("LightGBM", "taiwan") == before["taiwan"] is None
        assert (ours.settings("LightGBM", "taiwan-ratios") == before["taiwan-ratios"]) == same


def test_the_plan_tells_hours_from_what_is_done(credit, state, monkeypatch, tmp_path):
    monkeypatch.setattr(credit, "absent", lambda method: "")
    state.keep_result(state.Job("taiwan", 0, "MLP", 0), of_ours(seconds=36.0), tmp_path)
    trial = {"trial": 0, "loss": 0.5, "seconds": 12.0}
    state.keep_trial(state.Job("taiwan", 0, "XGBoost tuned", None), trial, tmp_path)
    asked = list(credit.jobs(["taiwan", "gmsc"], ["MLP", "XGBoost tuned"], [0], [0, 1]))
    todo = credit.left(asked, tmp_path)
    seconds = credit.estimate(todo, tmp_path)
    assert seconds[state.Job("taiwan", 0, "MLP", 1)] == 36
    assert seconds[state.Job("gmsc", 0, "MLP", 1)] == 180  # five times as many rows
    assert seconds[state.Job("taiwan", 0, "XGBoost tuned", None)] == 29 * 12
    assert seconds[state.Job("taiwan", 0, "XGBoost tuned", 0)] is None
    told = credit.plan(todo, tmp_path)
    assert "taiwan, MLP: 1 fits left, 0.01 h" in told
    assert told[-1] == "in all 9 jobs left, 0.71 h and 4 of unknown length"


def test_a_rival_that_is_not_installed_is_told_and_left_out(credit, monkeypatch, tmp_path):
    monkeypatch.setattr(credit, "find_spec", lambda name: None if name == "xgboost" else name)
    assert credit.absent("XGBoost tuned") == "xgboost not installed"
    assert credit.absent("LightGBM") == ""
    asked = list(credit.jobs(["bank"], ["XGBoost tuned", "LightGBM"], [0], [0]))
    assert [job.method for job in credit.left(asked, tmp_path)] == ["LightGBM"]
    assert "absent: XGBoost tuned (xgboost not installed)" in credit.plan([], tmp_path)


def test_half_a_line_of_a_killed_process_harms_no_other(state, tmp_path):
    path = tmp_path / "taiwan.jsonl"
    job = state.Job("taiwan", 0, "MLP", 0)
    state.keep_result(job, of_ours(0.7), tmp_path)
    with path.open("a") as file:
        file.write('{"fold": 1, "met')
    state.keep_result(job._replace(seed=1), of_ours(0.8), tmp_path)
    state.keep_result(job, of_ours(0.9), tmp_path)
    found = state.results("taiwan", tmp_path)
    assert {job.seed: line["auc"] for job, line in found.items()} == {0: 0.9, 1: 0.8}


def test_the_corrected_t_test_is_that_of_the_closed_form(table):
    found = table.corrected_t([1.0, 3.0], 0.25)
    t = 2 / math.sqrt((1 / 2 + 0.25) * 2)
    assert found.value == 2
    assert found.p_value == pytest.approx(1 - 2 * math.atan(t) / math.pi)  # one degree of freedom
    half = math.tan(0.475 * math.pi) * 2 / t
    assert (found.low, found.high) == pytest.approx((2 - half, 2 + half))
    assert math.isnan(table.corrected_t([1.0], 0.25).p_value)
    assert table.corrected_t([0.0, 0.0], 0.25).p_value == 1


def measured(state, folder):
    """Write lines of ours and two rivals on five folds, and scores that agree with them."""
    for fold in range(5):
        for method, gain, seeds in [
            ("MLP", 0.01, (0, 1)),
            ("LightGBM", 0.0, (0,)),
            ("logistic regression", -0.2, (0,)),
        ]:
            for seed in seeds:
                made = (
                    of_ours(0.8 + gain + fold / 100, code="abc")
                    if method == "MLP"
                    else line(0.8 + gain)
                )
                state.keep_result(state.Job("taiwan", fold, method, seed), made, folder)


def test_the_table_tells_fold_0_apart_and_compares_with_the_best_rival(table, state, tmp_path):
    measured(state, tmp_path)
    results = state.results("taiwan", tmp_path)
    rows = {row["method"]: row for row in table.method_rows(results, lambda job: None)}
    assert list(rows) == ["LightGBM", "logistic regression", "MLP"]
    assert rows["MLP"]["folds x seeds"] == "5 x 2"
    assert rows["MLP"]["AUC, fold 0"] == "0.8100"
    assert rows["MLP"]["AUC, other folds"] == "0.8350"
    whole = table.corrected_t([0.81, 0.82, 0.83, 0.84, 0.85], 0.25)
    assert rows["MLP"]["AUC, all"] == f"0.8300 [{whole.low:.4f}, {whole.high:.4f}]"
    first, _, others, _ = table.pair_rows(results, lambda job: None)
    assert (first["folds"], first["best rival"], first["measure"]) == ("0", "LightGBM", "AUC")
    assert first["difference"] == "+0.0100"
    assert first["corrected t"] == ""
    assert others["folds"] == "1 to 4"
    assert others["difference"] == "+0.0350"
    found = table.corrected_t([0.02, 0.03, 0.04, 0.05], 0.25)
    assert others["corrected t"] == table.told(found)


def test_rows_are_compared_where_scores_were_kept(table, state, tmp_path):
    measured(state, tmp_path)
    results = state.results("taiwan", tmp_path)
    rng = np.random.default_rng(0)
    y = {fold: rng.integers(0, 2, 200) for fold in range(5)}
    noise = {"MLP": 0.3, "LightGBM": 5.0, "logistic regression": 9.0}

    def scored(job):
        p = 1 / (1 + np.exp(-(y[job.fold] - 0.5 + noise[job.method] * rng.normal(size=200))))
        return table.Outcome(y=y[job.fold], score=p)

    first, _, others, _ = table.pair_rows(results, scored)
    assert "p < .001" in first["DeLong"]
    assert first["bootstrap of rows"].startswith("[+0.")
    assert others["DeLong"] == "4 / 0 of 4"
    german = {job._replace(data="german"): {**r, "data": "german"} for job, r in results.items()}
    _, _, others, _ = table.pair_rows(german, scored)
    assert others["bootstrap of rows"] == ""  # rows that come back in many folds are no sample


def test_the_result_is_dated_and_the_readme_is_made_of_it(table, credit, state, tmp_path):
    measured(state, tmp_path / "state")
    selected = list(credit.jobs(["taiwan", "bank"]))
    paths = table.write(selected, tmp_path / "state", tmp_path, {"X": "x not installed"}, tmp_path)
    text = paths[0].read_text()
    assert paths[0].name.startswith("credit_20")
    assert "## Taiwan default" in text
    assert "## Bank" not in text
    assert "20 jobs and 0 trials took 0.20 h in all" in text
    assert "Absent: X (x not installed)." in text
    assert "Scores of the test rows of" in text
    facts, *lines = map(json.loads, paths[1].read_text().splitlines())
    assert facts["hardware"]["cores"] >= 1
    assert len(lines) == 20
    rows = table.readme_table(tmp_path).splitlines()
    assert rows[0] == "| AUC / log loss | taiwan |"
    assert rows[-1] == "| MLP | 0.8300 / 0.4000 |"
    with pytest.raises(SystemExit, match="nothing of what was selected"):
        table.write(list(credit.jobs(["bank"])), tmp_path / "state", tmp_path, {}, tmp_path)


def test_the_readme_shows_the_newest_result_if_any(table):
    text = table.README.read_text(encoding="utf-8")
    if table.MARKS[0] in text:
        assert text == table.put(text, table.readme_table(), table.MARKS)


def test_the_latest_rows_tune_where_rows_stand_in_order(data):
    X, y = applications(100)
    made = data.in_order(X, y)
    assert [len(rows) for rows in made.folds[0][:2]] == [70, 30]
    learn, hold = data.inner_split(made, made.folds[0])
    assert learn.max() < hold.min()
    assert hold.max() < made.folds[0].test.min()
    shuffled = data.stratified(X, y)
    learn, hold = data.inner_split(shuffled, shuffled.folds[0])
    assert len(hold) == 16
    assert set(learn) | set(hold) == set(shuffled.folds[0].train)


def test_no_leak_and_no_identity_is_among_the_columns(data):
    months = pd.to_datetime([f"2018-{m:02}-01" for m in (12, 1, 6, 5, 9, 10)])
    frame = pd.DataFrame({"id": range(6), "issue_d": months, "defaulted": [0, 1, 0, 1, 0, 1]})
    frame = frame.assign(total_rec_late_fee=0.0, last_pymnt_amnt=1.0, grade=list("ABCDEF"))
    frame = frame.assign(emp_title="", title="", zip_code="", amount=5.0)
    made = data.lending_months(frame)
    assert list(made.X) == ["grade", "amount"]
    assert made.X["grade"].dtype == "category"
    assert [list(made.X["grade"].iloc[rows]) for rows in made.folds[0]] == [
        ["B", "D"],
        ["C", "E"],
        ["F", "A"],
    ]
    call = pd.DataFrame({"age": [1, 2], "call_seconds": [0, 9], "subscribed": ["no", "yes"]})
    assert list(data.bank(call).X) == ["age"]
    assert data.bank(call).y.tolist() == [0, 1]


@pytest.mark.needs_data("lending_club_2018.parquet")
@pytest.mark.parametrize(
    "name",
    [
        "german",
        "taiwan",
        "taiwan-ratios",
        "bank",
        "lending",
        "lending-months",
        "gmsc",
        "gmsc-debts",
    ],
)
def test_the_real_folds_have_the_sizes_that_the_plan_counts_on(data, name):
    made = data.load(name)
    assert data.SIZES[name] == (len(made.folds), len(made.folds[0].train))
    assert set(made.y) == {0, 1}
    if name == "lending-months":
        assert [len(rows) for rows in made.folds[0]] == [20_102, 8_734, 2_930]


def test_directions_are_declared_of_numbers_that_are_there(data):
    from fintech_dl import load_frame

    monotone = import_module("credit_monotone")
    there = {"credit": {name for name, c in data.dataset_card("bank_marketing").columns.items()}}
    for name, (dataset, pipeline) in data.CARDS.items():
        if name in ("bank", "lending-months"):
            continue
        stand_in = f"synthetic_{dataset.removesuffix('_2018')}"
        made = data.load(name, lambda _, stand_in=stand_in: load_frame(stand_in))
        there.setdefault(pipeline, set()).update(made.X.select_dtypes("number"))
        assert set(monotone.directions(made.X)) <= set(made.X.select_dtypes("number"))
    for pipeline, declared in monotone.DIRECTIONS.items():
        assert set(declared) <= there[pipeline], pipeline
    assert monotone.DIRECTIONS["credit-taiwan"]["status_1"] == "increasing"
    assert monotone.DIRECTIONS["credit-gmsc"]["age"] == "decreasing"


def test_a_step_in_the_wrong_direction_is_counted():
    monotone = import_module("credit_monotone")

    class Model:
        def __init__(self):
            self.special_codes = {"late": [96.0]}
            ways = {"late": "increasing", "limit": "decreasing"}
            self.network = SimpleNamespace(monotone=ways)

        def decision_function(self, X):
            assert (X["other"] == 7).all()
            assert not X["late"].eq(96).any()
            dip = np.where(X["late"].between(3, 4), -1.0, 0.0)
            return np.minimum(X["late"], 5) + dip - X["limit"]

    rows = {"late": [0.0, np.nan, 10.0, 96.0], "limit": [1, 2, 3, 4], "other": 7}
    X = pd.DataFrame(rows).fillna({"late": 0})
    found = monotone.checked(Model(), X)
    assert found == {"columns": 2, "points": 10_000, "violations": 1}


def test_the_monotone_scorecard_keeps_its_directions_and_its_line_says_so(data, ours, monkeypatch):
    job = import_module("credit_job")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setitem(ours.OTHERS, "Scorecard", ({}, {"epochs": 8, "learning_rate": 0.05}))
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"limit": rng.integers(1, 9, 400), "status_1": rng.integers(-2, 6, 400)})
    X["age"] = rng.normal(size=400)
    X.attrs["pipeline"] = "credit-taiwan"
    y = pd.Series((X["limit"] - X["status_1"] + rng.normal(size=400) > 3).astype(int))  # contrary
    fold = data.Fold(np.arange(300), np.arange(300, 400))
    made = data.Data(X, y, [fold])
    lines = {
        name: job.measure(made, fold, ours.OURS[f"{name} scorecard"], 0)[0]
        for name in ("monotone", "additive")
    }
    assert lines["monotone"]["monotone"] == {"columns": 2, "points": 10_000, "violations": 0}
    assert "monotone" not in lines["additive"]
    assert lines["additive"]["auc"] > 0.8 > lines["monotone"]["auc"] + 0.1


def test_weight_of_evidence_is_the_log_odds_of_a_bin_against_all():
    rivals = import_module("credit_rivals")
    X = pd.DataFrame(
        {"x": [0.0] * 50 + [1.0] * 50, "c": pd.Series(["a", "b"] * 50, dtype="category")}
    )
    y = np.array([1] * 10 + [0] * 40 + [1] * 30 + [0] * 20)
    woe = rivals.WeightOfEvidence().fit(X, y)
    found = woe.transform(X)
    assert found[0, 0] == pytest.approx(math.log((40.5 / 60) / (10.5 / 40)))
    assert found[-1, 0] == pytest.approx(math.log((20.5 / 60) / (30.5 / 40)))
    unseen = pd.DataFrame({"x": [np.nan], "c": pd.Series(["z"], dtype="category")})
    assert woe.transform(unseen).tolist() == [[0, 0]]
    X.loc[:4, "x"] = np.nan
    assert rivals.WeightOfEvidence().fit(X, y).transform(X)[0, 0] < 0  # all of the missing are bad


@pytest.mark.parametrize(
    "name",
    [
        "logistic regression",
        "logistic regression on WOE",
        "LightGBM",
        "LightGBM default",
        "CatBoost default",
    ],
)
def test_a_rival_learns_from_missing_values_and_categories(name):
    if name.startswith("CatBoost"):
        pytest.importorskip("catboost")
    rivals = import_module("credit_rivals")
    X, y = applications(600)
    p = rivals.RIVALS[name](X.iloc[:400], y.iloc[:400], 0, 1).predict_proba(X.iloc[400:])[:, 1]
    assert import_module("credit_job").measures(y.iloc[400:], p)["auc"] > 0.65


@pytest.mark.parametrize("name", ["LightGBM tuned", "XGBoost tuned", "CatBoost tuned"])
def test_a_stopped_tuning_goes_on_as_if_it_had_not_been(name, monkeypatch):
    pytest.importorskip({"L": "lightgbm", "X": "xgboost", "C": "catboost"}[name[0]])
    pytest.importorskip("optuna")
    tuning = import_module("credit_tuning")
    monkeypatch.setattr(tuning, "MOST_ROUNDS", 20)
    X, y = applications(200)
    rows = (X.iloc[:150], y.iloc[:150]), (X.iloc[150:], y.iloc[150:])
    whole = list(tuning.trials(name, *rows, 1, n=3))
    rest = list(tuning.trials(name, *rows, 1, done=whole[:2], n=3))
    assert whole[0]["params"] == tuning.SPACES[name].start
    assert [trial["trial"] for trial in whole] == [0, 1, 2]
    assert {**rest[0], "seconds": 0} == {**whole[2], "seconds": 0}
    chosen = tuning.best(whole)
    assert chosen["loss"] == min(trial["loss"] for trial in whole)
    fitted = tuning.fit(name, chosen, *rows[0], seed=1, threads=1)
    assert fitted.predict_proba(X).shape == (200, 2)


def test_a_blend_weighs_its_parts_by_rows_that_they_have_not_learned_from():
    rivals = import_module("credit_rivals")
    X, y = applications(200)

    class Learnt:
        """Know the rows that were learned from by heart, and no others."""

        def __init__(self, rows, y):
            self.known = dict(zip(rows.index, y, strict=True))

        def predict_proba(self, rows):
            p = np.array([self.known.get(row, 0.5) for row in rows.index], dtype=float)
            return np.column_stack([1 - p, p])

    class Fair:
        """Know a little of every row."""

        def __init__(self, rows, labels):
            pass

        def predict_proba(self, rows):
            p = np.where(y.loc[rows.index] == 1, 0.7, 0.3)
            return np.column_stack([1 - p, p])

    parts = {
        "by heart": lambda X, y, seed, threads: Learnt(X, y),
        "fair": lambda X, y, seed, threads: Fair(X, y),
    }
    found = rivals.blend(parts, X, y, 0, 1)
    assert found.weights["fair"] > 0.99
    assert sum(found.weights.values()) == pytest.approx(1)
    assert np.allclose(found.predict_proba(X).sum(axis=1), 1)


def test_a_job_measures_keeps_its_scores_and_says_where_it_ran(state, data, monkeypatch, tmp_path):
    job = import_module("credit_job")
    X, y = applications(200)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    made = data.Data(X, y, [data.Fold(np.arange(100), np.arange(100, 160), np.arange(160, 200))])
    monkeypatch.setattr(data, "load", lambda name: made)
    name = state.Job("taiwan", 0, "logistic regression", 0)
    (found,) = job.run({"job": name._asdict(), "predictions": str(tmp_path)})
    p = state.scores(name, tmp_path)
    assert found["auc"] == pytest.approx(job.measures(y.iloc[100:160], p)["auc"])
    assert (found["train_rows"], found["test_rows"]) == (100, 60)
    assert found["apart"]["rows"] == 40
    assert found["threads"] == 1
    assert found["peak_mb"] > 50
    assert "scikit-learn" in found["libraries"]
    assert state.scores(name._replace(seed=1), tmp_path) is None


def test_every_job_runs_in_a_process_of_its_own_that_fails_alone(credit):
    job = credit.Job("nowhere", 0, "logistic regression", 0)
    with pytest.raises(ChildProcessError, match=r"exit code 1: [\s\S]*KeyError: 'nowhere'"):
        list(credit.start({"job": job._asdict(), "predictions": ""}))
