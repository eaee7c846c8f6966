"""Features through Parquet and back: the very same frame."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from fintech_dl.scoring.snapshot import pack, unpack

NAN = np.array([0x7FC00001, 0xFFC00000], dtype=np.uint32).view(np.float32)  # with a payload, a sign
FRAME = pd.DataFrame(
    {
        "float32": np.array([np.nan, -0.0, np.inf], dtype=np.float32),
        "float64": [np.nan, 1e-320, 0.1],
        "payload": np.append(NAN, np.float32(1)),
        "int8": np.array([-128, 0, 127], dtype=np.int8),
        "uint64": np.array([0, 1, 2**64 - 1], dtype=np.uint64),
        "bool": [True, False, True],
        "when": np.array(["1960-01-01", "NaT", "2024-02-29"], dtype="datetime64[us]"),
        "kind": pd.Categorical(["b", None, "b"], categories=["c", "b", "a"], ordered=True),
        "number": pd.Categorical([3, 1, None], categories=[5, 3, 1]),
        "none": pd.Categorical([None] * 3, categories=[]),
        "Int64": pd.array([2**60 + 1, None, 3], dtype="Int64"),
        "Float64": pd.array([0.5, None, 3], dtype="Float64"),
        "boolean": pd.array([True, None, False], dtype="boolean"),
        "text": pd.array(["x", None, ""], dtype="str"),
    }
)


def through_parquet(frame, path):
    table = pack(frame)
    pq.write_table(table, path)
    return pq.ParquetFile(path)


def bits(column):
    if isinstance(column.dtype, np.dtype):
        return column.to_numpy().tobytes()
    return column.tolist() if not column.isna().any() else repr(column.tolist())


def test_every_dtype_comes_back_to_the_bit(tmp_path):
    found = unpack(through_parquet(FRAME.set_axis([7, 8, 9]), tmp_path / "a.parquet").read())
    assert found.index.tolist() == [0, 1, 2]
    assert found.dtypes.to_dict() == FRAME.dtypes.to_dict()
    for name in FRAME:
        assert bits(found[name]) == bits(FRAME[name]), name
    pd.testing.assert_frame_equal(found, FRAME)


def test_batches_know_all_categories(tmp_path):
    file = through_parquet(FRAME, tmp_path / "a.parquet")
    rows = [unpack(batch) for batch in file.iter_batches(batch_size=1, columns=["kind", "Int64"])]
    assert [list(one.columns) for one in rows] == [["kind", "Int64"]] * 3
    assert all(one["kind"].dtype == FRAME["kind"].dtype for one in rows)
    assert [one["Int64"].iloc[0] for one in rows] == [2**60 + 1, pd.NA, 3]
    one = unpack(file.read().slice(2, 1))
    pd.testing.assert_frame_equal(one, FRAME.iloc[2:].reset_index(drop=True))


def test_what_cannot_be_kept_is_refused():
    with pytest.raises(TypeError, match="feature 'odd'"):
        pack(pd.DataFrame({"odd": [object(), object()]}))
