"""Frames and arrays of every odd kind, at fit and at predict: an error that names the column and
the row, or a result that is defined; never a wrong score that nobody sees."""

import datetime as dt
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
from sklearn.base import clone

from fintech_dl import MLP, NeuralClassifier, NeuralDetector, NeuralEncoder, NeuralRegressor

N = 24
ESTIMATORS = (NeuralClassifier, NeuralRegressor, NeuralDetector, NeuralEncoder)
RNG = np.random.default_rng(0)
GOOD = pd.DataFrame(
    {
        "amount": RNG.normal(size=N),
        "age": RNG.integers(18, 90, N),
        "country": pd.Categorical(RNG.choice(["BE", "FR"], N)),
    }
)
ARRAY = RNG.normal(size=(N, 3))
Y = np.arange(N) % 2


def column(name, values):
    return GOOD.assign(**{name: values})


def cell(name, value, row=3, dtype=object):
    values = GOOD[name].tolist()
    values[row] = value
    return GOOD.assign(**{name: pd.Series(values, dtype=dtype)})


def repeated(value, dtype=None):
    return pd.Series([value] * N, dtype=dtype)


def arrow(values, kind):
    return pd.array(values * (N // len(values)), dtype=pd.ArrowDtype(kind))


def named(*names):
    return GOOD.set_axis(list(names), axis=1)


def results(model, X):
    """Return one number or more per row, whatever the kind of estimator."""
    for method in ("predict_proba", "anomaly_score", "transform", "predict"):
        if hasattr(model, method):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = getattr(model, method)(X)
            return np.asarray(found, dtype=float).reshape(len(found), -1)
    raise AssertionError(model)


@pytest.fixture(scope="module", params=ESTIMATORS, ids=lambda kind: kind.__name__)
def fitted(request):
    """Return an unfitted model, and the same fitted on a frame and on an array."""
    made = request.param(network=MLP(units=2), epochs=1, random_state=0)
    return made, clone(made).fit(GOOD, Y), fit(made, ARRAY)


def fit(made, X):
    return clone(made).fit(X, Y[: len(X)])


TIME = pd.Timestamp("2020-01-01")
NO_NUMBER = r"column 'amount'"
TIMES = rf"{NO_NUMBER}.*dates and times are no numbers"
REFUSED = {  # a frame, and what is said of it at fit and at predict
    "infinity": (cell("amount", np.inf, dtype=float), "column 'amount', row 3: inf"),
    "minus infinity": (cell("amount", -np.inf, dtype=float), "column 'amount', row 3: -inf"),
    "1e39": (cell("amount", 1e39, dtype=float), r"column 'amount', row 3: 1e\+39"),
    "huge ids": (cell("age", 2**40, dtype="int64"), "'age', row 3: 1099511627776 is above 2..24"),
    "unsigned": (column("age", repeated(2**63, "uint64")), "'age', row 0: .* is above 2..24"),
    "beyond 64 bits": (cell("age", 10**30), "column 'age' "),
    "wide float": (column("amount", np.full(N, np.longdouble("1e4000"))), "'amount', row 0: inf"),
    "Arrow infinity": (column("amount", arrow([1.0, np.inf], pa.float64())), "row 1: inf"),
    "complex": (column("amount", repeated(1j)), "Complex data not supported: column 'amount'"),
    "complex objects": (column("amount", repeated(1j, object)), "'amount'"),
    "time": (column("amount", repeated(TIME)), TIMES),
    "time of a zone": (column("amount", repeated(TIME.tz_localize("UTC"))), TIMES),
    "duration": (column("amount", repeated(pd.Timedelta("1D"))), TIMES),
    "period": (column("amount", pd.Series(pd.period_range("2020", periods=N))), TIMES),
    "interval": (column("amount", pd.Series(pd.interval_range(0, N))), "column 'amount'"),
    "Arrow time": (column("amount", arrow([TIME], pa.timestamp("us"))), TIMES),
    "Arrow date": (column("amount", arrow([dt.date(2020, 1, 1)], pa.date32())), TIMES),
    "Arrow duration": (column("amount", arrow([pd.Timedelta("1D")], pa.duration("us"))), TIMES),
    "time objects": (column("amount", repeated(dt.datetime(2020, 1, 1), "O")), "'amount'.* row 0"),
    "dates": (column("amount", repeated(dt.date(2020, 1, 1))), "column 'amount'.* row 0"),
    "text among numbers": (cell("amount", "much"), "column 'amount' .*row 3: 'much'"),
    "decimals": (column("amount", repeated(Decimal("1.5"))), "column 'amount' "),
    "numbers as objects": (column("amount", repeated(1.5, object)), "'amount' .*pandas.to_numeric"),
    "lists": (column("country", pd.Series([[1]] * N)), r"column 'country', row 0: \[1\]"),
    "a list": (cell("country", {"a": 1}), "column 'country', row 3: {'a': 1}"),
    "Arrow lists": (column("country", arrow([[1]], pa.list_(pa.int64()))), "'country', row 0"),
    "two of one name": (named("amount", "amount", "country"), "amount"),
    "no column": (GOOD[[]], "0 feature"),
    "no row": (GOOD[:0], r"0 sample\(s\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_at_fit_and_at_predict(name, fitted):
    X, told = REFUSED[name]
    made, of_frame, _ = fitted
    with pytest.raises(ValueError, match=told) as error:
        fit(made, X)
    assert "\x1b" not in str(error.value)
    with pytest.raises(ValueError, match=told):
        results(of_frame, X)


OTHERS = {  # refused at predict: it is not what the model has learned from
    "text where there were numbers": (column("amount", repeated("1.5")), "'amount' .*row 0: '1.5'"),
    "numbers where there was text": (
        column("country", repeated(7)), "'country' held text in training and holds numbers now, row"
    ),
    "other order": (GOOD[["age", "amount", "country"]], "same order as they were in fit"),
    "missing column": (GOOD.drop(columns="age"), "now missing:.*age"),
    "extra column": (GOOD.assign(more=1.0), "unseen at fit time:.*more"),
    "renamed column": (GOOD.rename(columns={"age": "Age"}), "unseen at fit time:.*Age"),
    "numbered columns": (named(0, 1, 2), r"missing: \['amount', 'age', 'country'\]"),
    "MultiIndex": (named(("a", 1), ("a", 2), ("b", 1)), "feature names should match"),
    "unnamed": (named(None, "age", "country"), "string names|feature names should match"),
    "array": (np.ones((N, 2)), "X has 2 features, but"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_refused_at_predict(name, fitted):
    X, told = OTHERS[name]
    with pytest.raises((ValueError, TypeError), match="(?s)" + told):
        results(fitted[1], X)


def test_columns_without_names_of_text_keep_their_order(fitted):
    """scikit-learn looks at names only where all are text."""
    made = fitted[0]
    many = pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)])
    for names in ([0, 1, 2], many):
        X = GOOD.set_axis(names, axis=1)
        model = fit(made, X)
        assert results(model, X).tobytes() == results(fit(made, X), X).tobytes()
        with pytest.raises(ValueError, match="should match those of the training rows"):
            results(model, X[[names[1], names[0], names[2]]])


FINE = {  # a frame, and another that must give the same results
    "denormal": (cell("amount", 1e-310, dtype=float), cell("amount", 0.0, dtype=float)),
    "empty cells": (cell("amount", np.nan, dtype=float), cell("amount", None, dtype="Float64")),
    "unseen category": (column("country", repeated("XX")), column("country", repeated(None))),
    "unseen level": (
        column("country", pd.Categorical(["XX"] * N)),
        column("country", repeated(None)),
    ),
    "empty categories": (column("country", repeated(np.nan)), column("country", repeated(None))),
    "empty numbers": (column("amount", repeated(None, object)), column("amount", repeated(np.nan))),
    "boolean with NA": (
        column("amount", pd.array([True, None] * (N // 2), dtype="boolean")),
        column("amount", np.array([1.0, np.nan] * (N // 2))),
    ),
    "Arrow boolean": (
        column("amount", arrow([True, None], pa.bool_())),
        column("amount", np.array([1.0, np.nan] * (N // 2))),
    ),
    "Int64 with NA": (
        column("age", pd.array([7, None] * (N // 2), dtype="Int64")),
        column("age", np.array([7.0, np.nan] * (N // 2))),
    ),
    "Arrow numbers": (
        column("amount", arrow([1.5, None], pa.float64())),
        column("amount", np.array([1.5, np.nan] * (N // 2))),
    ),
    "Arrow text": (
        column("country", arrow(["BE", None], pa.string())),
        column("country", pd.Series(["BE", None] * (N // 2), dtype=object)),
    ),
    "sparse": (column("amount", pd.arrays.SparseArray(np.ones(N))), column("amount", 1.0)),
    "float16": (column("amount", np.full(N, 0.5, "float16")), column("amount", 0.5)),
    "other index": (GOOD.set_axis([0] * N), GOOD),
    "huge text": (column("country", repeated("x" * 10**6)), column("country", repeated(None))),
    "not contiguous": (GOOD.iloc[::-1].iloc[::-1], GOOD),
}  # fmt: skip


@pytest.mark.parametrize("name", FINE)
def test_what_is_defined(name, fitted):
    X, same = FINE[name]
    found = results(fitted[1], X)
    assert np.isfinite(found).all()
    assert found.tobytes() == results(fitted[1], same).tobytes()
    alone = results(fitted[1], X.iloc[5:6])  # one row
    assert alone.tobytes() == found[5:6].tobytes()


@pytest.mark.parametrize(
    "X",
    [
        GOOD.assign(amount=1.0),
        GOOD.assign(amount=np.nan),
        GOOD.assign(country=pd.Categorical([None] * N)),
        GOOD.assign(country=pd.Series([None] * N, dtype=object)),
        GOOD.assign(known=pd.Series([True, None] * (N // 2), dtype=object)),
        GOOD.assign(amount=pd.Categorical([1.5, 2.5] * (N // 2))),
    ],
    ids=["constant", "all missing", "no level", "nothing", "true, false, empty", "levels"],
)
def test_columns_that_say_little_are_learned_from(X, fitted):
    model = fit(fitted[0], X)
    assert np.isfinite(results(model, X)).all()
    assert np.isfinite(results(model, X.iloc[:1])).all()


def test_numbers_and_text_mixed_are_categories_if_named(fitted):
    X = GOOD.assign(shop=pd.Series(["A1", 7] * (N // 2), dtype=object))
    with pytest.raises(ValueError, match=r"'shop' .*row 1: 7. .*name it in categorical=\[...\]"):
        fit(fitted[0], X)
    model = clone(fitted[0]).set_params(categorical=["shop"]).fit(X, Y)
    assert model.columns_[3]["categories"] == [7, "A1"]


ARRAYS = {
    "text": np.array([["a", "b", "c"]] * N),
    "objects": np.array([[1.0, "a", 2.0]] * N, dtype=object),
    "infinity": np.where(np.eye(N, 3) > 0, np.inf, 1.0),
    "huge ids": np.full((N, 3), 2**30),
    "times": np.full((N, 3), np.datetime64("2020")),
    "complex": np.ones((N, 3)) * 1j,
    "one dimension": np.ones(N),
    "three dimensions": np.ones((N, 3, 1)),
    "no row": np.ones((0, 3)),
    "no column": np.ones((N, 0)),
    "records": np.zeros(N, dtype=[("a", "f8"), ("b", "f8")]),
    "sparse": scipy.sparse.csr_matrix(np.eye(N, 3)),
    "nothing": None,
    "a number": 5,
    "a Series": GOOD["amount"],
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_are_refused(name, fitted):
    made, _, of_array = fitted
    X = ARRAYS[name]
    with pytest.raises((ValueError, TypeError)):
        clone(made).fit(X, Y)
    with pytest.raises((ValueError, TypeError)):
        results(of_array, X)


def test_arrays_of_every_layout_give_the_same(fitted):
    _, _, model = fitted
    expected = results(model, ARRAY).tobytes()
    locked = ARRAY.copy()
    locked.flags.writeable = False
    wide = np.zeros((N, 6))
    wide[:, ::2] = ARRAY
    for same in (locked, np.asfortranarray(ARRAY), wide[:, ::2], ARRAY[::-1][::-1], ARRAY.tolist()):
        assert results(model, same).tobytes() == expected
    swapped = ARRAY.astype(ARRAY.dtype.newbyteorder())
    assert results(model, swapped).tobytes() == expected
    assert np.isfinite(results(model, ARRAY * 1e30)).all()


def test_masked_cells_count_as_missing(fitted):
    made, _, model = fitted
    mask = RNG.random(ARRAY.shape) < 0.2
    junk, missing = np.where(mask, -999.0, ARRAY), np.where(mask, np.nan, ARRAY)
    masked = np.ma.array(junk, mask=mask)
    assert results(model, masked).tobytes() == results(model, missing).tobytes()
    learned, expected = (clone(made).fit(X, Y) for X in (masked, missing))
    assert learned.columns_ == expected.columns_
    assert results(learned, junk).tobytes() == results(expected, junk).tobytes()
    whole = np.ma.array(np.where(mask, 3, 1), mask=mask)
    of_floats = np.where(mask, np.nan, 1.0)
    assert results(model, whole).tobytes() == results(model, of_floats).tobytes()
    assert results(model, np.ma.array(ARRAY)).tobytes() == results(model, ARRAY).tobytes()
    with pytest.raises(ValueError, match="2\\*\\*24"):
        results(model, np.ma.array(np.full(ARRAY.shape, 2**30)))


def test_masked_targets_and_weights_are_refused(fitted):
    mask = np.arange(N) == 3
    for kind in (NeuralClassifier, NeuralRegressor):
        model = kind(network=MLP(units=2), epochs=1)
        with pytest.raises(ValueError, match=r"y: row 3 is masked.* Leave such rows out"):
            model.fit(GOOD, np.ma.array(Y, mask=mask))
        with pytest.raises(ValueError, match="y: row 3 is masked"):
            model.fit(GOOD, Y, X_val=GOOD, y_val=np.ma.array(Y, mask=mask))
        assert model.fit(GOOD, np.ma.array(Y)).n_features_in_ == GOOD.shape[1]
    with pytest.raises(ValueError, match="sample_weight: row 3 is masked"):
        clone(fitted[0]).fit(GOOD, Y, sample_weight=np.ma.array(np.ones(N), mask=mask))


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (np.where(Y > 0, np.nan, 1.0), "NaN"),
        (np.where(Y > 0, np.inf, 1.0), "nfinity"),
        (["a", None] * (N // 2), "None|y|str"),
        (Y[:-1], "inconsistent numbers of samples"),
        (np.zeros(N, int), "one class only"),
        (RNG.normal(size=N), "continuous|label"),
        (np.ones((N, 2, 2)), "y"),
        (None, "requires y to be passed"),
    ],
)
def test_labels_that_are_none(labels, told):
    with pytest.raises((ValueError, TypeError), match=told):
        NeuralClassifier(network=MLP(units=2), epochs=1).fit(GOOD, labels)


@pytest.mark.parametrize("target", [np.nan, np.inf, 1e39, 1e308, "x", None, 1j])
def test_targets_that_are_none(target):
    y = np.array([1.0, 2.0] * (N // 2), dtype=object if isinstance(target, str | None) else None)
    y = y.astype(complex) if isinstance(target, complex) else y
    y[3] = target
    model = NeuralRegressor(network=MLP(units=2), epochs=1)
    try:
        model.fit(GOOD, y)
    except (ValueError, TypeError):
        return
    assert np.isfinite(model.predict(GOOD)).all()


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf, "x", None])
def test_weights_that_are_none(weight, fitted):
    weights = np.ones(N, dtype=object if weight is None or isinstance(weight, str) else float)
    weights[3] = weight
    made = fitted[0]
    with pytest.raises((ValueError, TypeError)):
        clone(made).fit(GOOD, Y, sample_weight=weights)
