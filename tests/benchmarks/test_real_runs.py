import json
from importlib import import_module
from pathlib import Path

import pytest

from fintech_dl.cards import names, pipeline_card


@pytest.fixture
def real_runs(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    module = import_module("real_runs")
    monkeypatch.setattr(module, "STATE", tmp_path)
    return module


def test_every_pipeline_is_run_on_real_data_or_has_a_twin_that_is(real_runs):
    of_files = {run.pipeline for run in real_runs.runs()}
    kinds = {name.split("-")[0] for name in of_files}
    assert {name.split("-")[0] for name in names("pipelines")} <= kinds
    for run in real_runs.runs():
        assert ("--dataset" in run.words()) == (pipeline_card(run.pipeline).dataset != run.dataset)


def test_a_run_that_is_kept_is_not_made_again_and_stands_in_the_table(real_runs, monkeypatch):
    made, written = [], []

    def measure(run):
        made.append(run)
        value = {"value": 0.5, "low": 0.4, "high": 0.6}
        models = [
            {"title": title, "baseline": title == "rival", "metrics": {"mse": value}}
            for title in ("net", "rival")
        ]
        verdict = {"metric": "mse", "rival": "rival", "outcome": "same", "text": "as good"}
        counts = {"rows_used": 1234, "rows_quarantined": 1, "seconds": 90.0}
        return {**counts, "verdict": verdict, "models": models}

    def write(name, table, notes, command, raw, seconds):
        written.append((table, seconds, json.dumps(raw)))

    monkeypatch.setattr(real_runs, "measure", measure)
    monkeypatch.setattr(real_runs.results, "write_result", write)
    for _ in range(2):
        real_runs.main(["intrusion", "fraud-ulb"])
    assert [run.pipeline for run in made] == ["fraud-ulb", "intrusion"]
    (table, seconds, _) = written[-1]
    assert seconds == 180
    assert [row["fintech-dl"] for row in table] == ["run fraud-ulb", "run intrusion"]
    assert table[0]["ours"] == "net: 0.5 [0.4, 0.6]"
    assert (table[0]["rows"], table[0]["minutes"]) == ("1,234", "1.5")
    with pytest.raises(SystemExit, match="no pipeline with real data: volatilty"):
        real_runs.main(["volatilty"])
