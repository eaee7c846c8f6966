"""Every pipeline that has real data, run as its users run it, with the verdict it came to.

Run with FINTECH_DL_DATA set: ``python tests/benchmarks/real_runs.py [NAME ...]``. Each run is one
start of ``fintech-dl run``, kept under ``reports/benchmarks/real_runs`` once it is done. ``--plan``
tells what is left, ``--table`` writes the dated result of what there is.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import progress
import results

from fintech_dl.cards import dataset_card, names, pipeline_card

STATE = results.FOLDER / "real_runs"
OTHERS = {  # of pipelines whose own data are built in, real data of the same kind
    "fraud": ("handbook_transactions",),
    "fraud-unsupervised": ("handbook_transactions",),
    "anomaly-markets": ("planted_stocks", "planted_indices"),
    "stock-direction": ("sp500_stocks_5yr",),
    "stock-price": ("sp500_stocks_5yr",),
}


class Run(NamedTuple):
    """One start of the command."""

    pipeline: str
    dataset: str

    def words(self) -> list[str]:
        """Return what is typed after ``fintech-dl``."""
        own = pipeline_card(self.pipeline).dataset == self.dataset
        return ["run", self.pipeline, *([] if own else ["--dataset", self.dataset])]


def runs() -> list[Run]:
    """Return every pipeline with each real dataset of it."""
    found = []
    for name in names("pipelines"):
        own = pipeline_card(name).dataset
        of_file = (own,) if dataset_card(own).source.kind == "file" else ()
        found += [Run(name, dataset) for dataset in (*of_file, *OTHERS.get(name, ()))]
    return found


def measure(run: Run) -> dict[str, Any]:
    """Start the command; return what its record says."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "fintech_dl", *run.words(), "-o", str(out), "-q"]
        started = time.perf_counter()
        ended = subprocess.run(command, capture_output=True, text=True)
        seconds = time.perf_counter() - started
        if ended.returncode:
            raise SystemExit(
                f"{' '.join(run.words())} ended with {ended.returncode}: {ended.stderr}"
            )
        record = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    values = [
        {
            "title": model["title"],
            "baseline": model["is_baseline"],
            "metrics": model.get("metrics", {}),
            "fit_seconds": model.get("fit_seconds"),
            "reason": model["reason"],
        }
        for model in record["models"]
    ]
    data = {name: record["data"][name] for name in ("rows_read", "rows_used", "rows_quarantined")}
    return {"seconds": seconds, "verdict": record["verdict"], **data, "models": values}


def row_of(run: Run, line: dict[str, Any]) -> dict[str, str]:
    """Return a line of the table."""
    metric = line["verdict"]["metric"]
    values = {model["title"]: model["metrics"].get(metric) for model in line["models"]}

    def told(title: str) -> str:
        found = values[title]
        return f"{found['value']:.4g} [{found['low']:.4g}, {found['high']:.4g}]"

    own = next(model["title"] for model in line["models"] if not model["baseline"])
    rival = line["verdict"].get("rival")
    return {
        "fintech-dl": " ".join(run.words()),
        "rows": f"{line['rows_used']:,}",
        "set aside": f"{line['rows_quarantined']:,}",
        "by": metric,
        "ours": f"{own}: {told(own)}",
        "best baseline": f"{rival}: {told(rival)}" if rival in values else "",
        "verdict": line["verdict"].get("outcome", ""),
        "minutes": f"{line['seconds'] / 60:.1f}",
    }


def main(words: list[str]) -> None:
    options = {word for word in words if word.startswith("--")}
    wanted = [word for word in words if word not in options]
    if unknown := options - {"--plan", "--table"}:
        raise SystemExit(f"unknown: {', '.join(unknown)}; allowed: --plan, --table")
    known = runs()
    if odd := [name for name in wanted if name not in {run.pipeline for run in known}]:
        raise SystemExit(f"no pipeline with real data: {', '.join(odd)}")
    done: dict[Run, dict[str, Any]] = {}
    for name in dict.fromkeys(run.pipeline for run in known):
        done |= progress.done(Run, name, STATE)
    left = [run for run in known if run not in done and (not wanted or run.pipeline in wanted)]
    if "--plan" in options:
        print(*(" ".join(run.words()) for run in left), progress.told([None] * len(left)), sep="\n")
        return
    for run in left if "--table" not in options else []:
        done[run] = measure(run)
        progress.keep(run, done[run], STATE)
        print(" ".join(run.words()), done[run]["verdict"].get("text", ""), flush=True)
    table = [row_of(run, done[run]) for run in known if run in done]
    notes = [
        "Each line is one start of the command with the card as it is shipped, seed 0; values and "
        "95 % intervals on its test rows, by the metric that the card names first.",
        "The verdict is made by rule, by a paired test against the best baseline: better, same or "
        "worse. Every metric of every baseline is in the JSON file.",
    ]
    seconds = sum(done[run]["seconds"] for run in known if run in done)
    raw = {"runs": [{**run._asdict(), **done[run]} for run in known if run in done]}
    command = "python tests/benchmarks/real_runs.py"
    print(results.write_result("real_runs", table, notes, command, raw=raw, seconds=seconds))


if __name__ == "__main__":
    main(sys.argv[1:])
