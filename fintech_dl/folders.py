"""Where cards, templates, data and the cache are. Standard library only."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

CARD_KINDS = ("datasets", "pipelines")


def shipped(kind: str) -> Path:
    """Return the folder of shipped files: the wheel's copy, else the checkout's.

    Parameters
    ----------
    kind : str
        ``"datasets"``, ``"pipelines"`` or ``"reports/templates"``.
    """
    package = Path(str(files("fintech_dl")))
    packed = package / "_shipped" / kind
    return packed if packed.is_dir() else package.parent / kind


def card_folders(kind: str) -> list[Path]:
    """Return the folders searched for cards, the user's (``FINTECH_DL_CARDS``) first.

    The user's folder may hold the cards directly or in ``datasets/`` and ``pipelines/``.

    Examples
    --------
    >>> from fintech_dl.folders import card_folders
    >>> [folder.name for folder in card_folders("pipelines")][-1]
    'pipelines'
    """
    mine = os.environ.get("FINTECH_DL_CARDS")
    own = [Path(mine) / kind, Path(mine)] if mine else []
    return [folder for folder in [*own, shipped(kind)] if folder.is_dir()]


def cache() -> Path:
    """Return the folder of downloaded files (``FINTECH_DL_CACHE`` overrides)."""
    if mine := os.environ.get("FINTECH_DL_CACHE"):
        return Path(mine)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fintech_dl"


def data_folders() -> list[Path]:
    """Return the folders searched for data files: ``FINTECH_DL_DATA``, then the cache."""
    mine = os.environ.get("FINTECH_DL_DATA")
    return [*([Path(mine)] if mine else []), cache()]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a new file's path beside ``path``; at the end it takes the place of ``path`` at once.

    A reader sees the old file or the whole new one. After an error or Ctrl-C the old file stays
    and the new one is removed.

    Raises
    ------
    OSError
        The folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from fintech_dl.folders import replacing
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder) / "scores.csv") as part:
    ...         _ = part.write_text("row,score")
    ...     (Path(folder) / "scores.csv").read_text()
    'row,score'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("rb+") as written:
            os.fsync(written.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
