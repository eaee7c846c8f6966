"""What the command line says: results on stdout; progress, warnings and errors on stderr.

On a terminal people read text and a bar; elsewhere stderr is JSON lines for machines.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn

import typer

from fintech_dl import cards
from fintech_dl.errors import UsageError

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print only where the result is, and errors.")
]
Strict = Annotated[bool, typer.Option("--strict", help="End with 3 if rows were quarantined.")]
AsOf = Annotated[str, typer.Option(help="Moment of the data; later rows are set aside.")]

MODES = ("auto", "text", "json")
EVENTS = {0: "done", 3: "finished with warnings", 99: "nothing to do", 130: "stopped"}
EVENTS |= {143: EVENTS[130]}
# What would move the cursor, break a line or turn the reading direction of a terminal or a log.
CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
SECRET = re.compile(
    r"(?<=://)[^/\s@]+(?=@)|(?<=[?&])([^=&\s]*(?:key|token|secret|sig|pass)[^=&\s]*=)[^&\s]+", re.I
)

# What holds for the verb that runs: `log`, `quiet`, `debug`, and `about`, which every line names.
_now: dict[str, Any] = {}


def start(log: str = "", debug: bool = False) -> None:
    """Begin a command: how to speak until its end.

    Raises
    ------
    UsageError
        An unknown way to write the log.
    """
    _now.update(log="auto", quiet=False, debug=debug, about={})
    for where, asked in (("FINTECH_DL_LOG", os.environ.get("FINTECH_DL_LOG")), ("--log", log)):
        if asked and asked not in MODES:
            raise UsageError(f"{where}: got {asked!r}, allowed: {', '.join(MODES)}")
        _now["log"] = asked or _now["log"]


def as_json() -> bool:
    """Return whether stderr is JSON lines: asked for, or there is no terminal."""
    mode = _now.get("log", "auto")
    return mode == "json" or (mode == "auto" and not sys.stderr.isatty())


@contextmanager
def working(quiet: bool = False, **about: str) -> Iterator[Callable[[str, float], None]]:
    """Yield a function that tells what is being done and how much is done.

    A bar on a terminal; JSON lines where stderr is JSON; else nothing. Warnings of Python and of
    its logging become lines of ours meanwhile.

    Parameters
    ----------
    quiet : bool
        Nothing but errors.
    **about : str
        What every line names: ``run`` or ``out``.
    """
    _now.update(quiet=quiet, about={key: str(value) for key, value in about.items() if value})
    tell: Callable[[str, float], None] = lambda text, share: None  # noqa: E731
    handler = _Lines(logging.WARNING)
    logging.getLogger().addHandler(handler)
    try:
        with warnings.catch_warnings(), _bar(quiet) as bar:
            warnings.showwarning = _warned
            if bar is not None:
                tell = bar
            elif as_json() and not quiet:
                tell = _progress
            yield tell
    finally:
        logging.getLogger().removeHandler(handler)


def fail(text: str, code: int) -> NoReturn:
    """End the command with an exit code and the last word on stderr."""
    trace = traceback.format_exc() if _now.get("debug") and sys.exc_info()[1] else ""
    if text and as_json():
        level = {3: "warning", 99: "info"}.get(code, "error")
        more = {"trace": trace} if trace else {}
        _line(level, EVENTS.get(code, "failed"), code=code, message=text, **more)
    elif text:
        _write(_safe(f"{trace}fintech-dl: {text}"))
    sys.exit(code)


def refuse_quarantine(n_rows: int, folder: object) -> None:
    """End with 3 if rows were quarantined: what ``--strict`` asks for."""
    if n_rows:
        fail(f"{folder}: finished, but {n_rows:,} rows were quarantined (--strict)", 3)


def completing(*kinds: str) -> Callable[[str], list[str]]:
    """Return what completes the names of cards in a shell."""

    def complete(incomplete: str) -> list[str]:
        found = [name for kind in kinds for name in cards.names(kind)]
        return [name for name in found if name.startswith(incomplete)]

    return complete


def echo(text: str) -> None:
    """Print a line of results; control characters of file and column names are shown as codes."""
    typer.echo(_visible(text))


def print_json(value: Any) -> None:
    """Print one JSON document."""
    text = json.dumps(value, indent=1, ensure_ascii=False, default=str)
    typer.echo(CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def print_tree(values: Mapping[str, Any], indent: str = "") -> None:
    """Print nested values, the empty ones left out."""
    for key, value in values.items():
        if value in ("", None, [], {}):
            continue
        if isinstance(value, dict):
            echo(f"{indent}{key}")
            print_tree(value, indent + "  ")
        elif isinstance(value, list):
            echo(f"{indent}{key}")
            for item in value:
                echo(f"{indent}  - {item}")
        else:
            echo(f"{indent}{key}: {value}")


def print_table(rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> None:
    """Print rows below the names of their columns."""
    lines = [list(columns)]
    lines += [["" if row[name] is None else str(row[name]) for name in lines[0]] for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for line in lines:
        echo("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip())


def _line(level: str, event: str, **facts: Any) -> None:
    ts = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = {"ts": ts, "level": level, "event": event, **_now.get("about", {}), **facts}
    line = {key: _safe(item) if isinstance(item, str) else item for key, item in line.items()}
    _write(json.dumps(line, ensure_ascii=False))


def _safe(text: str) -> str:
    """Return the text without colours, and without passwords and tokens of addresses."""
    return SECRET.sub(lambda found: f"{found[1] or ''}***", _visible(COLOUR.sub("", text)))


def _visible(text: str) -> str:
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _write(text: str) -> None:
    """Write to stderr; a log that cannot be written stops no work."""
    with suppress(OSError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _progress(text: str, share: float) -> None:
    _line("info", text, share=round(share, 3))


def _warn(text: str) -> None:
    if _now.get("quiet"):
        return
    if as_json():
        _line("warning", "warning", message=text)
    else:
        _write(_safe(f"fintech-dl: warning: {text}"))


def _warned(message: Warning | str, *where: Any, **more: Any) -> None:
    """Take the place of ``warnings.showwarning``."""
    _warn(str(message))


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _warn(record.getMessage())


@contextmanager
def _bar(quiet: bool) -> Iterator[Callable[[str, float], None] | None]:
    mute = quiet or _now["log"] == "json" or os.environ.get("TERM") == "dumb"
    if mute or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task("starting", total=1.0)
        yield lambda text, share: progress.update(task, description=text, completed=share)
