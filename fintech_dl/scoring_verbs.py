"""The verbs of batch scoring: plan, score, resume, status, verify, gc and what reads their runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fintech_dl.console import (
    AsJson,
    AsOf,
    Quiet,
    Strict,
    echo,
    fail,
    print_json,
    refuse_quarantine,
    working,
)
from fintech_dl.errors import UsageError

if TYPE_CHECKING:
    from fintech_dl.scoring.completing import Scores

app = typer.Typer()

Artefact = Annotated[str, typer.Argument(help="Folder `artefact` of a run.")]
Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT",
        help="Parquet or CSV files of new rows, folders of such, patterns in quotes, or dataset "
        "cards that ask a database.",
    ),
]
Out = Annotated[str, typer.Option("-o", "--out", help="Folder to write, or to go on with.")]
Folder = Annotated[
    str, typer.Argument(metavar="DIR", help="Folder that was given to score or plan with -o.")
]
History = Annotated[str, typer.Option(help="File of earlier rows, labels included.")]
Reasons = Annotated[
    bool, typer.Option("--reasons", help="Also tell why each declined row is; needs Keras.")
]
Duplicates = Annotated[
    str,
    typer.Option(
        help="Rows whose key came before: report, quarantine or fail. (Default: the contract's.)",
        show_default=False,
    ),
]
NewRun = Annotated[
    bool, typer.Option("--new-run", help="The folder may hold other runs; add this one.")
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes; by default one per core.", show_default=False),
]
Executor = Annotated[str, typer.Option(help="What runs the shards: local, or ray.")]
Stall = Annotated[
    float | None,
    typer.Option(
        min=1.0,
        help="Give up after so many seconds without any progress; by default 600.",
        show_default=False,
    ),
]
Sink = Annotated[str, typer.Option(help="Where scores go: parquet, or sql for a table as well.")]
Database = Annotated[
    str, typer.Option(metavar="VARIABLE", help="Environment variable with its address (sql).")
]
Table = Annotated[str, typer.Option(metavar="NAME", help="Table of the database (sql).")]
SingleWriter = Annotated[
    bool,
    typer.Option("--single-writer", help="No other process writes there: allow any file system."),
]


@app.command()
def score(
    artefact: Artefact,
    inputs: Inputs,
    out: Out,
    history: History = "",
    reasons: Reasons = False,
    as_of: AsOf = "",
    duplicates: Duplicates = "",
    new_run: NewRun = False,
    workers: Workers = None,
    executor: Executor = "local",
    stall: Stall = None,
    sink: Sink = "parquet",
    database: Database = "",
    table: Table = "",
    single_writer: SingleWriter = False,
    strict: Strict = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Score new rows: every row is scored, or set aside with a reason.

    Killed at any moment, the same command again goes on where it was.
    """
    with working(quiet, out=out) as tell:
        from fintech_dl.scoring.jobs import score_files
        from fintech_dl.scoring.sinks import make_sink

        tell("looking at the input", 0.0)
        done = score_files(
            artefact,
            inputs,
            out,
            history=history or None,
            as_of=as_of or None,
            duplicates=duplicates or None,
            reasons=reasons,
            new_run=new_run,
            workers=workers,
            executor=executor,
            sink=make_sink(sink, database, table),
            single_writer=single_writer,
            stall=stall,
            progress=tell,
        )
        tell("done", 1.0)
    _print_scores(done, strict, quiet, as_json)


@app.command()
def plan(
    artefact: Artefact,
    inputs: Inputs,
    out: Out,
    history: History = "",
    reasons: Reasons = False,
    as_of: AsOf = "",
    duplicates: Duplicates = "",
    new_run: NewRun = False,
    sink: Sink = "parquet",
    database: Database = "",
    table: Table = "",
    single_writer: SingleWriter = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Leave nothing behind; only tell.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Plan what score would do, and check all that can be checked before; resume then does it."""
    with working(quiet, out=out) as tell:
        from fintech_dl.scoring.jobs import plan_scores
        from fintech_dl.scoring.sinks import make_sink

        tell("looking at the input", 0.0)
        run, made = plan_scores(
            artefact,
            inputs,
            out,
            history=history or None,
            as_of=as_of or None,
            duplicates=duplicates or None,
            reasons=reasons,
            new_run=new_run,
            sink=make_sink(sink, database, table),
            single_writer=single_writer,
            dry_run=dry_run,
        )
        tell("done", 1.0)
    aside = made.landed_quarantine.rows if made.landed_quarantine else 0
    facts: dict[str, Any] = {
        "folder": out,
        "run": run.name,
        "pipeline": made.pipeline,
        "files": len(made.originals),
        "rows": made.rows(),
        "quarantined": aside,
        "shards": len(made.shards),
        "stage": made.stage,
        "as_of": made.as_of,
        "duplicates": made.repeated.rows if made.repeated else 0,
        "ignored_columns": made.ignored_columns,
        "inputs": [{"name": one.name, "bytes": one.bytes} for one in made.originals],
    }
    if as_json:
        print_json(facts)
    elif quiet:
        echo(str(run))
    else:
        for one in made.originals[:20]:
            echo(f"{one.name}  {'query' if one.query else f'{one.bytes:,} bytes'}")
        if len(made.originals) > 20:
            echo(f"... and {len(made.originals) - 20:,} more")
        if made.ignored_columns:
            echo(f"columns that the contract does not name: {', '.join(made.ignored_columns)}")
        echo(f"{made.rows():,} rows of {_files(facts['files'])} in {_shards(facts['shards'])}")
        echo("nothing was written" if dry_run else f"plan  {run}\nnext  fintech-dl resume {out}")


@app.command()
def resume(
    folder: Folder,
    workers: Workers = None,
    executor: Executor = "local",
    stall: Stall = None,
    single_writer: SingleWriter = False,
    strict: Strict = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a run that was planned, killed or failed, as it was planned."""
    with working(quiet, out=folder) as tell:
        from fintech_dl.scoring.jobs import resume_scores

        done = resume_scores(
            folder,
            workers=workers,
            executor=executor,
            single_writer=single_writer,
            stall=stall,
            progress=tell,
        )
        tell("done", 1.0)
    _print_scores(done, strict, quiet, as_json)


@app.command()
def status(folder: Folder, as_json: AsJson = False) -> None:
    """Tell how far the runs in a folder are: shards done and left, rows, what is damaged."""
    from fintech_dl.scoring.status import status as look

    found = look(folder)
    if as_json:
        print_json(found)
        return
    for run in found["runs"]:
        is_read = ", latest" if run["run"] == found["latest"] else ""
        told = ""
        if run["done"] is not None:
            told = (
                f": {run['done']} of {_shards(run['shards'])} done, {run['rows_done']:,} of "
                f"{run['rows']:,} rows, {run['quarantined']:,} quarantined"
            )
        echo(f"{run['run']}  {run['state']}{is_read}{told}")
        for line in (*run["broken"], *([run["error"]] if "error" in run else [])):
            echo(f"  {line}")
    echo(f"lock  {found['lock']}" + (" by a living process" if found["lock"] == "held" else ""))


@app.command()
def verify(folder: Folder, quiet: Quiet = False, as_json: AsJson = False) -> None:
    """Check every byte of the runs in a folder; end with 4 if one is not as it was written."""
    with working(quiet, out=folder):
        from fintech_dl.scoring.audit import verify as check

        found = check(folder)
    faults = found["faults"]
    if as_json:
        print_json({"folder": folder, **found})
    elif not quiet or faults:
        for line in faults:
            echo(line)
        echo(
            f"{found['runs']} runs, {_shards(found['shards'])}, {found['files']:,} files, "
            f"{found['rows']:,} rows: {f'{len(faults)} faults' if faults else 'as written'}"
        )
    if faults:
        fail(f"{folder}: {len(faults)} files are missing or changed; the first: {faults[0]}", 4)


@app.command()
def gc(
    folder: Folder,
    older_runs: Annotated[
        bool,
        typer.Option("--older-runs", help="Also runs but the latest, if done or failed."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing; only tell.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Remove what killed processes left behind in finished runs, and older runs if asked to."""
    with working(quiet, out=folder):
        from fintech_dl.scoring.status import gc as clear

        found = clear(folder, older_runs=older_runs, dry_run=dry_run)
    if as_json:
        print_json({"folder": folder, "dry_run": dry_run, **found})
    elif not quiet:
        for name in (*found["runs"], *found["files"]):
            echo(name)
        size = f"{found['bytes'] / 1e6:,.1f} MB"
        what = f"{len(found['runs'])} runs and {len(found['files'])} files, {size}"
        echo(f"{what} {'would be ' if dry_run else ''}removed")


@app.command()
def monitor(
    folder: Folder,
    labels: Annotated[
        str, typer.Option(help="File of labels that have come: key (or file and row) and label.")
    ] = "",
    against: Annotated[
        str, typer.Option(help="Compare with this other run, not with the training rows.")
    ] = "",
    artefact: Annotated[str, typer.Option(help="Where the artefact lies now, if moved.")] = "",
    strict: Annotated[bool, typer.Option("--strict", help="End with 3 on an alarm.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Tell whether scored rows are still like those the model learned from; write a page of it."""
    with working(quiet, out=folder):
        from fintech_dl.scoring.monitor import monitor as watch
        from fintech_dl.scoring.monitor import told

        done = watch(
            folder, labels=labels or None, against=against or None, artefact=artefact or None
        )
    run, found = done
    if as_json:
        print_json({"folder": str(run), **found})
    elif quiet:
        echo(str(run))
    else:
        for line in told(done):
            echo(line)
    if strict and found["alarms"]:
        fail(f"{run}: alarm (--strict). {found['verdict']['text']} See monitor.html there", 3)


@app.command()
def export(
    folder: Folder,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="File to write: .csv, .csv.gz or .parquet.")
    ],
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="The rows set aside, with their reasons.")
    ] = False,
    reasons: Annotated[
        bool, typer.Option("--reasons", help="Why rows were declined; score with --reasons.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it is there.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write the scores of a finished run to one file, checked by its manifest."""
    with working(quiet, out=folder):
        from fintech_dl.scoring.export import export_scores

        if quarantine and reasons:
            raise UsageError("--quarantine and --reasons are two files; name one of them")
        what = "quarantine" if quarantine else "reasons" if reasons else "scores"
        done = export_scores(folder, file, what=what, overwrite=overwrite)
    if as_json:
        print_json(done)
    elif quiet:
        echo(done["path"])
    else:
        echo(f"{done['path']}: {done['rows']:,} rows of {done['run']}")


def _print_scores(done: Scores, strict: bool, quiet: bool, as_json: bool) -> None:
    found = done.summary
    past = (found["history"] or {}).get("rows_quarantined", 0)
    if as_json:
        print_json({"folder": str(done.folder), **found})
    elif quiet:
        echo(str(done.folder))
    else:
        alerts = "" if found["alerts"] is None else f", {found['alerts']:,} alerts"
        if past:
            echo(f"{past:,} rows of the history broke the contract: left out")
        for code, rows in found["quarantine_reasons"].items():
            example = found["quarantine_examples"].get(code, "")
            echo(f"quarantined  {code}: {rows:,} rows{f'; {example}' if example else ''}")
        if found["delivered"]:
            echo(f"table  {found['delivered'].get('table', '')}")
        echo(f"scores  {done.folder}")
        echo(
            f"{found['rows']:,} rows read: {found['scored']:,} scored{alerts}, "
            f"{found['quarantined']:,} quarantined"
        )
    if strict:
        refuse_quarantine(found["quarantined"] + past, done.folder)


def _files(n: int) -> str:
    return f"{n:,} input{'' if n == 1 else 's'}"


def _shards(n: int) -> str:
    return f"{n:,} shard{'' if n == 1 else 's'}"
