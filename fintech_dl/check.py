"""Is everything in order here? The installation, its backends, the cards, artefacts.

Keras is imported in processes of their own only: a backend that crashes or hangs is one line.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from fintech_dl import cards
from fintech_dl.data.files import find_file, leftovers
from fintech_dl.errors import ArtefactError, FintechError, NotInstalledError
from fintech_dl.folders import cache

SECONDS = 180  # at most, for each process
LONGEST = 1800  # the same for checks of leaks, which fit a model ten times
BACKENDS = ("tensorflow", "jax")
DEVELOPERS = ("all", "bench", "dev")
TRAIN = """
from fintech_dl import MLP, NeuralClassifier
model = NeuralClassifier(network=MLP(units=2), epochs=1, random_state=0)
model.fit([[0.0], [1.0]], [0, 1]).predict([[0.5]])
"""
TRY_CARDS = """
import json, sys
from fintech_dl.check import try_card
print(json.dumps({name: try_card(name) for name in sys.argv[1:]}))
"""
TRY_LEAKS = """
import json, sys
from fintech_dl.check import try_leaks
print(json.dumps(try_leaks(sys.argv[1])))
"""

Finding = dict[str, str]


def findings(artefacts: Sequence[str] = ()) -> Iterator[Finding]:
    """Yield what is found, one thing after the other.

    Parameters
    ----------
    artefacts : sequence of str
        Artefacts, or folders of runs, to check; or pipelines that forecast, by name or by the
        path of a card's file, to check for leaks. Of the rest then only what scoring needs: a
        machine that scores has no use for backends, extras and datasets.

    Yields
    ------
    dict
        ``part`` (installation, backend, dataset, pipeline, leak or artefact), ``name``, ``status``
        (ok, skipped, warning or failed) and ``text``, which says what to do.

    Examples
    --------
    >>> from fintech_dl.check import findings
    >>> next(findings())["part"]
    'installation'
    """
    for one in _installation():
        if not (artefacts and one["name"].startswith("extra ")):
            yield one
    if not artefacts:
        for backend in BACKENDS:
            yield _backend(backend)
        yield from _datasets()
        yield from _pipelines()
    pipelines = cards.names("pipelines")
    for name in artefacts:
        if name in pipelines or name.endswith(".toml"):
            yield from _leaks(name)
        else:
            yield _artefact(Path(name))


def try_card(name: str) -> tuple[str, str]:
    """Return status and text of a pipeline card: everything it names exists.

    Imports Keras; for a process of its own.
    """
    from fintech_dl.evaluation.evidence import check_metrics
    from fintech_dl.fitting import OF_BASELINE
    from fintech_dl.pipelines import build_pipeline, check_history, make, table_function

    try:
        card = cards.pipeline_card(name)
        cards.dataset_card(card.dataset)
        table_function(card.table)
        check_history(card)
        numbers = cards.forecasts_numbers(card)
        check_metrics(card.metrics, numbers)
        build_pipeline(card)
        for i, spec in enumerate(card.baseline):
            make({k: v for k, v in spec.items() if k not in OF_BASELINE}, f"baseline {i + 1}")
    except NotInstalledError as error:
        return "warning", str(error)
    except FintechError as error:
        return "failed", str(error)
    except Exception as error:  # one broken card does not hide the others
        return "failed", f"{type(error).__name__}: {error}"
    return "ok", f"on {card.dataset}"


def try_leaks(name: str) -> list[tuple[str, bool | None, str]]:
    """Return name, result and text of each check of a pipeline that forecasts for leaks.

    Imports Keras; for a process of its own.
    """
    from functools import partial

    from fintech_dl.data.frames import read_dataset
    from fintech_dl.evaluation.forecast_leaks import deep_leaks
    from fintech_dl.fitting import candidates
    from fintech_dl.pipelines import make_table

    try:
        card = cards.pipeline_card(name)
        if card.forecast is None:
            return [("card", None, "no [forecast]: its leaks are not looked for")]
        frame = read_dataset(card.dataset).whole()
        build = partial(make_table, card.table)
        model = candidates(card, {}, 0)[0][2]
        variance = str(card.table.get("variance", ""))
        found = deep_leaks(card.forecast, build, model, frame, variance=variance, everything=True)
    except FintechError as error:
        return [("card", False, str(error))]
    return [(one.name, None if one.passed is None else bool(one.passed), one.text) for one in found]


def _finding(part: str, name: str, status: str, text: str) -> Finding:
    return {"part": part, "name": name, "status": status, "text": text}


def _installation() -> Iterator[Finding]:
    part = "installation"
    yield _finding(part, "python", "ok", platform.python_version())
    try:
        needed = [Requirement(line) for line in requires("fintech-dl") or []]
        extras = metadata("fintech-dl").get_all("Provides-Extra") or []
    except PackageNotFoundError:
        text = 'not installed; use: pip install "fintech-dl[tensorflow,report]"'
        yield _finding(part, "fintech-dl", "failed", text)
        return
    yield _finding(part, "fintech-dl", "ok", version("fintech-dl"))
    for line in needed:
        if _belongs(line, ""):
            status, text = _library(line)
            mend = f'; use: pip install "{line.name}{line.specifier}"'
            ok = status == "ok"
            yield _finding(
                part, line.name, "ok" if ok else "failed", text + (mend if not ok else "")
            )
    for extra in sorted({*extras} - {*DEVELOPERS}):
        told = {line.name: _library(line) for line in needed if _belongs(line, extra)}
        states = {status for status, _ in told.values()}
        worst = next((s for s in ("failed", "warning") if s in states), "ok")
        text = ", ".join(f"{name} {text}" for name, (_, text) in told.items())
        mend = "" if worst == "ok" else f'; use: pip install "fintech-dl[{extra}]"'
        yield _finding(part, f"extra {extra}", worst, text + mend)


def _belongs(line: Requirement, extra: str) -> bool:
    """Return whether a library is needed for an extra, or ("") always."""
    always = line.marker is None or line.marker.evaluate({"extra": ""})
    if not extra or always:
        return always and not extra
    return line.marker is not None and line.marker.evaluate({"extra": extra})


def _library(line: Requirement) -> tuple[str, str]:
    try:
        found = version(line.name)
    except PackageNotFoundError:
        return "warning", "is not installed"
    if line.specifier.contains(found, prereleases=True):
        return "ok", found
    return "failed", f"{found} does not fit {line.specifier}"


def _backend(backend: str) -> Finding:
    if find_spec(backend) is None or find_spec("keras") is None:
        return _finding("backend", backend, "skipped", "not installed")
    code, _, last = _process(TRAIN, KERAS_BACKEND=backend)
    if code:
        text = (
            f'a small network cannot be trained: {last}; use: pip install "fintech-dl[{backend}]"'
        )
        return _finding("backend", backend, "failed", text)
    return _finding("backend", backend, "ok", "trains a small network")


def _leaks(name: str) -> Iterator[Finding]:
    code, out, last = _process(TRY_LEAKS, name, longest=LONGEST)
    failed = [("card", False, f"the checks broke off: {last}")]
    found = json.loads(out.splitlines()[-1]) if code == 0 else failed
    statuses = {True: "ok", False: "failed", None: "skipped"}
    for what, passed, text in found:
        yield _finding("leak", f"{name}: {what}", statuses[passed], text)


def _process(
    code: str, *words: str, longest: int | None = None, **environment: str
) -> tuple[int, str, str]:
    """Run Python code in a process of its own; return exit code, stdout and its last word."""
    seconds = longest or SECONDS
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    line = [sys.executable, "-c", code, *words]
    try:
        done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return 1, "", f"not done after {seconds} s"
    last = done.stderr.strip().splitlines()[-1:] or [f"it ended with code {done.returncode}"]
    return done.returncode, done.stdout, last[0]


def _datasets() -> Iterator[Finding]:
    for name in cards.names("datasets"):
        try:
            card = cards.dataset_card(name)
        except FintechError as error:
            yield _finding("dataset", name, "failed", str(error))
            continue
        path = find_file(card)
        if card.source.kind == "synthetic":
            yield _finding("dataset", name, "ok", "generated on the spot")
        elif path is not None:
            yield _finding("dataset", name, "ok", str(path))
        elif card.source.kind in ("yahoo", "sql"):
            yield _finding("dataset", name, "ok", f"asked for when needed ({card.source.kind})")
        elif card.source.kind == "url":
            yield _finding("dataset", name, "ok", f"not here yet; use: fintech-dl data get {name}")
        else:
            text = f"{card.source.path} is absent; set FINTECH_DL_DATA to the folder that holds it"
            yield _finding("dataset", name, "warning", text)
    if left := leftovers():
        size, where = sum(left.values()) / 1e6, cache()
        text = f"{size:,.1f} MB in {where} left by downloads that were killed; the next fintech-dl "
        yield _finding("dataset", "(cache)", "warning", f"{text}data get removes it")


def _pipelines() -> Iterator[Finding]:
    names = cards.names("pipelines")
    code, out, last = _process(TRY_CARDS, *names)
    found = json.loads(out.splitlines()[-1]) if code == 0 else {}
    for name in names:
        status, text = found.get(name, ("failed", f"the cards could not be tried: {last}"))
        yield _finding("pipeline", name, status, text)


def _artefact(folder: Path) -> Finding:
    from skops.io import get_untrusted_types

    from fintech_dl import artefact

    if (folder / "metrics.json").is_file() and (folder / "artefact").is_dir():
        folder = folder / "artefact"
    try:
        seal, files = artefact.read_sealed(folder)
        records = {
            name.removesuffix(".json"): artefact.to_record(
                files, folder, name.removesuffix(".json")
            )
            for name in files
            if name.endswith(".json")
        }
        try:
            unknown = {*get_untrusted_types(data=files[artefact.MODEL])} - artefact.TRUSTED
        except Exception as error:
            raise ArtefactError(f"{folder}: {artefact.MODEL} cannot be read: {error}") from error
        if unknown:
            named = ", ".join(sorted(unknown))
            raise ArtefactError(
                f"{folder}: the model holds types that are not trusted: {named}. Do not use it, "
                "unless they are your own classes; then load it in Python with trust=[...]"
            )
        status, graph = _graph(str(folder), files, records.get("parity"))
    except FintechError as error:
        return _finding("artefact", str(folder), "failed", str(error))
    text = f"digest {seal[:12]}, {len(files)} files, records {', '.join(sorted(records)) or 'none'}"
    return _finding("artefact", str(folder), status, f"{text}{graph}")


def _graph(where: str, files: dict[str, bytes], parity: dict[str, Any] | None) -> tuple[str, str]:
    """Return status and text of ``model.onnx``, which must be proven to equal the model."""
    if "model.onnx" in files:
        from fintech_dl.estimators.scorer import open_graph

        open_graph(files, where)
        proof = parity or {}
        return "ok", f", model.onnx within {proof['max_rel']:.1g} on {proof['rows']:,} rows"
    if parity is not None:
        return "warning", f", no model.onnx, so that scoring needs Keras: {parity.get('reason')}"
    return "ok", ""
