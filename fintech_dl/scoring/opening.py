"""What a process opens once to score the shards of a plan: the artefact, checked.

What is heavy is imported where it is used: a graph without scikit-learn steps needs NumPy, pyarrow
and onnxruntime for clean rows. Keras is on no path but that of ``--reasons``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fintech_dl import artefact
from fintech_dl.errors import ArtefactError, DataError, UsageError
from fintech_dl.estimators.arrays import as_arrays
from fintech_dl.estimators.scorer import Scorer
from fintech_dl.scoring import counts
from fintech_dl.scoring.commits import fault_of
from fintech_dl.scoring.opened import Opened, open_planned
from fintech_dl.scoring.parts import kind_of
from fintech_dl.scoring.plan import Plan

OTHER = (
    "is another artefact than the run was planned with; put that one back and resume, or score "
    "with this one and --new-run"
)


@dataclass(frozen=True, eq=False)
class Engine:
    """What a process opens once to score the shards of a plan.

    Attributes
    ----------
    run : Path
    plan : Plan
    opened : Opened
        The artefact's checked files and cards.
    light : Scorer or None
        The graph, if nothing comes before it: then rows need no frame.
    score_frame : callable
        From features to scores, a graph with steps before it or a model without any network.
    tell : callable or None
        From features and scores to the reasons of declined rows.
    compiled : counts.Compiled or None
        The reference by which rows are counted, None if the artefact has none.
    numbers : frozenset of str
        Features that go into the graph as they are.
    fields : list of pyarrow.Field
        Of the scores that are written, after the columns that say which row it is.
    repeated : dict of int to int64 array
        By source, the rows whose key came before.
    """

    run: Path
    plan: Plan
    opened: Opened
    light: Scorer | None
    score_frame: Callable[[Any], Any]
    tell: Callable[[Any, Any], Any] | None
    compiled: counts.Compiled | None
    numbers: frozenset[str]
    fields: list[Any]
    repeated: Mapping[int, NDArray[np.int64]]

    @property
    def names(self) -> list[str]:
        """Names of ``fields``."""
        return [field.name for field in self.fields]


def open_engine(run: Path, plan: Plan) -> Engine:
    """Open the artefact of a plan, to score its shards in this process.

    Parameters
    ----------
    run : Path
        The run's folder.
    plan : Plan

    Returns
    -------
    Engine

    Raises
    ------
    ArtefactError
        The artefact is changed, or its neural network has no proven graph.
    PlanError
        It is another artefact than that of the plan.
    UsageError
        Reasons are asked for, and the artefact cannot tell them.
    """
    opened = open_planned(plan, OTHER)
    graph = artefact.light_scorer(opened.files, opened.folder)
    light = graph if graph is not None and not graph.record["steps"] else None
    decision = opened.pipeline.decision
    tell = None
    if plan.reasons:
        from fintech_dl.scoring.reasons import teller

        if decision is None or decision.rule == "capacity":
            raise UsageError("--reasons: rows are declined by a rule of cost or threshold only")
        tell = teller(opened)
    return Engine(
        run=run,
        plan=plan,
        opened=opened,
        light=light,
        score_frame=_by_frame(opened, graph),
        tell=tell,
        compiled=_compiled(opened),
        numbers=_numbers(light),
        fields=_fields(opened),
        repeated=_repeated(run, plan),
    )


def _by_frame(opened: Opened, graph: Scorer | None) -> Callable[[Any], Any]:
    if graph is not None and not graph.record["steps"]:
        return lambda X: graph.scores(graph.encode(as_arrays(X)))
    if graph is None:
        _refuse_networks(opened)
    return artefact.scorer(opened.files, opened.folder)


def _refuse_networks(opened: Opened) -> None:
    """Refuse a model that needs Keras: a neural network without a proven graph."""
    from fintech_dl.sealed import MODEL, PARITY

    why = ""
    if PARITY in opened.files:
        record: Any = artefact.to_record(opened.files, opened.folder, "parity")
        told = record.get("reason") if isinstance(record, dict) else None
        why = str(told or "it was left out")
    else:
        types = artefact.types_in(opened.files[MODEL], str(opened.folder))
        if any(name.startswith("fintech_dl.networks.") for name in types):
            why = "a network inside another model gets none"
    if why:
        raise ArtefactError(
            f"{opened.folder}: its neural network has no graph (model.onnx) that is proven to give "
            f"the model's own scores ({why}). Save it where TensorFlow and the extra `export` are "
            'installed (pip install "fintech-dl[tensorflow,export]"): run the pipeline again'
        )


def _compiled(opened: Opened) -> counts.Compiled | None:
    record = opened.reference()
    return None if record is None else counts.compile_reference(record, str(opened.folder))


def _numbers(light: Scorer | None) -> frozenset[str]:
    if light is None:
        return frozenset()
    return frozenset(column["name"] for column in light.columns if column["kind"] == "number")


def _fields(opened: Opened) -> list[Any]:
    contract, card = opened.dataset.contract, opened.pipeline
    named = [name for name in (contract.key, contract.time, contract.asset) if name]
    found = [pa.field(name, kind_of(opened.dataset.columns[name])) for name in named]
    scores, intervals = ["score"], False
    if card.forecast is not None:
        from fintech_dl.fitting import horizons, score_columns

        ahead = horizons(card)
        scores = list(score_columns(card, np.zeros((1, len(ahead)) if len(ahead) > 1 else 1)))
        intervals = card.forecast.intervals is not None
    found += [pa.field(name, pa.float64()) for name in scores]
    found += [pa.field(name, pa.float64()) for name in (("low", "high") if intervals else ())]
    if card.decision is not None and card.decision.rule != "capacity":
        found.append(pa.field("alert", pa.bool_()))
    return found


def _repeated(run: Path, plan: Plan) -> dict[int, NDArray[np.int64]]:
    if plan.repeated is None or plan.duplicates != "quarantine" or plan.stage != "rows":
        return {}
    path = run / plan.repeated.path
    if fault := fault_of(path, plan.repeated):
        raise DataError(f"{fault}; remove {run} and score again")
    found = pq.read_table(path, page_checksum_verification=True)
    sources, rows = (found.column(name).combine_chunks().to_numpy() for name in ("source", "row"))
    return {int(one): np.sort(rows[sources == one]) for one in np.unique(sources)}
