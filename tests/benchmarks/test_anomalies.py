from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _beside_it(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture
def anomalies():
    return import_module("anomalies")


@pytest.fixture
def data():
    return import_module("anomalies_data")


@pytest.fixture
def methods():
    return import_module("anomalies_methods")


@pytest.fixture
def state():
    return import_module("anomalies_state")


@pytest.fixture
def table():
    return import_module("anomalies_table")


@pytest.fixture
def sets(tmp_path):
    """Two sets of which every row is its own number, anomalies far away in the second column."""
    folder = tmp_path / "sets"
    folder.mkdir()
    for name, n, bad in (("2_large", 400, 100), ("1_small", 60, 10)):
        rng = np.random.default_rng(n)
        y = (np.arange(n) < bad).astype(int)
        X = np.column_stack([np.arange(n), rng.normal(size=n) + 6 * y, rng.normal(size=n)])
        np.savez(folder / f"{name}.npz", X=X, y=y)
    return folder


def test_half_of_the_normal_rows_are_learned_from_and_all_others_tested(data, sets):
    cut = data.clean(sets / "1_small.npz", 0)
    learned, tested = set(cut.X[:, 0]), set(cut.X_test[:, 0])
    assert len(learned) == 25
    assert min(learned) >= 10
    assert tested == set(range(60)) - learned
    assert cut.y_test.tolist() == (cut.X_test[:, 0] < 10).astype(int).tolist()
    assert set(data.clean(sets / "1_small.npz", 0).X[:, 0]) == learned
    assert set(data.clean(sets / "1_small.npz", 1).X[:, 0]) != learned


def test_a_bootstrap_of_everything_is_learned_from_and_everything_tested(data, sets):
    cut = data.contaminated(sets / "1_small.npz", 0)
    assert cut.X.shape == cut.X_test.shape
    assert len(set(cut.X[:, 0])) < 60
    assert (cut.X[:, 0] < 10).any()
    assert set(cut.X_test[:, 0]) == set(range(60))


def test_rows_are_drawn_as_the_published_code_draws_them(data, sets, monkeypatch):
    assert len(data.contaminated_as_published(sets / "1_small.npz", 0).X_test) == data.FILLED
    cut = data.clean_as_published(sets / "1_small.npz", 0)
    assert set(cut.X[:, 0]) & set(cut.X_test[:, 0])  # copies on both sides
    monkeypatch.setattr(data, "FILLED", 50)
    monkeypatch.setattr(data, "MOST_ROWS", 500)
    cut = data.clean_as_published(sets / "1_small.npz", 7)
    assert cut.X[:, 0].tolist() == list(range(10, 35))
    assert cut.X_test[:, 0].tolist() == [*range(35, 60), *range(10)]
    rng = np.random.RandomState(3)
    rng.choice(10, 0, replace=False)
    drawn = rng.choice(60, 60, replace=True)
    cut = data.contaminated_as_published(sets / "1_small.npz", 3)
    assert cut.X[:, 0].tolist() == drawn.tolist()
    assert cut.X_test[:, 0].tolist() == list(range(60))


def test_few_training_anomalies_are_labelled_and_the_rest_says_nothing(data, sets, monkeypatch):
    cut = data.few_labels(sets / "2_large.npz", 0)
    assert len(cut.X) == 280
    assert (cut.known == 1).sum() == 5
    assert (cut.X[cut.known == 1, 0] < 100).all()
    assert (cut.known == -1).sum() == 275
    assert cut.y_test.sum() == 30
    monkeypatch.setattr(data, "LABELLED", 0.2)
    assert (data.few_labels(sets / "2_large.npz", 0).known == 1).sum() == 14
    assert data.takes_part("few-labels", sets / "2_large.npz")
    assert not data.takes_part("few-labels", sets / "1_small.npz")


def test_a_large_set_is_cut_to_a_seeded_part(data, sets, monkeypatch):
    monkeypatch.setattr(data, "MOST_ROWS", 100)
    one, same, other = (data.contaminated(sets / "2_large.npz", seed) for seed in (0, 0, 1))
    assert len(one.X_test) == 100
    assert (one.X_test == same.X_test).all()
    assert set(one.X_test[:, 0]) != set(other.X_test[:, 0])


def test_jobs_are_selected_small_sets_first(anomalies, sets, monkeypatch):
    found = list(anomalies.jobs(sets, ["clean"], methods=["kNN", "DevNet"]))
    assert [job.data for job in found] == ["1_small"] * 5 + ["2_large"] * 5
    assert {job.method for job in found} == {"kNN"}
    few = list(anomalies.jobs(sets, ["few-labels"], methods=["kNN", "DevNet"], seeds=[3]))
    assert few == [("few-labels", "2_large", "kNN", 3), ("few-labels", "2_large", "DevNet", 3)]
    check = {job.method for job in anomalies.jobs(sets, ["contaminated-published"])}
    assert check == {"isolation forest", "MCD"}
    everything = list(anomalies.jobs(sets))
    assert len(set(everything)) == len(everything)
    monkeypatch.setattr(anomalies, "SMALL", 100)
    some = anomalies.jobs(sets, ["clean"], methods=["VAE"])
    assert {job.data for job in some} == {"1_small"}


def test_what_is_done_is_not_done_again_and_makes_the_table(
    anomalies, data, table, sets, tmp_path, monkeypatch
):
    state, scores = tmp_path / "state", tmp_path / "scores"
    two = ("isolation forest", "LOF")
    asked = list(anomalies.jobs(sets, ["clean"], methods=two))
    anomalies.run(asked[:7], sets, state, scores)
    todo = anomalies.left(asked, state)
    assert todo == asked[7:]
    assert anomalies.plan(todo, state)[-1].startswith(f"in all {len(todo)} jobs left, ")
    anomalies.run(todo, sets, state, scores)
    assert anomalies.left(asked, state) == []
    done = anomalies.anomalies_state.done("clean", state)
    assert np.mean([line["auc"] for line in done.values()]) > 0.8
    monkeypatch.setitem(table.AVERAGES, "both", two)
    monkeypatch.setattr(table, "write_result", lambda *given, **more: SimpleNamespace(**locals()))
    written = table.write(sets, state, scores)
    _, rows, _, _ = written.given
    assert {row["method"] for row in rows} == {*two, "both"}
    assert {row["sets"] for row in rows} == {"2 sets"}
    assert [row["seeds"] for row in rows] == [5, 5, 5]
    done = {job._replace(protocol="clean-published"): line for job, line in done.items()}
    said = table.notes("clean-published", done, ["1_small", "2_large"])
    assert any("isolation forest" in note and "published 78.2, not within" in note for note in said)
    assert len(written.more["raw"]["clean"]["1_small"]["both"]) == 5
    assert written.more["seconds"] == pytest.approx(sum(line["seconds"] for line in done.values()))


def lines(state, scores_of, n=12, seeds=2):
    """Return results of methods whose AUROC on set i with seed j is ``f(i, j)``."""
    return {
        state.Job("clean", f"set{i}", method, j): {"auc": f(i, j), "ap": 0.5, "fit_seconds": 1.0}
        for method, f in scores_of.items()
        for i in range(n)
        for j in range(seeds)
    }


def test_a_method_beats_the_best_rival_only_where_the_paired_test_says_so(table, state):
    found = lines(
        state,
        {
            "kNN": lambda i, j: 0.5 + 0.03 * i,
            "LOF": lambda i, j: 0.4 + 0.03 * i + 1e-4 * (i % 2),
            "VAE": lambda i, j: 0.51 + 0.03 * i + 0.001 * i * j,
            "Autoencoder": lambda i, j: 0.5 + 0.03 * i + 0.1 * (-1) ** i,
        },
    )
    names = [f"set{i}" for i in range(12)]
    rows = {row["method"]: row for row in table.group_rows("clean", found, names, 2, "sets")}
    assert rows["VAE"]["to"] == "AUROC to kNN"
    assert rows["VAE"]["verdict"] == "beats"
    assert rows["LOF"]["verdict"] == "is worse"
    assert rows["Autoencoder"]["verdict"] == "no difference"
    assert "verdict" not in rows["kNN"]
    assert rows["LOF"]["difference"] == "-10.0 [-10.0, -10.0]"
    assert rows["kNN"]["AUROC"] == "66.5"
    assert next(iter(rows)) == "VAE"
    part = {job: line for job, line in found.items() if job != ("clean", "set3", "VAE", 0)}
    rows = {row["method"]: row for row in table.group_rows("clean", part, names, 2, "sets")}
    assert rows["VAE"]["seeds"] == 1
    assert "VAE" not in {row["method"] for row in table.group_rows("clean", part, names, 1, "sets")}


def test_an_average_is_of_ranks_not_of_scores(table, state, tmp_path):
    job = state.Job("clean", "any", "kNN", 0)
    grid = np.linspace(0, 1, 1025)[:, None]
    y = np.array([0, 0, 0, 1])
    for method, test, scale in (
        ("kNN", [0.2, 0.3, 0.9, 0.8], 1e6),
        ("MCD", [0.2, 0.3, 0.1, 0.8], 1.0),
    ):
        kept = job._replace(method=method)
        state.keep_scores(kept, y, scale * np.array(test), scale * grid, tmp_path)
    assert table.averaged(job, ("kNN",), tmp_path)["auc"] == pytest.approx(2 / 3)
    assert table.averaged(job, ("kNN", "MCD"), tmp_path)["auc"] == 1.0
    assert table.averaged(job, ("kNN", "VAE"), tmp_path) is None


def test_a_fit_stays_within_the_budget_of_steps(methods):
    model = methods.ours("Autoencoder").make(0, False)
    same, cut = methods.within_budget(model, 1000)
    assert same.epochs is None
    assert cut is None
    few, cut = methods.within_budget(model, 1_000_000)
    assert cut > methods.MOST_STEPS
    assert few.epochs * -(-1_000_000 // 256) <= methods.MOST_STEPS
    assert methods.within_budget("a rival", 10) == ("a rival", None)


def test_command_line_refuses_unknown_protocols_and_methods(anomalies, capsys):
    with pytest.raises(SystemExit):
        anomalies.arguments(["dirty"])
    assert "dirty: allowed are clean, contaminated" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        anomalies.arguments(["--methods", "knnn"])
    assert "knnn: allowed are knn, isolation-forest" in capsys.readouterr().err
    given = anomalies.arguments(["clean", "--methods", "isolation forest,shipped-default"])
    assert given.methods == ["isolation forest", "shipped default"]
