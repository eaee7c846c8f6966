"""May scores be written here? Standard library only, so that the answer comes at once."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from fintech_dl import artefact
from fintech_dl.errors import DataError, NothingToDo, OutputError, PlanError


def check_place(
    out: Path,
    folder: str | Path,
    file: str | Path,
    history: str | Path | None,
    as_of: Any,
    reasons: bool = False,
) -> None:
    """Refuse, before any work, a folder that cannot be made or that was made before.

    Parameters
    ----------
    out : Path
        Folder to write.
    folder : str or Path
        The artefact.
    file, history : str or Path
        The rows to score and, or None, those before them.
    as_of : str, date or Timestamp, or None
        As for ``score_file``.
    reasons : bool
        Whether reasons are asked for.

    Raises
    ------
    NothingToDo, PlanError, OutputError
        ``out`` holds the scores of the same, scores of something else, or cannot be written.
    """
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        made = _made_of(out)
        if made is None:
            raise OutputError(f"{out}: exists already; name a new folder with -o")
        wanted = {
            "the artefact": artefact.digest(folder),
            "the input": _sha256(file),
            "the history": None if history is None else _sha256(history),
            "as_of": None if as_of is None else str(as_of),
            "--reasons": reasons,
        }
        if other := [name for name, value in wanted.items() if made[name] != value]:
            raise PlanError(
                f"{out}: holds scores that were made before, and not of the same: "
                f"{', '.join(other)} differ{'s' if len(other) == 1 else ''}; name a new folder "
                "with -o, or remove this one"
            )
        raise NothingToDo(
            f"nothing to do: {out} holds the scores of exactly these rows and this artefact; "
            "remove it to have them made again"
        )
    above = next(parent for parent in out.absolute().parents if os.path.exists(parent))
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise OutputError(f"{out}: you may not write to {above}; choose another folder with -o")


def _made_of(out: Path) -> dict[str, Any] | None:
    """Return what finished scores were made of; None if the folder holds something else."""
    try:
        summary = json.loads((out / "summary.json").read_text())
        if not (out / "scores.parquet").is_file():
            return None
        return {
            "the artefact": summary["artefact"],
            "the input": summary["input"]["sha256"],
            "the history": summary["history"] and summary["history"]["sha256"],
            "as_of": summary["as_of"],
            "--reasons": summary.get("reasons") is not None,
        }
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _sha256(file: str | Path) -> str:
    try:
        with open(file, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
