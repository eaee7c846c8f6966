"""The command line: list, show, run, score. Heavy imports stay inside the verbs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tomllib
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from fintech_dl import __version__, cards
from fintech_dl.errors import CardError, FintechError, UsageError
from fintech_dl.records import read_toml

app = typer.Typer(
    name="fintech-dl",
    help="Deep learning for finance: run a pipeline card, read its report, score new rows.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
STOPPED = "stopped; nothing was left half-written"
KINDS = {
    "pipelines": "questions that can be answered: fintech-dl run NAME",
    "datasets": "data that can be read: fintech-dl show NAME",
    "networks": "networks that every estimator can hold",
}


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fintech-dl {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Keep what holds for every verb."""


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the pipelines, datasets and networks there are."""
    found: dict[str, dict[str, str]] = {"pipelines": {}, "datasets": {}, "networks": {}}
    for kind, read, key in (
        ("pipelines", cards.pipeline_card, "question"),
        ("datasets", cards.dataset_card, "title"),
    ):
        for name in cards.names(kind):
            try:
                found[kind][name] = getattr(read(name), key)
            except CardError as error:  # one broken card does not hide the others
                found[kind][name] = f"cannot be used: {error}"
    from fintech_dl import _HOME

    for name, home in _HOME.items():
        if home.startswith("networks.") and name not in ("Network", "hyperparameters"):
            found["networks"][name] = f"fintech_dl.{name}"
    if as_json:
        _print_json(found)
        return
    for kind, what in KINDS.items():
        typer.echo(f"{kind} ({what})")
        width = max((len(name) for name in found[kind]), default=0)
        for name, text in found[kind].items():
            typer.echo(f"  {name:<{width}}  {text}")
        typer.echo("")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of a pipeline or dataset, or a card's file.")],
    as_json: AsJson = False,
) -> None:
    """Show a card: what a pipeline asks and does, or where a dataset comes from."""
    kind, card = _either(name)
    values = json.loads(json.dumps(asdict(card), default=str))
    values.pop("folder")
    if as_json:
        _print_json({"kind": kind, **values})
        return
    _print_card({key: value for key, value in values.items() if value not in ("", None, [], {})})


@app.command()
def run(
    pipeline: Annotated[str, typer.Argument(help="Name of a pipeline card, or its file.")],
    dataset: Annotated[str, typer.Option(help="Another dataset than the card's.")] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a parameter (model__epochs=5) or a key of the card (split.folds=4).",
        ),
    ] = None,
    out: Annotated[str, typer.Option(help="Folder of the run; must not exist yet.")] = "",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    as_of: Annotated[str, typer.Option(help="Moment of the data; later rows are set aside.")] = "",
    as_json: AsJson = False,
) -> None:
    """Run a pipeline: fit model and baselines, evaluate, write report and artefact."""
    parameters, keys = _assignments(set_ or [])
    card = cards.pipeline_card(pipeline, overrides=keys, dataset=dataset or None)
    from fintech_dl.evaluation.report import results_table
    from fintech_dl.runs import run_pipeline

    with _Progress() as progress:
        done = run_pipeline(
            card,
            out or None,
            set_params=parameters,
            seed=seed,
            as_of=as_of or None,
            progress=progress,
        )
    record = done.record
    if as_json:
        names = ("pipeline", "seed", "verdict", "decision")
        metrics = {m["name"]: m.get("metrics", {}) for m in record["models"]}
        _print_json(
            {"folder": str(done.folder), "metrics": metrics, **{k: record[k] for k in names}}
        )
        return
    typer.echo(f"\n{record['title']}: {record['question']}\n")
    typer.echo(results_table(record))
    typer.echo(f"\n{record['verdict'].get('text', '')}\n")
    typer.echo(f"report    {done.folder / 'report.html'}")
    typer.echo(f"artefact  {done.folder / 'artefact'}")
    words = record["commands"]["score"].split(" ", 1)
    name = words[0] if shutil.which(words[0]) else os.path.relpath(sys.argv[0])
    typer.echo(f"score new rows with\n  {name} {words[1]}")


@app.command()
def score(
    artefact: Annotated[str, typer.Argument(help="Folder `artefact` of a run.")],
    file: Annotated[str, typer.Argument(help="Parquet or CSV file of new rows.")],
    out: Annotated[str, typer.Option("-o", "--out", help="Folder to write; must not exist yet.")],
    history: Annotated[str, typer.Option(help="File of earlier rows, labels included.")] = "",
    as_of: Annotated[str, typer.Option(help="Moment of the data; later rows are set aside.")] = "",
    as_json: AsJson = False,
) -> None:
    """Score new rows: every row is scored, or set aside with a reason."""
    from fintech_dl.scoring.score import score_file

    done = score_file(artefact, file, out, history=history or None, as_of=as_of or None)
    if as_json:
        _print_json({"folder": str(done.folder), **done.summary})
        return
    counts = done.summary
    alerts = "" if counts["alerts"] is None else f", {counts['alerts']:,} alerts"
    typer.echo(
        f"{counts['rows_read']:,} rows read: {counts['rows_scored']:,} scored{alerts}, "
        f"{counts['rows_quarantined']:,} quarantined"
    )
    past = counts["history"]
    if past and past["rows_quarantined"]:
        typer.echo(f"{past['rows_quarantined']:,} rows of the history broke the contract: left out")
    typer.echo(f"scores  {done.folder / 'scores.parquet'}")
    if counts["rows_quarantined"]:
        typer.echo(f"quarantine  {done.folder / 'quarantine.csv'}")


def main() -> None:
    """Run the command line; turn errors into one clear line and the right exit code."""
    # Threads that wait must not spin: on a busy machine gradient boosting would take minutes.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGTERM, lambda *_: _fail(STOPPED, 143))
    command = typer.main.get_command(app)
    try:
        code = command.main(args=sys.argv[1:], prog_name="fintech-dl", standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        _fail(STOPPED, 130)
    except FintechError as error:
        _fail(str(error), error.exit_code)
    except Exception as error:
        if hasattr(error, "exit_code") and hasattr(error, "format_message"):
            _fail(_usage(error), error.exit_code)
        _fail(
            f"{type(error).__name__}: {error}\nThis was not foreseen. Run it again as "
            "`fintech-dl --debug ...` to see where it happened",
            1,
        )
    if code == 130:  # Typer has caught Ctrl-C
        _fail(STOPPED, 130)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(text: str, code: int) -> NoReturn:
    if "--debug" in sys.argv and sys.exc_info()[1] is not None:
        traceback.print_exc()
    if text:
        print(f"fintech-dl: {text}", file=sys.stderr)
    sys.exit(code)


def _usage(error: Any) -> str:
    """Return what is wrong with the words of the command line, and where help is."""
    said = str(error.format_message())
    asked = error.ctx.command_path if getattr(error, "ctx", None) else "fintech-dl"
    end = "" if said.endswith((".", "?")) else "."
    return f"{said}{end} See {asked} --help" if said else ""


def _either(name: str) -> tuple[str, Any]:
    """Return the kind and the card of a name, which may be of a pipeline or of a dataset."""
    if name.endswith(".toml"):
        is_pipeline = "question" in read_toml(Path(name))
    else:
        known = cards.names("pipelines") + cards.names("datasets")
        if name not in known:
            hint = cards.nearest(name, known)
            raise UsageError(f"unknown pipeline or dataset {name!r}; {hint}")
        is_pipeline = name in cards.names("pipelines")
    if is_pipeline:
        return "pipeline", cards.pipeline_card(name)
    return "dataset", cards.dataset_card(name)


def _assignments(texts: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return parameters (scikit-learn addresses) and keys of the card from KEY=VALUE texts."""
    parameters: dict[str, Any] = {}
    keys: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise UsageError(f"--set {text!r}: expected KEY=VALUE, for example model__epochs=5")
        try:
            parsed = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed = value.strip()  # a bare word is text
        (parameters if "__" in key else keys)[key] = parsed
    return parameters, keys


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False, default=str))


def _print_card(values: dict[str, Any], indent: str = "") -> None:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            typer.echo(f"{indent}{key}")
            kept = {k: v for k, v in value.items() if v not in ("", None, [], {})}
            _print_card(kept, indent + "  ")
        elif isinstance(value, list):
            typer.echo(f"{indent}{key}")
            for item in value:
                typer.echo(f"{indent}  - {item}")
        else:
            typer.echo(f"{indent}{key}: {value}")


class _Progress:
    """A bar on a terminal, nothing elsewhere."""

    def __enter__(self) -> Any:
        self.bar: Any = None
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self.bar = Progress(
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %"),
                TimeElapsedColumn(),
                TextColumn("{task.description}"),
                console=Console(stderr=True),
                transient=True,
            )
            self.bar.start()
            self.task = self.bar.add_task("starting", total=1.0)
        return self.tell

    def tell(self, text: str, share: float) -> None:
        """Show what is being done and how much is done."""
        if self.bar is not None:
            self.bar.update(self.task, description=text, completed=share)

    def __exit__(self, *error: Any) -> None:
        if self.bar is not None:
            self.bar.stop()
