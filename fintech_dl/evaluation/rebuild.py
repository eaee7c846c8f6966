"""The reports of a run made again from its records alone."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.report import write_report
from fintech_dl.evaluation.validation_report import FILE, PAGE, write_validation

RECORD = "metrics.json"
FORMAT = 1


def rebuild_report(folder: str | Path) -> dict[str, Any]:
    """Make ``report.html`` of a run's folder again from its ``metrics.json``; the same bytes.

    If there is a ``validation.json``, ``validation.html`` too.

    To get a lost or changed report back, or to see an old run with newer templates.

    Parameters
    ----------
    folder : str or Path
        Folder of a run.

    Returns
    -------
    dict
        ``report`` (path), ``sha256`` of its bytes, and ``before``: ``"same"``, ``"different"`` or
        ``"absent"``, what was there before; with a validation also ``validation``, a dict of the
        same three.

    Raises
    ------
    UsageError
        The folder is not that of a run.
    DataError
        The record is damaged, or of another format.
    OutputError
        The report cannot be written; the old one stays.

    Examples
    --------
    >>> import json, tempfile
    >>> from pathlib import Path
    >>> from fintech_dl.evaluation.rebuild import rebuild_report
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     record = json.dumps({"format": 1, "title": "Card fraud"})
    ...     _ = (Path(folder) / "metrics.json").write_text(record)
    ...     rebuild_report(folder)["before"], rebuild_report(folder)["before"]
    ('absent', 'same')
    """
    place = Path(folder)
    found = _made(place / "report.html", _record(place, RECORD), write_report, RECORD)
    if (place / FILE).is_file():
        record = _record(place, FILE)
        found["validation"] = _made(place / PAGE, record, write_validation, FILE)
    return found


def _made(
    path: Path, record: dict[str, Any], write: Callable[[dict[str, Any], Path], Path], of: str
) -> dict[str, Any]:
    before = path.read_bytes() if path.is_file() else None
    try:
        write(record, path.parent)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(_damaged(path.parent / of, f"{type(error).__name__}: {error}")) from error
    after = path.read_bytes()
    return {
        "report": str(path),
        "sha256": sha256(after).hexdigest(),
        "before": "absent" if before is None else "same" if before == after else "different",
    }


def _record(folder: Path, name: str) -> dict[str, Any]:
    try:
        record = json.loads((folder / name).read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(
            f"{folder}: is no folder of a run (there is no {name}); name the folder that "
            "`fintech-dl run` wrote, for example one of reports/runs"
        ) from error
    except OSError as error:
        raise DataError(f"{folder / name}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(_damaged(folder / name, str(error))) from error
    if not isinstance(record, dict) or "title" not in record:
        raise DataError(_damaged(folder / name, "it holds no title"))
    if record.get("format") != FORMAT:
        raise DataError(
            f"{folder / name}: is of format {record.get('format')!r}, this version of fintech_dl "
            f"reads {FORMAT}; use the version that wrote it, or run the pipeline again"
        )
    return record


def _damaged(file: Path, why: str) -> str:
    return f"{file}: is damaged ({why}); run the pipeline again"
