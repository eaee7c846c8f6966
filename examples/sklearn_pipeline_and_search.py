"""Can a network be the last step of a scikit-learn pipeline: searched, calibrated, thresholded?

The features of card payments go through a ColumnTransformer into a NeuralClassifier. The search
learns from the past and is judged on what followed; three later weeks stay unseen until the end.

    python sklearn_pipeline_and_search.py
"""

import pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, recall_score
from sklearn.model_selection import RandomizedSearchCV, TimeSeriesSplit, TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import QuantileTransformer

from fintech_dl import MLP, NeuralClassifier, load_frame
from fintech_dl.features.transactions import card_history

table = card_history(load_frame("synthetic_card_transactions_small"))
X, y, when = table.X, table.y, table.when
past = (table.until <= pd.Timestamp("2018-07-20")).to_numpy()  # labels known by then
held = ((when >= "2018-07-20") & (when < "2018-07-27")).to_numpy()  # to calibrate and to choose
new = (when >= "2018-08-03").to_numpy()  # the labels of those are known by now

skewed = [name for name in X.columns if "amount" in name or "hours" in name]
even = make_column_transformer(
    (QuantileTransformer(n_quantiles=99), skewed), remainder="passthrough"
)
# the focal loss looks at hard rows; its scores rank well but are no probabilities yet
network = NeuralClassifier(network=MLP(), loss="focal", epochs=8, random_state=0)
search = RandomizedSearchCV(
    Pipeline([("even", even), ("model", network)]),
    {"model__network__units": [32, (64, 32), (128, 64)], "model__learning_rate": [1e-3, 3e-3]},
    n_iter=4,
    scoring="average_precision",
    cv=TimeSeriesSplit(n_splits=2, gap=2000),  # about a week: its labels are not known yet
    random_state=0,
).fit(X[past], y[past])
print(f"best of 4: {search.best_params_}")

rival = Pipeline([("even", even), ("model", LogisticRegression(max_iter=1000))])
rival.fit(X[past], y[past])
best = FrozenEstimator(search.best_estimator_)
calibrated = CalibratedClassifierCV(best, method="sigmoid").fit(X[held], y[held])
tuned = TunedThresholdClassifierCV(calibrated, scoring="f1", cv="prefit", refit=False)
tuned.fit(X[held], y[held])
print(f"on {new.sum():,} later payments, {y[new].mean():.1%} of them fraud:")
for name, fitted in (("as searched", best), ("calibrated", calibrated), ("logistic", rival)):
    p = fitted.predict_proba(X[new])[:, 1]
    ap, brier = average_precision_score(y[new], p), brier_score_loss(y[new], p)
    print(f"  {name:<11} AP {ap:.3f}, Brier score {brier:.4f}")
for name, fitted in (("at 0.5", calibrated), (f"at {tuned.best_threshold_:.2f}", tuned)):
    alerts = fitted.predict(X[new])
    print(f"  {name:<11} {alerts.sum()} alerts, recall {recall_score(y[new], alerts):.3f}")
