"""PSI: the textbook number, honest about chance; of few rows nothing is claimed."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, kendalltau

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.metrics import roc_auc
from fintech_dl.evaluation.outcomes import Outcome
from fintech_dl.evaluation.segments import by_segment, rank_stability
from fintech_dl.evaluation.significance import delong
from fintech_dl.evaluation.stability import csi, psi


@pytest.mark.fault(30)
def test_psi_by_hand():
    found = psi(np.repeat(["a", "b"], [60, 40]), np.repeat(["a", "b"], [30, 70]))
    value = (0.3 - 0.6) * np.log(0.3 / 0.6) + (0.7 - 0.4) * np.log(0.7 / 0.4)
    assert found.psi == pytest.approx(value)
    assert found.bins["part"].sum() == pytest.approx(value)
    assert found.rule_of_thumb == "shift"
    assert found.beyond_chance
    assert found.empty == ()


def test_psi_of_numbers_counts_by_quantiles_of_the_reference():
    old, new = np.arange(1000.0), np.arange(200.0, 1200.0)
    found = psi(old, new, bins=4)
    assert found.bins["expected"].tolist() == [0.25] * 4
    assert found.bins["actual"].tolist() == pytest.approx([0.05, 0.25, 0.25, 0.45])
    given = psi(old, new, bins=[249, 499, 749])
    assert given.psi == pytest.approx(found.psi)
    assert given.bins["bin"].tolist() == ["up to 249", "249 to 499", "499 to 749", "above 749"]


@pytest.mark.fault(30)
@pytest.mark.parametrize(
    ("n", "mean", "limit"), [(100, 0.18, 0.34), (500, 0.036, 0.068), (10_000, 0.0018, 0.0034)]
)
def test_what_chance_alone_gives_is_the_published(n, mean, limit):
    rng = np.random.default_rng(0)
    found = psi(rng.normal(size=n), rng.normal(size=n))
    assert found.expected_by_chance == pytest.approx(mean, rel=0.03)
    assert found.chance_95 == pytest.approx(limit, rel=0.02)
    assert found.chance_95 == pytest.approx(chi2.ppf(0.95, 9) * 2 / n)
    values = [psi(rng.normal(size=n), rng.normal(size=n)).psi for _ in range(200)]
    assert np.mean(values) == pytest.approx(mean, rel=0.15)


@pytest.mark.fault(30)
@pytest.mark.parametrize(("n", "m"), [(100, 100), (500, 500), (2000, 200), (5000, 100)])
@pytest.mark.parametrize("kind", ["numbers", "categories"])
def test_false_alarms_are_five_in_a_hundred_at_most(n, m, kind):
    """Resampled from one population: nothing has changed. 600 draws, three standard errors."""
    rng = np.random.default_rng(n + m)
    if kind == "numbers":
        population = rng.lognormal(size=20_000)
    else:
        population = rng.choice(
            list("abcdefgh"), 20_000, p=[0.5, 0.2, 0.15, 0.1, 0.03, 0.01, 5e-3, 5e-3]
        )
    found = [psi(rng.choice(population, n), rng.choice(population, m)) for _ in range(600)]
    assert np.mean([one.beyond_chance for one in found]) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)
    if n == m == 100 and kind == "numbers":  # what the rule of thumb would say
        assert np.mean([one.rule_of_thumb != "stable" for one in found]) > 0.7


def test_a_change_is_found():
    rng = np.random.default_rng(0)
    found = [psi(rng.normal(size=1000), rng.normal(0.3, 1, 1000)) for _ in range(100)]
    assert np.mean([one.beyond_chance for one in found]) > 0.95


def test_missing_values_are_a_bin_and_empty_bins_count_as_half_a_row():
    old, new = np.arange(100.0), np.arange(100.0)
    new[:10] = np.nan
    found = psi(old, new, bins=2)
    table = found.bins.set_index("bin")
    assert table.loc["(missing)", ["expected", "actual"]].tolist() == [0, 0.1]
    assert found.empty == ("(missing)",)
    assert table.loc["(missing)", "part"] == pytest.approx((0.1 - 0.005) * np.log(0.1 / 0.005))
    both = psi(new, new, bins=2)
    assert both.psi == 0
    assert (both.empty, both.p_value) == ((), 1)
    nothing = psi([np.nan] * 5, [None] * 5)
    assert (nothing.psi, nothing.p_value, nothing.chance_95) == (0, 1, 0)
    assert (
        psi(pd.array([1, 2, None], dtype="Int64"), pd.array([1, 2, None], dtype="Int64")).psi == 0
    )


def test_a_value_that_fills_a_bin_does_not_hide_lower_values():
    old, new = np.zeros(500), np.append(np.zeros(400), np.full(100, -5.0))
    for other in (new, -new):
        found = psi(old, other)
        assert found.rule_of_thumb == "shift"
        assert len(found.empty) == 1
    assert psi(old, new).bins["bin"].tolist() == ["below 0", "0"]
    flag = psi(np.repeat([0, 1], [900, 100]), np.repeat([0, 1], [500, 500]))
    assert flag.psi == pytest.approx(-0.4 * np.log(5 / 9) + 0.4 * np.log(5))


def test_new_and_rare_categories():
    old = np.repeat([f"c{i}" for i in range(80)], np.arange(80, 0, -1))
    found = psi(old, np.append(old, ["new"] * 400))
    assert len(found.bins) == 50
    other = found.bins.set_index("bin").loc["(other)"]
    assert other["actual"] > other["expected"] > 0
    unseen = psi(["a"] * 50, ["a"] * 25 + ["b"] * 25)
    assert unseen.empty == ("(other)",)
    assert psi([True, False] * 50, [True] * 100).bins["bin"].tolist() == ["False", "True"]


def test_weights_are_repeated_shares_and_effective_rows():
    rng = np.random.default_rng(0)
    old, new, w = rng.normal(size=400), rng.normal(0.2, 1, 300), rng.integers(0, 4, 400)
    found = psi(old, new, bins=[-1, 0, 1], weight_expected=w)
    repeated = psi(np.repeat(old, w), new, bins=[-1, 0, 1])
    assert found.psi == pytest.approx(repeated.psi)
    assert found.rows_expected == pytest.approx(w.sum() ** 2 / (w**2).sum())
    quantiles = psi(old, new, weight_expected=w).bins["expected"]
    np.testing.assert_allclose(quantiles, 0.1, atol=0.01)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: psi([], [1.0]), DataError, r"reference population is empty \(0 rows"),
        (lambda: psi([1.0], []), DataError, "new population is empty"),
        (lambda: psi([1.0], [1.0], weight_actual=[0]), DataError, r"1 rows, total weight 0"),
        (lambda: psi([1.0], [1.0], weight_actual=[1, 2]), DataError, "1 new rows .* 2 weights"),
        (lambda: psi([1.0, np.inf], [1.0]), DataError, "1 of 2 values are infinite"),
        (lambda: psi([1.0], ["a"]), DataError, "reference holds numbers, the new values categ"),
        (lambda: psi(pd.to_datetime(["2024-01-01"]), [1.0]), DataError, "got dates"),
        (lambda: psi([1.0], [1.0], bins=1), UsageError, "bins = 1"),
        (lambda: psi([1.0], [1.0], bins=[2, 1]), UsageError, "rising"),
        (lambda: csi(pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})), DataError, "'a', 'b'"),
        (
            lambda: csi(pd.DataFrame({"a": [1.0]}), pd.DataFrame({"a": ["x"]})),
            DataError,
            "column 'a': psi",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def frames(seed, shift=0.0, n=800):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 20)), columns=[f"x{i}" for i in range(20)])
    frame["x3"] += shift
    frame["region"] = rng.choice(["north", "south"], n)
    frame.loc[frame.index[: n // 10], "x4"] = np.nan
    return frame


def test_csi_ranks_features_and_allows_for_their_number():
    found = csi(frames(0), frames(1, shift=0.4))
    assert found["feature"][0] == "x3"
    assert found.loc[0, ["rule_of_thumb", "beyond_chance"]].tolist() == ["watch", True]
    assert found["psi"].is_monotonic_decreasing
    assert set(found["feature"]) == {*(f"x{i}" for i in range(20)), "region"}
    missing = found.set_index("feature").loc["x4", ["missing_expected", "missing_actual"]]
    assert missing.tolist() == [0.1, 0.1]
    order = np.sort(found["p_value"])  # Benjamini-Hochberg by hand
    adjusted = np.minimum.accumulate((order * 21 / np.arange(1, 22))[::-1])[::-1]
    np.testing.assert_allclose(np.sort(found["p_adjusted"]), np.minimum(adjusted, 1))
    false = [csi(frames(seed), frames(seed + 100)) for seed in range(0, 60, 2)]
    assert np.mean([one["beyond_chance"].any() for one in false]) < 0.2
    assert np.mean([(one["p_value"] < 0.05).any() for one in false]) > 0.4


# ---- periods and segments ---------------------------------------------------------------------


@pytest.mark.fault(30)
def test_rank_stability_is_kendalls_tau():
    rng = np.random.default_rng(0)
    n = 6000
    grade, year = rng.integers(0, 6, n), rng.integers(2020, 2023, n)
    risk = np.array([[1, 2, 4, 8, 16, 30], [1, 4, 2, 8, 16, 30], [30, 16, 8, 4, 2, 1]]) / 100
    y = (rng.random(n) < risk[year - 2020, grade]).astype(int)
    found = rank_stability(y, grade, year).set_index("period")
    rates = pd.Series(y).groupby([year, grade]).mean().unstack()
    for period in (2020, 2021, 2022):
        tau = kendalltau(np.arange(6), rates.loc[period]).statistic
        assert found.loc[period, "tau"] == pytest.approx(tau)
    tau = kendalltau(rates.loc[2021], rates.loc[2022]).statistic
    assert found.loc[2022, "tau_before"] == pytest.approx(tau)
    assert np.isnan(found.loc[2020, "tau_before"])
    assert found.loc[2022, "tau"] < -0.8
    few = rank_stability(y, grade, year, fewest_rows=400)
    assert few["grades"].max() < 6
    weight = np.where(year == 2022, 0.0, 1.0)
    assert rank_stability(y, grade, year, weight=weight)["period"].tolist() == [2020, 2021]
    assert np.isnan(rank_stability(y, np.minimum(grade, 1), year)["tau"]).all()
    with pytest.raises(DataError, match="6000 labels"):
        rank_stability(y, grade[:5], year)


def scored(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 6, n)
    segment = rng.choice(["car", "home"], n).astype(object)
    segment[:20], segment[20:120], segment[120:130] = "tiny", "spotless", None
    y = (rng.random(n) < p).astype(int)
    y[20:120] = 0
    y[20] = 1
    return y, p, segment


def test_segments_have_the_values_of_their_rows():
    y, p, segment = scored()
    found = by_segment(y, p, segment).set_index("segment")
    assert found.index.tolist() == ["(all)", "car", "home", "spotless", "tiny", "(missing)"]
    at = segment == "car"
    own = delong(Outcome(y=y[at], score=p[at]))
    car = found.loc["car"]
    assert (car["auc"], car["auc_low"], car["auc_high"]) == pytest.approx(tuple(own))
    assert (car["gini"], car["gini_low"]) == pytest.approx((2 * own.value - 1, 2 * own.low - 1))
    assert (car["rows"], car["positives"]) == (at.sum(), y[at].sum())
    assert car["gap"] == pytest.approx(y[at].mean() - p[at].mean())
    assert car["gap_low"] == pytest.approx(car["rate_low"] - p[at].mean())
    assert car["gap_low"] < car["gap"] < car["gap_high"]
    assert car["note"] == ""


def test_small_segments_are_shown_and_nothing_is_claimed_of_them():
    found = by_segment(*scored()).set_index("segment")
    tiny, spotless, missing = (found.loc[name] for name in ("tiny", "spotless", "(missing)"))
    assert (tiny["rows"], missing["rows"]) == (20, 10)
    assert tiny[["auc", "gini", "mean_pd", "gap", "rate_low"]].isna().all()
    assert "fewer than 30" in tiny["note"]
    assert np.isnan(spotless["auc"])
    assert spotless["note"] == "1 positives, fewer than 10: no AUC"
    assert spotless["rate_low"] < 0.01 < spotless["rate_high"]


def test_weighted_segments():
    y, p, segment = scored()
    w = np.random.default_rng(1).integers(1, 4, len(y)).astype(float)
    at = segment == "home"
    home = by_segment(y, p, segment, weight=w).set_index("segment").loc["home"]
    assert home["auc"] == pytest.approx(roc_auc(y[at], p[at], weight=w[at]))
    assert home["auc_low"] < home["auc"] < home["auc_high"]
    assert home["rate"] == pytest.approx(np.average(y[at], weights=w[at]))
    plain = by_segment(y, p, segment).set_index("segment").loc["home"]
    assert home["rate_high"] - home["rate_low"] > plain["rate_high"] - plain["rate_low"]


def test_vintages_are_sorted_and_bad_input_is_refused():
    y, p, _ = scored()
    month = pd.Series(pd.period_range("2024-01", periods=3, freq="M")).sample(
        len(y), replace=True, random_state=0
    )
    assert by_segment(y, p, month)["segment"].tolist()[1:] == list(
        pd.period_range("2024-01", periods=3, freq="M")
    )
    with pytest.raises(DataError, match="2 segments for 3000 rows"):
        by_segment(y, p, ["a", "b"])
    with pytest.raises(UsageError, match="probabilities"):
        by_segment(y, p * 9, y)
