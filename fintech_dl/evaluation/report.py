"""The report of a run: one self-contained HTML page, and the table that a terminal shows.

Everything comes from the run's record, a plain dict of every number. The same record gives the
same bytes; parts that the record lacks are left out.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from fintech_dl.errors import not_written, require
from fintech_dl.evaluation import (
    credit_tables,
    detection_tables,
    figures,
    forecast_standings,
    forecast_tables,
    order_tables,
    standings,
    tables,
)
from fintech_dl.evaluation.reading import Record, metric_names, models_of, words
from fintech_dl.evaluation.wording import clean, count, general, metric, moment, percent
from fintech_dl.folders import replacing, shipped


def render(record: Record) -> str:
    """Return the report of a run as one HTML page.

    The page holds no script, asks the network for nothing and forbids both by its own content
    security policy. Every text of the record is escaped, also inside charts.

    Parameters
    ----------
    record : dict
        The run's record: JSON-plain, every part optional but ``title``. Names of models, columns
        and files may be hostile.

    Returns
    -------
    html : str
        The page; the same record gives the same text.

    Raises
    ------
    NotInstalledError
        If matplotlib or jinja2 is not installed.

    Examples
    --------
    >>> from fintech_dl.evaluation.report import render
    >>> page = render({"title": "Card fraud", "limits": ["One region only."]})
    >>> "One region only." in page, "<script" in page
    (True, False)
    """
    record = forecast_standings.with_losses(record)
    given = [*(record.get("limits") or []), *((record.get("data") or {}).get("limits") or [])]
    given += forecast_standings.limits(record)
    return filled(
        "report.html",
        record=record,
        words=words(record),
        verdict=standings.verdict(record),
        facts=standings.facts(record),
        banners=forecast_standings.banners(record),
        results=standings.results(record),
        over_time=forecast_tables.over_time(record),
        intervals=forecast_tables.intervals(record),
        ranking=order_tables.ranking(record),
        trading=order_tables.trading(record),
        leaks=forecast_tables.leaks(record),
        data=tables.data(record),
        protocol=tables.protocol(record),
        search=tables.search(record),
        curves=figures.curve_figures(record),
        days=figures.day_figures(record),
        decision=tables.decision(record),
        detection=detection_tables.detection(record),
        calibration=tables.calibration(record),
        reasons=credit_tables.reasons(record),
        points=credit_tables.points(record),
        training=tables.training(record),
        speed=tables.speed(record),
        importance=tables.importance(record),
        limits=list(dict.fromkeys(clean(text, 2000) for text in given)),
    )


def filled(template: str, **values: Any) -> str:
    """Return a template of ``reports/templates`` with its values filled in, all texts escaped.

    Raises
    ------
    NotInstalledError
        If matplotlib or jinja2 is not installed.
    """
    require("matplotlib", "report")
    require("jinja2", "report")
    return str(_templates().get_template(template).render(values))


@cache
def _templates() -> Any:
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(shipped("reports/templates")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"clean": clean, "count": count, "percent": percent, "moment": moment}
    environment.filters |= {"general": general, "long": lambda text: clean(text, 2000)}
    return environment


def write_report(record: Record, folder: str | os.PathLike[str]) -> Path:
    """Write the report of a run to ``folder/report.html``, whole or not at all.

    Parameters
    ----------
    record : dict
        As for `render`.
    folder : path
        Folder of the run; made if absent.

    Returns
    -------
    path : Path
        The file written.

    Raises
    ------
    OutputError
        If the folder cannot be written; nothing is left behind.
    NotInstalledError
        If matplotlib or jinja2 is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from fintech_dl.evaluation.report import write_report
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_report({"title": "Card fraud"}, folder).name
    'report.html'
    """
    return write_page(render(record), Path(folder) / "report.html")


def write_page(page: str, path: Path) -> Path:
    """Write a page, whole or not at all; OutputError names a folder that cannot be written."""
    try:
        with replacing(path) as part:
            part.write_bytes(page.encode())
    except OSError as error:
        advice = "choose a folder that can be written"
        raise not_written(f"the report {str(path)!r}", error, advice) from error
    return path


def results_table(record: Record, width: int = 100) -> str:
    """Return the results as plain text for a terminal: the model beside its baselines.

    Parameters
    ----------
    record : dict
        As for `render`.
    width : int
        Most characters in a line; metrics that do not fit go into a further block.

    Examples
    --------
    >>> from fintech_dl.evaluation.report import results_table
    >>> ap = {"average_precision": {"value": 0.653, "low": 0.62, "high": 0.68}}
    >>> print(results_table({"models": [{"name": "model", "title": "MLP", "metrics": ap}]}))
    model  AP
    MLP    .653 [.62, .68]
    """
    record = forecast_standings.with_losses(record)
    models = models_of(record)
    first = ["model", *(clean(m["label"], 32) for m in models)]
    columns = []
    for name in metric_names(record):
        cells = standings.column(models, name)
        texts = [f"{c['text']} {c['sub']}".strip() if c else "" for c in cells]
        columns.append([metric(name).short, *texts])
    columns += [[head, *texts] for head, texts in forecast_standings.against_best(record)]
    absent = [
        "" if m.get("ran", True) else f"not run: {clean(m.get('reason'), 160)}" for m in models
    ]
    start = max(map(len, first))
    blocks: list[list[list[str]]] = [[]]
    used = start
    for column in columns:
        used += 2 + max(map(len, column))
        if blocks[-1] and used > width:
            blocks.append([])
            used = start + 2 + max(map(len, column))
        blocks[-1].append(column)
    lines = []
    for block in blocks:
        widths = [start, *(max(map(len, column)) for column in block)]
        for row, reason in zip(zip(first, *block, strict=True), ["", *absent], strict=True):
            cells = (
                [reason]
                if reason
                else [c.ljust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
            )
            lines.append("  ".join([row[0].ljust(start), *cells]).rstrip())
        lines.append("")
    return "\n".join(lines[:-1])
