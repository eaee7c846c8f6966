"""Portfolios by rank: turnover, costs and ratios against toy panels worked out by hand."""

import numpy as np
import pytest

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.portfolios import drawdown, long_short, performance, sharpe, top_k


def panel(n_dates=250, n_assets=40, strength=0.0, seed=0):
    random = np.random.default_rng(seed)
    score = random.normal(size=(n_dates, n_assets))
    returns = 0.01 * (strength * score + random.normal(size=score.shape))
    dates = np.repeat(np.arange(n_dates), n_assets)
    return score.ravel(), returns.ravel(), dates, np.tile(np.arange(n_assets), n_dates)


def test_long_short_by_hand():
    """Four assets, one in each leg. Date 2 replaces the long one only, date 3 turns all round."""
    score = [4, 3, 2, 1, 3, 4, 2, 1, 2, 1, 3, 4]
    returns = [0.04, 0.0, 0.0, 0.01, 0.0, 0.02, 0.0, -0.01, 0.0, 0.03, 0.0, -0.02]
    dates = np.repeat([1, 2, 3], 4)
    found = long_short(score, returns, dates, list("ABCD") * 3, share=0.25, cost=0.001)
    assert found["gross"].tolist() == pytest.approx([0.03, 0.03, -0.05])
    assert found["traded"].tolist() == pytest.approx([2.0, 2.0, 4.0])
    assert found["cost"].tolist() == pytest.approx([0.002, 0.002, 0.004])
    assert found["net"].tolist() == pytest.approx([0.028, 0.028, -0.054])
    assert found["held"].tolist() == [2.0, 2.0, 2.0]
    made = performance(found, bars_per_year=252)
    assert made.turnover == pytest.approx((0.5 + 1.0) / 2)  # one leg of two, then both
    assert made.break_even == pytest.approx(0.01 / 8)
    assert made.gross == pytest.approx(0.01 / 3 * 252)
    assert made.n == 3


def test_top_k_by_hand():
    """Two of three held: one replaced is half of the portfolio, bought and sold."""
    score = [3, 2, 1, 3, 1, 2, 3, 1, 2]
    returns = [0.01, 0.03, 0.0, 0.0, 0.0, 0.02, 0.01, 0.0, 0.01]
    found = top_k(score, returns, np.repeat([1, 2, 3], 3), list("ABC") * 3, k=2, cost=0.01)
    assert found["gross"].tolist() == pytest.approx([0.02, 0.01, 0.01])
    assert found["traded"].tolist() == pytest.approx([1.0, 1.0, 0.0])
    assert found["net"].tolist() == pytest.approx([0.01, 0.0, 0.01])
    assert performance(found).turnover == pytest.approx(0.25)


def test_at_the_break_even_cost_nothing_is_left():
    score, returns, dates, assets = panel(strength=0.1)
    gross = performance(long_short(score, returns, dates, assets, cost=0.0))
    assert gross.break_even > 0
    net = performance(long_short(score, returns, dates, assets, cost=gross.break_even))
    assert net.net == pytest.approx(0, abs=1e-12)
    assert net.gross == gross.gross
    assert net.sharpe_net == pytest.approx(0, abs=1e-9)
    assert net.sharpe_gross > 2


def test_turnover_of_random_scores():
    """A random tenth in place of another: nine tenths of both legs are replaced."""
    found = performance(long_short(*panel(400)))
    assert found.turnover == pytest.approx(0.9, abs=0.02)
    constant = np.tile(np.arange(40.0), 400)
    _, returns, dates, assets = panel(400)
    assert performance(long_short(constant, returns, dates, assets)).turnover == 0


def test_trading_seldom_costs_less_and_is_annualised():
    score, returns, dates, assets = panel()
    weekly = long_short(score, returns, dates, assets, every=5)
    assert weekly.index.tolist() == list(range(0, 250, 5))
    one = performance(weekly, bars_per_year=250, every=5)
    assert one.sharpe_gross == pytest.approx(sharpe(weekly["gross"], 50))
    assert one.gross == pytest.approx(weekly["gross"].mean() * 50)


def test_the_order_of_rows_changes_nothing_and_ties_go_by_name():
    score, returns, dates, assets = panel(20)
    score = np.round(score)
    mixed = np.random.default_rng(1).permutation(len(score))
    a = long_short(score, returns, dates, assets)
    b = long_short(score[mixed], returns[mixed], dates[mixed], assets[mixed])
    np.testing.assert_allclose(a, b, atol=1e-15)
    found = top_k([1, 1, 1], [0.1, 0.2, 0.3], [1, 1, 1], ["C", "A", "B"], k=1)
    assert found["gross"].tolist() == [0.2]


def test_what_has_no_score_is_not_held_and_what_has_no_return_is_told():
    score = [3.0, np.nan, 1.0, 2.0]
    returns = [np.nan, 0.9, 0.01, 0.02]
    with pytest.raises(DataError, match="1 returns of held assets are unknown"):
        top_k(score, returns, [1] * 4, list("ABCD"), k=2)
    found = top_k(score, returns, [1] * 4, list("ABCD"), k=2, missing=-0.3)
    assert found["gross"].tolist() == pytest.approx([(-0.3 + 0.02) / 2])
    assert top_k(score, returns, [1] * 4, list("ABCD"), k=9, missing=0)["held"].tolist() == [1.0]


def test_sharpe_and_drawdown():
    values = np.array([0.01, -0.02, 0.03])
    assert sharpe(values, 252) == pytest.approx(values.mean() / values.std(ddof=1) * 252**0.5)
    assert np.isnan(sharpe([0.01, 0.01], 252))
    assert drawdown([0.1, -0.2, 0.1, -0.3, 1.0]) == pytest.approx(1 - 0.8 * 1.1 * 0.7)
    assert drawdown([-0.1, 0.05]) == pytest.approx(0.1)
    assert drawdown([0.1, 0.2]) == 0


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"share": 0.6}, UsageError, "share: got 0.6, allowed"),
        ({"cost": -1.0}, UsageError, "cost: got -1.0"),
        ({"every": 0}, UsageError, "every: got 0"),
        ({"assets": ["A", "A"]}, DataError, r"repeat a date and asset; the first is A on 1"),
        ({"assets": ["A"]}, DataError, r"differ in shape: .*assets? \(1,\)"),
        ({"score": [np.nan, np.nan]}, DataError, "no row has a score"),
        ({"dates": [1, 2]}, DataError, "a date has one asset only"),
    ],
)
def test_what_cannot_be_traded_is_named(given, error, text):
    whole = {"score": [1, 2], "returns": [0.1, 0.2], "dates": [1, 1], "assets": ["A", "B"]}
    with pytest.raises(error, match=text):
        long_short(**(whole | given))


def test_one_period_is_no_performance():
    with pytest.raises(DataError, match="1 periods are too few"):
        performance(long_short([1, 2], [0.1, 0.2], [1, 1], ["A", "B"]))
    with pytest.raises(UsageError, match="k: got 0"):
        top_k([1], [0.1], [1], ["A"], k=0)
