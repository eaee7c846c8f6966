"""A run's last word: every shard's commit under one seal, after all is counted again."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from fintech_dl.cards import Decision
from fintech_dl.errors import DataError
from fintech_dl.scoring import store
from fintech_dl.scoring.commits import (
    PARTS,
    Commit,
    fault_of,
    files_of,
    read_commit_and_digest,
)
from fintech_dl.scoring.opened import NO_WINDOW
from fintech_dl.scoring.plan import PLAN, Plan, read_own

FORMAT = 1
MANIFEST, SUCCESS, LATEST = "MANIFEST.json", "_SUCCESS", "latest.json"
WARN_ABOVE = 0.01  # share of rows set aside
SHOWN = 5  # reasons in an error text

log = logging.getLogger("fintech_dl.scoring")


def finish(
    run: Path, plan: Plan, max_quarantined: float = 1.0, decision: Decision | None = None
) -> dict[str, Any]:
    """Count everything again; if nothing is missing, publish the run.

    A warning is logged where more than 1 % of the rows were set aside.

    Parameters
    ----------
    run : Path
        The run's folder.
    plan : Plan
    max_quarantined : float
        Share of rows set aside above which nothing is published.
    decision : cards.Decision, optional
        The card's; ``capacity`` is decided here, by the day, over all shards.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    DataError
        A shard is missing or damaged, its rows do not add up, or too many rows were set aside.
    OSError
        The folder cannot be written.
    """
    path = run / MANIFEST
    if not path.exists():
        body = _manifest(run, plan, max_quarantined, decision)
        store.create(path, store.sealed(body), "manifest")
    manifest, digest = read_manifest(run)
    store.create(run / SUCCESS, b"", "success")
    pointer = {"run": run.name, "manifest_sha256": digest}
    store.replace(run.parent / LATEST, store.to_json(pointer), "pointer")
    return manifest


def read_manifest(run: Path) -> tuple[dict[str, Any], str]:
    """Return the manifest of a finished run, and the SHA-256 of its bytes.

    Raises
    ------
    DataError
        There is none, or it was changed since it was written.
    """
    path = run / MANIFEST
    data = read_own(path)
    try:
        manifest = store.unsealed(data)
        if manifest.get("format") != FORMAT:
            raise ValueError(f"its format is {manifest.get('format')!r}, not {FORMAT}")
        if not {"key", "totals", "shards", "sources"} <= manifest.keys():
            raise ValueError("it is not whole")
    except ValueError as error:
        raise DataError(
            f"{path}: changed since it was written ({error}). Restore it from a copy, or remove "
            f"{run} and score again"
        ) from error
    return manifest, sha256(data).hexdigest()


class Published(NamedTuple):
    """A finished run, read once.

    Attributes
    ----------
    run : Path
        Its folder.
    manifest : dict
    digest : str
        SHA-256 of the manifest's bytes.
    """

    run: Path
    manifest: dict[str, Any]
    digest: str


def read_latest(folder: str | Path) -> Published:
    """Return the run to read: the folder itself if it is one, else the run that is published.

    Raises
    ------
    DataError
        No run is finished there, or the pointer or the manifest was changed.
    """
    folder = Path(folder)
    if (folder / PLAN).exists():
        return Published(folder, *read_manifest(folder))
    path = folder / LATEST
    if not path.exists():
        raise DataError(
            f"{folder}: holds no finished scores; see fintech-dl status, and name the folder that "
            "was given to fintech-dl score with -o"
        )
    try:
        data = read_own(path)
        pointer = json.loads(data)
        name, digest = str(pointer["run"]), str(pointer["manifest_sha256"])
        if store.to_json(pointer) != data:
            raise ValueError("its bytes are others")
        if Path(name).name != name or not (name.startswith("run-") and (folder / name).is_dir()):
            raise ValueError(f"it names {name!r}")
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path}: changed since it was written ({error}). Run fintech-dl score with the same "
            "arguments again: it writes the pointer anew"
        ) from error
    found = Published(folder / name, *read_manifest(folder / name))
    if found.digest != digest:
        raise DataError(
            f"{folder / name / MANIFEST}: is not the one that {LATEST} points to. Restore it from "
            "a copy, or remove the run and score again"
        )
    return found


def latest(folder: str | Path) -> Path:
    """Return the folder of the run to read, as `read_latest`."""
    return read_latest(folder).run


def check_commit(run: Path, plan: Plan, k: int) -> tuple[Commit, str]:
    """Return a shard's commit and its digest, after its files and its rows were checked.

    Raises
    ------
    DataError
        The commit or one of its files is missing or changed, or its rows do not add up.
    """
    commit, digest = read_commit_and_digest(run, k, plan.key)
    for path, file in files_of(run, commit):
        if fault := fault_of(path, file):
            raise DataError(f"shard {k}: {fault}")
    if not commit.rows_in == plan.rows_of(k) == commit.scored + commit.quarantined:
        raise DataError(
            f"shard {k}: {plan.rows_of(k):,} rows are planned, {commit.rows_in:,} were read, "
            f"{commit.scored:,} scored and {commit.quarantined:,} set aside: rows were lost"
        )
    rows = rows_in(run / PARTS / commit.part.name)
    if rows != commit.scored:
        raise DataError(f"shard {k}: {commit.scored:,} rows were scored, its part holds {rows:,}")
    return commit, digest


def rows_in(path: Path) -> int:
    """Return how many rows a Parquet file says that it has.

    Raises
    ------
    DataError
        It is none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: is no Parquet file ({error})") from error


def _manifest(
    run: Path, plan: Plan, max_quarantined: float, decision: Decision | None
) -> dict[str, Any]:
    found = [check_commit(run, plan, k) for k in range(len(plan.shards))]
    commits = [commit for commit, _ in found]
    totals = _totals(run, plan, commits)
    if totals["rows"] != totals["scored"] + totals["quarantined"]:
        raise DataError(
            f"{run}: of {totals['rows']:,} rows {totals['scored']:,} were scored and "
            f"{totals['quarantined']:,} set aside: rows were lost; nothing is published"
        )
    _check_share(run, totals, max_quarantined)
    cuts = None
    if decision is not None and decision.rule == "capacity":
        from fintech_dl.scoring.capacity import find_cuts

        cuts = find_cuts(run, plan, commits, decision.per_day)
        totals["alerts"] = sum(cut["alerts"] for cut in cuts.values())
    return {
        "format": FORMAT,
        "key": plan.key,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "plan_sha256": sha256(read_own(run / PLAN)).hexdigest(),
        "artefact": plan.artefact,
        "pipeline": plan.pipeline,
        "dataset": plan.dataset,
        "versions": plan.versions,
        "as_of": plan.as_of,
        "inputs": [asdict(one) for one in plan.originals],
        "history": None if plan.history is None else asdict(plan.history),
        "sources": plan.files(),
        "duplicates": {
            "policy": plan.duplicates,
            "rows": plan.repeated.rows if plan.repeated else 0,
        },
        "landed_quarantine": asdict(plan.landed_quarantine) if plan.landed_quarantine else None,
        "facts": plan.facts,
        "totals": totals,
        "counts": added(commit.counts for commit in commits),
        "alerts_per_day": cuts,
        "shards": [{"sha256": digest, "commit": asdict(commit)} for commit, digest in found],
    }


def _totals(run: Path, plan: Plan, commits: list[Commit]) -> dict[str, Any]:
    reasons: Counter[str] = Counter()
    examples: dict[str, str] = {}
    aside = plan.landed_quarantine
    if aside is not None:
        reasons.update(aside.reasons)
        examples.update(aside.examples)
        if fault := fault_of(run / aside.path, aside):
            raise DataError(f"{fault}; remove {run} and score again")
    for commit in commits:
        reasons.update(commit.quarantine_reasons)
        for code, text in commit.quarantine_examples.items():
            examples.setdefault(code, text)
    alerts = [commit.alerts for commit in commits if commit.alerts is not None]
    told = [commit.told for commit in commits if commit.told is not None]
    return {
        "rows": plan.rows(),
        "scored": sum(commit.scored for commit in commits),
        "quarantined": sum(commit.quarantined for commit in commits) + (aside.rows if aside else 0),
        "alerts": sum(alerts) if alerts or not commits else None,
        "reasons": sum(told) if plan.reasons else None,
        "quarantine_reasons": dict(reasons.most_common()),
        "quarantine_examples": examples,
    }


def _check_share(run: Path, totals: dict[str, Any], max_quarantined: float) -> None:
    """Refuse to publish where too many rows were set aside; warn where it is more than usual."""
    rows, aside = totals["rows"], totals["quarantined"]
    share = aside / rows if rows else 0.0
    windows = totals["quarantine_reasons"].get(NO_WINDOW, 0)  # no rule of the contract
    broken = (aside - windows) / rows if rows else 0.0
    if share <= WARN_ABOVE and broken <= max_quarantined:
        return
    reasons = totals["quarantine_reasons"].items()
    listed = ", ".join(f"{code} {n:,} rows" for code, n in list(reasons)[:SHOWN])
    first = "; ".join(totals["quarantine_examples"].get(code, "") for code, _ in list(reasons)[:3])
    told = f"{aside:,} of {rows:,} rows ({share:.1%}) break the contract: {listed}"
    if broken > max_quarantined:
        raise DataError(
            f"{told}; allowed are {max_quarantined:.1%}, so nothing is published. The first: "
            f"{first}. The rows set aside are in {run}; correct the input, or the dataset card's "
            "contract.max_quarantined, and run the same again"
        )
    log.warning("%s. The first: %s", told, first)


def added(counts: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """Return the sum of nested counts, number by number.

    Examples
    --------
    >>> from fintech_dl.scoring.manifest import added
    >>> added(iter([{"rows": 2, "score": [1, 1]}, {"rows": 3, "score": [0, 3]}]))
    {'rows': 5, 'score': [1, 4]}
    """
    total: dict[str, Any] = {}
    for one in counts:
        total = _plus(total, one) if total else one
    return total


def _plus(a: Any, b: Any) -> Any:
    if isinstance(a, dict):
        return {key: _plus(a[key], b[key]) for key in a}
    if isinstance(a, list):
        return [_plus(x, y) for x, y in zip(a, b, strict=True)]
    return a + b
