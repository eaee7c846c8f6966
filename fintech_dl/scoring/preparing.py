"""From inputs to what shards read: sources of Parquet, repeated keys, the moment of the data."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from fintech_dl.cards import DatasetCard
from fintech_dl.errors import DataError
from fintech_dl.scoring.inputs import query_of
from fintech_dl.scoring.landing import is_parquet, land_csv, land_parquet, parquet_source
from fintech_dl.scoring.opened import Opened
from fintech_dl.scoring.plan import Duplicates, Landed, Original, Source, Stage
from fintech_dl.scoring.planning import stage_of
from fintech_dl.scoring.repeats import land_repeated
from fintech_dl.scoring.schema import Footer, check_columns, named_index, read_footer

SYNCED = 16  # landed files that are brought to the disk one by one


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a plan is made of.

    Attributes
    ----------
    stage : {"rows", "features"}
    sources : list of Source
    repeated : Landed or None
        Rows whose key came before, where there are any.
    landed_quarantine : Landed or None
        Rows that the feature stage has set aside.
    as_of : str
        The moment of the data, on the clock of the contract's time; empty where it has none.
    schema_sha256 : str
    ignored_columns : list of str
    facts : dict
        Of the feature stage: ``history`` (what was read of it) and ``intervals`` (what they have
        learnt of it), each None where there is none.
    """

    stage: Stage
    sources: list[Source]
    repeated: Landed | None
    landed_quarantine: Landed | None
    as_of: str
    schema_sha256: str
    ignored_columns: list[str]
    facts: dict[str, Any] = field(default_factory=dict)


def prepare(
    opened: Opened,
    run: Path,
    originals: Sequence[Original],
    *,
    history: Original | None = None,
    as_of: str | None = None,
    duplicates: Duplicates = "quarantine",
    reasons: bool = False,
) -> Prepared:
    """Land what is no Parquet, check the columns of all files, find repeated keys, make features.

    All that it writes is below ``landed`` of the run's folder; what is there already is made anew.

    Parameters
    ----------
    opened : Opened
    run : Path
        The run's folder.
    originals : sequence of Original
        Of `inputs.find_inputs`.
    history : Original, optional
        The file of earlier rows.
    as_of : str, optional
        Rows after this moment are quarantined; default: now.
    duplicates : {"report", "quarantine", "fail"}
        What becomes of rows whose key came before.
    reasons : bool
        Whether reasons are told; nothing here depends on it yet.

    Returns
    -------
    Prepared

    Raises
    ------
    DataError
        Broken files, columns that are not those of the contract, no rows at all; repeated keys
        where they are to fail; of the feature stage what `score` raises.
    UsageError
        A history is needed, or as_of is no time.
    PlanError
        An input was replaced meanwhile.
    TemporaryError
        A connection to a database was cut, or the disk is full.
    OutputError
        The folder cannot be written.
    """
    if opened.pipeline.history and history is None:
        raise opened.no_history()
    card = opened.dataset
    sources, footers = _landed(opened, run, originals)
    files = [
        (source.name, run / source.path, footer, source.text)
        for source, footer in zip(sources, footers, strict=True)
    ]
    columns = check_columns(files, card)
    if not any(map(sum, (source.row_groups for source in sources))):
        raise DataError(_no_rows(originals))
    moment = moment_used(as_of, card)
    stage = stage_of(opened, history)
    repeated = aside = None
    facts: dict[str, Any] = {}
    if stage == "rows" or duplicates != "quarantine":  # else the feature stage sets them aside
        repeated = land_repeated(run, sources, card, duplicates)
    if stage == "features":
        from fintech_dl.scoring.feature_stage import land_features

        snapshot, aside, facts = land_features(
            opened, run, sources, history=history, as_of=moment, duplicates=duplicates
        )
        for one in sources:
            if not Path(one.path).is_absolute():
                (run / one.path).unlink()  # it is in the snapshot now
        sources = [snapshot]
    return Prepared(
        stage=stage,
        sources=sources,
        repeated=repeated,
        landed_quarantine=aside,
        as_of=moment,
        schema_sha256=columns.sha256,
        ignored_columns=columns.ignored,
        facts=facts,
    )


def moment_used(as_of: Any, card: DatasetCard) -> str:
    """Return the moment of the data on the clock of the contract's time, empty if it has none.

    Raises
    ------
    UsageError
        ``as_of`` is no time.
    """
    rule = card.columns.get(card.contract.time)
    if rule is None or rule.type != "datetime":
        return ""
    if as_of is None:
        zone = UTC if rule.timezone == "UTC" else ZoneInfo(rule.timezone)
        return datetime.now(zone).replace(tzinfo=None).isoformat()
    from fintech_dl.data.faults import moment  # a moment that is given may be of any form

    return str(moment(as_of, rule.timezone).isoformat())


def _landed(
    opened: Opened, run: Path, originals: Sequence[Original]
) -> tuple[list[Source], list[Footer]]:
    sources, footers = [], []
    sync = sum(not is_parquet(one) for one in originals) <= SYNCED
    for number, original in enumerate(originals):
        name = f"{number:05d}.parquet"
        if is_parquet(original):
            source, footer = parquet_source(original)
            if named_index(footer.schema):
                source = land_parquet(original, run, name)
                footer = read_footer(run / source.path)
        else:
            if original.query:
                from fintech_dl.scoring.landing_queries import land_query

                source = land_query(original, query_of(original), opened.dataset, run, name)
            else:
                source = land_csv(original, run, name, sync=sync)
            footer = read_footer(run / source.path)
        sources.append(source)
        footers.append(footer)
    if not sync:
        os.sync()
    return sources, footers


def _no_rows(originals: Sequence[Original]) -> str:
    if len(originals) == 1:
        return f"{originals[0].name}: there are no rows; check how the file was made"
    return f"{len(originals):,} files from {originals[0].name} on hold no rows; check them"
