"""The verbs ``fintech-dl data ...``: list the datasets, get their files, see what they hold."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from fintech_dl import cards
from fintech_dl.console import (
    AsJson,
    Quiet,
    completing,
    echo,
    print_json,
    print_table,
    print_tree,
    working,
)
from fintech_dl.errors import CardError, UsageError

ABSENT = {
    "synthetic": "made on the spot",
    "url": "downloaded when needed",
    "yahoo": "asked for when needed",
    "sql": "asked for when needed",
}
app = typer.Typer(help="The datasets: list them, get their files, see what they hold.")
Dataset = Annotated[
    str,
    typer.Argument(
        help="Name of a dataset, or a card's file.", autocompletion=completing("datasets")
    ),
]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the datasets: where they come from, whether their files are here, licence."""
    found = [_listed(name) for name in cards.names("datasets")]
    if as_json:
        print_json(found)
        return
    for one in found:
        one["file"] = one["path"] or ABSENT.get(one["source"], "absent")
        one["size"] = f"{one['bytes'] / 1e6:,.1f} MB" if one["bytes"] is not None else None
    print_table(found, ("name", "source", "file", "size", "licence"))


@app.command()
def get(
    name: Annotated[
        str,
        typer.Argument(
            help="Name of a dataset, or a card's file; or: prices, for daily prices by ticker.",
            autocompletion=completing("datasets"),
        ),
    ],
    out: Annotated[
        str, typer.Option("-o", "--out", help="Parquet or CSV file to write the clean rows to.")
    ] = "",
    tickers: Annotated[str, typer.Option(help="Prices of these: AAPL,MSFT.")] = "",
    start: Annotated[str, typer.Option(help="Prices from this day on.")] = "",
    end: Annotated[str, typer.Option(help="Prices up to and with this day.")] = "",
    raw: Annotated[bool, typer.Option("--raw", help="Prices not adjusted, with a factor.")] = False,
    vintage: Annotated[str, typer.Option(help="Prices of this vintage, as they were then.")] = "",
    max_age: Annotated[str, typer.Option(help="Prices fetched longer ago are got anew.")] = "1d",
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Prices of what there is; tell the rest.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Find or download the file of a dataset and verify it; write the clean rows with -o.

    fintech-dl data get prices --tickers AAPL,MSFT --start 2020-01-01 --end 2024-12-31 gets daily
    prices from Yahoo (for personal use) and keeps what came as a vintage that can be named again.
    """
    if name == "prices":
        about = {"start": start, "end": end, "vintage": vintage or None, "max_age": max_age}
        choices = {"adjusted": not raw, "allow_missing": allow_missing}
        _get_prices(tickers, {**about, **choices}, out, quiet, as_json)
        return
    if tickers or start or end or raw or vintage or allow_missing:
        raise UsageError(f"{name}: --tickers, --start and the like are for: data get prices")
    with working(quiet, out=out) as tell:
        card = cards.dataset_card(name)
        facts: dict[str, Any] = {"name": card.name, "title": card.title, "licence": card.licence}
        made = card.source.kind in ("synthetic", "yahoo", "sql")
        from fintech_dl.data.describing import check_new, export
        from fintech_dl.data.files import get_file, leftovers, open_file, verify

        if out:
            check_new(Path(out))
        for path in leftovers():
            with suppress(OSError):
                path.unlink()
                facts.setdefault("removed", []).append(str(path))
        if not made:
            tell(f"getting {card.name}", 0.0)
            path = get_file(card)
            with open_file(path) as stream:
                digest = verify(stream, card.source.sha256, str(path))
            facts |= {"path": str(path), "bytes": path.stat().st_size, "sha256": digest}
        if out:
            tell(f"writing {out}", 0.5)
            read = export(card, Path(out)).facts
            facts |= {"out": out, "rows": read["rows_used"]}
            facts["rows_quarantined"] = read["rows_quarantined"]
        tell("done", 1.0)
    if as_json:
        print_json(facts)
    elif quiet:
        echo(out or facts.get("path", ""))
    else:
        print_tree(facts)
        if made and not out:
            echo(f"{ABSENT[card.source.kind]}; write it to a file with -o FILE.parquet")


@app.command()
def show(
    name: Dataset,
    rows: Annotated[int, typer.Option(min=0, help="How many of the first rows to show.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Read a dataset: columns with type, unit, range and missing cells, first rows, quarantine."""
    with working():
        card = cards.dataset_card(name)
        from fintech_dl.data.describing import describe
        from fintech_dl.data.files import leftovers

        found = describe(card, rows)
        found["leftovers"] = {str(path): size for path, size in leftovers().items()}
    if as_json:
        print_json(found)
        return
    echo(f"{found['title']}: {found['rows_read']:,} rows, {found['rows_used']:,} used\n")
    shown = ("name", "in_file", "type", "unit", "min", "max", "values", "missing_share")
    print_table(found["columns"], shown)
    echo(f"\n{found['rows_quarantined']:,} rows quarantined")
    print_tree(found["quarantine_reasons"], "  ")
    if found["first_rows"]:
        echo("")
        print_table(found["first_rows"], found["first_rows"][0])
    if found["leftovers"]:
        echo("\nleft by downloads that were killed; the next fintech-dl data get removes it")
        print_tree(
            {path: f"{size / 1e6:,.1f} MB" for path, size in found["leftovers"].items()}, "  "
        )


def _listed(name: str) -> dict[str, Any]:
    """Return where the data of a card come from, and whether and where their file lies."""
    from fintech_dl.data.files import find_file

    facts: dict[str, Any] = {"name": name, "title": "", "source": "", "present": False}
    facts |= {"path": None, "bytes": None, "licence": ""}
    try:
        card = cards.dataset_card(name)
    except CardError as error:  # one broken card does not hide the others
        return {**facts, "title": f"cannot be used: {error}", "source": "broken card"}
    path = find_file(card)
    facts |= {"title": card.title, "source": card.source.kind, "licence": card.licence}
    if path is not None:
        facts |= {"path": str(path), "bytes": path.stat().st_size}
    return {**facts, "present": path is not None or card.source.kind == "synthetic"}


def _get_prices(tickers: str, about: dict[str, Any], out: str, quiet: bool, as_json: bool) -> None:
    """Get daily prices, and write them with -o."""
    if not tickers or not about["start"] or not about["end"]:
        raise UsageError("prices: name --tickers, --start and --end")
    with working(quiet, out=out) as tell:
        from fintech_dl.data.describing import check_new, write_frame
        from fintech_dl.data.prices import read_prices
        from fintech_dl.data.vintages import folder

        if out:
            check_new(Path(out))
        found = read_prices(tickers, **about, tell=tell)
        if out:
            tell(f"writing {out}", 0.9)
            write_frame(found.bars, Path(out))
        tell("done", 1.0)
    names = ("status", "first", "last", "rows", "empty_rows", "unfinished", "text")
    states = [
        {"ticker": ticker, **{name: one.get(name) for name in names}}
        for ticker, one in found.status["tickers"].items()
        if ticker in found.missing or (found.bars["asset"] == ticker).any()
    ]
    facts = {
        "source": found.status["source"],
        "vintage": found.vintage,
        "path": str(folder(found.status["source"]) / found.vintage),
        "fetched": found.status["fetched"],
        "sha256": found.status["sha256"],
        "rows": len(found.bars),
        "out": out,
    }
    if as_json:
        print_json({**facts, "tickers": states})
    elif quiet:
        echo(out or facts["path"])
    else:
        print_tree(facts)
        echo("")
        print_table(states, ("ticker", *names))
