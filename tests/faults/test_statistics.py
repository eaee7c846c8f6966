"""Family 30: statistics of random draws against references that share no code with them."""

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats
from sklearn.linear_model import LogisticRegression

from fintech_dl import MLP, NeuralRegressor
from fintech_dl.evaluation import metrics, reliability, risk_tests, sharpe_tests, significance
from fintech_dl.evaluation.attribution import attributions, reference_profile
from fintech_dl.evaluation.calibration import prior_correction, shift_to_mean, shifted
from fintech_dl.evaluation.coverage import wilson
from fintech_dl.evaluation.curves import jeffreys
from fintech_dl.evaluation.grades import binomial_test, jeffreys_test
from fintech_dl.evaluation.newey_west import mean_test
from fintech_dl.evaluation.outcomes import Outcome
from fintech_dl.evaluation.p_values import conformal_p_values, few_false_alerts
from fintech_dl.evaluation.ranks import information_coefficient
from fintech_dl.evaluation.stability import psi_of_counts
from tests.faults.conftest import scaled


def near(value, tolerance=1e-6):
    return pytest.approx(value, rel=tolerance, abs=tolerance)


def hits(rng):
    """Return hits of a value at risk that come alone or in a row, and the level."""
    n, level = rng.integers(2, 800), rng.choice([0.005, 0.01, 0.025, 0.05, 0.3])
    found = rng.random(n) < level * rng.choice([0, 1, 1, 3])
    if rng.random() < 0.3:
        found = found | np.roll(found, 1)
    return found, level


def scored(rng, least=2):
    """Return what happened and scores, often tied."""
    n = int(rng.integers(2 * least, 120))
    y = rng.permutation(np.arange(n) < rng.integers(least, n - least + 1)).astype(int)
    score = rng.normal(size=n) + y * rng.choice([-1, 0, 1, 5])
    score = score.round(int(rng.choice([0, 1, 9])))
    return y, score


def probabilities(rng):
    p = rng.beta(*rng.choice([0.3, 1.0, 4.0], 2), size=rng.integers(30, 400))
    p = np.clip(p.round(rng.choice([1, 2, 9])), 0.01, 0.99)
    return (rng.random(len(p)) < p).astype(int), p


def pairs(y, score):
    """Return who of each pair of a positive and a negative scores higher: 1, 0 or a half."""
    high, low = score[y == 1][:, None], score[y == 0][None]
    return (high > low) + 0.5 * (high == low)


def kupiec(rng):
    x, level = hits(rng)
    k, n = x.sum(), len(x)
    ratio = 2 * (stats.binom.logpmf(k, n, k / n) - stats.binom.logpmf(k, n, level))
    found = risk_tests.kupiec(x, level)
    assert (found.statistic, found.p_value) == near((ratio, stats.chi2.sf(ratio, 1)))


def independence(x):
    """Return the G-test of the table of transitions."""
    table = pd.crosstab(x[:-1], x[1:]).to_numpy()
    if min(table.shape) < 2:
        return 0.0
    return stats.chi2_contingency(table, correction=False, lambda_="log-likelihood")[0]


def christoffersen(rng):
    x, _ = hits(rng)
    found, wanted = risk_tests.christoffersen(x), independence(x)
    assert (found.statistic, found.p_value) == near((wanted, stats.chi2.sf(wanted, 1)))


def conditional_coverage(rng):
    x, level = hits(rng)
    k, n = x.sum(), len(x)
    ratio = 2 * (stats.binom.logpmf(k, n, k / n) - stats.binom.logpmf(k, n, level))
    wanted = math.exp(-(ratio + independence(x)) / 2)  # chi-squared with 2 degrees of freedom
    assert risk_tests.conditional_coverage(x, level).p_value == near(wanted)


def traffic_light(rng):
    x, level = hits(rng)
    chance, n = Fraction(str(level)), len(x)
    up_to = sum(
        math.comb(n, k) * chance**k * (1 - chance) ** (n - k) for k in range(int(x.sum()) + 1)
    )
    found = risk_tests.traffic_light(x, level)
    assert found.cumulative == near(float(up_to))
    assert found.zone == ("green" if up_to < 0.95 else "yellow" if up_to < 0.9999 else "red")


def acerbi_szekely(rng):
    n, level = int(rng.integers(1, 300)), rng.choice([0.01, 0.025, 0.25])
    returns, var = rng.standard_t(3, n), rng.uniform(0.1, 3, n)
    tail, beyond = var * rng.uniform(1, 2, n), 0.0
    for earned, value, shortfall in zip(returns, var, tail, strict=True):
        beyond += earned / shortfall if earned < -value else 0.0
    found = risk_tests.acerbi_szekely(returns, var, tail, level)
    assert found == near(beyond / (n * level) + 1)


def area(rng):
    y, score = scored(rng, 1)
    u = stats.mannwhitneyu(score[y == 1], score[y == 0]).statistic
    assert metrics.roc_auc(y, score) == near(u / (y.sum() * (1 - y).sum()))
    weight = rng.integers(1, 4, len(y))
    twice = metrics.roc_auc(np.repeat(y, weight), np.repeat(score, weight))
    assert metrics.roc_auc(y, score, weight=weight) == near(twice)


def variance(matrix):
    """Return the variance of an area by its pairs: of rows' means over the others."""
    positive, negative = matrix.mean(axis=1), matrix.mean(axis=0)
    parts = [((x - x.mean()) ** 2).sum() / (len(x) - 1) / len(x) for x in (positive, negative)]
    return sum(parts)


def delong(rng):
    y, score = scored(rng)
    found, matrix = significance.delong(Outcome(y, score)), pairs(y, score)
    half = 1.959963984540054 * math.sqrt(variance(matrix))
    middle = matrix.mean()
    assert (found.value, found.low, found.high) == near((middle, middle - half, middle + half))


def delong_difference(rng):
    y, score = scored(rng)
    other = score + rng.normal(size=len(y))
    found = significance.delong_difference(Outcome(y, score), Outcome(y, other))
    gap = pairs(y, score) - pairs(y, other)
    error = math.sqrt(variance(gap))
    assert found.value == near(gap.mean())
    assert found.high - found.value == near(1.959963984540054 * error)
    if error > 1e-9:
        assert found.p_value == near(math.erfc(abs(gap.mean()) / error / math.sqrt(2)))


def average_precision(rng):
    y, score = scored(rng, 1)
    wanted, before = 0.0, 0.0
    for cut in sorted(set(score), reverse=True):
        alert = score >= cut
        recall = y[alert].sum() / y.sum()
        wanted, before = wanted + (recall - before) * y[alert].mean(), recall
    assert metrics.average_precision(y, score) == near(wanted)


def separation(rng):
    y, score = scored(rng, 1)
    wanted = stats.ks_2samp(score[y == 1], score[y == 0], alternative="less", method="asymp")
    found = metrics.ks(y, score)
    assert found.value == near(wanted.statistic)
    shares = [(score[y == k] >= found.score).mean() for k in (1, 0)]
    assert shares[0] - shares[1] == near(found.value)


def brier_parts(rng):
    y, p = probabilities(rng)
    bins = int(rng.integers(1, 15))
    found = reliability.brier_decomposition(y, p, bins=bins)
    frame = pd.DataFrame({"y": y, "p": p, "bin": metrics.equal_mass_bins(p, bins)})
    lines = frame.groupby("bin").agg(n=("y", "size"), y=("y", "mean"), p=("p", "mean"))
    share = lines["n"] / len(y)
    assert found.brier == near(np.mean([(a - b) ** 2 for a, b in zip(y, p, strict=True)]))
    assert found.reliability == near((share * (lines["p"] - lines["y"]) ** 2).sum())
    assert found.resolution == near((share * (lines["y"] - y.mean()) ** 2).sum())
    assert found.uncertainty == near(y.var())
    hidden = found.within_variance - found.within_covariance
    assert found.brier == near(found.reliability - found.resolution + found.uncertainty + hidden)


def hosmer_lemeshow(rng):
    y, p = probabilities(rng)
    found, wanted = reliability.hosmer_lemeshow(y, p), 0.0
    at = metrics.equal_mass_bins(p, 10)
    for group in np.unique(at):
        for seen, foretold in ((y, p), (1 - y, 1 - p)):
            expected = foretold[at == group].sum()
            wanted += (seen[at == group].sum() - expected) ** 2 / expected
    assert found.df == len(np.unique(at))
    assert (found.statistic, found.p_value) == near((wanted, stats.chi2.sf(wanted, found.df)))


def spiegelhalter(rng):
    y, p = probabilities(rng)
    if set(p) <= {0.5}:
        return
    above = np.mean((y - p) ** 2) - np.mean(p * (1 - p))
    z = above * len(y) / math.sqrt(np.sum((1 - 2 * p) ** 2 * p * (1 - p)))
    found = reliability.spiegelhalter(y, p)
    assert (found.statistic, found.p_value) == near((z, 2 * stats.norm.sf(abs(z))))


def psi(rng):
    bins = int(rng.integers(2, 20))
    old, new = (rng.integers(1, rng.choice([10, 5_000]), bins) for _ in range(2))
    found = psi_of_counts(list(map(str, range(bins))), old, new)
    assert found.psi == near(stats.entropy(old, new) + stats.entropy(new, old))
    per_row = 1 / old.sum() + 1 / new.sum()
    assert stats.chi2.cdf(found.chance_95 / per_row, bins - 1) == near(0.95)


def psi_where_nothing_has_changed(rng):
    bins, draws = int(rng.integers(2, 20)), 60
    shares = rng.dirichlet(np.full(bins, 2.0))
    n, m = rng.choice([100, 500, 5_000], 2)
    labels = list(map(str, range(bins)))
    alarms = sum(
        psi_of_counts(labels, rng.multinomial(n, shares), rng.multinomial(m, shares)).beyond_chance
        for _ in range(draws)
    )
    assert stats.binom.sf(alarms - 1, draws, 0.05) > 1e-5


def jeffreys_interval(rng):
    n = int(rng.integers(1, 3_000))
    k = int(rng.integers(0, n + 1))
    low, high = (float(end) for end in jeffreys(k, n))
    posterior = stats.beta(k + 0.5, n - k + 0.5)
    assert posterior.cdf(low) == near(0.025 if k else 0.0)
    assert posterior.sf(high) == near(0.025 if k < n else 0.0)


def coverage_of_jeffreys(rng):
    n, p = int(rng.integers(50, 1_000)), rng.uniform(0.1, 0.9)
    low, high = jeffreys(np.arange(n + 1), np.full(n + 1, n))
    held = stats.binom.pmf(np.arange(n + 1), n, p)[(low <= p) & (p <= high)].sum()
    assert 0.91 < held < 0.985


def wilson_interval(rng):
    n = int(rng.integers(1, 3_000))
    k = int(rng.integers(0, n + 1))
    wanted = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k, n) == near((wanted.low, wanted.high))


def grade_by_grade(rng):
    n, p = int(rng.integers(1, 3_000)), float(rng.uniform(0.001, 0.3))
    d = int(rng.binomial(n, min(1, p * rng.choice([0.5, 1, 2]))))
    wanted = stats.binomtest(d, n, p, alternative="greater").pvalue
    assert float(binomial_test(p, n, d)) == near(wanted)

    def density(x):
        return math.exp((d - 0.5) * math.log(x) + (n - d - 0.5) * math.log1p(-x) - peak)

    most = min(max((d - 0.5) / max(n - 1, 1), 1e-9), 1 - 1e-9)
    peak = (d - 0.5) * math.log(most) + (n - d - 0.5) * math.log1p(-most)
    if d > 0 and n - d > 0:
        width = 12 * math.sqrt((d + 0.5) / n**2) + 2 / n
        edges = sorted({max(1e-12, most - width), most, min(1 - 1e-12, most + width), p, 1e-12})
        parts = [
            integrate.quad(density, a, b, limit=200)[0]
            for a, b in zip(edges, [*edges[1:], 1 - 1e-12], strict=True)
        ]
        below = sum(part for a, part in zip(edges, parts, strict=True) if a < p)
        assert float(jeffreys_test(p, n, d)) == near(below / sum(parts), 1e-5)


def newey_west(rng):
    n, lags = int(rng.integers(20, 200)), int(rng.integers(0, 6))
    x = np.convolve(rng.normal(size=n + 4), np.ones(5), "valid") + rng.normal()
    off, total = x - x.mean(), 0.0
    for lag in range(-lags, lags + 1):
        a, b = off[max(lag, 0) : n + min(lag, 0)], off[max(-lag, 0) : n + min(-lag, 0)]
        total += (1 - abs(lag) / (lags + 1)) * float((a * b).sum())
    found = mean_test(x, lags=lags)
    assert found.error**2 == near(total / n**2)
    p = 2 * stats.t(n - 1).sf(abs(x.mean()) / math.sqrt(total / n**2))
    assert found.p_value == near(p)


def rank_coefficient(rng):
    dates = np.repeat(np.arange(6), rng.integers(5, 30, 6))
    y, score = rng.normal(size=len(dates)).round(1), rng.normal(size=len(dates)).round(1)
    found = information_coefficient(y, score, dates)
    for date in range(6):
        here = dates == date
        assert found[date] == near(stats.spearmanr(y[here], score[here]).statistic)


def sharpe(rng):
    x = rng.gamma(2.0, size=rng.integers(10, 500)) * rng.choice([-1, 1]) + rng.normal()
    ratio, n = x.mean() / x.std(), len(x)
    third, fourth = stats.skew(x), stats.kurtosis(x, fisher=False)
    wide = 1 - third * ratio + (fourth - 1) / 4 * ratio**2  # Mertens
    low, high = sharpe_tests.sharpe_interval(x, 1.0, lags=0)
    half = stats.t(n - 1).ppf(0.975) * math.sqrt(wide / n)
    assert (high - low) / 2 == near(half)
    record = sharpe_tests.record_of(x)
    z = (record.sharpe - 0.1) * math.sqrt(n - 1)
    z /= math.sqrt(1 - third * record.sharpe + (fourth - 1) / 4 * record.sharpe**2)
    assert sharpe_tests.probabilistic_sharpe(record, 0.1) == near(stats.norm.cdf(z))


def false_discoveries(rng):
    known = rng.normal(size=rng.integers(1, 200)).round(1)
    new = rng.normal(size=rng.integers(1, 60)).round(1) + rng.choice([0, 3])
    p = conformal_p_values(known, new)
    assert p == near(np.array([(1 + sum(known >= one)) / (1 + len(known)) for one in new]))
    share = float(rng.uniform(0.01, 0.5))
    adjusted = stats.false_discovery_control(p)
    clear = np.abs(adjusted - share) > 1e-9
    assert (few_false_alerts(p, share) == (adjusted <= share))[clear].all()


def priors(rng):
    _, p = probabilities(rng)
    old, new = rng.uniform(0.01, 0.99, 2)
    positive, negative = p * new / old, (1 - p) * (1 - new) / (1 - old)
    assert prior_correction(p, old, new) == near(positive / (positive + negative))
    assert shifted(p, shift_to_mean(p, new)).mean() == near(new)


def shapley_of_a_linear_model(rng):
    X = pd.DataFrame(rng.normal(size=(40, 3)) * [1, 10, 0.1], columns=list("abc"))
    model = LogisticRegression().fit(X, X["a"] + rng.normal(size=40) > X["a"].median())
    reference = reference_profile(X)
    found = attributions(model, X[:5], reference, method="exact")
    wanted = (X[:5].to_numpy() - reference.to_numpy()) * model.coef_
    assert found.to_numpy() == near(wanted)


LINEAR = NeuralRegressor(network=MLP(units=2, activation="linear"), epochs=1, random_state=0)
OF_ROWS = pd.DataFrame(np.random.default_rng(30).normal(size=(60, 3)), columns=list("abc"))


def gradients_of_a_linear_network(rng):
    """Integrated gradients are the differences that single columns make."""
    if not hasattr(LINEAR, "weights_"):
        LINEAR.fit(OF_ROWS, OF_ROWS["a"] - 2 * OF_ROWS["c"])
    rows = pd.DataFrame(rng.normal(size=(5, 3)) * 3, columns=list("abc"))
    reference = pd.DataFrame(rng.normal(size=(1, 3)), columns=list("abc"))
    found = attributions(LINEAR, rows, reference)
    for name in rows:
        moved = rows.assign(**{name: reference[name].iloc[0]})
        wanted = LINEAR.predict(rows) - LINEAR.predict(moved)
        assert found[name].to_numpy() == near(wanted, 1e-5)  # of float32


STATISTICS = [
    kupiec, christoffersen, conditional_coverage, traffic_light, acerbi_szekely, area, delong,
    delong_difference, average_precision, separation, brier_parts, hosmer_lemeshow, spiegelhalter,
    psi, psi_where_nothing_has_changed, jeffreys_interval, coverage_of_jeffreys, wilson_interval,
    grade_by_grade, newey_west, rank_coefficient, sharpe, false_discoveries, priors,
    shapley_of_a_linear_model,
]  # fmt: skip
STATISTICS += scaled([], [gradients_of_a_linear_network])  # TensorFlow takes seconds to start


@pytest.mark.parametrize("statistic", STATISTICS, ids=lambda one: one.__name__)
def test_statistics_of_random_draws(statistic, tally):
    times = scaled(2, 80)
    for number in range(times):
        statistic(np.random.default_rng([30, number]))
    tally(30, times)
