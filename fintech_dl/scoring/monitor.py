"""Watch a model at work: what a published run's counts and later labels say, as JSON and a page."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from fintech_dl.errors import ArtefactError, NotInstalledError, PlanError, not_written
from fintech_dl.evaluation.monitoring import Part, as_reference, drift
from fintech_dl.evaluation.plain import plain
from fintech_dl.evaluation.wording import clean, count
from fintech_dl.scoring import store
from fintech_dl.scoring.manifest import added, read_latest
from fintech_dl.scoring.opened import Opened, open_planned
from fintech_dl.scoring.plan import Plan, read_plan

FILE, PAGE = "monitor.json", "monitor.html"
NAMED = 5  # alarms in the verdict's text


class Monitored(NamedTuple):
    """What monitoring a run wrote: where, and what it found.

    Attributes
    ----------
    folder : Path
        Of the run; ``monitor.json`` and ``monitor.html`` lie beside its manifest.
    record : dict
        What is in ``monitor.json``.
    """

    folder: Path
    record: dict[str, Any]


def monitor(
    folder: str | Path,
    *,
    labels: str | Path | None = None,
    against: str | Path | None = None,
    artefact: str | Path | None = None,
) -> Monitored:
    """Tell whether the rows of a published run are like those the model was made of.

    For the morning after a night job: how far features and score have moved (population stability
    index, with what chance alone gives), what was set aside, how many alerts were raised, which
    files differ most; with labels also how good the scores were. Nothing is read again but the
    counts that were made while scoring. It alarms where a change is beyond chance, all checks
    counted, and large enough to matter.

    Parameters
    ----------
    folder : str or Path
        What was given to ``fintech-dl score`` with ``-o``: its latest finished run.
    labels : str or Path, optional
        Parquet or CSV with the rows' key (or ``source_file`` and ``source_row``) and label.
    against : str or Path, optional
        Folder of another run of the same artefact to compare with, instead of the training rows.
    artefact : str or Path, optional
        Where the artefact lies now, if it was moved since.

    Returns
    -------
    Monitored
        ``folder``, that of the run, where ``monitor.json`` and ``monitor.html`` lie now, and
        ``record``: ``verdict`` (``outcome``: ``"alarm"``, ``"quiet"`` or ``"unknown"``; ``text``),
        ``alarms`` (names), ``drift`` (see ``evaluation.monitoring.drift``), ``labels``.

    Raises
    ------
    DataError
        No run is finished, or the labels cannot be used.
    ArtefactError
        The artefact is missing, incomplete or changed.
    PlanError
        The artefact is not the one that scored, or the other run is of another artefact.
    OutputError
        The run's folder cannot be written.

    Warns
    -----
    UserWarning
        The page was not made, because the extra ``report`` is not installed.

    Examples
    --------
    >>> from fintech_dl.scoring.monitor import monitor
    >>> monitor("scores/2026-11-20")
    Traceback (most recent call last):
    ...
    fintech_dl.errors.DataError: scores/2026-11-20: holds no finished scores; see fintech-dl \
status, and name the folder that was given to fintech-dl score with -o
    """
    run, manifest, digest = read_latest(folder)
    plan = read_plan(run)
    opened = _opened(artefact or plan.artefact_path, plan)
    record: dict[str, Any] = {
        "format": 1,
        "pipeline": plan.pipeline,
        "run": run.name,
        "created": manifest["created"],
        "manifest_sha256": digest,
        "artefact": plan.artefact,
        "totals": {key: manifest["totals"][key] for key in ("rows", "scored", "quarantined")},
    }
    reference = opened.reference()
    if reference is not None and manifest["counts"] and manifest["counts"]["rows"]:
        record["against"] = {"against": "the rows that the model learned from and was tested on"}
        expected = reference
        if against is not None:
            expected, record["against"] = _other(reference, manifest, against)
        found = drift(
            expected, manifest["counts"], manifest["totals"], list(_parts(manifest, plan))
        )
        record["drift"] = plain(found)
    elif against is not None:
        raise PlanError(f"{run}: its rows were not counted; there is nothing to compare")
    if labels is not None:
        from fintech_dl.scoring.labels import judge, read_labels

        test = None if reference is None else reference.get("test")
        record["labels"] = judge(read_labels(run, opened, labels), opened.pipeline, test)
    record["alarms"] = [
        *(record.get("drift") or {}).get("alarms", []),
        *(f"labels: {name}" for name in (record.get("labels") or {}).get("alarms", [])),
    ]
    record["verdict"] = _verdict(record, reference is not None)
    _write(record, run)
    return Monitored(run, record)


def told(done: Monitored) -> Iterator[str]:
    """Yield what a terminal shows of a monitored run.

    Examples
    --------
    >>> from pathlib import Path
    >>> from fintech_dl.scoring.monitor import Monitored, told
    >>> list(told(Monitored(Path("run-1"), {"verdict": {"text": "No alarm."}})))[-1]
    'No alarm.'
    """
    run, record = done
    found, labels = record.get("drift"), record.get("labels")
    for one in [found["score"], *found["features"][:NAMED]] if found else []:
        word = "  alarm" if one["alarm"] else ""
        yield (
            f"{clean(one['name'], 40)}  PSI {one['psi']:.3f}, by chance up to "
            f"{one['chance_95']:.3f}, {one['rule_of_thumb']}{word}"
        )
    yield from (clean(text, 600) for text in (labels["texts"] if labels else []))
    for one in labels["checks"] if labels else []:
        before = one["test"]["value"]
        ends = "" if one["low"] is None else f" [{one['low']:.3f}, {one['high']:.3f}]"
        then = "" if before is None else f", at the test {before:.3f}"
        word = "  alarm" if one["alarm"] else ""
        value = "undefined" if one["value"] is None else f"{one['value']:.3f}"
        yield f"{one['name'].replace('_', ' ')}  {value}{ends}{then}{word}"
    page = (run / PAGE).exists()
    yield f"page  {run / PAGE}" if page else f"numbers  {run / FILE}"
    yield record["verdict"]["text"]


def _opened(where: str | Path, plan: Plan) -> Opened:
    if not Path(where).exists():
        raise ArtefactError(f"{where}: the artefact is not there; name it with --artefact FOLDER")
    other = "is not the artefact that scored these rows; name that one with --artefact"
    return open_planned(plan, other, where)


def _other(
    reference: Mapping[str, Any], manifest: Mapping[str, Any], against: str | Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return another run's rows as the reference, and which run it is."""
    run, other, digest = read_latest(against)
    if other["artefact"] != manifest["artefact"]:
        raise PlanError(
            f"{against}: was scored with another artefact, whose bins are others; compare runs of "
            "one artefact"
        )
    if not other["counts"] or not other["counts"]["rows"]:
        raise PlanError(f"{against}: no row was counted there; there is nothing to compare")
    about = {"run": run.name, "created": other["created"], "manifest_sha256": digest}
    about["against"] = f"{run.name}, scored {other['created'][:10]}"
    return as_reference(reference, other["counts"], other["totals"]), about


def _parts(manifest: Mapping[str, Any], plan: Plan) -> Iterator[Part]:
    """Yield the files of the input, those that share shards together; of one file its shards."""
    commits = [shard["commit"] for shard in manifest["shards"]]
    of = [sorted({piece.source for piece in shard}) for shard in plan.shards]
    groups = [list(found) for _, found in groupby(range(len(commits)), key=lambda k: of[k])]
    if len(groups) == 1:
        groups = [[k] for k in groups[0]]
    for group in groups:
        names = [plan.sources[i].name for i in of[group[0]]]
        name = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]} ({len(names)} files)"
        if sum(of[k] == of[group[0]] for k in range(len(of))) > len(group):
            first = plan.shards[group[0]][0].first_row
            last = plan.shards[group[-1]][-1]
            name += f", rows {first:,} to {last.first_row + last.rows - 1:,}"
        yield Part(
            name,
            sum(commits[k]["rows_in"] for k in group),
            sum(commits[k]["quarantined"] for k in group),
            added(commits[k]["counts"] for k in group),
        )


def _verdict(record: Mapping[str, Any], referenced: bool) -> dict[str, str]:
    alarms, found = record["alarms"], record.get("drift")
    if alarms:
        named = ", ".join(clean(name, 60) for name in alarms[:NAMED])
        more = f" and {count(len(alarms) - NAMED)} more" if len(alarms) > NAMED else ""
        text = f"Changed beyond chance, and enough to matter: {named}{more}."
        return {"outcome": "alarm", "text": text}
    if found is None:
        why = (
            "no row was counted while scoring"
            if referenced
            else "the artefact holds no reference.json; it was made before this version. Run its "
            "pipeline again to get one that does"
        )
        return {"outcome": "unknown", "text": f"Drift cannot be told: {why}."}
    checks = 2 + len(found["features"]) + (found["alerts"] is not None)
    text = (
        f"No change that is both beyond chance and large enough to matter: {count(checks)} checks "
        f"on {count(record['totals']['scored'])} scored rows."
    )
    return {"outcome": "quiet", "text": text}


def _write(record: dict[str, Any], run: Path) -> None:
    try:
        store.replace(run / FILE, store.to_json(record))
    except OSError as error:
        raise not_written(str(run), error, "let the account that monitors write there") from error
    try:
        from fintech_dl.evaluation.monitor_page import write_monitor

        write_monitor(record, run)
    except NotInstalledError as error:
        warnings.warn(f"{FILE} was written, its page was not: {error}", stacklevel=3)
