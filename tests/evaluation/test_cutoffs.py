"""Cut-offs: tables equal plain sums, intervals cover, nothing is said where nobody is parted."""

import numpy as np
import pytest

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.cutoffs import approved, cutoff_for, cutoff_table, swap_set


def applicants(n=3000, seed=0, digits=9):
    rng = np.random.default_rng(seed)
    p = np.round(rng.beta(1, 6, n), digits)
    y = (rng.random(n) < p).astype(int)
    return y, p, rng.integers(0, 4, n).astype(float), rng.lognormal(8, 1, n)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_table_equals_plain_sums(weighted):
    y, p, w, ead = applicants()
    earned = ead * 0.03
    given = {"weight": w} if weighted else {}
    w = w if weighted else np.ones(len(y))
    found = cutoff_table(y, p, [0.3, 0.1], lgd=0.45, ead=ead, profit=earned, **given)
    assert found["cutoff"].tolist() == [0.1, 0.3]
    for line in found.to_dict("records"):
        inside = p < line["cutoff"]
        assert line["approval_rate"] == pytest.approx(w[inside].sum() / w.sum())
        assert line["bad_rate_approved"] == pytest.approx((w * y)[inside].sum() / w[inside].sum())
        assert line["bad_rate_declined"] == pytest.approx((w * y)[~inside].sum() / w[~inside].sum())
        assert line["captured_bads"] == pytest.approx((w * y)[~inside].sum() / (w * y).sum())
        assert line["expected_loss"] == pytest.approx((w * p * 0.45 * ead)[inside].sum())
        lost = (w * y * 0.45 * ead)[inside].sum()
        assert line["loss"] == pytest.approx(lost)
        assert line["profit"] == pytest.approx((w * (1 - y) * earned)[inside].sum() - lost)


def test_the_table_runs_over_approval_rates_by_itself():
    y, p, *_ = applicants()
    found = cutoff_table(y, p)
    np.testing.assert_allclose(found["approval_rate"], np.arange(1, 20) / 20, atol=0.001)
    assert found["bad_rate_approved"].is_monotonic_increasing
    assert found["captured_bads"].is_monotonic_decreasing
    assert "loss" not in found.columns
    tied = cutoff_table(y, np.round(p, 1))
    assert tied["cutoff"].is_unique
    assert len(tied) < 10


@pytest.mark.parametrize("digits", [1, 2, 9])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_cut_off_is_the_highest_that_keeps_to_a_rate(digits, weighted):
    y, p, w, _ = applicants(digits=digits)
    w = w if weighted else np.ones(len(y))
    places = np.unique(p[w > 0])[1:]
    approvals = np.array([w[p < cut].sum() / w.sum() for cut in places])
    bads = np.array([(w * y)[p < cut].sum() / w[p < cut].sum() for cut in places])
    for rate in (0.6, 0.9):
        wanted = places[approvals <= rate + 1e-12].max()
        assert cutoff_for(p, approval_rate=rate, weight=w) == wanted
    for rate in (0.08, 0.12, 1.0):
        wanted = places[bads <= rate + 1e-12].max()
        assert cutoff_for(p, bad_rate=rate, y=y, weight=w) == wanted


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: approved([0.1, 0.2], 0.1), DataError, r"0.1 approves none of the 2 rows.*0.1 to"),
        (lambda: approved([0.1, 0.2], 0.3), DataError, "cut-off 0.3 declines none of the 2 rows"),
        (lambda: approved([0.1, np.nan], 0.3), DataError, "1 scores are no finite"),
        (lambda: approved([0.1, 0.2], 0.15, weight=[1, 0]), DataError, "declines none of the 1"),
        (lambda: cutoff_table([0, 1], [0.1, 0.2], [0.5]), DataError, "declines none"),
        (lambda: cutoff_table([0, 1], [0.1, 0.2], [0.05]), DataError, "approves none"),
        (lambda: cutoff_table([0, 0], [0.1, 0.2], [0.15]), DataError, "no bads"),
        (lambda: cutoff_table([0, 1], [0.1, 0.1]), DataError, "more than 95 %"),
        (lambda: cutoff_table([0, 1], [1, 20], [10]), UsageError, "needs probabilities"),
        (lambda: cutoff_table([0, 1], [0.1, 0.2], [0.15], lgd=0.5), UsageError, "both lgd"),
        (lambda: cutoff_table([0, 1], [0.1, 0.2], [0.15], profit=1), UsageError, "profit needs"),
        (
            lambda: cutoff_table([0, 1], [0.1, 0.2], [0.15], lgd=45, ead=[1, 1]),
            UsageError,
            "lgd: got 45",
        ),
        (
            lambda: cutoff_table([0, 1], [0.1, 0.2], [0.15], lgd=0.4, ead=[1, np.nan]),
            DataError,
            "1 of them no finite",
        ),
        (lambda: cutoff_for([0.1]), UsageError, "either approval_rate, or bad_rate"),
        (lambda: cutoff_for([0.1], bad_rate=0.1), UsageError, "together with y"),
        (lambda: cutoff_for([0.1, 0.2], approval_rate=1.0), UsageError, "approval_rate = 1, allo"),
        (lambda: cutoff_for([0.1, 0.2], bad_rate=-1, y=[0, 1]), UsageError, "bad_rate = -1"),
        (lambda: cutoff_for([0.1, 0.1], approval_rate=0.5), DataError, "the same score"),
        (
            lambda: cutoff_for([0.1, 0.1, 0.1, 0.2], approval_rate=0.5),
            DataError,
            "least that one reaches is 0.75",
        ),
        (
            lambda: cutoff_for([0.1, 0.1, 0.2, 0.3], bad_rate=0.1, y=[1, 0, 0, 1]),
            DataError,
            r"bad_rate = 0\.1; the least that one reaches is 0\.3333, for 75\.0% of the rows",
        ),
        (lambda: cutoff_for([0.1, 0.2], bad_rate=0.1, y=[1]), DataError, "2 scores, 1 labels"),
    ],
)
def test_what_cannot_be_cut_is_refused(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


# ---- champion and challenger ------------------------------------------------------------------


def rivals(n=4000, seed=0, better=1.0):
    """Return labels, champion and challenger; the challenger knows the risk ``better`` as well."""
    rng = np.random.default_rng(seed)
    risk = rng.normal(-2, 1, n)
    y = (rng.random(n) < 1 / (1 + np.exp(-risk))).astype(int)
    scores = (risk + rng.normal(size=n), risk + rng.normal(size=n) / better)
    return y, *(1 / (1 + np.exp(-score)) for score in scores)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_swap_set_equals_plain_sums(weighted):
    y, old, new = rivals()
    w = np.random.default_rng(9).integers(0, 4, len(y)).astype(float) if weighted else None
    ead = np.random.default_rng(8).lognormal(8, 1, len(y))
    found = swap_set(y, old, new, 0.7, weight=w, lgd=0.5, ead=ead)
    w = np.ones(len(y)) if w is None else w
    a, b = old < found.champion_cutoff, new < found.challenger_cutoff
    cells = found.cells.set_index("cell")
    assert cells.index.tolist() == ["in/in", "in/out", "out/in", "out/out"]
    at = ~a & b & (w > 0)
    swapped_in = cells.loc["out/in"]
    assert (swapped_in["rows"], swapped_in["bads"]) == (at.sum(), y[at].sum())
    assert swapped_in["bad_rate"] == pytest.approx(np.average(y[at], weights=w[at]))
    assert swapped_in["low"] < swapped_in["bad_rate"] < swapped_in["high"]
    assert swapped_in["loss"] == pytest.approx((w * y * 0.5 * ead)[at].sum())
    assert swapped_in["expected_champion"] == pytest.approx((w * old * 0.5 * ead)[at].sum())
    assert swapped_in["expected_challenger"] == pytest.approx((w * new * 0.5 * ead)[at].sum())
    assert cells["rows"].sum() == (w > 0).sum()
    assert cells["share"].sum() == pytest.approx(1)
    rates = [np.average(y[at], weights=w[at]) for at in (a, b)]
    assert found.difference.value == pytest.approx(rates[1] - rates[0])
    assert (found.champion_rate, found.challenger_rate) == pytest.approx((0.7, 0.7), abs=0.002)


def test_the_interval_of_the_difference_is_that_of_the_bootstrap():
    y, old, new = rivals(better=1.5)
    found = swap_set(y, old, new, 0.6)
    a, b = old < found.champion_cutoff, new < found.challenger_cutoff
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(1500):
        at = rng.integers(len(y), size=len(y))
        drawn.append(y[at][b[at]].mean() - y[at][a[at]].mean())
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (found.difference.low, found.difference.high) == pytest.approx((low, high), abs=0.0015)


def test_the_test_is_right_where_both_are_alike_and_finds_the_better():
    alike = [swap_set(*rivals(seed=seed), 0.6).difference.p_value for seed in range(300)]
    assert np.mean(np.array(alike) < 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
    better = [swap_set(*rivals(seed=seed, better=3), 0.6).difference for seed in range(20)]
    assert np.mean([found.high < 0 for found in better]) > 0.8


def test_few_swapped_rows_prove_nothing():
    y, old, _ = rivals()
    found = swap_set(y, old, old, 0.6)
    assert found.difference.value == 0
    assert np.isnan(found.difference.p_value)
    assert found.cells["rows"].tolist()[1:3] == [0, 0]
    assert found.cells.loc[1, ["bad_rate", "low", "high"]].isna().all()
    assert "loss" not in found.cells.columns
    points = swap_set(y, 100 * old, old, 0.6)  # a champion that is no probability
    assert points.cells["rows"].equals(found.cells["rows"])
    with pytest.raises(UsageError, match="needs probabilities"):
        swap_set(y, 100 * old, old, 0.6, lgd=0.5, ead=np.ones(len(y)))
