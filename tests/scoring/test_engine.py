"""A shard's scores are those of `score`, whatever the way, the batch and the neighbours."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fintech_dl import save, score, sealed
from fintech_dl.artefact import read_files, read_record
from fintech_dl.data.contract import check_rows
from fintech_dl.data.frames import from_arrow
from fintech_dl.errors import ArtefactError, DataError, PlanError
from fintech_dl.scoring import batches, counts
from fintech_dl.scoring.commits import FOLDERS, PARTS, QUARANTINE, committed
from fintech_dl.scoring.engine import open_engine, score_shard
from fintech_dl.scoring.inputs import find_inputs
from fintech_dl.scoring.landing import land, land_csv, parquet_source
from fintech_dl.scoring.manifest import added
from fintech_dl.scoring.opened import open_artefact
from fintech_dl.scoring.plan import Landed, Plan, cut_shards
from fintech_dl.scoring.snapshot import CARRIED, pack
from fintech_dl.scoring.store import facts_of
from tests.scoring.artefacts import PIPELINE, payments
from tests.scoring.artefacts import make_artefact as make_plain

N = 3000
AS_OF = "2026-03-01T00:00:00"
COLUMNS = {
    "id": {"type": "text"},
    "time": {"type": "datetime"},
    "amount": {"type": "number", "min": 0.0, "max": 1e40},
    "age": {"type": "integer", "min": 18, "max": 120},
    "income": {"type": "number", "nullable": True, "source": "Income"},
    "shop": {"type": "category", "nullable": True},
    "grade": {"type": "category", "allowed": [1, 2, 3]},
    "known": {"type": "boolean"},
    "sex": {"type": "category", "allowed": ["f", "m"]},
    "fraud": {"type": "integer", "allowed": [0, 1]},
}
CARDS = {
    "dataset": {
        "title": "Payments",
        "licence": "none",
        "source": {"kind": "file", "path": "rows.parquet"},
        "contract": {"key": "id", "time": "time", "labels": ["fraud"], "max_quarantined": 0.9},
        "columns": COLUMNS,
    },
    "pipeline": {
        "title": "Payments",
        "question": "Which payments will be confirmed as fraud?",
        "dataset": "rows",
        "metrics": ["roc_auc"],
        "table": {
            "use": "rows.as_they_are",
            "target": "fraud",
            "when": "time",
            "drop": ["id"],
            "aside": ["amount"],
            "protected": ["sex"],
        },
        "split": {"kind": "holdout", "test_fraction": 0.3},
        "decision": {"rule": "cost", "false_alarm": 5.0, "amount": "amount"},
        "step": [{"name": "model", "use": "fintech_dl.NeuralClassifier"}],
    },
}


def rows(n=N, seed=0):
    """Return clean rows as a file has them: labels and one column that nobody declared beside."""
    rng = np.random.default_rng(seed)
    start = np.datetime64("2026-01-01", "us")
    empty = rng.random(n) < 0.3
    return pa.table(
        {
            "id": pa.array([f"p{i:06d}" for i in range(n)]),
            "time": pa.array(start + np.arange(n) * np.timedelta64(60, "s")),
            "amount": pa.array(rng.gamma(2.0, 50.0, n).astype(np.float32)),
            "age": pa.array(rng.integers(18, 90, n), pa.int16()),
            "Income": pa.array(rng.gamma(2.0, 900.0, n), mask=empty),
            "shop": pa.array(rng.choice(["a", "b", "é"], n), mask=rng.random(n) < 0.1),
            "grade": pa.array(rng.integers(1, 4, n), pa.int8()),
            "known": pa.array(rng.random(n) < 0.5),
            "sex": pa.array(rng.choice(["f", "m"], n)),
            "fraud": pa.array(rng.integers(0, 2, n)),
            "note": pa.array(["not declared"] * n),
        }
    )


def changed(table, cells):
    """Return a table with other cells: (column, row) -> value."""
    for (name, row), value in cells.items():
        column = table[name].to_pylist()
        column[row] = value
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.array(column, table.schema.field(name).type))
    return table


@pytest.fixture(scope="module")
def artefact(tmp_path_factory):
    """A small network with a proven graph, and the reference of its training rows."""
    from fintech_dl import MLP, NeuralClassifier
    from fintech_dl.evaluation.reference import describe_feature
    from fintech_dl.features.rows import as_they_are

    table = {k: v for k, v in CARDS["pipeline"]["table"].items() if k != "use"}
    card = open_cards().dataset
    X = as_they_are(check_rows(from_arrow(rows()), card).clean, **table).X
    y = (X["amount"] + 20 * np.random.default_rng(0).normal(size=N) > 110).astype(int)
    model = NeuralClassifier(network=MLP(units=[8]), epochs=1, random_state=0).fit(X, y)
    features = [describe_feature(name, X[name]) for name in X]
    score = {"edges": [0.25, 0.5, 0.75], "counts": [0, 0, 0, 0], "rows": 0, "of": "test"}
    reference = {"format": 1, "rows": N, "features": features, "score": score}
    folder = tmp_path_factory.mktemp("artefact") / "artefact"
    return save(model, folder, records={"cards": named(CARDS), "reference": reference})


def named(cards):
    return {name: {"name": name, "card": card} for name, card in cards.items()}


def open_cards():
    from types import SimpleNamespace

    from fintech_dl.cards import DatasetCard
    from fintech_dl.records import build

    return SimpleNamespace(dataset=build(DatasetCard, CARDS["dataset"], "rows"))


def with_cards(artefact, folder, **parts):
    """Save the artefact again with other parts of its pipeline card."""
    record = read_record(artefact, "cards")
    record["pipeline"]["card"] = {**record["pipeline"]["card"], **parts}
    kept = ("model.skops", "model.onnx", "graph.json", "parity.json")
    files = {name: data for name, data in read_files(artefact).items() if name in kept}
    return save(None, folder, files=files, records={"cards": record})


def plan_of(run, artefact, files, *, target=262_144, text=False, **changes):
    """Make a run's folder and the plan to score these files in it."""
    for name in FOLDERS:
        (run / name).mkdir(parents=True)
    opened = open_artefact(artefact)
    originals = find_inputs(list(files))
    sources = [
        land_csv(one, run, f"{i:05d}.parquet") if text else parquet_source(one)[0]
        for i, one in enumerate(originals)
    ]
    plan = Plan(
        key="5ea1" * 16,
        artefact=json.loads((artefact / "MANIFEST.json").read_text())["seal"],
        artefact_path=str(artefact),
        pipeline=opened.pipeline.name,
        dataset=opened.dataset.name,
        originals=originals,
        history=None,
        sources=sources,
        shards=cut_shards(sources, target),
        stage="rows",
        as_of=AS_OF,
        as_of_given=None,
        duplicates="quarantine",
        repeated=None,
        reasons=False,
        sink={},
        versions={},
        landed_quarantine=None,
        schema_sha256="",
    )
    return replace(plan, **changes)


def score_all(run, plan):
    """Score every shard; return the commits, all scores and all rows set aside."""
    engine = open_engine(run, plan)
    commits = [score_shard(engine, k) for k in range(len(plan.shards))]
    parts = [pq.read_table(run / PARTS / one.part.name).to_pandas() for one in commits]
    aside = [
        pq.read_table(run / QUARANTINE / one.quarantine.name).to_pandas()
        for one in commits
        if one.quarantine
    ]
    for k, one in enumerate(commits):
        assert one.rows_in == plan.rows_of(k) == one.scored + one.quarantined
    found = pd.concat(parts, ignore_index=True)
    return commits, found, pd.concat(aside, ignore_index=True) if aside else None


def write(table, path, group=700):
    pq.write_table(table, path, row_group_size=group)
    return path


def bits(frame):
    return dict(zip(frame["source_row"], frame["score"].to_numpy().view("int64"), strict=True))


@pytest.fixture(scope="module")
def told(artefact):
    """What `score` says of the clean rows."""
    return score(artefact, rows().to_pandas().astype({"age": "int16"}))


def test_clean_rows_get_the_bits_of_score(artefact, told, tmp_path):
    file = write(rows(), tmp_path / "new.parquet")
    (commit,), found, aside = score_all(
        tmp_path / "run", plan_of(tmp_path / "run", artefact, [file])
    )
    assert aside is None
    assert list(found) == [
        "source_file", "source_row_group", "source_row", "id", "time", "score", "alert"
    ]  # fmt: skip
    assert found["score"].to_numpy().tobytes() == told["score"].to_numpy().tobytes()
    assert found["alert"].tolist() == told["alert"].tolist()
    assert 0 < commit.alerts == found["alert"].sum() < N
    assert found["id"].tolist() == told["id"].tolist()
    assert (found["time"].to_numpy() == told["time"].to_numpy()).all()
    assert found["source_row"].tolist() == list(range(1, N + 1))
    assert found["source_row_group"].tolist() == [i // 700 for i in range(N)]
    assert set(found["source_file"]) == {str(file)}
    assert commit.ids == {"min": "p000000", "max": f"p{N - 1:06d}"}
    assert not json.loads((tmp_path / "run/commits/00000.json").read_text())["quarantined"]


BAD = {
    ("amount", 3): -1.0,
    ("amount", 4): float("nan"),
    ("amount", 5): float("inf"),
    ("Income", 6): float("-inf"),
    ("age", 7): None,
    ("age", 8): 17,
    ("grade", 9): 4,
    ("sex", 10): "x",
    ("known", 11): None,
    ("id", 12): None,
    ("time", 13): np.datetime64("2027-01-01", "us").item(),
    ("amount", 1500): -2.0,
    ("age", 1500): 200,
    ("sex", 2999): None,
}


def test_bad_rows_are_set_aside_as_the_contract_says_and_no_neighbour_changes(
    artefact, told, tmp_path
):
    table = changed(rows(), BAD)
    file = write(table, tmp_path / "new.parquet")
    run = tmp_path / "run"
    commits, found, aside = score_all(run, plan_of(run, artefact, [file], target=1400))
    assert len(commits) == 3
    kept = [row for row in range(N) if row not in {row for _, row in BAD}]
    assert found["source_row"].tolist() == [row + 1 for row in kept]
    assert bits(found) == {row + 1: told["score"].to_numpy().view("int64")[row] for row in kept}
    checked = check_rows(from_arrow(table), open_cards().dataset, as_of=AS_OF, scoring=True)
    assert aside["reason"].tolist() == checked.quarantined["reason"].tolist()
    assert aside["source_row"].tolist() == checked.quarantined["source_row"].tolist()
    assert aside["Income"].equals(checked.quarantined["Income"].astype("float64"))
    assert "note" not in aside  # undeclared, and never read
    reasons, examples = {}, {}
    for one in commits:
        for code, n in one.quarantine_reasons.items():
            reasons[code] = reasons.get(code, 0) + n
        examples = {**one.quarantine_examples, **examples}
    assert reasons == checked.reasons
    assert examples == {code: f"{file}, {text}" for code, text in checked.examples.items()}


@pytest.mark.parametrize(("batch", "target"), [(1024, 700), (2048, 10**6)])
def test_batches_and_shards_play_no_part(artefact, told, tmp_path, monkeypatch, batch, target):
    monkeypatch.setattr(batches, "CELLS", batch * 9)
    table = changed(rows(), {("amount", 1000): -1.0})
    run = tmp_path / "run"
    plan = plan_of(run, artefact, [write(table, tmp_path / "new.parquet")], target=target)
    commits, found, _ = score_all(run, plan)
    expected = told["score"].to_numpy().view("int64")
    assert bits(found) == {row + 1: expected[row] for row in range(N) if row != 1000}
    total = added(one.counts for one in commits)
    record = read_record(artefact, "reference")
    clean = rows().to_pandas().drop(index=1000).rename(columns={"Income": "income"})
    compiled = counts.compile_reference(record)
    scores = np.delete(told["score"].to_numpy(), 1000)
    features = counts.from_frame(clean[[one["name"] for one in record["features"]]])
    assert total == counts.to_record(compiled, counts.count(compiled, features, scores))


def test_csv_gets_the_same_scores_and_the_same_reasons(artefact, told, tmp_path):
    cells = {("amount", 3): -1.0, ("grade", 9): 4, ("id", 12): None}
    table = changed(rows(), cells)
    frame = table.to_pandas().astype({"known": str})
    frame["amount"] = frame["amount"].astype("float64")
    frame.to_csv(tmp_path / "new.csv", index=False)
    text = (
        (tmp_path / "new.csv").read_text().replace("p000020,2026-01-01 00:20:00,", "p000020,soon,")
    )
    (tmp_path / "new.csv").write_text(text)
    run = tmp_path / "run"
    _, found, aside = score_all(run, plan_of(run, artefact, [tmp_path / "new.csv"], text=True))
    expected = told["score"].to_numpy().view("int64")
    left = {3, 9, 12, 20}
    assert bits(found) == {row + 1: expected[row] for row in range(N) if row not in left}
    assert aside["reason"].tolist() == [
        "below_min:amount", "not_allowed:grade", "missing:id", "wrong_type:time"
    ]  # fmt: skip
    assert aside["time"].tolist()[-1] == "soon"
    assert set(found["source_file"]) == {str(tmp_path / "new.csv")}


def test_numbers_that_no_network_can_take_are_set_aside(artefact, told, tmp_path):
    table = rows()
    place = table.schema.get_field_index("amount")
    wide = table.set_column(place, "amount", table["amount"].cast(pa.float64()))
    file = write(changed(wide, {("amount", 5): 1e39}), tmp_path / "new.parquet")
    run = tmp_path / "run"
    (commit,), found, _ = score_all(run, plan_of(run, artefact, [file]))
    assert commit.quarantine_reasons == {"too_large:amount": 1}
    assert commit.quarantine_examples == {"too_large:amount": f"{file}, row 6: amount is '1e+39'"}
    expected = told["score"].to_numpy().view("int64")
    assert bits(found) == {row + 1: expected[row] for row in range(N) if row != 5}


def test_repeated_keys_are_set_aside_where_the_plan_says_so(artefact, tmp_path):
    file = write(rows(), tmp_path / "new.parquet")
    run = tmp_path / "run"
    plan = plan_of(run, artefact, [file], target=700)
    (run / "landed").mkdir()
    again = pa.table({"source": pa.array([0, 0], pa.int32()), "row": pa.array([2, 2999])})
    pq.write_table(again, run / "landed/repeated.parquet")
    facts = facts_of(run / "landed/repeated.parquet")
    facts["path"] = f"landed/{facts.pop('name')}"
    repeated = Landed(**facts, rows=2)
    for policy, n in (("quarantine", 2), ("report", 0)):
        commits, _, aside = score_all(run, replace(plan, repeated=repeated, duplicates=policy))
        assert sum(one.quarantined for one in commits) == n
        if n:
            assert aside["source_row"].tolist() == [2, 2999]
            assert set(aside["reason"]) == {"duplicate_key:id"}
        for path in (run / "commits").iterdir():
            path.unlink()


def test_a_column_of_another_type_is_an_error_of_the_file(artefact, tmp_path):
    frame = rows().to_pandas().astype({"known": str})
    frame["amount"] = "much"
    frame.to_csv(tmp_path / "new.csv", index=False)
    run = tmp_path / "run"
    with pytest.raises(DataError, match=r"new\.csv: column 'amount': expected number.* row 1"):
        score_all(run, plan_of(run, artefact, [tmp_path / "new.csv"], text=True))
    assert not committed(run)
    frame[:20].to_csv(tmp_path / "few.csv", index=False)
    run = tmp_path / "few"
    (commit,), *_ = score_all(run, plan_of(run, artefact, [tmp_path / "few.csv"], text=True))
    assert commit.quarantine_reasons == {"wrong_type:amount": 20}
    number = rows().drop_columns(["amount"]).append_column("amount", pa.array(["much"] * N))
    run = tmp_path / "typed"
    with pytest.raises(DataError, match=r"column 'amount': expected number, the file has text"):
        score_all(run, plan_of(run, artefact, [write(number, tmp_path / "typed.parquet")]))


def test_a_source_that_changed_is_refused_and_one_that_was_touched_is_not(artefact, tmp_path):
    file = write(rows(), tmp_path / "new.parquet")
    run = tmp_path / "run"
    plan = plan_of(run, artefact, [file], target=1400)
    engine = open_engine(run, plan)
    os.utime(file, ns=(1, 1))
    assert score_shard(engine, 0).scored == 1400
    write(changed(rows(), {("age", 0): 50}), file)
    with pytest.raises(PlanError, match=r"new\.parquet: changed since the plan"):
        score_shard(engine, 1)
    file.unlink()
    with pytest.raises(PlanError, match=r"new\.parquet: cannot be read now"):
        score_shard(engine, 1)
    assert committed(run) == {0}
    assert len(list((run / "parts").iterdir())) == 1


def test_a_source_replaced_while_it_is_read_is_refused(artefact, tmp_path, monkeypatch):
    file = write(rows(), tmp_path / "new.parquet")
    other = write(changed(rows(), {("age", 0): 50}), tmp_path / "other.parquet")
    run = tmp_path / "run"
    engine = open_engine(run, plan_of(run, artefact, [file]))

    def divide(*given, **named):
        if other.exists():
            os.replace(other, file)
        return batches.divide(*given, **named)

    monkeypatch.setattr("fintech_dl.scoring.engine.divide", divide)
    with pytest.raises(PlanError, match="changed since the plan"):
        score_shard(engine, 0)
    assert not committed(run)
    assert not list((run / "parts").iterdir())


def test_the_first_commit_holds_and_the_second_leaves_nothing(artefact, tmp_path):
    file = write(changed(rows(), BAD), tmp_path / "new.parquet")
    run = tmp_path / "run"
    engine = open_engine(run, plan_of(run, artefact, [file]))
    first = score_shard(engine, 0)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert score_shard(engine, 0) == first
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_small_files_share_a_part_and_their_types_may_differ(artefact, told, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    table = changed(rows(), {("age", 5): 17, ("age", 105): 17})
    wide = table.set_column(3, "age", table["age"].cast(pa.int64()))
    wide = wide.set_column(2, "amount", wide["amount"].cast(pa.float64()))
    for i in range(10):
        one = (table if i else wide).slice(i * 100, 100)
        write(one if i != 3 else one.drop_columns(["fraud"]), folder / f"{i}.parquet")
    run = tmp_path / "run"
    (commit,), found, aside = score_all(run, plan_of(run, artefact, [folder]))
    assert commit.quarantine_reasons == {"below_min:age": 2}
    assert found["source_row"].tolist() == [i % 100 + 1 for i in range(1000) if i not in (5, 105)]
    assert set(found["source_file"]) == {str(folder / f"{i}.parquet") for i in range(10)}
    assert aside["source_file"].tolist() == [str(folder / f"{i}.parquet") for i in (0, 1)]
    expected = np.delete(told["score"].to_numpy()[:1000], [5, 105])
    assert found["score"].to_numpy().tobytes() == expected.tobytes()


def test_every_page_of_a_part_has_a_checksum(artefact, tmp_path):
    file = write(changed(rows(), BAD), tmp_path / "new.parquet")
    run = tmp_path / "run"
    (commit,), *_ = score_all(run, plan_of(run, artefact, [file]))
    for path in (run / PARTS / commit.part.name, run / QUARANTINE / commit.quarantine.name):
        data = path.read_bytes()
        group = pq.ParquetFile(path).metadata.row_group(0)
        for i in range(group.num_columns):
            column = group.column(i)
            start = column.dictionary_page_offset or column.data_page_offset
            at = start + column.total_compressed_size - 1
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            with pytest.raises(OSError, match="CRC checksum"):
                pq.read_table(path, page_checksum_verification=True)


@pytest.mark.parametrize(
    "decision",
    [
        {"rule": "capacity", "per_day": 3},
        {"rule": "threshold", "threshold": 0.5},
        {"rule": "cost", "false_alarm": 5.0, "miss": 90.0},
        None,
    ],
)
def test_every_decision(artefact, tmp_path, decision):
    folder = with_cards(artefact, tmp_path / "artefact", decision=decision)
    run = tmp_path / "run"
    file = write(rows(), tmp_path / "new.parquet")
    (commit,), found, _ = score_all(run, plan_of(run, folder, [file]))
    if decision is None or decision["rule"] == "capacity":  # told of all rows of a day at the end
        assert "alert" not in found
        assert commit.alerts is None
    else:
        expected = score(folder, rows().to_pandas().astype({"age": "int16"}))["alert"]
        assert found["alert"].tolist() == expected.tolist()
        assert commit.alerts == expected.sum()
    assert commit.counts == {}  # an artefact without a reference


def test_models_without_a_network_score_by_themselves(tmp_path):
    folder = make_plain(tmp_path / "artefact")
    frame = payments(500)
    frame.loc[7, "amount"] = -1.0
    frame.to_parquet(tmp_path / "new.parquet", index=False)
    run = tmp_path / "run"
    (commit,), found, _ = score_all(run, plan_of(run, folder, [tmp_path / "new.parquet"]))
    assert commit.quarantined == 1
    expected = score(folder, payments(500))["score"].to_numpy()
    np.testing.assert_allclose(found["score"], np.delete(expected, 7), rtol=1e-12)
    assert PIPELINE["decision"]["rule"] == "threshold"
    assert found["alert"].any()


def test_networks_without_a_proven_graph_are_refused(artefact, tmp_path):
    files = dict(read_files(artefact))
    parity = {"format": 1, "passed": False, "reason": "they differ by up to 0.5"}
    kept = {"model.skops": files["model.skops"]}
    records = {"cards": named(CARDS)}
    file = write(rows(10), tmp_path / "new.parquet")
    for i, more in enumerate(({"parity.json": json.dumps(parity).encode()}, {})):
        folder = save(None, tmp_path / f"artefact{i}", files={**kept, **more}, records=records)
        plan = plan_of(tmp_path / f"run{i}", folder, [file])
        with pytest.raises(ArtefactError, match=r"no graph \(model\.onnx\).*extra `export`"):
            open_engine(tmp_path / f"run{i}", plan)


def test_another_artefact_is_not_that_of_the_plan(artefact, tmp_path):
    folder = tmp_path / "artefact"
    shutil.copytree(artefact, folder)
    run = tmp_path / "run"
    plan = plan_of(run, folder, [write(rows(10), tmp_path / "new.parquet")])
    (folder / "model.onnx").write_bytes(b"x")
    with pytest.raises(ArtefactError, match="changed since it was saved"):
        open_engine(run, plan)
    shutil.rmtree(folder)
    with_cards(artefact, folder, decision=None)
    with pytest.raises(PlanError, match="another artefact"):
        open_engine(run, plan)


def test_an_artefact_swapped_while_it_is_opened_is_refused(artefact, tmp_path, monkeypatch):
    """What is used has the seal that is compared: both are of one reading."""
    folder, other = shutil.copytree(artefact, tmp_path / "artefact"), tmp_path / "other"
    with_cards(artefact, other, decision=None)
    read, times = sealed._manifest, []

    def swapped(path):
        times.append(path)
        found = read(path)
        if other.exists():
            folder.rename(tmp_path / "old")
            other.rename(folder)
        return found

    monkeypatch.setattr(sealed, "_manifest", swapped)
    with pytest.raises(ArtefactError, match=r"missing: 'reference\.json'"):
        open_artefact(folder)
    open_artefact(folder)
    assert len(times) == 2


@pytest.mark.parametrize("data", [b"null", b"[1]"])
def test_a_reference_that_is_no_record_is_refused(data, artefact, tmp_path):
    files = {**read_files(artefact), "reference.json": data}
    sealed.write_files(tmp_path / "artefact", files)
    file = write(rows(10), tmp_path / "new.parquet")
    plan = plan_of(tmp_path / "run", tmp_path / "artefact", [file])
    with pytest.raises(ArtefactError, match=r"its reference\.json cannot be used"):
        open_engine(tmp_path / "run", plan)


def test_features_that_were_landed_get_the_same_bits(artefact, told, tmp_path):
    file = write(rows(), tmp_path / "new.parquet")
    run = tmp_path / "run"
    plan = plan_of(run, artefact, [file])
    card = open_cards().dataset
    clean = check_rows(from_arrow(rows()), card).clean
    features = clean[[one["name"] for one in read_record(artefact, "reference")["features"]]]
    carried = clean[["id", "time", "amount"]].assign(
        source_file=pd.Categorical(["somewhere.csv"] * N),
        source_row_group=np.int32(0),
        source_row=np.arange(N, 0, -1),
    )
    table = pack(pd.concat([features, carried.rename(columns=lambda n: CARRIED + n)], axis=1))
    source = land(run, "features.parquet", table.schema, [table], "features", group_rows=700)
    plan = replace(plan, stage="features", sources=[source], shards=cut_shards([source], 1400))
    commits, found, aside = score_all(run, plan)
    assert len(commits) == 3
    assert aside is None
    assert found["score"].to_numpy().tobytes() == told["score"].to_numpy().tobytes()
    assert found["alert"].tolist() == told["alert"].tolist()
    assert found["source_row"].tolist() == list(range(N, 0, -1))
    assert set(found["source_file"]) == {"somewhere.csv"}
    assert found["id"].tolist() == told["id"].tolist()
    assert added(one.counts for one in commits)["rows"] == N


HEAVY = ["pandas", "sklearn", "skops", "keras", "tensorflow", "jax", "scipy", "duckdb"]
CODE = """
import sys
from pathlib import Path
from fintech_dl.scoring.engine import open_engine, score_shard
from fintech_dl.scoring.plan import read_plan
run = Path(sys.argv[1])
plan = read_plan(run)
print(score_shard(open_engine(run, plan), 0).scored)
print([name for name in {heavy} if name in sys.modules])
"""


@pytest.mark.parametrize("dirty", [False, True])
def test_nothing_heavy_is_imported(artefact, tmp_path, dirty):
    from fintech_dl.scoring.plan import PLAN, to_bytes

    run = tmp_path / "run"
    table = changed(rows(), BAD if dirty else {})
    plan = plan_of(run, artefact, [write(table, tmp_path / "new.parquet")])
    (run / PLAN).write_bytes(to_bytes(plan))
    heavy = HEAVY[1:] if dirty else HEAVY  # only rows that are not plainly clean need pandas
    code = CODE.replace(
        "{heavy}", repr([name for name in heavy if not (dirty and name == "scipy")])
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(run)], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert int(lines[0]) == (N - 13 if dirty else N)
    assert lines[1] == "[]"
