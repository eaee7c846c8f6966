"""Columns to one float32 matrix: equal to what pandas makes of them, with and without pandas."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from fintech_dl import NeuralClassifier
from fintech_dl.estimators.arrays import as_arrays, encode_arrays
from fintech_dl.estimators.columns import encode_columns, fit_columns

CATEGORIES = [
    lambda rng, n: rng.choice(["BE", "FR", "NL", "é\n", ""], n),
    lambda rng, n: pd.Categorical(rng.choice(["b", "a"], n), categories=["b", "c", "a"]),
    lambda rng, n: rng.choice(np.array([1, "1", True, 2.5, "x"], dtype=object), n),
    lambda rng, n: pd.array(rng.choice(["u", "v"], n), dtype="string"),
    lambda rng, n: rng.choice(np.array([None, np.nan, pd.NA, "w"], dtype=object), n),
    lambda rng, n: rng.choice(np.array([Decimal("1.5"), "w", 3], dtype=object), n),
]
NUMBERS = [
    lambda rng, n: rng.normal(size=n) * 10.0 ** rng.integers(-30, 30, n),
    lambda rng, n: np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n)),
    lambda rng, n: rng.integers(-9, 9, n),
    lambda rng, n: rng.random(n) < 0.5,
    lambda rng, n: pd.array(np.where(rng.random(n) < 0.3, None, 7), dtype="Int64"),
    lambda rng, n: pd.array(rng.choice([True, False, None], n), dtype="boolean"),
    lambda rng, n: pd.array(rng.normal(size=n), dtype="Float32"),
    lambda rng, n: rng.normal(size=n).astype("float32"),
    lambda rng, n: rng.integers(0, 200, n).astype("uint8"),
]


def by_pandas(frame, columns):
    """Encode as pandas alone would: the definition."""
    parts = []
    for i, column in enumerate(columns):
        series = frame.iloc[:, i]
        if column["kind"] == "category":
            index = pd.Index(column["categories"], dtype=object)
            parts.append(index.get_indexer(pd.Index(series.astype(object))) + 1)
        else:
            parts.append(series.to_numpy(dtype=np.float64, na_value=np.nan))
    return np.column_stack(parts).astype(np.float32)


@pytest.mark.parametrize("seed", range(20))
def test_every_kind_of_column_is_encoded_as_pandas_would(seed):
    rng = np.random.default_rng(seed)
    makers = [*NUMBERS, *CATEGORIES]
    chosen = rng.permutation(len(makers))[: rng.integers(1, len(makers) + 1)]

    def frame(n):
        return pd.DataFrame({f"c{i}": makers[i](rng, n) for i in chosen})

    train, new = frame(60), frame(40)
    for i in chosen:
        if i >= len(NUMBERS) and rng.random() < 0.5:
            unseen = new[f"c{i}"].astype(object)
            unseen[rng.random(40) < 0.5] = "unseen"
            new[f"c{i}"] = unseen
    few = [f"c{i}" for i in chosen if i in (2, 3, 8) and rng.random() < 0.5]  # numbers, but few
    few += [f"c{i}" for i in chosen if i - len(NUMBERS) in (2, 5)]  # text and numbers mixed
    columns = fit_columns(train, few)
    for rows in (train, new, new[:1]):
        found = encode_columns(rows, columns)
        assert found.dtype == np.float32
        assert found.flags["C_CONTIGUOUS"]
        np.testing.assert_array_equal(found, by_pandas(rows, columns))
        arrays = {
            name: np.asarray(rows[name].to_numpy(np.float64, na_value=np.nan))
            if column["kind"] == "number"
            else rows[name].astype(object).to_numpy()
            for name, column in zip(rows, columns, strict=True)
        }
        np.testing.assert_array_equal(encode_arrays(arrays, columns), found)
        np.testing.assert_array_equal(encode_arrays(as_arrays(rows), columns), found)


def test_arrays_are_read_by_position_and_mappings_by_name():
    X = np.array([[3.0, 10.0], [np.nan, 20.0], [5.0, 30.0]])
    columns = fit_columns(X, [1])
    np.testing.assert_array_equal(encode_columns(X, columns), [[3, 1], [np.nan, 2], [5, 3]])
    swapped = {"x1": X[:, 1], "x0": X[:, 0]}
    np.testing.assert_array_equal(encode_arrays(swapped, columns), encode_columns(X, columns))


@pytest.mark.parametrize("kind", [pd.Series, np.asarray])
@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([1.0, np.inf], r"infinity or a value too large for float32: column 'x', row 1: inf"),
        ([1.0, 1e39], r"column 'x', row 1: 1e\+39"),
        ([1, 2**24 + 1], r"column 'x', row 1: 16777217 is above 2\*\*24"),
        (["a", "b"], r"column 'x' held numbers in training and is .*, row 0: 'a'"),
        (np.array(["2020-01-01"], dtype="M8[s]"), r"'x' is of type datetime64\[s\]; dates and"),
    ],
)
def test_what_no_number_can_be_is_refused_by_name(kind, values, told):
    columns = fit_columns(pd.DataFrame({"x": [1.0, 2.0]}))
    rows = {"x": kind(values)}
    is_frame = kind is pd.Series
    encode, given = (encode_columns, pd.DataFrame(rows)) if is_frame else (encode_arrays, rows)
    with pytest.raises(ValueError, match=told):
        encode(given, columns)


def coded():
    """Return rows whose target depends on whether a number is missing for one of two reasons."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"months": rng.integers(0, 60, 600), "amount": rng.normal(size=600)})
    frame.loc[::3, "months"] = -9
    frame.loc[1::3, "months"] = -8
    return frame, (frame["months"] == -9).astype(int)


def test_a_special_code_counts_as_missing_and_has_an_indicator():
    frame, y = coded()
    codes = {"months": [-8, -9]}
    model = NeuralClassifier(special_codes=codes, epochs=20, learning_rate=0.01, random_state=0)
    model.fit(frame, y)
    assert model.columns_[0]["special_codes"] == [-9.0, -8.0]
    encoding = model._live().model.get_layer("encoding")
    amounts = frame["months"][frame["months"] >= 0]
    np.testing.assert_allclose(np.asarray(encoding.mean)[0], amounts.mean(), rtol=1e-5)
    encoded = np.asarray(encoding(frame.to_numpy(np.float32)))
    assert encoded.shape == (600, 4)
    np.testing.assert_array_equal(encoded[:, 2], frame["months"] == -9)
    np.testing.assert_array_equal(encoded[:, 3], frame["months"] == -8)
    assert not encoded[frame["months"] < 0, 0].any()
    assert model.score(frame, y) == 1.0


def test_special_codes_are_part_of_a_network_s_structure():
    frame, y = coded()
    first = NeuralClassifier(special_codes={"months": [-9]}, epochs=1, random_state=0).fit(frame, y)
    del first
    model = NeuralClassifier(special_codes={"months": [-8]}, epochs=1, random_state=0).fit(frame, y)
    encoded = np.asarray(model._live().model.get_layer("encoding")(frame.to_numpy(np.float32)))
    np.testing.assert_array_equal(encoded[:, 2], frame["months"] == -8)


@pytest.mark.parametrize(
    ("codes", "told"),
    [
        ({"years": [-9]}, "special_codes names 'years', which is no column"),
        ({"months": ["unknown"]}, "'unknown' is no number; allowed: numbers"),
        ({"months": [-9.5]}, "-9.5 is no whole number; allowed: int64"),
        ({"months": [float("nan")]}, "nan is no number"),
        ({"months": -9}, "allowed: a sequence of numbers"),
        ({"home": [-9]}, "the column is a category, where each code is one already"),
    ],
    ids=str,
)
def test_special_codes_that_cannot_be_are_refused(codes, told):
    frame, y = coded()
    frame["home"] = "own"
    with pytest.raises(ValueError, match=told):
        NeuralClassifier(special_codes=codes).fit(frame, y)


@pytest.mark.parametrize(("least", "left"), [(None, "abc"), (2, "ab"), (20, "a"), (0.15, "ab")])
def test_rare_categories_count_as_unseen(least, left):
    frame = pd.DataFrame({"home": ["a"] * 80 + ["b"] * 19 + ["c"]})
    columns = fit_columns(frame, min_frequency=least)
    assert columns[0]["categories"] == list(left)
