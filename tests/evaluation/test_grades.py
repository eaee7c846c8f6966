"""Grades: bands as stated, published constants, grades without rows kept."""

import numpy as np
import pytest
from scipy.stats import beta, binom, binomtest

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.grades import (
    binomial_test,
    grade,
    grade_table,
    jeffreys_test,
    master_scale,
    scale_of,
)

ABC = scale_of([0, 0.01, 0.1, 1], ["A", "B", "C"])


def test_a_master_scale_is_geometric():
    scale = master_scale(10, 0.0003, 0.5)
    assert scale.names == tuple(str(i) for i in range(1, 11))
    assert (scale.bounds[0], scale.bounds[-1]) == pytest.approx((0.0003, 0.5))
    steps = np.array(scale.bounds[1:]) / scale.bounds[:-1]
    np.testing.assert_allclose(steps, (0.5 / 0.0003) ** 0.1)


def test_a_bound_belongs_to_the_worse_grade_and_the_ends_hold_the_rest():
    p = [0, 0.005, 0.00999999, 0.01, 0.0999, 0.1, 0.5, 1]
    assert grade(p, ABC).tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    narrow = scale_of([0.02, 0.05, 0.2])
    assert grade([0.0, 0.04, 0.06, 0.9], narrow).tolist() == [0, 0, 1, 1]
    risk = np.random.default_rng(0).beta(1, 9, 5000)
    assert (np.diff(grade(np.sort(risk), master_scale(15))) >= 0).all()


def test_published_constants_and_references():
    assert jeffreys_test(0.02, 1000, 28) == pytest.approx(0.0410, abs=5e-5)
    assert jeffreys_test(0.02, 1000, 28) == beta.cdf(0.02, 28.5, 972.5)
    for defaults in (0, 1, 3, 28, 1000):
        theirs = binomtest(defaults, 1000, 0.02, alternative="greater").pvalue
        assert binomial_test(0.02, 1000, defaults) == pytest.approx(theirs, abs=1e-12)
    found = jeffreys_test([0.02, 0.04], [1000, 500], [28, 28])
    np.testing.assert_allclose(found, beta.cdf([0.02, 0.04], 28.5, [972.5, 472.5]))


def book():
    """Return grades as foretold (A), far too many defaults (B), none of C, slightly many (D)."""
    scale = scale_of([0, 0.01, 0.05, 0.1, 1], list("ABCD"))
    n, d, p = [1000, 500, 0, 300], [5, 40, 0, 72], [0.005, 0.03, 0.07, 0.2]
    y = np.concatenate([np.arange(k) < hits for k, hits in zip(n, d, strict=True)]).astype(int)
    return y, np.repeat(p, n), scale, n, d


def test_a_grade_table_by_hand():
    y, p, scale, n, d = book()
    found = grade_table(y, p, scale)
    table = found.grades.set_index("grade")
    assert table["rows"].tolist() == n
    assert table["defaults"].tolist() == d
    assert table["light"].tolist() == ["green", "red", "none", "amber"]
    assert table.loc["B", "mean_pd"] == pytest.approx(0.03)
    assert table.loc["B", "observed"] == pytest.approx(0.08)
    assert table.loc["D", "jeffreys_p"] == pytest.approx(beta.cdf(0.2, 72.5, 228.5))
    assert table.loc["D", "binomial_p"] == pytest.approx(binom.sf(71, 300, 0.2))
    assert table.loc["D", "low"] == pytest.approx(beta.ppf(0.025, 72.5, 228.5))
    assert table.loc["C", ["mean_pd", "observed", "low", "high", "jeffreys_p"]].isna().all()
    assert found.herfindahl == pytest.approx(sum((k / 1800) ** 2 for k in n))
    assert (found.monotone, found.reversals) == (True, ())
    whole = found.portfolio.iloc[0]
    assert (whole["grade"], whole["rows"], whole["defaults"]) == ("all", 1800, 117)
    assert whole["jeffreys_p"] == pytest.approx(beta.cdf(p.mean(), 117.5, 1683.5))
    strict = grade_table(y, p, scale, levels=(0.9, 0.02)).grades["light"]
    assert strict.tolist() == ["amber", "red", "none", "amber"]


def test_rates_that_fall_are_named():
    y = np.concatenate([np.arange(100) < hits for hits in (5, 2, 30)]).astype(int)
    found = grade_table(y, np.repeat([0.005, 0.05, 0.5], 100), ABC)
    assert found.monotone is False
    assert found.reversals == (("A", "B"),)
    assert grade_table(y, np.full(300, 0.05), ABC).monotone is None
    assert grade_table(y, np.full(300, 0.05), ABC).herfindahl == 1


def test_weights_count_and_do_not_invent_rows():
    y, p, scale, *_ = book()
    plain = grade_table(y, p, scale).grades
    doubled = grade_table(y, p, scale, weight=np.full(len(y), 2.0)).grades
    np.testing.assert_allclose(doubled["jeffreys_p"], plain["jeffreys_p"])
    w = np.where(y == 1, 0.5, 1.0)
    weighted = grade_table(y, p, scale, weight=w).grades
    assert weighted["observed"][1] == pytest.approx(20 / 480)
    assert weighted["defaults"][1] == 40
    assert grade_table(y, p, scale, weight=(p < 0.1) * 1.0).grades["rows"].tolist()[-1] == 0


def test_the_light_is_rarely_wrong_where_probabilities_are_right():
    rng = np.random.default_rng(0)
    p = rng.beta(1, 20, 4000)
    scale = master_scale(6, 0.002, 0.4)
    lights = [
        light
        for _ in range(200)
        for light in grade_table((rng.random(4000) < p) * 1, p, scale).grades["light"]
    ]
    assert 0.01 < np.mean([light in ("amber", "red") for light in lights]) < 0.075


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: master_scale(1), UsageError, "n_grades = 1"),
        (lambda: master_scale(5, 0.0, 0.5), UsageError, "0 < lowest < highest"),
        (lambda: scale_of([0, 0.5, 0.5, 1]), UsageError, "rising"),
        (lambda: scale_of([0, 1]), UsageError, "three or more"),
        (lambda: scale_of([0, 0.5, 1], ["A", "A"]), UsageError, "2 names for 2 grades"),
        (lambda: grade([0.1, np.nan, 1.2], ABC), DataError, r"2 of 3 .* first in row 1 \(nan\)"),
        (lambda: grade_table([0, 2], [0.1, 0.1], ABC), DataError, "labels 0 or 1"),
        (lambda: grade_table([0], [0.1], ABC, weight=[0]), DataError, "no rows"),
        (lambda: grade_table([], [], ABC), DataError, "no rows"),
    ],
)
def test_what_cannot_be_graded_is_refused(call, kind, text):
    with pytest.raises(kind, match=text):
        call()
