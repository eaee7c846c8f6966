"""The command line: one function for each verb. Heavy imports stay inside the verbs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tomllib
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from fintech_dl import __version__, cards, data_verbs, scoring_verbs
from fintech_dl.console import (
    AsJson,
    AsOf,
    Quiet,
    Strict,
    completing,
    echo,
    fail,
    print_json,
    print_tree,
    refuse_quarantine,
    start,
    working,
)
from fintech_dl.errors import NO_ROOM, CardError, FintechError, UsageError
from fintech_dl.records import read_toml

app = typer.Typer(
    name="fintech-dl",
    help="Deep learning for finance: run a pipeline card, read its report, score new rows.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_verbs.app, name="data", no_args_is_help=True)
STOPPED = "stopped; nothing was left half-written"
KINDS = {
    "pipelines": "questions that can be answered: fintech-dl run NAME",
    "datasets": "data that can be read: fintech-dl data show NAME",
    "networks": "networks that every estimator can hold",
}


def _version(wanted: bool) -> None:
    if wanted:
        echo(f"fintech-dl {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
    log: Annotated[
        str,
        typer.Option(help="What stderr is: text, json (a document per line), auto (by terminal)."),
    ] = "",
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Say what holds for every verb; `main` has taken `debug` and `log` before."""


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
        print_json(found)
        return
    for kind, what in KINDS.items():
        echo(f"{kind} ({what})")
        width = max((len(name) for name in found[kind]), default=0)
        for name, text in found[kind].items():
            echo(f"  {name:<{width}}  {text}")
        echo("")


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="Name of a pipeline or dataset, or a card's file.",
            autocompletion=completing("pipelines", "datasets"),
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show a card: what a pipeline asks and does, or where a dataset comes from."""
    kind, card = _either(name)
    values = json.loads(json.dumps(asdict(card), default=str))
    values.pop("folder")
    if as_json:
        print_json({"kind": kind, **values})
        return
    print_tree(values)


@app.command()
def run(
    pipeline: Annotated[
        str,
        typer.Argument(
            help="Name of a pipeline card, or its file.", autocompletion=completing("pipelines")
        ),
    ],
    dataset: Annotated[
        str,
        typer.Option(
            help="Another dataset than the card's.", autocompletion=completing("datasets")
        ),
    ] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a parameter (model__epochs=5) or a key of the card (split.folds=4).",
        ),
    ] = None,
    search: Annotated[
        bool, typer.Option("--search", help="First look for better parameters, as the card says.")
    ] = False,
    out: Annotated[
        str, typer.Option("-o", "--out", help="Folder of the run; must not exist yet.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    as_of: AsOf = "",
    strict: Strict = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run a pipeline: fit model and baselines, evaluate, write report and artefact."""
    with working(quiet, run=out or pipeline) as tell:
        parameters, keys = _assignments(set_ or [])
        card = cards.pipeline_card(pipeline, overrides=keys, dataset=dataset or None)
        from fintech_dl.evaluation.report import results_table
        from fintech_dl.runs import run_pipeline

        done = run_pipeline(
            card,
            out or None,
            set_params=parameters,
            seed=seed,
            as_of=as_of or None,
            progress=tell,
            **({"search": True} if search else {}),
        )
    record = done.record
    if as_json:
        names = ("pipeline", "seed", "verdict", "decision")
        metrics = {m["name"]: m.get("metrics", {}) for m in record["models"]}
        print_json(
            {"folder": str(done.folder), "metrics": metrics, **{k: record[k] for k in names}}
        )
    elif quiet:
        echo(str(done.folder))
    else:
        echo(f"\n{record['title']}: {record['question']}\n")
        echo(results_table(record))
        echo(f"\n{record['verdict'].get('text', '')}\n")
        echo(f"report    {done.folder / 'report.html'}")
        if (done.folder / "validation.html").exists():
            echo(f"evidence  {done.folder / 'validation.html'}")
        for name in ("reasons", "points"):
            if (done.folder / f"{name}.csv").exists():
                echo(f"{name:<9} {done.folder / name}.csv")
        echo(f"artefact  {done.folder / 'artefact'}")
        words = record["commands"]["score"].split(" ", 1)
        name = words[0] if shutil.which(words[0]) else os.path.relpath(sys.argv[0])
        echo(f"score new rows with\n  {name} {words[1]}")
    if strict:
        refuse_quarantine(record["data"]["rows_quarantined"], done.folder)


app.add_typer(scoring_verbs.app)


@app.command()
def report(
    folder: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run.")],
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Make the report of a run again, from its metrics.json alone."""
    with working(quiet, run=folder):
        from fintech_dl.evaluation.rebuild import rebuild_report

        done = rebuild_report(folder)
    if as_json:
        print_json(done)
    elif quiet:
        echo(done["report"])
    else:
        for one in (done, *([done["validation"]] if "validation" in done else [])):
            echo(f"report  {one['report']}\nsha256  {one['sha256']}\nbefore  {one['before']}")


@app.command()
def check(
    artefacts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARTEFACT_OR_RUN_OR_PIPELINE]...", help="These alone."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with 3 on warnings.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Check installation, backends, cards and artefacts; of pipelines that forecast, for leaks.

    Each line says what to do.
    """
    from fintech_dl.check import findings

    found = []
    for one in findings(artefacts or []):
        found.append(one)
        if not as_json and not (quiet and one["status"] in ("ok", "skipped")):
            echo(f"{one['status']:<7}  {one['part']} {one['name']}: {one['text']}")
    states = ("ok", "skipped", "warning", "failed")
    counts = {state: sum(one["status"] == state for one in found) for state in states}
    if as_json:
        print_json({"counts": counts, "checks": found})
    elif not quiet:
        several = "" if counts["warning"] == 1 else "s"
        left = f", {counts['skipped']} skipped" if counts["skipped"] else ""
        told = f"{counts['warning']} warning{several}, {counts['failed']} failed"
        echo(f"{counts['ok']} ok{left}, {told}")
    failed = [one for one in found if one["status"] == "failed"]
    if failed:
        only_artefacts = all(one["part"] == "artefact" for one in failed)
        names = ", ".join(f"{one['part']} {one['name']}" for one in failed)
        fail(f"{len(failed)} of {len(found)} checks failed: {names}", 5 if only_artefacts else 2)
    if strict and counts["warning"]:
        fail(f"{counts['warning']} of {len(found)} checks ended with a warning", 3)


def main() -> None:
    """Run the command line; turn errors into one clear message and the right exit code."""
    # Threads that wait must not spin: on a busy machine gradient boosting would take minutes.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGTERM, lambda *_: fail(STOPPED, 143))
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup wants it
        signal.signal(signal.SIGHUP, lambda *_: fail(STOPPED, 129))
    command = typer.main.get_command(app)
    try:
        log, debug, words = _of_every_verb(sys.argv[1:])
        start(log, debug)
        code = command.main(args=words, prog_name="fintech-dl", standalone_mode=False)
        sys.stdout.flush()
    except (typer.Abort, KeyboardInterrupt):
        fail(STOPPED, 130)
    except FintechError as error:
        fail(str(error), error.exit_code)
    except Exception as error:
        if hasattr(error, "exit_code") and hasattr(error, "format_message"):
            fail(_usage(error), error.exit_code)
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            with suppress(OSError, ValueError):  # what is left in the buffer has no room either
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            fail(f"{error.strerror}: make room and run it again", 75)
        if isinstance(error, MemoryError):
            fail("there is not enough memory: give the process more of it and run it again", 75)
        fail(
            f"{type(error).__name__}: {error}\nThis was not foreseen. Run it again as "
            "`fintech-dl --debug ...` to see where it happened",
            1,
        )
    if code == 130:  # Typer has caught Ctrl-C
        fail(STOPPED, 130)
    sys.exit(code if isinstance(code, int) else 0)


def _of_every_verb(words: list[str]) -> tuple[str, bool, list[str]]:
    """Return ``--log``, ``--debug`` and the other words: these two may stand anywhere."""
    log, debug, others = "", False, []
    rest = iter(words)
    for word in rest:
        if word == "--":
            others += [word, *rest]
        elif word == "--debug":
            debug = True
        elif word == "--log":
            log = next(rest, "nothing")
        elif word.startswith("--log="):
            log = word.removeprefix("--log=")
        else:
            others.append(word)
    return log, debug, others


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
    """Return parameters (scikit-learn addresses) and keys of the card from KEY=VALUE texts.

    An address has no dot, which a key of the card may have: ``search.space.model__epochs``.
    """
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
        (parameters if "__" in key and "." not in key else keys)[key] = parsed
    return parameters, keys
