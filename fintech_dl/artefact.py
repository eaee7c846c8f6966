"""The artefact: a fitted pipeline as a folder of data, with a digest of every byte.

Loading runs no code of the file: skops builds only the types on the list below, which lives here,
with the loader, and never with the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fintech_dl import _HOME
from fintech_dl.errors import ArtefactError, OutputError, UsageError
from fintech_dl.folders import replacing

FORMAT = 1
MANIFEST = "MANIFEST.json"
MODEL = "model.skops"
LARGEST_FILE = 2 * 1024**3
PREPROCESSING = ("_as_floats", "_as_text", "_numbers", "_categories")
TRUSTED = frozenset(
    {
        "numpy.dtype",
        "collections.OrderedDict",
        *(f"fintech_dl.evaluation.baselines.{name}" for name in PREPROCESSING),
        *(f"fintech_dl.{home}.{name}" for name, home in _HOME.items() if name[0].isupper()),
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.compose._column_transformer.make_column_selector",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "lightgbm.sklearn.LGBMRegressor",
    }
)
PACKAGES = ("fintech-dl", "numpy", "pandas", "scikit-learn", "skops", "keras", "tensorflow", "jax")


def save(
    model: Any,
    folder: str | Path,
    *,
    records: Mapping[str, Mapping[str, Any]] | None = None,
    trust: Sequence[str] = (),
) -> Path:
    """Save a fitted estimator or Pipeline as a folder.

    Use it to hand a model over: the folder holds data only, with a digest of every byte.

    Parameters
    ----------
    model : fitted scikit-learn estimator
        Every type in it must be on the loader's list: fintech_dl's estimators and networks are,
        scikit-learn's usual ones, and LightGBM's.
    folder : str or Path
        Must not exist yet, or be empty.
    records : mapping of str to mapping, optional
        JSON-plain records to keep beside the model, by name: card, contract, metrics.
    trust : sequence of str
        Further types that the model may hold; whoever loads it has to name them too.

    Returns
    -------
    Path
        The folder, with ``model.skops``, a JSON file per record and ``MANIFEST.json``.

    Raises
    ------
    ArtefactError
        The model holds a type that ``load`` would refuse.
    OutputError
        The folder cannot be written, or holds files already.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.linear_model import LogisticRegression
    >>> from fintech_dl import load, save
    >>> model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load(save(model, f"{folder}/artefact")).predict([[1.0]]).tolist()
    [1]
    """
    folder = Path(folder)
    files = {MODEL: to_bytes(model, trust)}
    for name, record in (records or {}).items():
        if not name.isidentifier():
            raise UsageError(f"record name {name!r}: letters, digits and _ only")
        files[f"{name}.json"] = _json(record)
    manifest = {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **installed_versions()},
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in files.items()
        },
    }
    files[MANIFEST] = _json(_sealed(manifest))
    try:
        if folder.exists() and any(folder.iterdir()):
            raise OutputError(f"{folder}: is not empty; choose a new folder for the artefact")
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():  # the manifest last: without it nothing loads
            with replacing(folder / name) as part:
                part.write_bytes(data)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"{folder}: cannot be written ({error.strerror}); choose another folder"
        ) from error
    return folder


def to_bytes(model: Any, trust: Sequence[str] = ()) -> bytes:
    """Return the model as ``save`` writes it.

    Raises
    ------
    ArtefactError
        The model holds a type that ``load`` would refuse, or that cannot be written.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from fintech_dl.artefact import to_bytes
    >>> to_bytes(DummyClassifier())[:2]
    b'PK'
    """
    import skops.io

    try:
        data: bytes = skops.io.dumps(model)
    except Exception as error:
        raise ArtefactError(
            f"{type(model).__name__}: cannot be saved ({str(error) or type(error).__name__}). It "
            "must hold nothing but numbers, text, and estimators; no set_fit_request, no lambda"
        ) from error
    _refuse_unknown(data, trust, type(model).__name__)
    return data


def load(folder: str | Path, *, trust: Sequence[str] = ()) -> Any:
    """Load the fitted estimator or Pipeline of an artefact, after checking every byte.

    No code of the file runs: only types on the loader's own list are built.

    Parameters
    ----------
    folder : str or Path
    trust : sequence of str
        Further type names that may be built, for example your own network's
        ``"my_package.MyNetwork"``. Only add types whose code you know.

    Returns
    -------
    estimator
        Fitted, as it was saved.

    Raises
    ------
    ArtefactError
        The folder is no artefact, a file is missing, changed or foreign, or a type is not on the
        list.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.dummy import DummyClassifier
    >>> from fintech_dl import load, save
    >>> model = DummyClassifier().fit([[0.0], [1.0]], [0, 0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load(save(model, f"{folder}/artefact")).predict([[7.0]]).tolist()
    [0]
    """
    return to_model(read_files(folder), folder, trust)


def to_model(files: Mapping[str, bytes], folder: str | Path, trust: Sequence[str] = ()) -> Any:
    """Return the model of files that ``read_files`` has checked; the folder is for error texts."""
    import skops.io

    data = files[MODEL]
    _refuse_unknown(data, trust, str(folder))
    try:
        return skops.io.loads(data, trusted=sorted({*TRUSTED, *trust}))
    except Exception as error:
        raise ArtefactError(f"{folder}: {MODEL} cannot be loaded: {error}") from error


def read_record(folder: str | Path, name: str) -> dict[str, Any]:
    """Return one of the records saved beside the model, checked as by ``load``.

    Raises
    ------
    ArtefactError
        As ``load``, or there is no record of that name.
    """
    return to_record(read_files(folder), folder, name)


def to_record(files: Mapping[str, bytes], folder: str | Path, name: str) -> dict[str, Any]:
    """Return a record of files that ``read_files`` has checked; the folder is for error texts."""
    if f"{name}.json" not in files:
        raise ArtefactError(f"{folder}: holds no record {name!r}; it was saved without a pipeline")
    try:
        record: dict[str, Any] = json.loads(files[f"{name}.json"])
    except (ValueError, RecursionError) as error:
        raise ArtefactError(f"{folder}: {name}.json cannot be read: {error}") from error
    return record


def read_files(folder: str | Path) -> dict[str, bytes]:
    """Return the bytes of every file of an artefact, each equal to its digest in the manifest."""
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
    return files


def digest(folder: str | Path) -> str:
    """Return the digest that names this artefact: the seal of its manifest."""
    return str(_manifest(Path(folder))["seal"])


def _read(path: Path) -> bytes:
    """Return the bytes of a plain file that is not absurdly large."""
    with _readable(path):
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > LARGEST_FILE:
            raise ArtefactError(
                f"{path}: is a link, a folder, a device or above {LARGEST_FILE // 1024**3} GiB, "
                "not a plain file. Copy the artefact again as a whole"
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
    data = _read(folder / MANIFEST)
    try:
        manifest = json.loads(data)
        body = {key: value for key, value in manifest.items() if key != "seal"}
        if _json(_sealed(body)) != data:
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
    return {**body, "seal": hashlib.sha256(_json(body)).hexdigest()}


def _json(record: Mapping[str, Any]) -> bytes:
    text = json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def _refuse_unknown(data: bytes, trust: Sequence[str], where: str) -> None:
    import skops.io

    try:
        unknown = set(skops.io.get_untrusted_types(data=data)) - TRUSTED - set(trust)
    except Exception as error:
        raise ArtefactError(f"{where}: {MODEL} cannot be read: {error}") from error
    if unknown:
        raise ArtefactError(
            f"{where}: the model holds types that are not trusted: {', '.join(sorted(unknown))}. "
            "Do not use it, unless they are your own classes: then name them in Python, in "
            "save(..., trust=[...]) and load(..., trust=[...])"
        )


def installed_versions() -> dict[str, str]:
    """Return the versions of the packages that matter to a fitted model."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
