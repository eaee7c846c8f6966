"""scikit-learn's own checks on every estimator, and on every family of networks, all passing."""

import os

import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from fintech_dl import (
    AER,
    CNN,
    GRU,
    LSTM,
    MLP,
    RNN,
    TCN,
    VAE,
    Autoencoder,
    DeepSVDD,
    DenoisingAutoencoder,
    DiffusionAutoencoder,
    FTTransformer,
    MultiView,
    NeuralClassifier,
    NeuralDetector,
    NeuralEncoder,
    NeuralQuantileRegressor,
    NeuralRanker,
    NeuralRegressor,
    NeuralVolatilityRegressor,
    NHiTS,
    NLinear,
    RealMLP,
    Scorecard,
    ScoreMatching,
    TabM,
    Transformer,
    TSMixer,
)

FAST = {"epochs": 40, "learning_rate": 0.03, "random_state": 0}

ESTIMATORS = [
    NeuralClassifier(network=MLP(units=16), **FAST),
    NeuralRegressor(network=MLP(units=16), **FAST),
    NeuralQuantileRegressor(network=MLP(units=16), **FAST),
    NeuralRanker(network=MLP(units=16), **FAST),
    NeuralVolatilityRegressor(network=MLP(units=16), **FAST),
    NeuralDetector(network=Autoencoder(units=8, code=2), **FAST),
    NeuralEncoder(network=Autoencoder(units=8, code=2), **FAST),
]
ONE_PER_FAMILY = [
    NeuralRegressor(network=LSTM(units=8), **{**FAST, "epochs": 100}),
    NeuralClassifier(network=CNN(filters=8, hidden=16), **FAST),
    NeuralClassifier(network=TabM(k=4, units=16), **FAST),
    NeuralClassifier(network=Scorecard(), **FAST),
    NeuralClassifier(network=RealMLP(units=16), **FAST),
]
OTHERS = [
    NeuralRegressor(network=GRU(units=8), **{**FAST, "epochs": 100}),
    NeuralClassifier(network=GRU(units=8), **FAST),
    NeuralClassifier(network=LSTM(units=8), **FAST),
    NeuralRegressor(network=CNN(filters=8, hidden=16), **FAST),
    NeuralClassifier(network=RNN(units=8), **FAST),
    NeuralClassifier(network=FTTransformer(blocks=1, units=8, heads=2), **FAST),
    NeuralClassifier(network=TCN(filters=(8, 8), dropout=0.0), **FAST),
    NeuralClassifier(network=Transformer(patch=1, stride=1, units=8, heads=2), **FAST),
    NeuralRegressor(network=NLinear(), **FAST),
    NeuralClassifier(network=NHiTS(hidden=16), **FAST),
    NeuralClassifier(network=TSMixer(dropout=0.0), **FAST),
    NeuralDetector(network=Autoencoder(kind="cnn", units=8, code=2), **FAST),
    NeuralDetector(network=DenoisingAutoencoder(units=8, code=2), **FAST),
    NeuralEncoder(network=VAE(units=8, code=2), **FAST),
    NeuralDetector(network=DiffusionAutoencoder(units=8), **FAST),
    NeuralDetector(network=MultiView(units=8, dropout=0.0), **FAST),
    NeuralDetector(network=ScoreMatching(units=8, blocks=1, dropout=0.0), **FAST),
    NeuralDetector(network=DeepSVDD(units=8, code=2), **FAST),
    NeuralDetector(network=Autoencoder(kind="lstm", units=8, code=2), **FAST),
    NeuralDetector(network=AER(units=4), **FAST),
]
IN_OTHER_ESTIMATORS = [
    NeuralRegressor(network=TabM(k=4, units=16, embedding="periodic"), **FAST),
    NeuralDetector(network=TabM(k=4, units=8, mini=True), **FAST),
    NeuralRegressor(network=Scorecard(), **FAST),
    NeuralDetector(network=Scorecard(), **FAST),
    NeuralEncoder(network=Scorecard(), **FAST),
    NeuralEncoder(network=TabM(k=2, units=4, embedding=None), **FAST),
    NeuralRegressor(network=RealMLP(units=16, activation="selu"), **FAST),
    NeuralDetector(network=RealMLP(units=8), **FAST),
    NeuralEncoder(network=RealMLP(units=4), **FAST),
    NeuralRegressor(network=FTTransformer(blocks=1, units=8, heads=2), **FAST),
    NeuralDetector(network=FTTransformer(blocks=1, units=8, heads=2), **FAST),
    NeuralEncoder(network=FTTransformer(blocks=2, units=4, heads=1), **FAST),
]
EVERY = os.environ.get("FINTECH_DL_CONTRACT") == "all"
JAX = os.environ.get("KERAS_BACKEND") == "jax"
TELLING = {
    "check_classifiers_train",
    "check_fit_idempotent",
    "check_methods_subset_invariance",
    "check_outliers_train",
    "check_regressors_train",
}
# what a network or a backend can break; all others, of what comes in and is told, are as in MLP
OF_NETWORKS = TELLING | {
    "check_class_weight_classifiers",
    "check_classifiers_classes",
    "check_decision_proba_consistency",
    "check_estimators_dtypes",
    "check_estimators_overwrite_params",
    "check_estimators_pickle",
    "check_f_contiguous_array_estimator",
    "check_fit2d_1feature",
    "check_fit2d_1sample",
    "check_methods_sample_order_invariance",
    "check_no_attributes_set_in_init",
    "check_outliers_fit_predict",
    "check_parameters_default_constructible",
    "check_readonly_memmap_input",
    "check_regressor_multioutput",
    "check_sample_weight_equivalence_on_dense_data",
    "check_set_params",
    "check_transformer_general",
}
if EVERY:
    WHOLE, SOME = ESTIMATORS + ONE_PER_FAMILY + OTHERS + IN_OTHER_ESTIMATORS, []
elif JAX:
    WHOLE, SOME = ESTIMATORS[:1], ESTIMATORS[1:] + ONE_PER_FAMILY
else:
    WHOLE, SOME = ESTIMATORS, ONE_PER_FAMILY
FEW = [] if EVERY else OTHERS


@parametrize_with_checks(WHOLE)
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("estimator", "names"),
    [(each, OF_NETWORKS) for each in SOME] + [(each, TELLING) for each in FEW],
    ids=[f"{each!r}" for each in SOME + FEW],
)
def test_every_network_keeps_its_most_telling_checks(estimator, names):
    checks = [check for _, check in estimator_checks_generator(estimator)]
    found = [check for check in checks if check.func.__name__ in names]
    assert len(found) >= 2  # an encoder is no outlier detector
    for check in found:
        check(clone(estimator))


def test_every_check_that_is_picked_exists():
    found = {c.func.__name__ for each in ESTIMATORS for _, c in estimator_checks_generator(each)}
    assert found > OF_NETWORKS
