"""The artefact: a fitted pipeline as a folder of data, with a digest of every byte.

Loading runs no code of the file: skops builds only the types on the list below, which lives here,
with the loader, and never with the file.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fintech_dl import _HOME
from fintech_dl.errors import ArtefactError, NotInstalledError, UsageError
from fintech_dl.sealed import FORMAT, GRAPH, ONNX, PARITY, check_archive, to_json, write_files
from fintech_dl.sealed import MODEL as MODEL
from fintech_dl.sealed import installed_versions as installed_versions
from fintech_dl.sealed import read_files as read_files
from fintech_dl.sealed import read_sealed as read_sealed

if TYPE_CHECKING:
    from fintech_dl.estimators.scorer import Scorer

PREPROCESSING = ("_as_floats", "_as_text", "_numbers", "_categories")
LINEAR = ("LastValue", "HAR", "LogHAR")
TRUSTED = frozenset(
    {
        "numpy.dtype",
        "collections.OrderedDict",
        *(f"fintech_dl.evaluation.baselines.{name}" for name in PREPROCESSING),
        *(f"fintech_dl.{home}.{name}" for name, home in _HOME.items() if name[0].isupper()),
        *(f"fintech_dl.evaluation.volatility_baselines.{name}" for name in LINEAR),
        "fintech_dl.evaluation.calibration.BetaCalibration",
        "fintech_dl.evaluation.calibration.CalibratedClassifier",
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


def save(
    model: Any,
    folder: str | Path,
    *,
    records: Mapping[str, Mapping[str, Any]] | None = None,
    trust: Sequence[str] = (),
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """Save a fitted estimator or Pipeline as a folder.

    Use it to hand a model over: the folder holds data only, with a digest of every byte. A model
    that ends in a neural estimator is saved as an ONNX graph too, if TensorFlow and the extra
    ``export`` are installed: it scores where Keras is absent. The proof that it gives the model's
    own scores, on rows made to break it, lies beside it; a graph that fails is left out, with a
    warning.

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
    files : mapping of str to bytes, optional
        What `to_files` made of the model, so that it is not made twice.

    Returns
    -------
    Path
        The folder, with ``model.skops``, a JSON file per record and ``MANIFEST.json``; with a graph
        also ``model.onnx``, ``graph.json`` and ``parity.json``.

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
    everything = dict(to_files(model, trust) if files is None else files)
    for name, record in (records or {}).items():
        if not name.isidentifier() or f"{name}.json" in (GRAPH, PARITY):
            raise UsageError(
                f"record name {name!r}: letters, digits and _ only, and not graph or parity"
            )
        everything[f"{name}.json"] = to_json(record)
    write_files(folder, everything)
    return folder


def to_files(model: Any, trust: Sequence[str] = ()) -> dict[str, bytes]:
    """Return what `save` writes of a model: its state and, if it can have one, its proven graph.

    Returns
    -------
    dict of str to bytes
        ``model.skops``; where the model ends in a neural estimator also ``parity.json``, and
        ``model.onnx`` with ``graph.json`` if the proof passed.

    Raises
    ------
    ArtefactError
        As `to_bytes`.

    Warns
    -----
    UserWarning
        The graph cannot be made, or does not give the model's own scores.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from fintech_dl.artefact import to_files
    >>> list(to_files(DummyClassifier()))
    ['model.skops']
    """
    files = {MODEL: to_bytes(model, trust)}
    from fintech_dl.estimators import graph

    found = graph.parts(model)
    if found is None:
        return files
    try:
        made = {ONNX: graph.export(found[0]), GRAPH: to_json(graph.describe(model))}
        parity = _prove(model, {**files, **made})
    except NotInstalledError as error:
        made, parity = {}, {"format": FORMAT, "passed": False, "reason": str(error)}
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        made, parity = {}, {"format": FORMAT, "passed": False, "reason": reason}
        warnings.warn(_left_out(reason), stacklevel=3)
    else:
        if not parity["passed"]:
            parity["reason"] = _told(parity)
            warnings.warn(_left_out(parity["reason"]), stacklevel=3)
    if parity["passed"]:
        files.update(made)
    files[PARITY] = to_json(parity)
    return files


def scorer(
    files: Mapping[str, bytes], where: str | Path = "the artefact", model: Any = None
) -> Callable[[Any], Any]:
    """Return the function that scores raw rows: by the graph if there is one, else by the model.

    The same files give the same bits, whoever calls it: a run, or whoever scores with its artefact.

    Parameters
    ----------
    files : mapping of str to bytes
        Of `to_files`, or of an artefact's folder.
    where : str or Path
        Begins an error text.
    model : fitted estimator, optional
        The model of these files, if it is at hand; else it is read where it is needed.

    Returns
    -------
    callable
        Takes rows as the model does, returns a float64 array of shape (n_rows,), of several
        targets (n_rows, n_targets), as ``evaluation.baselines.score_rows``.

    Raises
    ------
    ArtefactError
        The files are changed, or not trusted.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from fintech_dl.artefact import scorer, to_files
    >>> model = DummyClassifier(strategy="prior").fit([[0.0], [1.0], [2.0]], [0, 0, 1])
    >>> scorer(to_files(model))([[5.0]]).round(2)
    array([0.33])
    """
    light = light_scorer(files, where)
    if light is None:
        from fintech_dl.evaluation.baselines import score_rows

        whole = to_model(files, where) if model is None else model
        return lambda X: score_rows(whole, X)
    if not light.record["steps"]:
        return lambda X: light.scores(light.encode(X))
    from fintech_dl.estimators.graph import before

    steps = before(to_model(files, where) if model is None else model)
    return lambda X: light.scores(light.encode(steps.transform(X)))


def light_scorer(files: Mapping[str, bytes], where: str | Path = "the artefact") -> Scorer | None:
    """Return the graph of an artefact, None if it has none.

    Raises
    ------
    ArtefactError
        As ``estimators.scorer.open_graph``.
    """
    if ONNX not in files and GRAPH not in files:
        return None
    from fintech_dl.estimators.scorer import open_graph

    return open_graph(files, str(where))


def _prove(model: Any, files: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the record of the proof, bound to the very files by their digests."""
    from fintech_dl.estimators.parity import prove
    from fintech_dl.estimators.scorer import open_session

    record = prove(model, open_session(files[ONNX], json.loads(files[GRAPH])))
    return {**record, "sha256": {name: sha256(data).hexdigest() for name, data in files.items()}}


def _told(parity: Mapping[str, Any]) -> str:
    found = parity["max_rel"]
    differ = "some are not finite" if found is None else f"they differ by up to {found:.2g}"
    return (
        f"on {parity['rows']:,} hard rows {differ} (allowed: {parity['tolerance']:g}; compared: "
        f"{parity['of']}), and {parity['flips']} decisions differ"
    )


def _left_out(reason: str) -> str:
    return f"saved without {ONNX}, so that scoring needs Keras: {reason}"


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


def types_in(data: bytes, where: str) -> set[str]:
    """Return the names of the types in a model's file that skops by itself does not trust.

    Raises
    ------
    ArtefactError
        It is no such file, or an archive made to do harm.
    """
    import skops.io

    try:
        check_archive(data)
        return set(skops.io.get_untrusted_types(data=data))
    except Exception as error:
        raise ArtefactError(f"{where}: {MODEL} cannot be read: {error}") from error


def _refuse_unknown(data: bytes, trust: Sequence[str], where: str) -> None:
    unknown = types_in(data, where) - TRUSTED - set(trust)
    if unknown:
        raise ArtefactError(
            f"{where}: the model holds types that are not trusted: {', '.join(sorted(unknown))}. "
            "Do not use it, unless they are your own classes: then name them in Python, in "
            "save(..., trust=[...]) and load(..., trust=[...])"
        )
