"""A folder of data under one seal: every file has its digest in a manifest, which has its own."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from fintech_dl.errors import ArtefactError, OutputError, not_written
from fintech_dl.folders import replacing

FORMAT = 1
MANIFEST = "MANIFEST.json"
MODEL = "model.skops"
ONNX, GRAPH, PARITY = "model.onnx", "graph.json", "parity.json"
LARGEST_FILE = 2 * 1024**3
LARGEST_MANIFEST = 1024**2
MOST_PACKED = 200  # bytes that one byte of an archive may become
PACKAGES = (
    "fintech-dl",
    "numpy",
    "pandas",
    "scikit-learn",
    "skops",
    "onnxruntime",
    "keras",
    "tensorflow",
    "jax",
    "onnx",
    "tf2onnx",
)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files and their manifest into a new or empty folder.

    Raises
    ------
    OutputError
        The folder cannot be written, or holds files already.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from fintech_dl.sealed import read_files, write_files
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_files(Path(folder) / "new", {"model.skops": b"1"})
    ...     read_files(Path(folder) / "new")
    {'model.skops': b'1'}
    """
    manifest = {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **installed_versions()},
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in files.items()
        },
    }
    try:
        if folder.exists() and any(folder.iterdir()):
            raise OutputError(f"{folder}: is not empty; choose a new folder for the artefact")
        folder.mkdir(parents=True, exist_ok=True)
        everything = {**files, MANIFEST: _to_bytes(_sealed(manifest))}
        for name, data in everything.items():  # the manifest last: without it nothing loads
            with replacing(folder / name) as part:
                part.write_bytes(data)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise not_written(str(folder), error, "choose another folder") from error


class Sealed(NamedTuple):
    """An artefact as it was read once: its seal, which names it, and the files under that seal.

    Attributes
    ----------
    seal : str
        64 hex digits.
    files : dict of str to bytes
    """

    seal: str
    files: dict[str, bytes]


def read_sealed(folder: str | Path) -> Sealed:
    """Return the seal of an artefact and its files, by one reading of its manifest.

    Whoever compares the seal of what is used needs both of the same manifest: between two readings
    the folder may be swapped.

    Raises
    ------
    ArtefactError
        The folder is no artefact, or a file is missing, changed or foreign.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from fintech_dl.sealed import read_sealed, write_files
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_files(Path(folder) / "new", {"model.skops": b"1"})
    ...     seal, files = read_sealed(Path(folder) / "new")
    >>> len(seal), files
    (64, {'model.skops': b'1'})
    """
    folder = Path(folder)
    manifest = _manifest(folder)
    with _readable(folder):
        found = set(os.listdir(folder))
    listed = {*manifest["files"], MANIFEST}
    wrong = {"missing": sorted(listed - found), "not of this artefact": sorted(found - listed)}
    if found != listed:
        told = [f"{what}: {', '.join(map(repr, names))}" for what, names in wrong.items() if names]
        raise ArtefactError(f"{folder}: {'; '.join(told)}. Copy the artefact again as a whole")
    files = {}
    for name, entry in manifest["files"].items():
        path = folder / name
        data = _read(path)
        if len(data) != entry["bytes"] or hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise ArtefactError(
                f"{path}: changed since it was saved ({len(data)} bytes, {entry['bytes']} "
                "expected; SHA-256 differs). Do not use it; copy the artefact again or retrain"
            )
        files[name] = data
    return Sealed(str(manifest["seal"]), files)


def read_files(folder: str | Path) -> dict[str, bytes]:
    """Return the bytes of every file of an artefact, each equal to its digest in the manifest.

    Raises
    ------
    ArtefactError
        As `read_sealed`.
    """
    return read_sealed(folder).files


def to_json(record: Mapping[str, Any]) -> bytes:
    """Return a record as the bytes that are written, its keys in their order.

    The order of a dataset card's columns is that of the features.
    """
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def check_archive(data: bytes) -> None:
    """Raise ValueError unless a ZIP archive is plain: told by its directory, before it is unpacked.

    Examples
    --------
    >>> import io
    >>> import zipfile
    >>> from fintech_dl.sealed import check_archive
    >>> with zipfile.ZipFile(box := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
    ...     archive.writestr("zeros.npy", bytes(10**7))
    >>> check_archive(box.getvalue())  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: its 9,... bytes would unpack to 10,000,000
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
        raise ValueError(f"it is no archive: {error}") from error
    names = [part.filename for part in parts]
    if odd := [name for name in names if Path(name).name != name or "\\" in name]:
        raise ValueError(f"it holds {ascii(odd[0])[:80]}, which is no plain name")
    if len({name.casefold() for name in names}) < len(names):
        raise ValueError("it holds two parts of one name")
    unpacked = sum(part.file_size for part in parts)
    dense = [part for part in parts if part.file_size > MOST_PACKED * part.compress_size]
    if dense or unpacked > 2 * LARGEST_FILE:
        raise ValueError(f"its {len(data):,} bytes would unpack to {unpacked:,}")


def installed_versions() -> dict[str, str]:
    """Return the versions of the packages that matter to a fitted model."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _read(path: Path, most: int = LARGEST_FILE) -> bytes:
    """Return the bytes of a plain file that is not absurdly large."""
    with _readable(path):
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > LARGEST_FILE:
            raise ArtefactError(
                f"{path}: is a link, a folder, a device or above {LARGEST_FILE // 1024**3} GiB, "
                "not a plain file. Copy the artefact again as a whole"
            )
        if about.st_size > most:
            raise ArtefactError(
                f"{path}: changed since it was saved ({about.st_size:,} bytes, at most {most:,} "
                "expected). Do not use it; copy the artefact again or retrain"
            )
        return path.read_bytes()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Tell what cannot be read in the words of an artefact."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ArtefactError(
            f"{path.parent}: is no artefact (there is no {path.name}); "
            "name the folder `artefact` of a run, or one that fintech_dl.save wrote"
        ) from error
    except OSError as error:
        raise ArtefactError(
            f"{path}: cannot be read ({error.strerror}); let the account that runs this read it"
        ) from error


def _manifest(folder: Path) -> dict[str, Any]:
    data = _read(folder / MANIFEST, LARGEST_MANIFEST)
    try:
        manifest = json.loads(data)
        body = {key: value for key, value in manifest.items() if key != "seal"}
        if _to_bytes(_sealed(body)) != data:
            raise ValueError("its seal does not fit")
        if manifest["format"] != FORMAT:
            raise ArtefactError(
                f"{folder}: is of format {manifest['format']}, this version of fintech_dl reads "
                f"{FORMAT}; use the version that saved it, or retrain"
            )
        if MODEL not in manifest["files"]:
            raise ValueError(f"it lists no {MODEL}")
        for name, entry in manifest["files"].items():
            if Path(name).name != name or entry.keys() != {"bytes", "sha256"}:
                raise ValueError(f"file {name!r}")
    except ArtefactError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtefactError(
            f"{folder / MANIFEST}: changed since it was saved ({error}). "
            "Do not use it; copy the artefact again or retrain"
        ) from error
    return dict(manifest)


def _sealed(body: Mapping[str, Any]) -> dict[str, Any]:
    return {**body, "seal": hashlib.sha256(_to_bytes(body)).hexdigest()}


def _to_bytes(manifest: Mapping[str, Any]) -> bytes:
    """Return a manifest as it is written: one way only, so that its seal can be found again."""
    return to_json(dict(sorted(manifest.items())))
