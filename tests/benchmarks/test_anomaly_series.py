from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent


@pytest.fixture
def series(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    return import_module("anomaly_series")


@pytest.fixture
def more(series):
    return import_module("anomaly_series_scores")


def spiked(n=400):
    values = np.sin(np.arange(n) * 2 * np.pi / 20) + np.random.default_rng(0).normal(0, 0.1, n)
    labels = np.zeros(n)
    values[300] += 5
    labels[295:306] = 1
    return values, labels


NAMES = {"artificial": ["a", "b"], "aws": ["c"], "exchange": [], "traffic": [], "tweets": []}


def test_jobs_are_selected_by_group_method_and_seed(series):
    given = series.arguments(["aws", "--methods", "AER; Sub-PCA", "--seeds", "0,1"])
    found = [tuple(job) for job in series.jobs(NAMES, given)]
    assert found == [
        ("aws", "c", "AER", 0),
        ("aws", "c", "AER", 1),
        ("aws", "c", "Sub-PCA", 0),
    ]
    everything = list(series.jobs(NAMES, series.arguments([])))
    assert len(everything) == len(set(everything))
    assert {job.method for job in everything} == set(series.METHODS)
    with pytest.raises(SystemExit):
        series.arguments(["--methods", "magic"])
    with pytest.raises(SystemExit):
        series.arguments(["moon"])


def test_a_method_that_learns_nothing_finds_a_spike(series):
    line, scores = series.measure(*spiked(), "spectral residual, whole series", 0)
    assert list(scores) == ["spectral residual, whole series"]
    assert (line["found"], line["missed"]) == (1, 0)
    assert line["vus_pr"] > 0.1
    assert line["rows"] == 400


def test_a_second_start_goes_on_where_the_first_was_stopped(series, tmp_path, monkeypatch, capsys):
    measured = []

    def measure(values, labels, method, seed):
        measured.append((method, seed))
        line = {"found": 1, "missed": 1, "false": 1, "vus_pr": 0.5, "seconds": 1800}
        return line, {method: np.arange(400.0)}

    monkeypatch.setattr(series, "measure", measure)
    data = {"aws": {"c": spiked()}}
    todo = [series.Job("aws", "c", "AER", seed) for seed in range(3)]
    series.run(todo, data, tmp_path, tmp_path, hours=0)
    assert not measured
    series.run(todo[:2], data, tmp_path, tmp_path, hours=1)
    assert set(series.done(tmp_path)) == set(todo[:2])
    rest = [job for job in todo if job not in series.done(tmp_path)]
    series.run(rest, data, tmp_path, tmp_path, hours=1)
    assert measured == [("AER", 0), ("AER", 1), ("AER", 2)]
    assert "1.50 h in all" in capsys.readouterr().out


def test_the_table_adds_events_up_and_averages_seeds(series, tmp_path):
    def line(found, missed, false, area):
        counts = {"found": found, "missed": missed, "false": false}
        return {**counts, "vus_pr": area, "seconds": 60}

    job = series.Job
    found = {
        job("aws", "c", "AER", 0): line(2, 0, 0, 0.4),
        job("aws", "d", "AER", 0): line(0, 1, 1, 0.2),
        job("aws", "c", "AER", 1): line(0, 2, 0, 0.0),
        job("aws", "d", "AER", 1): line(0, 1, 0, None),
        job("tweets", "e", "AER", 0): line(1, 0, 0, 0.6),
    }
    row, published = series.rows_of(found, tmp_path)
    assert row["F1 aws"] == pytest.approx((4 / 6 + 0) / 2, abs=1e-3)
    assert row["VUS-PR aws"] == pytest.approx(0.2)
    assert row["F1 mean"] == pytest.approx((1 / 3 + 1) / 2, abs=1e-3)
    assert row["F1 artificial"] == ""
    assert row["minutes"] == 5
    assert row["NAB"] == ""
    assert published["F1 mean"] == 0.68


def test_scoring_as_published_puts_the_error_between_five_steps_late(series, more):
    rng = np.random.default_rng(0)
    ends, between = rng.random(300), rng.random(300)
    between[-5:] = 0.5
    between[[0, 1]] = 0.0, 1.0
    late = np.r_[np.zeros(5), between[:-5]]
    total = more.combined(ends, between, "sum")
    for way in ("product", "sum", "ends"):
        expected = more.combined(ends, late, way)
        assert more.as_published(ends, total, way) == pytest.approx(expected)
    assert not np.allclose(more.as_published(ends, total, "sum"), total)


def test_a_linear_rival_is_scored_as_aer_is_and_as_published(series, tmp_path):
    values, labels = spiked()
    line, scores = series.measure(values, labels, "linear", 0)
    assert line["found"] == 1
    assert set(line["published"]) == {"product", "sum", "ends"}
    job = series.Job("aws", "c", "linear", 0)
    rows = {row["method"]: row for row in series.rows_of({job: line}, tmp_path)}
    assert rows["linear, ends alone"]["F1 aws"] > 0
    own = line["published"]["sum"]
    f1 = 2 * own["found"] / (2 * own["found"] + own["missed"] + own["false"])
    assert rows["linear, scored as published"]["F1 aws"] == pytest.approx(f1, abs=1e-3)
    assert set(scores) == {"linear", "linear, sum", "linear, ends alone"}


def test_nab_score_is_of_one_threshold_and_of_scores_that_were_kept(series, more, tmp_path):
    jobs = [series.Job("aws", name, "m", 0) for name in "ab"]
    labels = np.zeros(200)
    labels[100:120] = 1
    right, wrong = np.zeros(200), np.zeros(200)
    right[100], wrong[30] = 1.0, 2.0
    more.keep_scores(jobs[0], {"m": right}, labels, tmp_path)
    assert more.nab(jobs, "m", tmp_path) is None
    assert more.nab(jobs[:1], "m", tmp_path) == 100
    assert more.nab(jobs[:1], "m, another way", tmp_path) is None
    more.keep_scores(jobs[1], {"m": wrong}, labels, tmp_path)
    assert 40 < more.nab(jobs, "m", tmp_path) < 50
