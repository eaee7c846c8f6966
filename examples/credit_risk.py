"""Which loan applications would default, why is one declined, and what would a scorecard say?

Runs the shipped pipeline `credit` on a small simulated book, with a model validation report beside
it; tells the reasons for a decline in the lender's words; then fits a scorecard that may not
contradict common sense and scores by its table of points. Needs no data and no network:

    python credit_risk.py
"""

import pandas as pd

from fintech_dl import NeuralClassifier, Scorecard, load, load_table, points_table, run_pipeline
from fintech_dl.cards import pipeline_card
from fintech_dl.estimators.point_scores import score_points
from fintech_dl.evaluation.attribution import reference_profile
from fintech_dl.evaluation.cutoffs import cutoff_for, cutoff_table
from fintech_dl.evaluation.reasons import reason_codes

# the card as it is shipped, on fewer applications and with fewer epochs
card = pipeline_card("credit", dataset="synthetic_credit_book_small")
run = run_pipeline(card, set_params={"model__epochs": 8})
print(run.record["verdict"]["text"])
print(f"For the validator: {run.folder / 'validation.html'}")

# the model decides about the applications of the last quarter: four of five are approved
table = load_table(card)
model = load(run.folder / "artefact")
last = table.rows(table.when >= table.when.max() - pd.Timedelta("92D"))
p = model.predict_proba(last.X)[:, 1]
cutoff = cutoff_for(p, approval_rate=0.8)
chosen = cutoff_table(last.y, p, [cutoff]).iloc[0]
share, bad = chosen["approval_rate"], chosen["bad_rate_approved"]
print(f"\nApproved below {cutoff:.3f}: {share:.0%} of {len(p)} applications, {bad:.1%} of them")
print(f"default; of all {last.y.mean():.1%}.")

# why, as the run's reasons.csv says it of every declined application: each column has a text of
# the lender's own; columns that cannot be a reason are excluded
words = [f"Your {name.replace('_', ' ')} speaks against it" for name in last.X]
texts = pd.DataFrame({"feature": list(last.X), "text": words})
usual = reference_profile(last.X[p < cutoff])
worst = last.X.iloc[[p.argmax()]]
reasons = reason_codes(model, worst, usual, texts, excluded=["region"])
print(f"\nThe riskiest application, declined at {p.max():.3f}:")
print(reasons[["rank", "text", "value", "reference"]].to_string(index=False))

# a scorecard: what each column adds can be read off, and more income is never held against anyone
first = table.rows(table.when < last.when.min() - pd.Timedelta("365D"))
network = Scorecard(
    bins=5, smoothness=0.01, monotone={"income": "decreasing", "utilisation": "increasing"}
)
scorecard = NeuralClassifier(network=network, random_state=0).fit(first.X, first.y)
points = points_table(scorecard, pdo=20, base_score=600, base_odds=50, round_to=5)
income = points.loc[points["feature"] == "income", ["from", "to", "points_from"]]
print("\nPoints of the income:")
print(income.to_string(index=False))
score = score_points(points, last.X)
print(f"\nScores by the table alone, from {score.min():.0f} to {score.max():.0f}:")
bands = pd.qcut(score, 4, labels=["lowest quarter", "second", "third", "highest quarter"])
print(last.y.groupby(bands, observed=True).mean().map("{:.1%} default".format).to_string())
