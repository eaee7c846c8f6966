"""What is published is whole, adds up, and is read by the manifest only."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fintech_dl.cards import Decision
from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.alerts import decide
from fintech_dl.scoring import store
from fintech_dl.scoring.audit import verify
from fintech_dl.scoring.capacity import find_cuts
from fintech_dl.scoring.commits import (
    commit_path,
    committed,
    made,
    part_path,
    read_commit,
    write_commit,
)
from fintech_dl.scoring.export import export_scores
from fintech_dl.scoring.manifest import LATEST, MANIFEST, SUCCESS, finish, latest, read_manifest
from fintech_dl.scoring.plan import Source, cut_shards, read_own, read_plan
from fintech_dl.scoring.reading import (
    read_quarantine,
    read_reasons,
    read_score_batches,
    read_scores,
)
from fintech_dl.scoring.status import gc, status
from tests.scoring.finished import finished


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    finished(folder, shards=3, rows=40, quarantined=2)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "scores")


def run_of(folder):
    (run,) = folder.glob("run-*")
    return run


def unpublish(folder):
    run = run_of(folder)
    for path in (run / MANIFEST, run / SUCCESS, folder / LATEST):
        path.unlink()
    return run, read_plan(run)


def change(run, k, **values):
    """Put another commit in the place of one, under a seal that fits."""
    commit = replace(read_commit(run, k, read_plan(run).key), **values)
    commit_path(run, k).unlink()
    write_commit(run, commit)


def test_scores_are_read_in_the_order_of_the_shards(folder):
    frame = read_scores(folder)
    assert len(frame) == 120
    assert frame["source_row"].is_monotonic_increasing
    assert frame.equals(read_scores(run_of(folder)))
    few = read_scores(folder, ["score", "id"])
    assert list(few.columns) == ["score", "id"]
    assert few["score"].to_numpy().tobytes() == frame["score"].to_numpy().tobytes()
    batches = list(read_score_batches(folder))
    assert pa.Table.from_batches(batches).num_rows == 120
    assert {batch.schema for batch in batches} == {batches[0].schema}
    with pytest.raises(UsageError, match=r"no column 'scores' in the scores; did you mean 'score'"):
        read_scores(folder, ["scores"])


def test_whoever_reads_scores_reads_the_manifest_once(folder, tmp_path, monkeypatch):
    read = []

    def counted(path):
        read.append(path.name)
        return read_own(path)

    monkeypatch.setattr("fintech_dl.scoring.manifest.read_own", counted)
    for what in (
        lambda: read_scores(folder),
        lambda: read_scores(run_of(folder)),
        lambda: list(read_score_batches(folder)),
        lambda: read_quarantine(folder),
        lambda: read_reasons(folder),
        lambda: export_scores(folder, tmp_path / "scores.csv"),
        lambda: export_scores(folder, tmp_path / "aside.csv", what="quarantine"),
    ):
        read.clear()
        what()
        assert read.count(MANIFEST) == 1


def test_the_manifest_adds_up(folder):
    manifest, digest = read_manifest(run_of(folder))
    assert manifest["totals"]["rows"] == 126
    assert (manifest["totals"]["scored"], manifest["totals"]["quarantined"]) == (120, 6)
    assert manifest["totals"]["alerts"] == read_scores(folder)["alert"].sum()
    assert json.loads((folder / LATEST).read_bytes()) == {
        "run": run_of(folder).name,
        "manifest_sha256": digest,
    }
    assert verify(folder) == {"runs": 1, "shards": 3, "files": 6, "rows": 126, "faults": []}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"rows_in": 41}, r"42 rows are planned, 41 were read, 40 scored and 2 set aside"),
        ({"scored": 39}, r"39 scored and 2 set aside: rows were lost"),
        ({"scored": 41, "quarantined": 1}, r"41 rows were scored, its part holds 40"),
    ],
)
def test_rows_that_do_not_add_up_are_never_published(folder, values, told):
    run, plan = unpublish(folder)
    change(run, 1, **values)
    with pytest.raises(DataError, match=f"shard 1: .*{told}"):
        finish(run, plan)
    assert not (run / MANIFEST).exists()
    assert not (folder / LATEST).exists()


@pytest.mark.parametrize("place", ["commits", "parts", "quarantine"])
@pytest.mark.parametrize("how", ["gone", "cut", "flipped", "swapped"])
def test_a_damaged_file_is_never_published_and_is_found_after(folder, place, how):
    path, other = sorted((run_of(folder) / place).iterdir())[:2]
    if how == "gone":
        path.unlink()
    elif how == "swapped":
        shutil.copy(other, path)
    else:
        data = bytearray(path.read_bytes())
        half = len(data) // 2
        data[half] ^= 1
        path.write_bytes(data[:half] if how == "cut" else data)
    (fault,) = verify(folder)["faults"]
    assert str(path) in fault
    if place == "parts":
        with pytest.raises(DataError, match=path.name):
            read_scores(folder)
    run, plan = unpublish(folder)
    with pytest.raises(DataError, match=path.name):
        finish(run, plan)
    assert not (run / MANIFEST).exists()


def test_a_manifest_of_another_run_is_a_fault(folder, tmp_path):
    other, _ = finished(tmp_path / "other", shards=2, rows=40)
    shutil.copy(other / MANIFEST, run_of(folder) / MANIFEST)
    faults = verify(run_of(folder))["faults"]
    told = [text.rpartition(": ")[2] for text in faults]
    assert told.count("is not the one of the manifest") == 3  # two commits, and the plan
    assert told.count("is of another run than plan.json") == 1


def test_a_success_that_is_none_is_found(folder):
    (run_of(folder) / SUCCESS).write_text("no")
    assert "_SUCCESS" in verify(folder)["faults"][0]


def test_a_changed_page_is_found_though_the_digest_is_made_to_fit(folder):
    run = run_of(folder)
    path = sorted((run / "parts").iterdir())[0]
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)
    unpublish(folder)
    change(run, 0, part=made(path))
    finish(run, read_plan(run))
    assert len(verify(folder)["faults"]) == 1
    with pytest.raises((OSError, pa.ArrowException)):
        read_scores(folder)


def test_too_many_rows_set_aside_are_not_published(folder, caplog):
    run, plan = unpublish(folder)
    aside = {"below_min:amount": 2}
    change(run, 2, quarantine_reasons=aside, quarantine_examples={"below_min:amount": "row 9: -3"})
    told = r"6 of 126 rows \(4\.8%\) .*below_min:amount 2 rows; allowed are 4\.0%.*row 9: -3"
    with pytest.raises(DataError, match=told):
        finish(run, plan, max_quarantined=0.04)
    assert not (run / MANIFEST).exists()
    finish(run, plan, max_quarantined=0.05)
    assert "6 of 126 rows (4.8%) break the contract: below_min:amount 2 rows." in caplog.text
    assert latest(folder) == run


def test_the_first_commit_holds_and_a_loser_deletes_its_own_files_only(folder):
    run, plan = unpublish(folder)
    first = read_commit(run, 0, plan.key)
    mine = part_path(run, "parts", 0, store.attempt())
    shutil.copy(run / "parts" / first.part.name, mine)
    assert write_commit(run, replace(first, part=made(mine), alerts=0)) == first
    assert not mine.exists()
    assert (run / "parts" / first.part.name).exists()
    assert write_commit(run, first) == first  # its own, committed before
    assert (run / "parts" / first.part.name).exists()
    assert committed(run) == {0, 1, 2}


@pytest.mark.parametrize("pointer", [b"", b"{}", b"[]", b'{"run": "../run-x"}', b'{"run": 1}'])
def test_a_damaged_pointer_is_told_and_made_anew(folder, pointer):
    (folder / LATEST).write_bytes(pointer)
    with pytest.raises(DataError, match=r"latest\.json: changed since .* it writes the pointer an"):
        read_scores(folder)
    assert verify(folder)["faults"]
    run = run_of(folder)
    finish(run, read_plan(run))
    assert len(read_scores(folder)) == 120


def test_a_manifest_that_is_another_one_is_told(folder):
    run = run_of(folder)
    manifest, _ = read_manifest(run)
    (run / MANIFEST).write_bytes(store.sealed({**manifest, "created": "2020-01-01"}))
    with pytest.raises(DataError, match=r"is not the one that latest.json points to"):
        read_scores(folder)
    (run / MANIFEST).write_bytes(store.sealed({"format": 2}))
    with pytest.raises(DataError, match="its format is 2, not 1"):
        read_manifest(run)


def test_alerts_by_the_day_are_those_of_all_rows_at_once(tmp_path):
    rng = np.random.default_rng(0)
    rows, per_day = 3_000, 5
    when = pd.date_range("2026-01-01", periods=rows, freq="7min")
    score = rng.integers(0, 40, rows) / 40  # many are equal
    run = tmp_path / "run-0"
    for name in ("parts", "commits"):
        (run / name).mkdir(parents=True)
    about = {"bytes": 1, "sha256": "", "mtime_ns": 0}
    files = [Source(**about, path=f"/{name}", name=name, row_groups=[500, 500]) for name in "zya"]
    base, _ = finished(tmp_path / "base")
    plan = replace(
        read_plan(base), sources=files, shards=cut_shards(files, 500), facts={"time": "time"}
    )
    commits = []
    for k in range(6):
        at = slice(k * 500, (k + 1) * 500)
        part = part_path(run, "parts", k, store.attempt())
        name = "zya"[k // 2]
        table = {
            "source_file": pa.array([name] * 500).dictionary_encode(),
            "source_row": np.arange(500) + 1 + 500 * (k % 2),
            "time": when[at].astype("datetime64[us]"),
            "score": score[at],
        }
        pq.write_table(pa.table(table), part, write_page_checksum=True)
        old = read_commit(base, 0, plan.key)
        commits.append(replace(old, shard=k, part=made(part), rows_in=500, scored=500))
        write_commit(run, commits[-1])
    cuts = find_cuts(run, plan, commits, per_day)
    wanted = decide(Decision(rule="capacity", per_day=per_day), score, when=when)
    assert sum(cut["alerts"] for cut in cuts.values()) == wanted.sum()
    for path in (run / "plan.json",):
        from fintech_dl.scoring.plan import to_bytes

        path.write_bytes(to_bytes(plan))
    finish(run, plan, decision=Decision(rule="capacity", per_day=per_day))
    frame = read_scores(run)
    assert frame["alert"].tolist() == wanted.tolist()
    assert read_scores(run, ["alert"])["alert"].tolist() == wanted.tolist()
    assert read_manifest(run)[0]["totals"]["alerts"] == wanted.sum()


def test_status_tells_what_is_done_and_what_is_broken(folder):
    assert status(folder)["runs"][0]["state"] == "finished"
    run, _ = unpublish(folder)
    commit_path(run, 2).unlink()
    found = status(folder)
    (about,) = found["runs"]
    assert (found["latest"], found["lock"]) == (None, "free")
    assert (about["state"], about["done"], about["left"]) == ("unfinished", 2, 1)
    assert (about["rows"], about["rows_done"], about["quarantined"]) == (126, 84, 4)
    commit_path(run, 1).write_bytes(b"torn")
    (about,) = status(folder)["runs"]
    assert about["state"] == "damaged"
    assert "00001.json: changed since it was written" in about["broken"][0]


def test_gc_removes_what_no_commit_names(folder):
    run = run_of(folder)
    orphans = [run / "parts" / "part-00001-00000000.parquet", run / "commits" / ".x.1.tmp"]
    orphans.append(run / "quarantine" / "broken-1-part.parquet")
    import os

    end = (run / MANIFEST).stat().st_mtime_ns
    for path in orphans:
        path.write_bytes(b"left")
        os.utime(path, ns=(end - 1, end - 1))
    newer, note = run / "parts" / "part-00001-11111111.parquet", run / "monitor.json"
    newer.write_bytes(b"of a process that still lives")
    os.utime(newer, ns=(end + 10**9, end + 10**9))
    note.write_text("{}")
    before = sorted(path for path in folder.rglob("*") if path.name != ".lock")
    told = gc(folder, dry_run=True)
    assert sorted(told["files"]) == sorted(map(str, orphans))
    assert sorted(path for path in folder.rglob("*") if path.name != ".lock") == before
    assert gc(folder)["bytes"] == 12
    left = {path for path in folder.rglob("*") if path.name != ".lock"}
    assert left == set(before) - set(orphans)
    assert verify(folder)["faults"] == []


def test_gc_removes_older_runs_only_if_asked_to(folder):
    old = run_of(folder)
    new, _ = finished(folder, shards=1, seed=5)
    assert gc(folder)["runs"] == []
    assert gc(folder, older_runs=True, dry_run=True)["runs"] == [old.name]
    assert old.exists()
    assert gc(folder, older_runs=True)["runs"] == [old.name]
    assert not old.exists()
    assert latest(folder) == new
