"""The file of a dataset card: find it, download it, verify its bytes. Imports nothing heavy."""

import hashlib
import os
import re
import ssl
import stat
import time
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from fintech_dl.cards import DatasetCard
from fintech_dl.errors import DataError, DownloadError, not_written
from fintech_dl.folders import cache, data_folders, replacing

FAILURES = (URLError, HTTPException, TimeoutError, ConnectionError, ssl.SSLError)
LEFT = re.compile(r"\..+\.\d+\.part")  # as `replacing` names what it has not put in place yet
DAY = 86_400  # seconds; a download that has written nothing for so long is no more
PASSING = {408, 425, 429, 500, 502, 503, 504}  # answers of a server that may change by themselves


def find_file(card: DatasetCard) -> Path | None:
    """Return where the file of a card lies, None if nowhere.

    Looked up in ``FINTECH_DL_DATA``, then in the cache, then beside the card.

    Examples
    --------
    >>> from fintech_dl.cards import dataset_card
    >>> from fintech_dl.data.files import find_file
    >>> find_file(dataset_card("synthetic_card_transactions")) is None
    True
    """
    name = _name(card)
    paths = [folder / name for folder in (*data_folders(), card.folder)]
    return next((path for path in paths if name and os.path.isfile(path)), None)


def get_file(card: DatasetCard) -> Path:
    """Return the file of a card, downloaded to the cache if that is where it comes from.

    A downloaded file has the bytes of the card's checksum; one that was found is not verified.

    Raises
    ------
    DataError
        The file is nowhere, or the download is another file.
    DownloadError
        The network or the server failed; to try again later is useful.
    OutputError
        The cache cannot be written.
    """
    if path := find_file(card):
        return path
    if card.source.kind == "url":
        return _downloaded(card)
    searched = ", ".join(str(folder) for folder in (*data_folders(), card.folder))
    origin = f" The data come from: {card.origin}." if card.origin else ""
    raise DataError(
        f"dataset {card.name!r}: the file {_name(card)} was not found in {searched}. Set "
        f"FINTECH_DL_DATA to the folder that holds it.{origin}"
    )


def leftovers() -> dict[Path, int]:
    """Return what killed downloads left in the cache, and its bytes: untouched for a day.

    Examples
    --------
    >>> from fintech_dl.data.files import leftovers
    >>> all(path.name.endswith(".part") for path in leftovers())
    True
    """
    found = {}
    with suppress(OSError):  # no cache yet, or one that may not be read
        for path in sorted(cache().iterdir()):
            with suppress(FileNotFoundError):
                seen = path.stat(follow_symlinks=False)
                is_part = stat.S_ISREG(seen.st_mode) and LEFT.fullmatch(path.name)
                if is_part and time.time() - seen.st_mtime > DAY:
                    found[path] = seen.st_size
    return found


def open_file(path: Path) -> IO[bytes]:
    """Open a file of data; DataError where there is none that may be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from fintech_dl.data.files import open_file
    >>> open_file(Path("none.csv"))
    Traceback (most recent call last):
    ...
    fintech_dl.errors.DataError: none.csv: there is no such file
    """
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: cannot be read: it is a folder; name a file in it") from error
    except PermissionError as error:
        raise DataError(
            f"{path}: you may not read it ({error.strerror}); let the account that runs this "
            "read it"
        ) from error


def verify(stream: IO[bytes], expected: str, where: str) -> str:
    """Return the SHA-256 of an open file, wound back to its start.

    Raises
    ------
    DataError
        ``expected`` is not empty, and another one.
    """
    digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
    stream.seek(0)
    if expected and digest != expected:
        raise DataError(
            f"{where}: not the file of the dataset card: its SHA-256 is {digest}, expected "
            f"{expected}. Delete it and get it again, or correct sha256 in the card if the data "
            "were changed on purpose"
        )
    return digest


def _name(card: DatasetCard) -> str:
    return card.source.path or card.source.url.rsplit("/", 1)[-1]


def _downloaded(card: DatasetCard) -> Path:
    """Download the card's file to the cache; only the right bytes are put in place."""
    source = card.source
    target = cache() / _name(card)
    try:
        with replacing(target) as part:
            try:
                with urlopen(source.url, timeout=60) as reply, part.open("wb") as out:
                    while block := reply.read(1 << 20):
                        out.write(block)
                    announced = reply.headers.get("Content-Length")
                    if announced and out.tell() < int(announced):
                        raise ConnectionError(f"ended after {out.tell()} of {announced} bytes")
            except FAILURES as error:
                raise _not_downloaded(card, target.name, error) from error
            with part.open("rb") as stream:
                verify(stream, source.sha256, source.url)
    except OSError as error:
        advice = "set FINTECH_DL_CACHE to a folder that can be"
        raise not_written(str(target), error, advice) from error
    return target


def _not_downloaded(card: DatasetCard, name: str, error: Exception) -> DataError:
    """Return the error of a failed download: only some can be helped by waiting."""
    lasting = isinstance(error, HTTPError) and error.code not in PASSING
    lasting |= isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError)
    kind, first = (DataError, "Check url") if lasting else (DownloadError, "Try again later")
    return kind(
        f"dataset {card.name!r}: {card.source.url} cannot be downloaded: {error}. {first}, or put "
        f"the file {name} into the folder FINTECH_DL_DATA"
    )
