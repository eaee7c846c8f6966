"""Family 12: tomorrow's file has other columns; 24 changes in four domains have their answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from fintech_dl import load_frame
from fintech_dl.cards import dataset_card, pipeline_card
from fintech_dl.data.rules import find_columns
from fintech_dl.errors import DataError
from fintech_dl.scoring.jobs import score_files
from fintech_dl.scoring.reading import read_scores
from tests.faults.models import artefact
from tests.faults.world import tried, truth

AS_OF = "2030-01-01"
ROWS = 300
DOMAINS = {  # pipeline, dataset, rows of history
    "credit": ("credit", "synthetic_credit_book_small", 0),
    "components": ("fraud-ulb", "synthetic_card_components", 0),
    "payments": ("fraud", "synthetic_card_transactions_small", 14_000),
    "ledger": ("anomaly-transactions", "synthetic_ledger_small", 8_000),
}


@dataclass(frozen=True)
class Domain:
    """A model, tomorrow's rows, and one column of each type by its name in the file.

    Attributes
    ----------
    artefact : Path
    table : pyarrow.Table
    history : Path or None
    number, whole, time, text : str
        Columns that are no labels; where there is none of a type, a number.
    right : array
        The scores.
    """

    artefact: Path
    table: pa.Table
    history: Path | None
    number: str
    whole: str
    time: str
    text: str
    right: np.ndarray


@pytest.fixture(scope="module", params=DOMAINS)
def domain(request, tmp_path_factory):
    name, data, before = DOMAINS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    card = dataset_card(data)
    frame = load_frame(data)
    model = artefact(folder / "artefact", pipeline_card(name, dataset=data), frame)
    rules = find_columns(list(frame.rename(columns=sources(card, frame))), card, True, data)
    frame = frame.rename(columns={name: source for name, (source, _) in rules.items()})
    labels = {rules[name][0] for name in card.contract.labels}
    new = frame[before : before + ROWS].drop(columns=sorted(labels))
    history = None
    if before:
        history = folder / "history.parquet"
        frame[:before].to_parquet(history, index=False)
    by = {}
    for column, (source, rule) in rules.items():
        if source not in labels and column != card.contract.key:
            by.setdefault(rule.type, []).append(source)
    numbers = [one for one in by["number"] if not rules_of(rules, one).nullable]
    when = rules[card.contract.time][0]
    numbers = [one for one in numbers if one != when]
    table = pa.Table.from_pandas(new, preserve_index=False).replace_schema_metadata(None)
    table = plain(table)
    pq.write_table(table, folder / "new.parquet")
    score_files(model, folder / "new.parquet", folder / "out", history=history, as_of=AS_OF)
    return Domain(
        artefact=model,
        table=table,
        history=history,
        number=numbers[-1],
        whole=by.get("integer", numbers)[0],
        time=when,
        text=by.get("category", numbers)[0],
        right=read_scores(folder / "out")["score"].to_numpy(),
    )


def sources(card, frame):
    return {name: rule.source for name, rule in card.columns.items() if rule.source}


def rules_of(rules, source):
    return next(rule for found, rule in rules.values() if found == source)


def plain(table):
    """Return categories as text, as files of other makers have them."""
    for i, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            cells = table.column(i).cast(field.type.value_type).cast(pa.string())
            table = table.set_column(i, field.name, cells)
    return table


def change(table, name, cells):
    return table.set_column(table.schema.get_field_index(name), name, cells)


def cast(name, kind):
    return lambda d: change(
        d.table, getattr(d, name), d.table.column(getattr(d, name)).cast(kind, safe=False)
    )


def as_text(name, form=str):
    def made(d):
        column = getattr(d, name)
        cells = [None if v is None else form(v) for v in d.table.column(column).to_pylist()]
        return change(d.table, column, pa.array(cells, pa.string()))

    return made


def filled(name, value, kind):
    return lambda d: change(d.table, getattr(d, name), pa.array([value] * ROWS, kind))


def renamed(name, to):
    return lambda d: d.table.rename_columns(
        [to(one) if one == getattr(d, name) else one for one in d.table.column_names]
    )


def doubled(d):
    return d.table.append_column(d.number, d.table.column(d.number))


def times(factor):
    return lambda d: change(d.table, d.number, pc.multiply(d.table.column(d.number), factor))


def with_zone(d):
    kind = d.table.schema.field(d.time).type
    if not pa.types.is_timestamp(kind):
        return change(d.table, d.time, d.table.column(d.time).cast(pa.float64()))
    return change(d.table, d.time, d.table.column(d.time).cast(pa.timestamp("us", "UTC")))


def time_as_numbers(d):
    kind = d.table.schema.field(d.time).type
    cells = d.table.column(d.time)
    if pa.types.is_timestamp(kind):
        return change(d.table, d.time, cells.cast(pa.int64()))
    return change(d.table, d.time, cells.cast(pa.int64(), safe=False).cast(pa.timestamp("us")))


def to_csv(**more):
    def made(d, path):
        path = path.with_suffix(".csv")
        d.table.to_pandas().to_csv(path, index=False, **more)
        return path

    return made


def wrong_suffix(d, path):
    pq.write_table(d.table, path)
    return path.rename(path.with_suffix(".csv"))


def ragged(d, path):
    path = to_csv()(d, path)
    path.write_text(path.read_text() + "1,2\n")
    return path


SAME, ANY, REFUSED = "the same scores", "scores", "refused"
CHANGES: dict[str, tuple[str, Any]] = {
    "a number is missing": (REFUSED, lambda d: d.table.drop_columns([d.number])),
    "the time is missing": (REFUSED, lambda d: d.table.drop_columns([d.time])),
    "a number has another name": (REFUSED, renamed("number", lambda name: f"{name}_eur")),
    "a number is spelt in another case": (REFUSED, renamed("number", str.swapcase)),
    "a name has a blank": (REFUSED, renamed("number", lambda name: f"{name} ")),
    "a column more": (
        SAME,
        lambda d: d.table.append_column("more", pa.array(["x"] * ROWS)),
    ),
    "other order": (SAME, lambda d: d.table.select(d.table.column_names[::-1])),
    "a column twice": (REFUSED, doubled),
    "whole numbers as floats": (SAME, cast("whole", pa.float64())),
    "numbers of 32 bits": (ANY, cast("number", pa.float32())),
    "number as text": (REFUSED, as_text("number")),
    "number with a comma": (REFUSED, as_text("number", lambda v: f"{v}".replace(".", ","))),
    "number as truth": (REFUSED, filled("number", True, pa.bool_())),
    "number as list": (REFUSED, filled("number", [1.0], pa.list_(pa.float64()))),
    "number as day": (REFUSED, filled("number", 1, pa.date32())),
    "number is empty": (REFUSED, filled("number", None, pa.float64())),
    "number of no type": (REFUSED, filled("number", None, pa.null())),
    "unit times 100": (ANY, times(100.0)),
    "time as text": (REFUSED, as_text("time", lambda v: f"at {v}")),
    "time as another type": (REFUSED, time_as_numbers),
    "time with its zone": (SAME, with_zone),
    "text as bytes": (REFUSED, filled("text", b"\xff\xfe", pa.binary())),
    "other delimiter": (REFUSED, to_csv(sep=";")),
    "Parquet named CSV": (REFUSED, wrong_suffix),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change(domain, place, tally, name):
    expected, make = CHANGES[name]
    path = place / "new.parquet"
    if make.__code__.co_argcount == 2:
        path = make(domain, path)
    else:
        pq.write_table(make(domain), path)
    more = {} if domain.history is None else {"history": domain.history}
    found = tried(score_files, domain.artefact, path, place / "out", as_of=AS_OF, **more)
    if expected == REFUSED:
        assert isinstance(found, DataError), found
        assert found.exit_code == 4
        assert path.name in str(found), found
        assert not (place / "out" / "latest.json").exists()
    else:
        assert found is None, found
        scores = read_scores(place / "out")["score"].to_numpy()
        aside = truth(place / "out").totals["quarantined"]  # 0.01 of 32 bits is below 0.01
        assert len(scores) + aside == ROWS
        if expected == SAME:
            assert scores.tobytes() == domain.right.tobytes()
    tally(12, 1)


def test_all_changes_are_counted():
    assert len(CHANGES) * len(DOMAINS) == 96
