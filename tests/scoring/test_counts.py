"""Counts of new rows in frozen bins: exact in every dtype, the same however rows are cut."""

import json

import numpy as np
import pandas as pd
import pytest

from fintech_dl.errors import ArtefactError
from fintech_dl.evaluation.reference import describe_feature
from fintech_dl.scoring.counts import (
    Coded,
    compile_reference,
    count,
    from_frame,
    no_counts,
    to_record,
)
from fintech_dl.scoring.manifest import added

rng = np.random.default_rng(1)
N = 5000
FRAME = pd.DataFrame(
    {
        "float64": np.where(rng.random(N) < 0.1, np.nan, rng.lognormal(size=N)),
        "float32": rng.normal(size=N).astype("float32"),
        "mostly zero": np.where(rng.random(N) < 0.7, 0.0, rng.normal(size=N)).astype("float32"),
        "int8": rng.integers(-3, 4, N).astype("int8"),
        "uint16": rng.integers(0, 9, N).astype("uint16"),
        "masked": pd.array(np.where(rng.random(N) < 0.1, None, rng.integers(0, 9, N)), "Int64"),
        "truth": rng.random(N) < 0.3,
        "text": pd.Series(rng.choice(["own", "rent", None], N), dtype=object),
        "category": pd.Series(rng.choice(["a", "b", None], N)).astype("category"),
        "numbers as categories": pd.Series(rng.integers(1, 4, N)).astype("category"),
        "shop": [f"shop {i}" for i in rng.integers(0, 80, N)],
    }
)
SCORE = rng.random(N)


def reference(frame=FRAME, score=SCORE):
    features = [describe_feature(name, frame[name]) for name in frame]
    record = {"format": 1, "features": features, "score": describe_feature("", pd.Series(score))}
    return json.loads(json.dumps(record))


def test_rows_of_the_reference_give_its_own_counts():
    record = reference()
    found = to_record(
        compiled := compile_reference(record), count(compiled, from_frame(FRAME), SCORE)
    )
    assert found["rows"] == found["rows_scored"] == N
    assert found["score"] == record["score"]["counts"]
    for one in record["features"]:
        mine = found["features"][one["name"]]
        assert mine["counts"] == one["counts"], one["name"]
        assert (mine["missing"], mine["other"]) == (one["missing"], one.get("other", 0))
        assert mine["unseen"] == 0
    json.dumps(found, allow_nan=False)


def test_counts_are_the_same_however_rows_are_cut(monkeypatch):
    compiled = compile_reference(reference())
    whole = to_record(compiled, count(compiled, from_frame(FRAME), SCORE))
    monkeypatch.setattr("fintech_dl.scoring.counts.BLOCK", 97)
    for size in (1000, 1777, N):
        total, records = no_counts(compiled), []
        for at in range(0, N, size):
            part = count(compiled, from_frame(FRAME[at : at + size]), SCORE[at : at + size])
            total += part
            records.append(to_record(compiled, part))
        assert to_record(compiled, total) == whole
        assert added(iter(records[::-1])) == whole


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "int64"])
def test_every_dtype_is_compared_exactly(dtype):
    edges = [-1e300, -1.0, np.nextafter(0.0, -1), 0.0, 0.1, 1.0, 1.5, 127.0, 1e39, 1e300]
    limits = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo(dtype)
    values = [limits.min, limits.max, 0, 1, 2, 127]
    if np.dtype(dtype).kind == "f":
        tiny = np.nextafter(np.array(0, dtype), np.array(-1, dtype))
        values += [-1, 0.1, 1.5, np.nan, np.inf, -np.inf, -0.0, float(tiny)]
    x = np.array(values).astype(dtype)
    expected = np.bincount(
        np.searchsorted(edges, x[x == x].astype(np.longdouble), "left"), minlength=len(edges) + 1
    )
    feature = {"name": "x", "kind": "number", "edges": edges, "counts": expected.tolist()}
    score = {"edges": [0.5], "counts": [1, 1]}
    compiled = compile_reference({"format": 1, "features": [feature], "score": score})
    found = to_record(compiled, count(compiled, {"x": x}, np.zeros(len(x))))["features"]["x"]
    assert found["counts"] == expected.tolist()
    assert found["missing"] == int((x != x).sum())


def test_unseen_other_and_missing_categories_are_told_apart():
    record = reference()
    compiled = compile_reference(record)
    rare = next(one for one in record["features"] if one["name"] == "shop")["others"][0]
    new = FRAME.iloc[:4].assign(shop=["shop 0", rare, "new shop", None])
    found = to_record(compiled, count(compiled, from_frame(new), SCORE[:4]))["features"]["shop"]
    assert (sum(found["counts"]), found["other"], found["unseen"], found["missing"]) == (1, 1, 1, 1)
    for one in record["features"]:
        if one["name"] == "shop":
            one["others"] = None  # too many to keep
    compiled = compile_reference(record)
    found = to_record(compiled, count(compiled, from_frame(new), SCORE[:4]))["features"]["shop"]
    assert (found["other"], found["unseen"]) == (2, 0)


def test_codes_and_text_count_alike():
    compiled = compile_reference(reference())
    columns = from_frame(FRAME)
    labels = [None, "own", "rent", "squat"]
    codes = rng.integers(-1, 4, N)
    text = np.array([*labels, None], dtype=object)[codes]
    coded = count(compiled, {**columns, "text": Coded(codes, labels)}, SCORE)
    assert (coded == count(compiled, {**columns, "text": text}, SCORE)).all()


def test_a_strided_column_and_several_targets_count_like_others():
    compiled = compile_reference(reference(FRAME[["float32"]]))
    matrix = np.tile(FRAME["float32"].to_numpy()[:, None], (1, 3))
    score = np.column_stack([SCORE, 1 - SCORE])
    found = count(compiled, {"float32": matrix[:, 1]}, score)
    assert (found == count(compiled, from_frame(FRAME[["float32"]]), SCORE)).all()


def test_no_rows_count_nothing():
    compiled = compile_reference(reference())
    assert not count(compiled, from_frame(FRAME[:0]), SCORE[:0]).any()


@pytest.mark.parametrize(
    "broken",
    [
        {"format": 2},
        {"score": {"edges": [1.0, 1.0], "counts": [1, 1, 1]}},
        {"score": {"edges": [1.0], "counts": [1]}},
        {"features": [{"name": "x", "kind": "category", "categories": ["a"], "counts": [1, 2]}]},
        {"features": [{"name": "x"}]},
    ],
)
def test_a_broken_reference_is_refused(broken):
    record = {"format": 1, "features": [], "score": {"edges": [], "counts": [3]}, **broken}
    with pytest.raises(ArtefactError, match=r"A: its reference\.json cannot be used"):
        compile_reference(record, "A")
