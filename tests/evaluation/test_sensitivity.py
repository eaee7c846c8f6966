import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from fintech_dl.errors import UsageError
from fintech_dl.evaluation.baselines import score_rows, with_preprocessing
from fintech_dl.evaluation.outcomes import Outcome
from fintech_dl.evaluation.sensitivity import ALL_NUMBERS, perturbation


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "debt": rng.lognormal(size=600),
            "late": rng.choice([-9, 0, 1, 2], 600),
            "home": rng.choice(["rent", "own", None], 600, p=[0.5, 0.3, 0.2]),
            "flag": rng.random(600) < 0.3,
        }
    )
    y = (X["debt"] + X["late"].clip(0) + (X["home"] == "own") + rng.normal(size=600) > 3).astype(
        int
    )
    model = with_preprocessing(LogisticRegression()).fit(X, y)
    return model, X, Outcome(y=y, score=np.zeros(600))


def test_each_line_is_what_the_changed_rows_score(case):
    model, X, outcome = case
    found = perturbation(model, X, outcome, 0.3).set_index(["feature", "change"])
    base = score_rows(model, X)
    for line, changed in (
        (("debt", "+10%"), X.assign(debt=X["debt"] * 1.1)),
        (("debt", "-10%"), X.assign(debt=X["debt"] * 0.9)),
        (("home", "all rent"), X.assign(home="rent")),
        (("flag", "all False"), X.assign(flag=False)),
        ((ALL_NUMBERS, "+10%"), X.assign(debt=X["debt"] * 1.1, late=X["late"] * 1.1)),
    ):
        score, got = score_rows(model, changed), found.loc[line]
        assert got["auc"] == pytest.approx(roc_auc_score(outcome.y, score))
        assert got["auc_change"] == pytest.approx(got["auc"] - roc_auc_score(outcome.y, base))
        assert got["approval_rate"] == pytest.approx((score < 0.3).mean())
        assert got["approval_change"] == pytest.approx((score < 0.3).mean() - (base < 0.3).mean())
        assert got["mean_change"] == pytest.approx(score.mean() - base.mean())
    assert found.loc[("home", "all rent"), "changed"] == (X["home"] != "rent").mean()
    assert found.loc[("late", "+10%"), "changed"] == (X["late"] != 0).mean()
    assert [feature for feature, _ in found.index[-2:]] == [ALL_NUMBERS] * 2
    assert found["auc_change"].abs()[:2].max() == found["auc_change"].abs()[:-2].max()


def test_special_codes_stay(case):
    model, X, outcome = case
    found = perturbation(model, X, outcome, 0.3, special_codes={"late": [-9]})
    late = found.set_index(["feature", "change"]).loc[("late", "+10%")]
    assert late["changed"] == X["late"].isin([1, 2]).mean()


def test_missing_values_of_every_kind(case):
    model, X, outcome = case
    late = X["late"].astype("Int64").mask(X["late"] == 1)
    odd = X.assign(home=X["home"].astype("string"), late=late.astype("Float64"))
    found = perturbation(model, odd, outcome, 0.3).set_index(["feature", "change"])
    assert found.loc[("home", "all rent"), "changed"] == (X["home"] != "rent").mean()
    assert found.loc[("late", "+10%"), "changed"] == X["late"].isin([-9, 2]).mean()


def test_share_weights_and_few_rows(case):
    model, X, outcome = case
    halved = perturbation(model, X, outcome, 0.3, share=0.5)
    assert "+50%" in set(halved["change"])
    twice = pd.concat([X, X], ignore_index=True)
    weighted = Outcome(y=outcome.y, score=outcome.score, weight=np.full(600, 2.0))
    doubled = Outcome(y=np.tile(outcome.y, 2), score=np.zeros(1200))
    pd.testing.assert_frame_equal(
        perturbation(model, X, weighted, 0.3), perturbation(model, twice, doubled, 0.3)
    )
    few = [perturbation(model, X, outcome, 0.3, max_rows=200, seed=s) for s in (1, 1, 2)]
    pd.testing.assert_frame_equal(few[0], few[1])
    assert few[0]["auc"].tolist() != few[2]["auc"].tolist()


def test_refusals(case):
    model, X, outcome = case
    with pytest.raises(UsageError, match="share = 1, allowed: above 0, below 1"):
        perturbation(model, X, outcome, 0.3, share=1)
    with pytest.raises(UsageError, match="X has 5 rows, the outcome 600"):
        perturbation(model, X[:5], outcome, 0.3)
