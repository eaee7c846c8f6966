"""Plans: shards from row groups, keys from what makes a run, bytes under a seal."""

from dataclasses import asdict, replace

import pytest

from fintech_dl.errors import DataError
from fintech_dl.scoring.plan import (
    PLAN,
    TARGET_ROWS,
    Landed,
    Original,
    Source,
    cut_shards,
    parse_plan,
    read_plan,
    run_key,
    to_bytes,
)
from tests.scoring.shards import plan_of


def source(*row_groups, name="a", first_row=1):
    groups = list(row_groups)
    about = {"bytes": 1, "sha256": "", "mtime_ns": 0, "name": name, "path": f"/{name}"}
    return Source(**about, row_groups=groups, first_row=first_row)


def told(shards):
    return [[(p.source, p.row_groups, p.first_row, p.rows) for p in shard] for shard in shards]


def test_shards_hold_every_row_once_whatever_the_files():
    files = [source(3, 3, 3), source(), source(0, 1, 0, 1), source(50), source(2, first_row=11)]
    assert told(cut_shards(files, 7)) == [
        [(0, [0, 1], 1, 6)],
        [(0, [2], 7, 3), (2, [1], 1, 1), (2, [3], 2, 1)],
        [(3, [0], 1, 50)],
        [(4, [0], 11, 2)],
    ]
    for target in (1, 2, 5, 100):
        shards = cut_shards(files, target)
        pieces = [piece for shard in shards for piece in shard]
        assert all(
            sum(p.rows for p in shard) <= max(target, max(p.rows for p in shard))
            for shard in shards
        )
        groups = [(p.source, group) for p in pieces for group in p.row_groups]
        assert groups == sorted(set(groups))
        assert sum(p.rows for p in pieces) == 63
    assert cut_shards([source(), source(0)]) == []


def test_many_small_files_share_shards_and_a_giant_row_group_has_its_own():
    small = cut_shards([source(10, name=str(i)) for i in range(10_000)])
    assert len(small) == 1
    assert len(small[0]) == 10_000
    giant = cut_shards([source(5, 3 * TARGET_ROWS, 5)])
    assert told(giant)[1] == [(0, [1], 6, 3 * TARGET_ROWS)]
    assert len(giant) == 3


def test_a_key_tells_whatever_changes_the_result():
    rows = Original(name="/new.parquet", bytes=4, sha256="ab", mtime_ns=1)
    past = replace(rows, name="/history.parquet", sha256="cd")
    base = ("5ea1", [rows], None, None, "report", False, {})
    others = [
        ("5ea2", *base[1:]),
        ("5ea1", [replace(rows, sha256="ac")], *base[2:]),
        ("5ea1", [replace(rows, name="/old.parquet")], *base[2:]),
        ("5ea1", [rows, past], *base[2:]),
        ("5ea1", [past, rows], *base[2:]),
        ("5ea1", [replace(rows, query="DATABASE")], *base[2:]),
        ("5ea1", [rows], past, *base[3:]),
        ("5ea1", [rows], None, "2026-11-22", *base[4:]),
        ("5ea1", [rows], None, None, "fail", False, {}),
        ("5ea1", [rows], None, None, "report", True, {}),
        ("5ea1", [rows], None, None, "report", False, {"kind": "sql"}),
        (*base, 1),
    ]
    keys = [run_key(*base), *(run_key(*other) for other in others)]
    assert len(set(keys)) == len(keys)
    touched = replace(rows, mtime_ns=2)  # the same bytes, copied anew
    assert run_key("5ea1", [touched], *base[2:]) == keys[0]
    assert run_key(*base, 0) == keys[0]


def full():
    landed = Landed(path="landed/q.parquet", bytes=3, sha256="ef", rows=2, reasons={"a": 2})
    file = Original(name="/é\udcff.parquet", bytes=4, sha256="ab", mtime_ns=1)
    plan = plan_of(3)
    return replace(
        plan, originals=[file], history=file, repeated=landed, landed_quarantine=landed,
        facts={"intervals": {"outcomes": 3, "complete": True}}, as_of="2026-11-22",
    )  # fmt: skip


def test_a_plan_is_read_as_it_was_written(tmp_path):
    plan = full()
    (tmp_path / PLAN).write_bytes(to_bytes(plan))
    assert read_plan(tmp_path) == plan
    assert to_bytes(read_plan(tmp_path)) == to_bytes(plan)
    assert plan.rows() == 32
    assert plan.rows_of(1) == 10


def test_a_plan_of_which_a_byte_changed_is_refused(tmp_path):
    data = to_bytes(full())
    for at in range(0, len(data), 23):
        spoilt = bytearray(data)
        spoilt[at] ^= 4
        with pytest.raises(DataError, match=r"changed since it was made .* score again"):
            parse_plan(bytes(spoilt), tmp_path / PLAN)
    for cut in (0, 1, len(data) // 2, len(data) - 1):
        with pytest.raises(DataError, match="changed since it was made"):
            parse_plan(data[:cut], tmp_path / PLAN)
    with pytest.raises(DataError, match="cannot be read"):
        read_plan(tmp_path)


def test_a_plan_of_another_format_says_so(tmp_path):
    from fintech_dl.scoring.store import sealed

    newer = sealed({**asdict(plan_of(1)), "format": 2})
    with pytest.raises(DataError, match="is of format 2, this version of fintech_dl reads 1"):
        parse_plan(newer, tmp_path / PLAN)
    strange = sealed({**asdict(plan_of(1)), "stage": "somewhere"})
    with pytest.raises(DataError, match="stage: got 'somewhere'"):
        parse_plan(strange, tmp_path / PLAN)
