"""The feature stage: all new rows are read once, with their history, and their features landed.

Rows scored through what is landed have the same bits as the same rows inside `run`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fintech_dl.cards import DatasetCard
from fintech_dl.data.frames import Reading, from_arrow, read_file, read_rows
from fintech_dl.data.shaping import shape
from fintech_dl.errors import DataError, PlanError, UsageError
from fintech_dl.scoring.batches import no_memory, unchanged
from fintech_dl.scoring.features import Features, features_of
from fintech_dl.scoring.landing import land
from fintech_dl.scoring.opened import NO_WINDOW, Opened
from fintech_dl.scoring.plan import Duplicates, Landed, Original, Source
from fintech_dl.scoring.schema import UNREADABLE, told
from fintech_dl.scoring.snapshot import CARRIED, pack
from fintech_dl.scoring.updates import interval_model, intervals_of

SNAPSHOT = "features.parquet"
QUARANTINE = "quarantine.parquet"
GROUP_ROWS = 65_536
ROW = re.compile(r"row (?P<row>\d+)")
NAMED = re.compile(r"(?:(?<=, first )|(?<=order: )|(?<=comes after ))row (?P<row>\d+)(?=: | \()")
OWN = ("source_file", "source_row_group", "source_row", "reason")


class Places:
    """Where the rows of several sources, read one after the other, come from."""

    def __init__(self, sources: Sequence[Source], lengths: Sequence[int]) -> None:
        self.sources = sources
        self.ends = np.cumsum(lengths)
        self.lengths = lengths

    def of(self, rows: NDArray[Any]) -> tuple[Any, NDArray[np.int32], NDArray[np.int64]]:
        """Return source file, row group and data row of rows that are counted from 1."""
        source = np.searchsorted(self.ends, rows)
        row = (rows - (self.ends - self.lengths)[source]).astype(np.int64)
        group = np.zeros(len(rows), dtype=np.int32)
        for one in np.unique(source):
            groups = self.sources[one].row_groups
            if sum(groups) == self.lengths[one]:  # else a wide table was made long
                at = source == one
                group[at] = np.searchsorted(np.cumsum(groups), row[at])
        names = pa.array([one.name for one in self.sources], pa.string())
        return pa.DictionaryArray.from_arrays(source.astype(np.int32), names), group, row

    def told(self, text: str) -> str:
        """Return an example of a fault, such as "row 7: amount is '-1'", with its file."""
        return ROW.sub(self._named, text, count=1) if ROW.match(text) else text

    def all_told(self, text: str) -> str:
        """Return an error's text in which rows, as the contract names them, have their files."""
        return text if len(self.sources) == 1 else NAMED.sub(self._named, text)

    def _named(self, found: re.Match[str]) -> str:
        files, _, row = self.of(np.array([int(found["row"])]))
        return f"{files[0].as_py()}, row {row[0]}"


def land_features(
    opened: Opened,
    run: Path,
    sources: Sequence[Source],
    *,
    history: Original | None,
    as_of: str,
    duplicates: Duplicates,
) -> tuple[Source, Landed | None, dict[str, Any]]:
    """Make the features of all rows and write them to ``landed/features.parquet``.

    Parameters
    ----------
    opened : Opened
    run : Path
    sources : sequence of Source
    history : Original or None
    as_of : str
        The moment of the data; empty where rows have no time.
    duplicates : {"report", "quarantine", "fail"}
        Only ``"quarantine"`` sets rows of a repeated key aside.

    Returns
    -------
    source : Source
        The snapshot: the columns of ``snapshot.pack``, and beside them, under names that begin
        with ``carried@``, what goes with a row to its score.
    quarantine : Landed or None
        The rows set aside: as read, with ``source_file``, ``source_row_group``, ``source_row`` and
        ``reason``.
    facts : dict
        ``history``: what was read of it; ``intervals``: what they have learnt of it.

    Raises
    ------
    DataError
        Rows that break the contract as a whole, or a history that does not fit.
    UsageError
        The history is missing, or files of text and files with types are mixed.
    PlanError
        A file was replaced meanwhile.
    OutputError
        The folder cannot be written.
    """
    if opened.pipeline.history and history is None:
        raise opened.no_history()
    card, at = opened.dataset, as_of or None
    frames = [_read(run, source, card) for source in sources if sum(source.row_groups)]
    used = [source for source in sources if sum(source.row_groups)]
    if len({source.text for source in used}) > 1:
        mixed = [next(one.name for one in used if one.text is kind) for kind in (True, False)]
        raise UsageError(
            f"{mixed[0]} is CSV and {mixed[1]} is not; pipeline {opened.pipeline.name!r} makes its "
            "features of all rows together: give files of one kind"
        )
    places = Places(used, list(map(len, frames)))
    where = used[0].name if len(used) == 1 else f"{len(used):,} files from {used[0].name} on"
    frame = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
    rules = replace(card, contract=replace(card.contract, duplicates=duplicates))
    try:
        new = read_rows(frame, rules, as_of=at, text=used[0].text, where=where)
    except DataError as error:
        raise DataError(places.all_told(str(error))) from error
    past = None if history is None else _past(history, card, at)
    rows = features_of(opened, new, past)
    carried, learnt = _carried(opened, rows, places)
    table = pack(pd.concat([rows.X.reset_index(drop=True), carried], axis=1))
    source = land(run, SNAPSHOT, table.schema, [table], SNAPSHOT, group_rows=GROUP_ROWS)
    facts = {"history": None if past is None else past.facts, "intervals": learnt}
    return source, _set_aside(run, rows.new, places), facts


def _read(run: Path, source: Source, card: DatasetCard) -> pd.DataFrame:
    path = run / source.path
    try:
        with (
            unchanged(path, source),
            pq.ParquetFile(path, page_checksum_verification=True) as file,
        ):
            frame = from_arrow(file.read())
    except MemoryError as error:
        raise no_memory(source.name, error) from error
    except UNREADABLE as error:
        if isinstance(error, PlanError):
            raise
        raise DataError(f"{source.name}: cannot be read: {told(error)}") from error
    return shape(frame, card, source.name)


def _past(history: Original, card: DatasetCard, as_of: str | None) -> Reading:
    past = read_file(history.name, card, as_of=as_of, scoring=True)
    if past.facts["sha256"] != history.sha256:
        raise PlanError(f"{history.name}: was replaced just now; run the same again")
    return past


def _carried(
    opened: Opened, rows: Features, places: Places
) -> tuple[pd.DataFrame, dict[str, Any] | None]:
    """Return what goes with rows to their scores, and what intervals have learnt."""
    assert rows.new.rows is not None
    card, learnt = opened.pipeline, None
    files, groups, row = places.of(rows.new.rows)
    columns: dict[str, Any] = dict(rows.named)
    if card.decision is not None and card.decision.amount:
        columns[card.decision.amount] = rows.amount
    model = interval_model(opened)
    if model is not None:
        assert card.forecast is not None
        ends = intervals_of(model, card.forecast, card.history, rows.table, rows.at)
        columns["low"], columns["high"], learnt = ends
    columns |= {"source_file": files.to_pandas(), "source_row_group": groups, "source_row": row}
    return pd.DataFrame(columns).rename(columns=lambda name: CARRIED + name), learnt


def _set_aside(run: Path, new: Reading, places: Places) -> Landed | None:
    """Write the rows that were set aside; return None if there are none."""
    rows = new.quarantined
    if rows.empty:
        return None
    files, groups, row = places.of(rows["source_row"].to_numpy(dtype=np.int64))
    own = {f"{name}_as_read": rows[name] for name in OWN[:2] if name in rows}
    rows = rows.drop(columns=list(OWN), errors="ignore").assign(**own)
    table = pa.Table.from_pandas(_plain(rows), preserve_index=False).replace_schema_metadata(None)
    for name, cells in zip(OWN, (files, groups, row, new.quarantined["reason"]), strict=True):
        table = table.append_column(name, pa.array(cells))
    source = land(run, QUARANTINE, table.schema, [table], QUARANTINE)
    reasons, examples = new.facts["quarantine_reasons"], new.facts["quarantine_examples"]
    if NO_WINDOW in reasons and NO_WINDOW not in examples:
        first = int(np.flatnonzero(new.quarantined["reason"] == NO_WINDOW)[0])
        said = f"{files[first].as_py()}, row {row[first]}: its window of bars is not full"
        examples = {**examples, NO_WINDOW: said}
    return Landed(
        path=source.path,
        bytes=source.bytes,
        sha256=source.sha256,
        rows=len(rows),
        reasons={code: int(n) for code, n in reasons.items()},
        examples={code: places.told(text) for code, text in examples.items()},
    )


def _plain(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows as read in columns that Parquet takes: of mixed objects their text."""
    mixed = {
        str(name): rows[name].map(str, na_action="ignore").astype("str")
        for name in rows.columns
        if rows[name].dtype == object
    }
    return rows.assign(**mixed)
