"""Optimizers: the course of the learning rate, and what a network advises of Adam."""

from itertools import pairwise

import numpy as np
import pytest

from fintech_dl import MLP, NeuralClassifier, RealMLP, hyperparameters
from fintech_dl.estimators.optimizers import CosLog4, coslog4, make_optimizer

X = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
SETTINGS = {
    "optimizer": "adamw",
    "schedule": "constant",
    "learning_rate": 0.1,
    "weight_decay": 0.0,
    "clipnorm": None,
}


def test_coslog4_falls_to_zero_and_peaks_where_it_was_published():
    for t in (0, 1 / 15, 3 / 15, 7 / 15, 1):
        assert float(coslog4(t)) == pytest.approx(0, abs=1e-6)
    for t in (0.0276, 0.1219, 0.3105, 0.6876):
        assert float(coslog4(t)) == pytest.approx(1, abs=1e-4)


def test_coslog4_over_steps_is_never_quite_zero_and_begins_anew():
    rates = np.array([float(CosLog4(0.04, 100)(step)) for step in range(250)])
    assert rates[:100].max() == pytest.approx(0.04, rel=1e-3)
    assert rates.min() > 0
    np.testing.assert_allclose(rates[100:200], rates[:100])
    assert float(CosLog4(1.0, 1)(0)) > 0.05


def test_fits_of_one_epoch_go_on_learning_when_the_schedule_has_ended():
    model = NeuralClassifier(network=RealMLP(units=8), random_state=0)
    seen = []
    for _ in range(4):
        model.partial_fit(X, Y, classes=[0, 1])
        seen.append(model.decision_function(X))
    assert all(np.abs(a - b).max() > 1e-2 for a, b in pairwise(seen))


@hyperparameters
class Advised(MLP):
    """A perceptron with advice of its own."""

    beta_2: float = 0.5

    def training(self, n_rows):
        return {**super().training(n_rows), "beta_2": self.beta_2, "epochs": 2}


@pytest.mark.parametrize(("optimizer", "takes"), [("adam", True), ("adamw", True), ("sgd", False)])
def test_beta_2_is_for_adam_alone(optimizer, takes):
    made = make_optimizer({**SETTINGS, "optimizer": optimizer, "beta_2": 0.5}, 10)
    assert getattr(made, "beta_2", None) == (0.5 if takes else None)
    assert make_optimizer(SETTINGS, 10).beta_2 == 0.999

    def fit(beta_2):
        network = Advised(units=4, beta_2=beta_2)
        model = NeuralClassifier(network=network, optimizer=optimizer, random_state=0).fit(X, Y)
        assert model.training_["beta_2"] == beta_2
        return model.decision_function(X)

    assert np.array_equal(fit(0.5), fit(0.9)) != takes


def test_advice_of_a_beta_2_out_of_range_is_named():
    with pytest.raises(ValueError, match=r"the network advises beta_2=1.0; allowed: \[0, 1\)"):
        NeuralClassifier(network=Advised(beta_2=1.0)).fit(X, Y)
