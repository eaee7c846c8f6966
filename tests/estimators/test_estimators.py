"""The estimators as a data scientist uses them."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, log_loss
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from fintech_dl import (
    CNN,
    MLP,
    Autoencoder,
    Network,
    NeuralClassifier,
    NeuralDetector,
    NeuralEncoder,
    NeuralRegressor,
    hyperparameters,
)

RNG = np.random.default_rng(0)
N = 800
X = RNG.normal(size=(N, 4))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
FAST = {"epochs": 25, "batch_size": 64, "learning_rate": 0.02, "random_state": 0}


def small(**parameters):
    return NeuralClassifier(**{"network": MLP(units=16), **FAST, **parameters})


def credit_frame(n=N, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "income": rng.lognormal(10, 1, n),
            "age": rng.integers(18, 80, n),
            "purpose": rng.choice(["car", "home", "other"], n),
            "region": pd.Categorical(rng.choice(["N", "S"], n)),
            "employed": rng.random(n) > 0.3,
            "constant": 1.0,
        }
    )
    y = ((frame["purpose"] == "car") ^ frame["employed"]).astype(int)
    frame.loc[rng.random(n) < 0.1, "income"] = np.nan
    frame.loc[rng.random(n) < 0.1, "purpose"] = None
    return frame, y


# ---- frames -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        small(),
        NeuralRegressor(network=MLP(units=16), **FAST),
        NeuralDetector(network=Autoencoder(units=16, code=4), **FAST),
        NeuralEncoder(network=Autoencoder(units=16, code=4), **FAST),
    ],
    ids=lambda m: type(m).__name__,
)
def test_a_frame_goes_straight_in(model):
    frame, y = credit_frame()
    model.fit(frame, y)
    new, _ = credit_frame(50, seed=1)
    new["purpose"] = new["purpose"].astype(object)
    new.loc[0, "purpose"] = "yacht"
    new.loc[1, "age"] = np.nan
    method = "transform" if hasattr(model, "transform") else "predict"
    assert np.isfinite(getattr(model, method)(new)).all()


def test_categories_and_missing_values_carry_information():
    frame, y = credit_frame(2000)
    model = small(epochs=40).fit(frame, y)
    new, truth = credit_frame(1000, seed=1)
    known = new["purpose"].notna()
    assert model.score(new[known], truth[known]) > 0.95
    late = pd.Series(RNG.normal(size=2000)).where(RNG.random(2000) > 0.5)
    told = small().fit(late.to_frame("x"), late.isna().astype(int))
    assert told.score(late.to_frame("x"), late.isna().astype(int)) > 0.95


def test_high_cardinality_becomes_an_embedding():
    merchant = pd.Series(RNG.integers(0, 60, 3000)).map(lambda i: f"m{i}")
    risky = merchant.str[-1].isin(list("135")).astype(int)
    model = small(epochs=60).fit(merchant.to_frame("merchant"), risky)
    assert model.score(merchant.to_frame("merchant"), risky) > 0.95
    assert any(weight.shape == (61, 16) for weight in model.weights_)


def test_unseen_equals_missing_category():
    frame, y = credit_frame()
    model = small(epochs=2).fit(frame, y)
    rows = frame.head(5).assign(purpose=None)
    unseen = model.predict_proba(frame.head(5).assign(purpose="yacht"))
    assert np.array_equal(unseen, model.predict_proba(rows))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pd.date_range("2024-01-01", periods=N), "'bad' is of type datetime64"),
        (np.full(N, np.inf), "Input contains infinity.*'bad', row 0"),
        (np.arange(N) + 2**24, r"'bad', row 1.*above 2\*\*24"),
    ],
)
def test_columns_that_cannot_be_numbers_are_named(column, message):
    frame = pd.DataFrame({"good": np.zeros(N), "bad": column})
    with pytest.raises(ValueError, match=message):
        small().fit(frame, Y)


def test_text_in_a_number_column_is_named():
    model = small(epochs=1).fit(pd.DataFrame(X, columns=list("abcd")), Y)
    rows = pd.DataFrame(X[:3], columns=list("abcd")).assign(b=["1", "2", "x"])
    with pytest.raises(ValueError, match="'b' held numbers in training"):
        model.predict(rows)
    with pytest.raises(ValueError, match="'z', which is no column"):
        small(categorical=["z"]).fit(X, Y)


# ---- inside scikit-learn ----------------------------------------------------------------------


def test_grid_search_over_units_and_over_whole_networks():
    grid = {"network__units": [8, (8, 8)], "learning_rate": [0.02]}
    search = GridSearchCV(small(epochs=5), grid, cv=2, scoring="roc_auc").fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    networks = {"network": [MLP(units=8), CNN(filters=4)]}
    search = GridSearchCV(small(epochs=5), networks, cv=2, scoring="roc_auc").fit(X, Y)
    assert isinstance(search.best_params_["network"], Network)


def test_pipeline_column_transformer_calibration_threshold_and_parallel_scores():
    frame, y = credit_frame()
    split = ColumnTransformer([("scale", StandardScaler(), ["age"])], remainder="passthrough")
    pipe = make_pipeline(split.set_output(transform="pandas"), small())
    assert pipe.fit(frame, y).score(frame, y) > 0.8
    calibrated = CalibratedClassifierCV(small(), method="temperature", cv=2).fit(X, Y)
    assert calibrated.predict_proba(X).shape == (N, 2)
    tuned = TunedThresholdClassifierCV(small(), scoring="balanced_accuracy", cv=2).fit(X, Y)
    assert tuned.score(X, Y) > 0.8
    assert (cross_val_score(small(), X, Y, cv=2, n_jobs=2, scoring="roc_auc") > 0.8).all()


def test_encoder_in_a_column_transformer_names_its_columns():
    frame, _ = credit_frame()
    encoder = NeuralEncoder(network=Autoencoder(units=8, code=2), epochs=2, random_state=0)
    both = ColumnTransformer([("code", encoder, ["income", "purpose"])]).set_output(
        transform="pandas"
    )
    codes = both.fit_transform(frame)
    assert list(codes.columns) == ["code__neuralencoder0", "code__neuralencoder1"]


def test_validation_rows_pass_through_a_pipeline_scaled_alike():
    with sklearn.config_context(enable_metadata_routing=True):
        model = small().set_fit_request(X_val=True, y_val=True)
        pipe = Pipeline([("scale", StandardScaler()), ("model", model)], transform_input=["X_val"])
        pipe.fit(X[:600] * 100, Y[:600], X_val=X[600:] * 100, y_val=Y[600:])
    history = pipe[-1].history_
    assert history["validation_loss"][-1] < 0.5
    assert len(history["validation_loss"]) == len(history["loss"])


# ---- training ---------------------------------------------------------------------------------


def test_learns_what_a_linear_model_cannot():
    model = small(epochs=40).fit(X[:600], Y[:600])
    assert model.score(X[600:], Y[600:]) > 0.9 > 0.6 > LogisticRegression().fit(X, Y).score(X, Y)


def test_several_classes_with_any_labels():
    y = np.array(["low", "mid", "high"])[np.digitize(X[:, 0], [-0.5, 0.5])]
    model = small().fit(X, y)
    assert model.score(X, y) > 0.9
    assert model.predict_proba(X).sum(axis=1) == pytest.approx(1)
    assert list(model.classes_) == ["high", "low", "mid"]
    watched = small(validation_fraction=0.2, monitor="roc_auc").fit(X, y)
    assert watched.history_["monitor"][-1] > 0.9


def test_training_starts_at_the_log_odds():
    rare = (RNG.random(4000) < 0.02).astype(int)
    rows = RNG.normal(size=(4000, 2)).astype(np.float32)
    model = small(epochs=1, learning_rate=0.0).fit(rows, rare)
    assert model.history_["loss"][0] < 0.3
    assert np.median(model.predict_proba(rows)[:, 1]) == pytest.approx(0.02, abs=0.01)


def test_early_stopping_keeps_the_best_epoch_of_the_exact_metric():
    noise = (Y + (RNG.random(N) < 0.3)) % 2
    model = small(
        epochs=60,
        learning_rate=0.05,
        validation_fraction=0.3,
        temporal=True,
        monitor="average_precision",
        patience=5,
    ).fit(X, noise)
    watched = model.history_["monitor"]
    assert model.n_iter_ == len(watched) == model.best_epoch_ + 5 < 60
    assert model.best_epoch_ == int(np.argmax(watched)) + 1
    held = slice(N - int(np.ceil(0.3 * N)), N)
    proba = model.predict_proba(X[held])
    assert average_precision_score(noise[held], proba[:, 1]) == pytest.approx(max(watched))
    best = model.history_["validation_loss"][model.best_epoch_ - 1]
    assert log_loss(noise[held], proba) == pytest.approx(best, rel=1e-5)


def test_temporal_holds_out_the_last_rows():
    late = Y.copy()
    late[-160:] = 1 - late[-160:]
    held = {
        temporal: small(validation_fraction=0.2, temporal=temporal, patience=40).fit(X, late)
        for temporal in (True, False)
    }
    losses = {t: m.history_["validation_loss"][-1] for t, m in held.items()}
    assert losses[True] > 2 * losses[False]


def test_weight_zero_is_absence_and_weights_are_repetition():
    weight = np.zeros(N)
    weight[:200] = 2.0
    model = small(batch_size=1000, epochs=5)
    weighted = model.fit(X, Y, sample_weight=weight).decision_function(X)
    twice = np.concatenate([X[:200], X[:200]]), np.concatenate([Y[:200], Y[:200]])
    assert np.array_equal(model.fit(*twice).decision_function(X), weighted)
    assert np.array_equal(model.fit(X[:200], Y[:200]).decision_function(X), weighted)


def test_balanced_classes_raise_the_rare_one():
    y = (X[:, 0] + 2 * RNG.normal(size=N) > 3).astype(int)
    plain, balanced = small().fit(X, y), small(class_weight="balanced").fit(X, y)
    assert balanced.predict_proba(X)[:, 1].mean() > 1.5 * plain.predict_proba(X)[:, 1].mean()


@pytest.mark.parametrize("n_members", [1, 2])
def test_a_warm_start_learns_although_its_schedule_has_run_out(n_members):
    model = small(epochs=2, warm_start=True, schedule="cosine", n_members=n_members).fit(X, Y)
    before = [weights.copy() for weights in model.weights_]
    model.fit(X, Y)
    moved = max(np.abs(a - b).max() for a, b in zip(before, model.weights_, strict=True))
    assert moved > 1e-2


def test_partial_fit_and_warm_start_go_on():
    model = small(epochs=3).fit(X, Y)
    losses = list(model.history_["loss"])
    model.partial_fit(X, Y)
    assert model.n_iter_ == 4
    assert model.history_["loss"][:3] == losses
    assert model.history_["loss"][3] < losses[2]
    fresh = small().partial_fit(X[:1], Y[:1], classes=[0, 1])
    for _ in range(10):
        fresh.partial_fit(X, Y)
    assert fresh.score(X, Y) > 0.7
    with pytest.raises(ValueError, match=r"classes \[7\] that the first fit did not"):
        fresh.partial_fit(X, np.full(N, 7))
    warm = small(epochs=2, warm_start=True).fit(X, Y)
    assert warm.fit(X, Y).n_iter_ == 4


def test_regression_of_several_targets_in_their_own_units():
    y = np.column_stack([1e6 + 1e5 * X[:, 0], 0.001 * X[:, 1]])
    model = NeuralRegressor(network=MLP(units=32), **FAST).fit(X, y)
    assert model.predict(X).shape == (N, 2)
    assert model.score(X, y) > 0.9
    watched = NeuralRegressor(
        network=MLP(units=32), **FAST, validation_fraction=0.2, monitor="r2"
    ).fit(X, y[:, 0])
    assert watched.history_["monitor"][-1] > 0.9


def test_detector_ranks_what_breaks_the_pattern():
    rows = RNG.normal(size=(1000, 3))
    rows = np.column_stack([rows, rows.sum(axis=1)])
    odd = rows[:20] * [1, 1, 1, -1]
    model = NeuralDetector(network=Autoencoder(units=32, code=3), contamination=0.05, **FAST)
    model.fit(rows)
    assert (model.predict(rows) == -1).mean() == pytest.approx(0.05)
    assert np.median(model.anomaly_score(odd)) > np.quantile(model.anomaly_score(rows), 0.95)
    assert np.array_equal(model.score_samples(rows), -model.anomaly_score(rows))
    extreme = np.full((2, 4), np.finfo(np.float32).max)
    assert np.isfinite(model.anomaly_score(extreme)).all()


def test_encoder_rebuilds_about_as_well_as_pca():
    hidden = RNG.normal(size=(1000, 2))
    rows = hidden @ RNG.normal(size=(2, 8)) + 0.05 * RNG.normal(size=(1000, 8)) + 100
    encoder = NeuralEncoder(
        network=Autoencoder(units=32, code=2), epochs=80, learning_rate=0.01, random_state=0
    ).fit(rows)
    rebuilt = encoder.inverse_transform(encoder.transform(rows))
    pca = PCA(2).fit(rows)
    linear = pca.inverse_transform(pca.transform(rows))
    spread = np.mean((rows - rows.mean(axis=0)) ** 2)
    assert np.mean((rows - rebuilt) ** 2) < 0.05 * spread
    assert np.mean((rows - linear) ** 2) < 0.05 * spread


def test_encoder_gives_categories_back():
    frame, _ = credit_frame()
    frame = frame[["age", "purpose"]].dropna()
    encoder = NeuralEncoder(
        network=Autoencoder(units=32, code=4), epochs=60, learning_rate=0.01, random_state=0
    )
    rebuilt = encoder.fit(frame).inverse_transform(encoder.transform(frame))
    assert (rebuilt["purpose"] == frame["purpose"].to_numpy()).mean() > 0.95
    with pytest.raises(ValueError, match="expected codes of 4 columns"):
        encoder.inverse_transform(np.zeros((2, 3)))


def test_a_new_network_is_a_few_lines_and_serves_every_estimator():
    @hyperparameters
    class Wide(Network):
        units: int = 8

        def __call__(self, inputs):
            import keras

            return keras.layers.Dense(self.units, activation="gelu")(inputs)

    for kind in (NeuralClassifier, NeuralRegressor, NeuralDetector, NeuralEncoder):
        model = kind(network=Wide(units=4), epochs=2, random_state=0).fit(X, Y)
        assert model.n_features_in_ == 4


# ---- bad parameters ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"epochs": 0}, "epochs=0; allowed: int of at least 1"),
        ({"learning_rate": -1}, "learning_rate=-1"),
        ({"learning_rate": float("nan")}, "learning_rate=nan"),
        ({"batch_size": 2.5}, "batch_size=2.5"),
        ({"optimizer": "adm"}, "optimizer='adm'; allowed: 'sgd', 'adam'"),
        ({"schedule": "warm"}, "schedule='warm'"),
        ({"loss": "hinge"}, "loss='hinge'; allowed: 'cross_entropy', 'focal'"),
        ({"monitor": "f1"}, "monitor='f1'"),
        ({"validation_fraction": 1.0}, "validation_fraction=1.0"),
        ({"network": "MLP"}, "network='MLP'; allowed: an instance"),
        ({"loss": "focal", "focal_gamma": -1}, "focal_gamma=-1"),
        ({"network": Autoencoder(kind="gru")}, "kind='gru'"),
    ],
)
def test_parameters_out_of_range_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        small(**parameters).fit(X, Y)


def test_one_class_only_and_diverging_training_say_what_to_do():
    with pytest.raises(ValueError, match="one class only"):
        small().fit(X, np.zeros(N))
    with pytest.raises(ValueError, match="training diverged in epoch"):
        small(optimizer="sgd", learning_rate=1e30).fit(X, Y)
    with pytest.raises(ValueError, match=r"contamination=0\.9"):
        NeuralDetector(contamination=0.9).fit(X)


def test_a_network_with_the_wrong_output_is_told_so():
    class Broken(MLP):
        def __call__(self, inputs):
            return [inputs]

    class WrongHead(MLP):
        def head(self, features, n_outputs):
            return super().head(features, 3)

    with pytest.raises(ValueError, match=r"Broken.__call__ returned .*expected a tensor"):
        small(network=Broken()).fit(X, Y)
    with pytest.raises(ValueError, match=r"WrongHead.head returned a tensor of shape \(rows, 3\)"):
        small(network=WrongHead()).fit(X, Y)
