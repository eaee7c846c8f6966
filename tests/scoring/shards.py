"""A planned run for tests of executors, and what its commits hold."""

import importlib.util
import json
import sys
from pathlib import Path

from fintech_dl.scoring.commits import committed, read_commit
from fintech_dl.scoring.plan import PLAN, Piece, Plan, Source, to_bytes
from tests.scoring.artefacts import make_artefact, payments, write

STAND_IN = Path(__file__).parent / "stand_in"


def plan_of(shards: int, rows: int = 10) -> Plan:
    source = Source(
        path="/a", bytes=1, sha256="", mtime_ns=0, row_groups=[rows] * shards, name="/a"
    )
    pieces = [
        [Piece(source=0, row_groups=[k], first_row=1 + k * rows, rows=rows)] for k in range(shards)
    ]
    return Plan(
        key="5ea1" * 16,
        artefact="a" * 64,
        artefact_path="/artefact",
        pipeline="fraud",
        dataset="cards",
        originals=[],
        history=None,
        sources=[source],
        shards=pieces,
        stage="rows",
        as_of="",
        as_of_given=None,
        duplicates="report",
        repeated=None,
        reasons=False,
        sink={},
        versions={},
        landed_quarantine=None,
        schema_sha256="",
    )


def planned(run: Path, shards: int = 4, **faults: list[str]) -> Plan:
    """Make a run folder whose shards meet these faults, named ``_3`` for shard 3, or ``open``."""
    for name in ("parts", "commits"):
        (run / name).mkdir(parents=True)
    plan = plan_of(shards)
    (run / PLAN).write_bytes(to_bytes(plan))
    order(run, **faults)
    return plan


def order(run: Path, **faults: list[str]) -> None:
    text = json.dumps({name.strip("_"): what for name, what in faults.items()})
    (run / "faults.json").write_text(text)


def use_stand_in(monkeypatch) -> None:
    """Put the stand-in in the place of the engine, here and in every worker."""
    monkeypatch.syspath_prepend(STAND_IN)
    name = "fintech_dl.scoring.engine"
    monkeypatch.setitem(sys.modules, name, None)  # what is there comes back at the end
    spec = importlib.util.spec_from_file_location(name, STAND_IN / "sitecustomize.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def content(run: Path, plan: Plan) -> list[tuple]:
    """Return what each commit holds, but for the names that attempts draw at random."""
    found = []
    for k in sorted(committed(run)):
        commit = read_commit(run, k, plan.key)
        data = (run / "parts" / commit.part.name).read_bytes()
        found.append((k, commit.part.sha256, data, commit.scored, commit.quarantined))
    return found


def met(run: Path, name: str | int) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(run.glob(f"met-{name}-*"))]


def score_all(folder: Path, executor: str, workers: int, monkeypatch) -> dict:
    """Score 1,000 rows in five shards by the real engine; return rows, score bits and totals."""
    from fintech_dl.scoring import plan
    from fintech_dl.scoring.jobs import score_files
    from fintech_dl.scoring.manifest import read_manifest
    from fintech_dl.scoring.reading import read_scores

    if not (folder / "artefact").exists():
        make_artefact(folder / "artefact")
        rows = payments()
        rows.loc[[3, 700], "amount"] = -1
        write(rows, folder / "rows.parquet")
    cut = plan.cut_shards
    with monkeypatch.context() as patch:
        patch.setattr("fintech_dl.scoring.planning.cut_shards", lambda all_: cut(all_, 200))
        out = folder / f"{executor}-{workers}"
        score_files(
            folder / "artefact", folder / "rows.parquet", out, workers=workers, executor=executor
        )
    (run,) = out.glob("run-*")
    manifest, _ = read_manifest(run)
    assert len(manifest["shards"]) == 5
    scores = read_scores(out)
    return {
        "rows": scores.drop(columns="score").to_csv(),
        "bits": scores["score"].to_numpy().tobytes(),
        "totals": manifest["totals"],
        "counts": manifest["counts"],
    }
