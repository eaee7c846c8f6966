"""How is a network of one's own written, used, saved and loaded?

A network is a class with fields and one method; every estimator can hold it. Here: a gate that
weighs each column of a payment by looking at the others, as classifier and as detector. The
simulated frauds lie off centre in a straight line, so the simple rivals win: keep them at hand.

    python custom_network.py
"""

import tempfile

from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fintech_dl import Network, NeuralClassifier, NeuralDetector, hyperparameters, load, save
from fintech_dl.data.synthetic import card_components


@hyperparameters
class GatedColumns(Network):
    """Weighs every column by a gate that reads all of them."""

    units: int = 32

    def __call__(self, inputs):
        import keras

        gate = keras.layers.Dense(inputs.shape[-1], activation="sigmoid")(inputs)
        return keras.layers.Dense(self.units, activation="relu")(inputs * gate)


payments = card_components(n_rows=12_000, fraud_rate=0.01, seed=3)
X, y = payments.drop(columns=["Time", "Class", "piece", "weight"]), payments["Class"]
X_past, y_past, X_new, y_new = X[:8000], y[:8000], X[8000:], y[8000:]
network = GatedColumns(units=16)
linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(X_past, y_past)
forest = IsolationForest(random_state=0).fit(X_past)
classifier = NeuralClassifier(network=network, epochs=8, random_state=0).fit(X_past, y_past)
detector = NeuralDetector(network=network, epochs=8, random_state=0).fit(X_past)
suspicion = {
    "classifier, learned from labels": classifier.predict_proba(X_new)[:, 1],
    "logistic regression": linear.predict_proba(X_new)[:, 1],
    "detector, saw no label": detector.anomaly_score(X_new),
    "isolation forest, saw no label": -forest.score_samples(X_new),
}
print(f"{len(X_new):,} later payments, {y_new.mean():.1%} of them fraud; average precision:")
for name, score in suspicion.items():
    print(f"  {name:<31} {average_precision_score(y_new, score):.3f}")

with tempfile.TemporaryDirectory() as home:
    # loading builds only types it is told to trust: name your own class, as module.Class
    own = f"{GatedColumns.__module__}.{GatedColumns.__name__}"
    folder = save(classifier, f"{home}/artefact", trust=[own])
    again = load(folder, trust=[own]).predict_proba(X_new)
same = (again == classifier.predict_proba(X_new)).all()
print(f"saved and loaded: {'the same scores, bit for bit' if same else 'the scores differ'}")
