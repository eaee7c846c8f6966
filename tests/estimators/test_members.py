"""Members: one fit of several copies is that many separate fits, averaged."""

import os

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.model_selection import KFold, TimeSeriesSplit

from fintech_dl import (
    CNN,
    GRU,
    LSTM,
    MLP,
    Autoencoder,
    NeuralClassifier,
    NeuralDetector,
    NeuralEncoder,
    NeuralRegressor,
    TabM,
    load,
    save,
)
from fintech_dl.estimators.members import GRID, average, quantiles_of

RNG = np.random.default_rng(0)
M = 3
N = M * 233  # folds of equal size: one shape of batches is compiled for all
X = RNG.normal(size=(N, 6)).astype(np.float32)
CLASS = (X[:, 0] + 0.3 * RNG.normal(size=N) > 0).astype(int)
CLASSES = CLASS + (X[:, 1] > 0.5)
NUMBERS = 100 * X[:, :2] + 1000

FEW = {"epochs": 3, "batch_size": 64}
DENSE = MLP(units=8, dropout=0.2, batch_norm=True, l2=1e-3)
STEEP = {"clipnorm": 0.1, "optimizer": "adamw", "schedule": "cosine"}
CASES = {
    "classifier": (NeuralClassifier(network=DENSE, **FEW), CLASS),
    "three classes": (
        NeuralClassifier(network=MLP(units=8), class_weight="balanced", **FEW),
        CLASSES,
    ),
    "regressor": (NeuralRegressor(network=MLP(units=8), **STEEP, **FEW), NUMBERS),
    "detector": (
        NeuralDetector(network=Autoencoder(units=8, code=2, noise=0.1), average="mean", **FEW),
        None,
    ),
    "convolutions": (NeuralClassifier(network=CNN(filters=4, hidden=8, channels=2), **FEW), CLASS),
    "recurrence": (NeuralRegressor(network=LSTM(units=4, channels=2), **FEW), NUMBERS[:, 0]),
    "recurrence in layers": (
        NeuralRegressor(network=GRU(units=(4, 3), channels=2), **FEW),
        NUMBERS[:, 0],
    ),
    "rebuilt windows": (
        NeuralDetector(
            network=Autoencoder(kind="lstm", units=4, code=2, channels=2), average="mean", **FEW
        ),
        None,
    ),
    "networks in one": (NeuralClassifier(network=TabM(k=3, units=8), **FEW), CLASS),
    "one batch": (NeuralClassifier(network=MLP(units=8), epochs=20, batch_size=1000), CLASS),
}
if os.environ.get("FINTECH_DL_CONTRACT") != "all":  # a minute each to compile
    del CASES["recurrence in layers"], CASES["rebuilt windows"]
# scope: the laws of one case follow one another, so that what was compiled for it serves both
each_case = pytest.mark.parametrize("case", CASES, scope="module")


def outputs(model):
    if isinstance(model, NeuralDetector):
        return model.anomaly_score(X)
    return model.predict_proba(X) if isinstance(model, NeuralClassifier) else model.predict(X)


def alone(model, j, y, weight=None):
    """Return the fit of its own that is to equal member j."""
    own = clone(model).set_params(n_members=1, random_state=model.members_[j]["random_state"])
    if "cv" in own.get_params():
        own.set_params(cv=None)
    return own.fit(X, y, weight)


def close(a, b):
    return np.allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())


def check_members(case, weight):
    """Assert that outputs are the mean of those of separate fits."""
    model, y = CASES[case]
    model = clone(model).set_params(n_members=M, random_state=1).fit(X, y, weight)
    separate = [outputs(alone(model, j, y, weight)) for j in range(M)]
    assert close(outputs(model), np.mean(separate, axis=0))
    spread = np.std(separate, axis=0).mean()
    assert spread > 1e-3 * np.abs(separate).mean()  # three members, not one three times


@each_case
def test_members_are_separate_fits_averaged(case):
    weight = RNG.uniform(0.5, 2, size=N)
    weight[RNG.permutation(N)[: N // M]] = 0
    check_members(case, weight)


def test_members_are_separate_fits_without_weights_too():
    check_members("classifier", None)


@each_case
def test_with_folds_each_member_learns_from_its_own_rows(case):
    model, y = CASES[case]
    folds = list(KFold(M, shuffle=True, random_state=0).split(X))
    model = clone(model).set_params(n_members=M, random_state=1, cv=folds).fit(X, y)
    separate = []
    for j, (fit, held) in enumerate(folds):
        weight = np.zeros(N)
        weight[fit] = 1
        separate.append(outputs(alone(model, j, y, weight)))
        assert close(model.oof_[held], separate[j][held])
    assert close(outputs(model), np.mean(separate, axis=0))


@pytest.mark.parametrize("patience", [1, 3])
def test_each_member_stops_early_by_itself(patience):
    model = NeuralClassifier(
        network=MLP(units=8),
        epochs=12,
        learning_rate=0.3,
        validation_fraction=0.3,
        patience=patience,
        n_members=M,
        random_state=0,
    ).fit(X, CLASS)
    best = []
    for j, member in enumerate(model.members_):
        own = alone(model, j, CLASS)
        assert member["best_epoch"] == own.best_epoch_
        assert np.allclose(member["monitor"], own.history_["monitor"], atol=1e-5)
        assert len(member["loss"]) == own.n_iter_
        best.append(own.predict_proba(X))
    assert close(model.predict_proba(X), np.mean(best, axis=0))
    assert model.n_iter_ == max(len(member["loss"]) for member in model.members_)
    assert len(set(map(len, (m["loss"] for m in model.members_)))) > 1 or patience > 1


@pytest.mark.parametrize("how", ["probability", "logit", "rank"])
def test_what_is_averaged(how):
    model = NeuralClassifier(network=MLP(units=8), average=how, n_members=M, random_state=0, **FEW)
    model.fit(X, CLASS)
    logits = np.array([alone(model, j, CLASS).decision_function(X) for j in range(M)])
    if how == "rank":
        ranks = np.mean([rankdata(member) for member in logits], axis=0)
        found = rankdata(model.decision_function(X))
        assert np.corrcoef(rankdata(ranks), found)[0, 1] > 0.9999
        assert 0 < model.predict_proba(X)[:, 1].mean() < 1
        return
    expected = logits.mean(axis=0) if how == "logit" else logit(expit(logits).mean(axis=0))
    assert np.allclose(model.decision_function(X), expected, atol=1e-4)


def test_ranks_keep_their_order_beyond_what_was_seen():
    seen = np.random.default_rng(0).normal(size=(2, 500, 1)) * np.array([1, 100])[:, None, None]
    rows = np.array([-9.0, -5.0, 0.0, 5.0, 9.0])
    outputs = np.stack([rows, 100 * rows])[:, :, None]
    found = average(outputs, "rank", quantiles_of(seen))[:, 0]
    assert (np.diff(found) > 0).all()


def test_ranks_count_a_weight_as_so_many_equal_rows():
    rng = np.random.default_rng(0)
    seen, weight = rng.normal(size=(2, 40, 3)).round(1), rng.integers(1, 5, size=40)
    repeated = quantiles_of(seen.repeat(weight, axis=1))
    assert np.allclose(quantiles_of(seen, weight), repeated, rtol=1e-12)
    assert not np.allclose(quantiles_of(seen), repeated)
    distinct = rng.normal(size=(1, 40, 1))
    assert np.allclose(quantiles_of(distinct)[0, :, 0], np.quantile(distinct, GRID))


def test_a_row_scores_the_same_alone_and_after_saving(tmp_path):
    for how in ("probability", "rank"):
        model = NeuralClassifier(network=MLP(units=8), n_members=M, average=how, **FEW)
        scores = model.fit(X, CLASS).decision_function(X)
        loaded = load(save(model, tmp_path / how))
        assert np.array_equal(loaded.decision_function(X), scores)
        assert np.array_equal(loaded.decision_function(X[5:6]), scores[5:6])
        loaded.partial_fit(X, CLASS)
        assert loaded.n_iter_ == model.n_iter_ + 1
        assert not np.array_equal(loaded.decision_function(X), scores)


def test_rows_that_no_member_leaves_out_have_no_prediction():
    model = NeuralRegressor(
        network=MLP(units=8), cv=TimeSeriesSplit(M), n_members=2 * M, random_state=0, **FEW
    ).fit(X, NUMBERS)
    assert len(model.members_) == 2 * M
    assert len(clone(model).set_params(n_members=1).fit(X, NUMBERS).members_) == M
    never = np.isnan(model.oof_).all(axis=1)
    assert never.tolist() == [i < N - M * (N // (M + 1)) for i in range(N)]
    assert not np.isnan(model.oof_[~never]).any()


def test_an_encoder_puts_the_codes_of_its_members_side_by_side():
    encoder = NeuralEncoder(network=Autoencoder(units=16, code=3), n_members=2, epochs=30)
    codes = encoder.set_params(learning_rate=0.01, random_state=0).fit_transform(X)
    assert codes.shape == (N, 6)
    assert len(encoder.get_feature_names_out()) == 6
    error = np.mean((encoder.inverse_transform(codes) - X) ** 2)
    assert error < 0.8 * np.mean((X - X.mean(axis=0)) ** 2)


def test_what_cannot_be_is_said():
    model = NeuralClassifier(network=MLP(units=8), n_members=2, cv=3)
    with pytest.raises(ValueError, match="cv makes 3 folds; allowed: a multiple of it"):
        model.fit(X, CLASS)
    with pytest.raises(ValueError, match="partial_fit takes no cv"):
        model.partial_fit(X, CLASS)
    with pytest.raises(ValueError, match="n_members=0; allowed: int of at least 1"):
        NeuralDetector(n_members=0).fit(X)
    with pytest.raises(ValueError, match="average='median'; allowed: 'probability', 'logit'"):
        NeuralClassifier(average="median").fit(X, CLASS)
