"""What a run's record says of its data, its protocol and the training of its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fintech_dl.cards import Split
from fintech_dl.evaluation.attribution import last_step
from fintech_dl.evaluation.cuts import is_classes
from fintech_dl.evaluation.splits import Fold
from fintech_dl.table import Table

KINDS = {
    "holdout": "The latest rows are the test",
    "prequential": "Folds in time, each tested by a model trained before it",
    "purged_kfold": "Each part of the time is tested by a model trained on the others",
    "shuffled_kfold": "Each shuffled part of the rows is tested by a model trained on the others",
    "published": "A column that comes with the rows says which of them train and which test",
}


def data_facts(facts: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """Return what was read of a dataset, with the times of its table.

    Of classes with the number of positives, if labels are known. Of windows with the rows left out
    by reason; those without a label are ``unlabelled``.
    """
    times = (
        {}
        if table.when is None
        else {"time_from": str(table.when.iloc[0]), "time_to": str(table.when.iloc[-1])}
    )
    found = {**facts, **times}
    if "left_out" in table.X.attrs:
        left_out = {
            {"other": "unlabelled"}.get(k, k): n for k, n in table.X.attrs["left_out"].items()
        }
        found |= {"rows_in_table": len(table), "left_out": left_out}
    if table.y is not None and is_classes(table.y):
        weight = np.ones(len(table)) if table.weight is None else table.weight.to_numpy()
        positives = float(table.y.to_numpy() @ weight)
        found |= {"positives": positives, "positive_rate": positives / float(weight.sum())}
    return found


def protocol_facts(split: Split, table: Table, parts: Sequence[Fold]) -> dict[str, Any]:
    """Return how rows were divided, in words and fold by fold."""
    text = KINDS[split.kind]
    if split.train:
        past = "all of the past" if split.expanding else split.train
        text += f": train on {past}, wait {split.gap} for labels, test on {split.test}"
    if split.remove_known:
        text += "; whoever was a known case by the test day is left out"

    classes = table.y is not None and is_classes(table.y)

    def positives(at: Any) -> int:
        assert table.y is not None
        return int(table.y.iloc[at].sum())

    def fold(part: Fold) -> dict[str, Any]:
        bounds = ("train_from", "train_to", "test_from", "test_to")
        return {
            "name": part.name,
            **{name: str(getattr(part, name) or "") for name in bounds},
            "rows_train": len(part.train),
            "rows_test": len(part.test),
            **({"positives_train": positives(part.train)} if classes else {}),
            **({"positives_test": positives(part.test)} if classes else {}),
            "removed_known": part.removed_known,
            "purged": part.purged,
            **({"apart": apart(part)} if len(part.apart) else {}),
        }

    def apart(part: Fold) -> dict[str, Any]:
        ends = {"from": str(part.test_to), "to": str(part.apart_to)}
        found = {**ends, "rows": len(part.apart)}
        return found | ({"positives": positives(part.apart)} if classes else {})

    return {"kind": split.kind, "text": text + ".", "folds": [fold(part) for part in parts]}


def training_facts(model: Any) -> dict[str, Any]:
    """Return how the network of a fitted pipeline was trained."""
    last = last_step(model)
    if not hasattr(last, "training_"):
        return {}
    return {
        "history": last.history_,
        "epochs": last.n_iter_,
        "best_epoch": last.best_epoch_,
        "parameters": int(sum(np.size(weight) for weight in last.weights_)),
        "settings": {**last.training_, "network": repr(last.network)},
    }
