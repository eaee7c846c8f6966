"""Back-tests of risk against published constants, closed forms and simulated truth."""

import numpy as np
import pytest
from scipy.stats import binom, norm, t

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.risk_tests import (
    acerbi_szekely,
    christoffersen,
    conditional_coverage,
    kupiec,
    mcneil_frey,
    traffic_light,
)


def hits(number, n=250):
    return np.arange(n) < number


@pytest.mark.fault(30)
@pytest.mark.parametrize(
    ("number", "statistic"),
    [(0, 5.0252), (1, 1.1765), (2, 0.1084), (5, 1.9568), (7, 5.4970), (10, 12.9555), (15, 29.3950)],
)
def test_kupiec_reference_values(number, statistic):
    """n = 250, p = 0.01: computed on their own for the notes of this project."""
    assert kupiec(hits(number), 0.01).statistic == pytest.approx(statistic, abs=5e-5)


@pytest.mark.fault(30)
def test_kupiec_at_the_ends():
    """No hit: -2 n ln(1 - p). All hits: -2 n ln p. As many as there should be: 0."""
    assert kupiec(hits(0), 0.05).statistic == pytest.approx(-500 * np.log(0.95))
    assert kupiec(hits(250), 0.05).statistic == pytest.approx(-500 * np.log(0.05))
    right = kupiec(hits(5, 100), 0.05)
    assert right.statistic == pytest.approx(0, abs=1e-12)
    assert right.p_value == pytest.approx(1)


@pytest.mark.fault(30)
def test_christoffersen_by_hand():
    """0 0 1 1 0 1 0 0 0 0: of the 6 dates that follow a 0, 2 are hits; of 3 after a hit, 1 is."""
    x = np.array([0, 0, 1, 1, 0, 1, 0, 0, 0, 0])
    chain = 2 * np.log(2 / 6) + 4 * np.log(4 / 6) + 1 * np.log(1 / 3) + 2 * np.log(2 / 3)
    alone = 3 * np.log(3 / 9) + 6 * np.log(6 / 9)
    assert christoffersen(x).statistic == pytest.approx(2 * (chain - alone), abs=1e-12)
    x = np.array([0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 0])
    chain = 2 * np.log(2 / 5) + 3 * np.log(3 / 5) + 4 * np.log(4 / 6) + 2 * np.log(2 / 6)
    alone = 6 * np.log(6 / 11) + 5 * np.log(5 / 11)
    assert christoffersen(x).statistic == pytest.approx(2 * (chain - alone))


@pytest.mark.parametrize(
    "x",
    [
        np.zeros(50, bool),
        np.ones(50, bool),
        np.arange(50) == 49,  # a hit that nothing follows
        np.arange(50) == 0,  # one that nothing comes before
        np.arange(50) == 20,  # never two in a row
    ],
)
def test_christoffersen_where_a_state_is_never_seen(x):
    found = christoffersen(x)
    assert np.isfinite(found.statistic)
    assert 0 <= found.statistic < 0.1
    assert found.p_value > 0.7


def test_hits_in_a_row_are_found():
    scattered, in_a_row = np.zeros(500, bool), np.zeros(500, bool)
    scattered[::20], in_a_row[:25] = True, True
    assert kupiec(scattered, 0.05) == kupiec(in_a_row, 0.05)
    assert christoffersen(in_a_row).p_value < 1e-10
    both = conditional_coverage(in_a_row, 0.05)
    assert both.df == 2
    assert both.statistic == pytest.approx(
        kupiec(in_a_row, 0.05).statistic + christoffersen(in_a_row).statistic
    )


@pytest.mark.fault(30)
def test_a_right_model_is_rejected_one_time_in_twenty():
    random = np.random.default_rng(0)
    drawn = random.random((2000, 1000)) < 0.05
    for test in (
        lambda x: kupiec(x, 0.05),
        christoffersen,
        lambda x: conditional_coverage(x, 0.05),
    ):
        share = np.mean([test(x).p_value < 0.05 for x in drawn])
        assert 0.03 < share < 0.1


@pytest.mark.fault(30)
@pytest.mark.parametrize(
    ("number", "zone", "old", "new"),
    [
        (0, "green", 0.0, 0.0),
        (4, "green", 0.0, 0.0),
        (5, "yellow", 0.40, 0.20),
        (6, "yellow", 0.50, 0.26),
        (7, "yellow", 0.65, 0.33),
        (8, "yellow", 0.75, 0.38),
        (9, "yellow", 0.85, 0.42),
        (10, "red", 1.00, 0.50),
        (30, "red", 1.00, 0.50),
    ],
)
def test_zones_and_surcharges_of_the_basel_committee(number, zone, old, new):
    found = traffic_light(hits(number))
    assert (found.zone, found.surcharge) == (zone, new)
    assert traffic_light(hits(number), scheme="1996").surcharge == old
    assert found.cumulative == pytest.approx(binom.cdf(number, 250, 0.01))


def test_other_lengths_and_levels_have_zones_but_no_surcharge():
    assert traffic_light(hits(15, 500)).surcharge is None
    assert traffic_light(hits(15), level=0.05) == (15, "green", binom.cdf(15, 250, 0.05), None)


def test_green_is_no_proof():
    """250 dates: a true share of 2 % is green 44 times out of 100, one of 3 % 13 times."""
    random = np.random.default_rng(0)
    for share, green in ((0.02, 0.44), (0.03, 0.13)):
        zones = [traffic_light(x).zone for x in random.random((3000, 250)) < share]
        assert np.mean(np.array(zones) == "green") == pytest.approx(green, abs=0.03)


NORMAL = 1.959964, norm.pdf(norm.ppf(0.025)) / 0.025
HEAVY = -t.ppf(0.025, 4), t.pdf(t.ppf(0.025, 4), 4) / 0.025 * (4 + t.ppf(0.025, 4) ** 2) / 3


def risks(tail, n):
    return np.full(n, tail[0]), np.full(n, tail[1])


@pytest.mark.fault(30)
def test_acerbi_szekely_of_right_models():
    """Mean 0; 5 % of 250 dates at 2.5 % lie below about -0.70 for normal tails, -0.76 for t(4)."""
    random = np.random.default_rng(0)
    for draw, tail, low in (
        (random.standard_normal, NORMAL, -0.70),
        (lambda n: random.standard_t(4, n), HEAVY, -0.76),
    ):
        found = [acerbi_szekely(draw(250), *risks(tail, 250), 0.025) for _ in range(4000)]
        assert np.mean(found) == pytest.approx(0, abs=0.03)
        assert np.quantile(found, 0.05) == pytest.approx(low, abs=0.05)


@pytest.mark.fault(30)
def test_acerbi_szekely_by_hand():
    returns, var, shortfall = [-4.0, -1.0, 2.0, -2.5], [2.0] * 4, [2.5] * 4
    assert acerbi_szekely(returns, var, shortfall, 0.25) == pytest.approx(1 - 4 / 2.5 - 1)


def test_mcneil_frey_knows_a_tail_that_is_too_thin():
    random = np.random.default_rng(0)
    right, thin = [], []
    for _ in range(300):
        returns = random.standard_t(4, 2000)
        right.append(mcneil_frey(returns, *risks(HEAVY, 2000), n=500).p_value)
        thin.append(mcneil_frey(returns, HEAVY[0] * np.ones(2000), 3.0 * np.ones(2000), n=500))
    assert 0.01 < np.mean(np.array(right) < 0.05) < 0.12
    assert np.mean([one.p_value < 0.05 for one in thin]) > 0.5
    assert mcneil_frey([-3.0, 1.0], [1.0, 1.0], [2.0, 2.0]).hits == 1
    assert np.isnan(mcneil_frey([-3.0, 1.0], [1.0, 1.0], [2.0, 2.0]).p_value)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: kupiec([0.1, 0.5], 0.01), DataError, r"hits of shape \(2,\): one true or false"),
        (lambda: kupiec([], 0.01), DataError, "hits of shape"),
        (lambda: kupiec([True], 99), UsageError, "level: got 99"),
        (lambda: christoffersen([True]), DataError, "1 dates are too few"),
        (lambda: traffic_light([True], scheme="2019"), UsageError, "scheme: got '2019'"),
        (
            lambda: acerbi_szekely([-1.0], [2.0], [1.0], 0.05),
            DataError,
            "0 shortfalls are not above 0 and 1 lie below the value at risk",
        ),
        (lambda: mcneil_frey([-1.0], [-2.0], [-1.0]), DataError, "1 shortfalls are not above 0"),
    ],
)
def test_what_cannot_be_tested_is_named(call, error, text):
    with pytest.raises(error, match=text):
        call()
