import json
import subprocess
import sys
import weakref
from importlib import import_module
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def speed(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    return import_module("speed")


@pytest.fixture
def table(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    return import_module("speed_table")


def measured():
    """Return raw numbers of every part, as they come from the parts."""
    times = {
        "mlp": {"rows": 1000, "keras_settings": "any", "ours": [1.0] * 5, "keras": [2.0] * 5},
        "members": {"together": [1.0] * 5, "apart": [4.0] * 5},
        "predict": {
            "rows": 1000,
            "keras_batch": 1024,
            **{name: [2.0] * 5 for name in ("ours", "keras", "onnx_1", "onnx_2")},
        },
        "overhead": {"first": [1.5] * 5, "second": [0.5] * 5, "keras auto": [0.4] * 5},
        "memory": {"fits": 100, "after_10": 700.0, "after_all": 750.0},
    }
    times |= {"lstm": times["mlp"], "members_cold": times["members"]}
    found = {f"{part}-{b}": raw for part, raw in times.items() for b in ("tensorflow", "jax")}
    return found | {
        "torch_mlp": {"rows": 1000, "threads": 2, "fused": [0.5] * 5, "plain": [0.7] * 5},
        "torch_lstm": {"absent": True},
        "start": {name: [0.3, 0.25] for name in ("python", "import", "help", "list")},
        "score": {
            "alone": [0.9] * 5,
            "steps": [4.5] * 5,
            "peak_mb": {"alone": [260.0], "steps": [300.0]},
        },
    }


@pytest.mark.parametrize(("keep", "alive"), [(True, 8), (False, 1)])
def test_eight_fits_that_start_cold_keep_their_models(monkeypatch, keep, alive):
    """Whoever predicts with eight models keeps eight; a list of weights keeps none."""
    monkeypatch.syspath_prepend(str(HERE))
    living, most = weakref.WeakSet(), []

    class Model:
        def __init__(self, **settings):
            self.weights_ = []

        def set_params(self, random_state):
            return self

        def fit(self, X, y):
            living.add(self)
            most.append(len(living))
            return self

    monkeypatch.setattr("fintech_dl.NeuralClassifier", Model)
    import_module("speed_training").member_fits(True, keep=keep)["apart"]()
    assert max(most) == alive


def row(rows, *words):
    (found,) = [r for r in rows if all(w in r["what"] + r["rival"] for w in words)]
    return found


def test_the_readme_shows_the_newest_results(table):
    text = table.README.read_text(encoding="utf-8")
    assert text == table.put(text, table.readme_table())


def test_a_row_tells_ours_beside_the_rival_and_whether_the_bar_is_met(table):
    rows = table.rows(measured())
    keras = row(rows, "training MLP", "TensorFlow", "bare Keras")
    assert keras["reached"] == "1,000 rows/s"
    assert keras["rival"] == "bare Keras (any): 500 rows/s"
    assert keras["times as fast"] == "2.00 (2.00 to 2.00)"
    assert keras["met"] == "yes"
    torch = row(rows, "training MLP", "TensorFlow", "PyTorch (fused Adam, 2 threads)")
    assert (torch["times as fast"], torch["met"]) == ("0.50 (0.50 to 0.50)", "no")
    slower = row(rows, "training MLP", "JAX", "PyTorch (fused Adam, 2 threads)")
    assert (slower["bar"], slower["met"]) == ("", "")
    assert not [r for r in rows if "LSTM" in r["what"] and "PyTorch" in r["rival"]]


def test_the_ratio_is_of_medians_with_the_range_of_the_rounds(table):
    ours, rival = [1.0, 2.0, 4.0], [2.0, 8.0, 2.0]
    assert table.versus("x", ours, "y", rival, "mlp")["times as fast"] == "1.00 (0.50 to 4.00)"
    apart = table.versus("x", ours, "y", rival, "mlp", paired=False)
    assert apart["times as fast"] == "1.00 (0.50 to 8.00)"


def test_limits_of_their_own_are_met_or_not(table):
    rows = table.rows(measured())
    assert row(rows, "import fintech_dl")["met"] == "no"
    assert row(rows, "fintech-dl list")["met"] == "yes"
    first, second = (row(rows, f"{which} fit of", "JAX") for which in ("first", "second"))
    assert (first["reached"], first["met"]) == ("1.1 s", "no")
    assert (second["reached"], second["met"]) == ("0.100 s", "yes")
    assert row(rows, "grid search", "JAX")["reached"] == "50 MB (700 MB to 750 MB)"
    assert row(rows, "a network alone: start to end")["met"] == "yes"
    assert row(rows, "a network alone: peak")["met"] == "no"
    assert row(rows, "scaler and network: start to end")["met"] == "no"
    assert row(rows, "scaler and network: peak")["met"] == "yes"


def test_onnx_is_compared_with_the_faster_backend(table):
    found = measured()
    found["predict-jax"] = {**found["predict-jax"], "keras": [1.0] * 5}
    onnx = row(table.rows(found), "ONNX", "threads: 2")
    assert onnx["rival"].startswith("bare Keras on JAX")
    assert onnx["times as fast"] == "0.50 (0.50 to 0.50)"


def test_the_table_of_the_readme_is_of_the_newest_files_only(table, tmp_path):
    for day, what in (("2026-01-31", "old"), ("2026-02-01", "new")):
        text = json.dumps({"rows": [table.absolute(what, 0.1, 0.2, "s")]})
        (tmp_path / f"speed_{day}.json").write_text(text)
    line = {"what": "15 features", "seconds": 1.0, "pandas seconds": 8.0, "times faster": 8.0}
    rows = {"rows": [line, {"what": "all", "seconds": 2.0}]}
    (tmp_path / "card_features_2026-01-01.json").write_text(json.dumps(rows))
    found = table.readme_table(tmp_path)
    assert "new" in found
    assert "old" not in found
    assert "| 15 features, 1,754,155 transactions | 10 x rival | 1.0 s | pandas: 8.0 s |" in found
    assert found.splitlines()[-1].endswith("| 8.0 | no |")


def test_only_the_part_between_the_marks_is_replaced(table):
    begin, end = table.MARKS
    assert table.put(f"a\n{begin}\nold\n{end}\nb", "new") == f"a\n{begin}\nnew\n{end}\nb"
    with pytest.raises(SystemExit, match="lacks the lines"):
        table.put(f"a\n{begin}\nb", "new")


def test_a_second_start_measures_only_what_is_missing(speed, tmp_path):
    asked = []

    def take(part, backend):
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append((part, backend))
        return {"seconds": [len(asked)]}

    with pytest.raises(KeyboardInterrupt):
        speed.gather(tmp_path, False, take)
    first, asked = asked, []

    def all_of_them(part, backend):
        asked.append((part, backend))
        return {"seconds": [0]}

    found = speed.gather(tmp_path, False, all_of_them)
    assert first + asked == speed.TASKS
    assert found[speed.label(*first[2])]["raw"] == {"seconds": [3]}
    asked.clear()
    assert speed.gather(tmp_path, True, all_of_them).keys() == found.keys()
    assert asked == speed.TASKS


def test_measurements_hold_for_one_state_of_the_code(speed, monkeypatch):
    before = speed.key()
    assert speed.key() == before
    monkeypatch.setattr(speed, "versions", lambda: {"numpy": "1"})
    assert speed.key() != before


def test_a_part_runs_in_a_process_of_its_own_and_prints_its_numbers():
    words = [sys.executable, HERE / "speed.py", "--part", "start", "--quick"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(
        ("python", "import", "help", "list"), 2
    )


@pytest.mark.parametrize("words", [["mlp"], ["start", "--backend", "jax"]])
def test_a_part_takes_a_backend_only_where_it_trains_or_predicts(words):
    call = [sys.executable, HERE / "speed.py", "--quick", "--part", *words]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--backend" in done.stderr
