"""Artefacts made by hand in a second: real cards, a real graph of random weights, no training."""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import skops.io
from onnx import TensorProto, helper
from sklearn.dummy import DummyClassifier

from fintech_dl import save
from fintech_dl.cards import PipelineCard
from fintech_dl.estimators.columns import encode_columns, fit_columns
from fintech_dl.estimators.scorer import open_session
from fintech_dl.evaluation.reference import describe_feature
from fintech_dl.pipelines import make_table
from fintech_dl.run_files import card_record
from fintech_dl.sealed import FORMAT, GRAPH, MODEL, ONNX, PARITY, to_json

HIDDEN = 8
EDGES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def artefact(folder: Path, card: PipelineCard, frame: pd.DataFrame, seed: int = 0) -> Path:
    """Save a model of the card's features whose weights are drawn; ``frame`` holds clean rows."""
    X = make_table(card.table, frame).X
    files, score = model_files(X, seed, classes="Detector" not in str(card.step[-1]))
    features = [describe_feature(str(name), X[name]) for name in X]
    reference = {
        "format": 1,
        "rows": len(X),
        "effective_rows": len(X),
        "features": [one for one in features if one is not None],
        "score": {
            "edges": EDGES,
            "counts": np.bincount(np.searchsorted(EDGES, score), minlength=10).tolist(),
            "rows": len(X),
            "effective_rows": len(X),
            "of": "latest test",
        },
        "alert_rate": None,
        "quarantined_share": 0.0,
        "rows_read": len(X),
        "quarantine_reasons": {},
        "test": None,
    }
    from fintech_dl.cards import dataset_card

    cards = {"pipeline": card_record(card), "dataset": card_record(dataset_card(card.dataset))}
    return save(None, folder, files=files, records={"cards": cards, "reference": reference})


def model_files(X: pd.DataFrame, seed: int, classes: bool) -> tuple[dict[str, bytes], np.ndarray]:
    """Return the files of a model, and its scores of these rows."""
    columns = fit_columns(X)
    matrix = encode_columns(X, columns)
    record = {
        "format": FORMAT,
        "kind": "classifier" if classes else "detector",
        "estimator": "NeuralClassifier" if classes else "NeuralDetector",
        "network": "MLP",
        "columns": columns,
        "named": True,
        "steps": [],
        "members": 1,
        "average": "mean",
        "quantiles": None,
        "width": 1,
        "calibration": None,
        **({"classes": [0, 1]} if classes else {"offset": None}),
    }
    record = json.loads(json.dumps(record))
    files = {
        MODEL: skops.io.dumps(DummyClassifier().fit([[0.0], [1.0]], [0, 1])),
        ONNX: graph(matrix, seed),
        GRAPH: to_json(record),
    }
    parity = {"format": FORMAT, "passed": True}
    parity["sha256"] = {name: sha256(data).hexdigest() for name, data in files.items()}
    score = open_session(files[ONNX], record).scores(matrix)
    return {**files, PARITY: to_json(parity)}, score


def graph(matrix: np.ndarray, seed: int) -> bytes:
    """Return two layers over standardised columns; missing numbers count as the mean."""
    rng = np.random.default_rng(seed)
    width = matrix.shape[1]
    known = np.where(np.isfinite(matrix), matrix, np.nan).astype(np.float64)
    mean = np.nan_to_num(np.nanmean(known, axis=0))
    scale = np.nan_to_num(np.nanstd(known, axis=0)) + 1e-6
    tensors = {
        "mean": mean,
        "rate": 1.0 / scale,
        "nothing": np.zeros(1),
        "w1": rng.normal(0, width**-0.5, (width, HIDDEN)),
        "b1": rng.normal(0, 0.5, HIDDEN),
        "w2": rng.normal(0, 1, (HIDDEN, 1)),
        "b2": rng.normal(0, 0.1, 1),
    }
    held = [
        helper.make_tensor(name, TensorProto.FLOAT, value.shape, value.astype(np.float32).ravel())
        for name, value in tensors.items()
    ]
    held.append(helper.make_tensor("first", TensorProto.INT64, [1], [0]))
    steps = [
        ("Sub", ["x", "mean"], "centred"),
        ("Mul", ["centred", "rate"], "scaled"),
        ("Tanh", ["scaled"], "bounded"),
        ("IsNaN", ["x"], "missing"),
        ("Where", ["missing", "nothing", "bounded"], "filled"),
        ("MatMul", ["filled", "w1"], "product"),
        ("Add", ["product", "b1"], "sum"),
        ("Relu", ["sum"], "hidden"),
        ("MatMul", ["hidden", "w2"], "logit"),
        ("Add", ["logit", "b2"], "shifted"),
        ("Unsqueeze", ["shifted", "first"], "y"),
    ]
    nodes = [helper.make_node(kind, inputs, [output]) for kind, inputs, output in steps]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, width])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, None, 1])
    body = helper.make_graph(nodes, "g", [x], [y], initializer=held)
    made = helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(made)
    return made.SerializeToString()
