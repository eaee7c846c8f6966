"""The report of a run made again from its record alone."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.report import write_report

RECORD = "metrics.json"
FORMAT = 1


def rebuild_report(folder: str | Path) -> dict[str, Any]:
    """Make ``report.html`` of a run's folder again from its ``metrics.json``; the same bytes.

    To get a lost or changed report back, or to see an old run with newer templates.

    Parameters
    ----------
    folder : str or Path
        Folder of a run.

    Returns
    -------
    dict
        ``report`` (path), ``sha256`` of its bytes, and ``before``: ``"same"``, ``"different"`` or
        ``"absent"``, what was there before.

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
    path = Path(folder) / "report.html"
    record = _record(Path(folder))
    before = path.read_bytes() if path.is_file() else None
    try:
        write_report(record, folder)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(_damaged(Path(folder), f"{type(error).__name__}: {error}")) from error
    after = path.read_bytes()
    return {
        "report": str(path),
        "sha256": sha256(after).hexdigest(),
        "before": "absent" if before is None else "same" if before == after else "different",
    }


def _record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD).read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(
            f"{folder}: is no folder of a run (there is no {RECORD}); name the folder that "
            "`fintech-dl run` wrote, for example one of reports/runs"
        ) from error
    except OSError as error:
        raise DataError(f"{folder / RECORD}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(_damaged(folder, str(error))) from error
    if not isinstance(record, dict) or "title" not in record:
        raise DataError(_damaged(folder, "it holds no title"))
    if record.get("format") != FORMAT:
        raise DataError(
            f"{folder / RECORD}: is of format {record.get('format')!r}, this version of fintech_dl "
            f"reads {FORMAT}; use the version that wrote it, or run the pipeline again"
        )
    return record


def _damaged(folder: Path, why: str) -> str:
    return f"{folder / RECORD}: is damaged ({why}); run the pipeline again"
