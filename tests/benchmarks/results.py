"""Write what a benchmark measured: one dated JSON file, and the same as a Markdown table."""

import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "reports" / "benchmarks"
PACKAGES = (
    "fintech-dl numpy pandas pyarrow scikit-learn keras tensorflow jax torch onnxruntime lightgbm "
    "pytabkit neuralforecast pyod"
)
_STARTED = time.perf_counter()


def versions() -> dict[str, str]:
    """Return the versions of Python and of those libraries that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES.split():
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Return processor, cores, memory and graphics card of this machine."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    gpu = ""
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        gpu = subprocess.run(query, capture_output=True, text=True).stdout.strip()
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpu": gpu or "none",
    }


def write_result(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    notes: Sequence[str],
    command: str,
    folder: Path = FOLDER,
    raw: Mapping[str, Any] | None = None,
    seconds: float | None = None,
) -> Path:
    """Write ``{name}_{date}.json`` and ``.md``; a second run on one day replaces the first.

    Parameters
    ----------
    name : str
        Name of the benchmark, for example ``"card_features"``.
    rows : sequence of dict
        The table, one dict per line; their keys are the columns.
    notes : sequence of str
        What a reader must know: protocol, units, bars.
    command : str
        The command that makes the result again, run in the repository.
    folder : Path
    raw : mapping, optional
        The numbers that the table was made of, for the JSON file alone.
    seconds : float, optional
        What measuring took in all, where a result is put together from what several starts kept.
        Default: the time since this process began.

    Returns
    -------
    Path
        Of the Markdown file.
    """
    result = {
        "name": name,
        "date": date.today().isoformat(),
        "command": command,
        "total_seconds": round(time.perf_counter() - _STARTED if seconds is None else seconds, 1),
        "hardware": hardware(),
        "versions": versions(),
        "notes": list(notes),
        "rows": [dict(row) for row in rows],
    }
    if raw is not None:
        result["raw"] = dict(raw)
    path = folder / f"{name}_{result['date']}.md"
    text = json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False)
    folder.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    path.write_text(_markdown(result), encoding="utf-8")
    return path


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the lines of a table, one dict per line; their keys are the columns."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    table = [columns, ["---"] * len(columns)]
    table += [[_cell(row.get(column, "")) for column in columns] for row in rows]
    return ["| " + " | ".join(line) + " |" for line in table]


def _markdown(result: dict[str, Any]) -> str:
    machine, libraries = (
        ", ".join(f"{key} {value}" for key, value in result[part].items())
        for part in ("hardware", "versions")
    )
    return "\n".join(
        [
            f"# {result['name']}, {result['date']}",
            "",
            f"`{result['command']}` ({result['total_seconds']:,} s of measuring in all)",
            "",
            *markdown_table(result["rows"]),
            "",
            *(f"- {note}" for note in result["notes"]),
            f"- Machine: {machine}.",
            f"- Versions: {libraries}.",
            "",
        ]
    )


def _cell(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")
