"""Fairness: ratios and gaps by hand, intervals that cover, nothing claimed of a few rows."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.fairness import fairness


def applicants(n=4000, seed=0, harm=0.1):
    rng = np.random.default_rng(seed)
    sex = rng.choice(["f", "m"], n, p=[0.4, 0.6])
    true = rng.beta(2, 8, n)
    p = np.clip(true + harm * (sex == "f"), 0, 1)
    return (rng.random(n) < true).astype(int), p, sex


@pytest.mark.fault(30)
@pytest.mark.parametrize("weighted", [False, True])
def test_every_number_by_hand(weighted):
    y, p, sex = applicants()
    w = np.random.default_rng(1).integers(1, 4, len(y)) * 1.0 if weighted else np.ones(len(y))
    given = {"weight": w} if weighted else {}
    found = fairness(y, p, sex, 0.25, **given).set_index("group")
    f, m = (found.loc[name] for name in "fm")

    def share(at):
        return w[at & (p < 0.25)].sum() / w[at].sum()

    rates = [share(sex == name) for name in "fm"]
    assert m["is_reference"]
    assert not f["is_reference"]
    assert (f["selection_rate"], m["selection_rate"]) == pytest.approx(tuple(rates))
    assert f["adverse_impact_ratio"] == pytest.approx(rates[0] / rates[1])
    assert f["below_four_fifths"]
    assert not m["below_four_fifths"]
    goods = [share((sex == name) & (y == 0)) for name in "fm"]
    bads = [share((sex == name) & (y == 1)) for name in "fm"]
    assert (f["true_positive_rate"], f["equal_opportunity_gap"]) == pytest.approx(
        (goods[0], goods[0] - goods[1])
    )
    assert (f["false_positive_rate"], f["fpr_gap"]) == pytest.approx((bads[0], bads[0] - bads[1]))
    means = [np.average(p[sex == name], weights=w[sex == name]) for name in "fm"]
    spread = [np.cov(p[sex == name], aweights=w[sex == name], ddof=0) for name in "fm"]
    assert f["smd"] == pytest.approx((means[0] - means[1]) / np.sqrt(np.mean(spread)))
    assert f["smd"] > 0.3
    observed = np.average(y[sex == "f"], weights=w[sex == "f"])
    assert f["calibration_gap"] == pytest.approx(observed - means[0])
    assert f["observed_high"] < f["mean_pd"]  # judged too harshly
    assert m["observed_low"] < m["mean_pd"] < m["observed_high"]
    assert (found["note"] == "").all()


def test_intervals_cover_the_truth():
    inside = {"air": 0, "eo": 0, "fpr": 0}
    y, p, sex = applicants(200_000, seed=99)
    truth = fairness(y, p, sex, 0.25).set_index("group").loc["f"]
    for seed in range(300):
        f = fairness(*applicants(800, seed), 0.25).set_index("group").loc["f"]
        for key, name, ends in (
            ("air", "adverse_impact_ratio", "air"),
            ("eo", "equal_opportunity_gap", "equal_opportunity_gap"),
            ("fpr", "fpr_gap", "fpr_gap"),
        ):
            inside[key] += f[f"{ends}_low"] <= truth[name] <= f[f"{ends}_high"]
    for key, count in inside.items():
        assert 0.91 < count / 300 <= 1, key


@pytest.mark.fault(30)
def test_the_interval_of_the_ratio_is_katz():
    y = np.tile([0, 1], 100)
    group = np.repeat(["a", "b"], 100)
    p = np.where(np.arange(200) < 100, np.arange(200) < 60, np.arange(200) < 150) * -0.4 + 0.5
    found = fairness(y, p, group, 0.3, reference="b").set_index("group").loc["a"]
    error = np.sqrt(1 / 60 - 1 / 100 + 1 / 50 - 1 / 100)
    assert found["adverse_impact_ratio"] == pytest.approx(1.2)
    assert found["air_low"] == pytest.approx(1.2 * np.exp(-1.959964 * error))
    assert found["air_high"] == pytest.approx(1.2 * np.exp(1.959964 * error))


def test_small_groups_are_shown_and_nothing_is_claimed_of_them():
    y, p, sex = applicants()
    sex = sex.astype(object)
    sex[:20], sex[20:60] = "x", None
    y[20:60] = 0
    y[20:23] = 1
    found = fairness(y, p, sex, 0.25).set_index("group")
    x, missing = found.loc["x"], found.loc["(missing)"]
    assert (x["count"], missing["count"]) == (20, 40)
    assert x[["adverse_impact_ratio", "air_low", "smd", "equal_opportunity_gap"]].isna().all()
    assert x["below_four_fifths"] is None
    assert "20 rows, fewer than 30" in x["note"]
    assert missing["adverse_impact_ratio"] > 0
    assert missing["equal_opportunity_gap_low"] < missing["equal_opportunity_gap_high"]
    assert np.isnan(missing["fpr_gap"])
    assert missing["note"] == "3 bads, fewer than 10: nothing claimed of them"
    against = fairness(y, p, sex, 0.25, reference="x").set_index("group").loc["m"]
    assert np.isnan(against["adverse_impact_ratio"])
    assert "the reference has 20 rows, fewer than 30" in against["note"]


def test_a_group_of_which_nobody_is_approved():
    y, p, sex = applicants()
    found = fairness(y, np.where(sex == "f", 0.9, p), sex, 0.25).set_index("group").loc["f"]
    assert found["adverse_impact_ratio"] == 0
    assert np.isnan(found["air_high"])
    assert found["below_four_fifths"] is True or found["below_four_fifths"] == np.True_
    other = fairness(y, np.where(sex == "m", 0.9, p), sex, 0.25).set_index("group").loc["f"]
    assert np.isnan(other["adverse_impact_ratio"])
    assert other["below_four_fifths"] is None


def test_several_attributes_and_references():
    y, p, sex = applicants()
    age = pd.Categorical(np.where(np.arange(len(y)) % 3 == 0, "under 30", "30 and over"))
    frame = pd.DataFrame({"sex": sex, "age": age})
    found = fairness(y, p, frame, 0.25, reference={"sex": "f"})
    assert found["sensitive_feature"].tolist() == ["sex", "sex", "age", "age"]
    assert found.loc[found["is_reference"], "group"].tolist() == ["f", "30 and over"]
    alone = fairness(y, p, frame["age"], 0.25)
    pd.testing.assert_frame_equal(alone, found[2:].reset_index(drop=True))
    assert fairness(y, p, sex, 0.25)["sensitive_feature"].unique().tolist() == ["group"]


def test_what_cannot_be_judged_is_refused():
    y, p, sex = applicants()
    with pytest.raises(UsageError, match=r"sex has no group 'd' .* only f, m"):
        fairness(y, p, pd.Series(sex, name="sex"), 0.25, reference="d")
    with pytest.raises(DataError, match="declines none"):
        fairness(y, p, sex, 2.0)
    with pytest.raises(DataError, match="3 groups"):
        fairness(y, p, ["f", "m", "f"], 0.25)
    with pytest.raises(UsageError, match="probabilities"):
        fairness(y, 9 * p, sex, 0.25)
