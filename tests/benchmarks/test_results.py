import json
from datetime import date
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

spec = spec_from_file_location("results", Path(__file__).parent / "results.py")
results = module_from_spec(spec)
spec.loader.exec_module(results)


def test_a_result_is_dated_and_says_how_it_was_made(tmp_path):
    rows = [{"what": "a|b", "seconds": 1234.5678}, {"what": "c", "times faster": 10.0}]
    path = results.write_result("speed", rows, ["Bar: 10."], "python speed.py", tmp_path / "new")
    today = date.today().isoformat()
    assert path.name == f"speed_{today}.md"
    result = json.loads(path.with_suffix(".json").read_text())
    assert result["rows"] == rows
    assert result["date"] == today
    assert result["versions"]["numpy"] == np.__version__
    assert result["hardware"]["cores"] >= 1
    assert result["hardware"]["memory_gb"] > 0
    assert result["total_seconds"] >= 0
    lines = path.read_text().splitlines()
    assert lines[0] == f"# speed, {today}"
    assert "`python speed.py`" in lines[2]
    assert f"({result['total_seconds']} s of measuring in all)" in lines[2]
    assert lines[4:8] == [
        "| what | seconds | times faster |",
        "| --- | --- | --- |",
        "| a\\|b | 1,235 |  |",
        "| c |  | 10 |",
    ]
    assert "- Bar: 10." in lines


def test_what_several_starts_measured_is_added_up_by_whoever_kept_it(tmp_path):
    path = results.write_result("speed", [{"a": 1}], [], "-", tmp_path, seconds=12345.67)
    assert json.loads(path.with_suffix(".json").read_text())["total_seconds"] == 12345.7
    assert "(12,345.7 s of measuring in all)" in path.read_text()


def test_what_is_no_number_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        results.write_result("speed", [{"x": float("nan")}], [], "-", tmp_path)
    assert not list(tmp_path.iterdir())
