"""VUS-PR and the NAB score: by hand, by a slow definition, and by published reference numbers."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation import wording
from fintech_dl.evaluation.evidence import check_metrics
from fintech_dl.evaluation.outcomes import Outcome, evaluate
from fintech_dl.evaluation.series_scores import nab_score, vus_pr
from fintech_dl.evaluation.significance import bootstrap


def slow_vus_pr(y, score, buffer, thresholds=250):
    """The definition, one threshold and one buffer after the other."""
    n, areas = len(y), []
    starts = [i for i in range(n) if y[i] and (i == 0 or not y[i - 1])]
    ends = [i for i in range(n) if y[i] and (i == n - 1 or not y[i + 1])]
    cuts = np.sort(score)[::-1][np.linspace(0, n - 1, thresholds).astype(int)]
    for size in range(buffer + 1):
        half, label = size // 2, y.astype(float)
        for s, e in zip(starts, ends, strict=True):
            for d in range(1, half + 1):
                for at in (s - d, e + d):
                    if 0 <= at < n:
                        label[at] += np.sqrt(1 - d / size)
        label = np.minimum(label, 1)
        groups = []
        for s, e in zip(starts, ends, strict=True):
            if groups and s - half <= groups[-1][1]:
                groups[-1][1] = e + half
            else:
                groups.append([max(s - half, 0), e + half])
        area = before = 0.0
        for cut in cuts:
            called = score >= cut
            caught = (label * called).sum()
            near = (label * called)[y == 0].sum()
            positives = (2 * y.sum() + near) / 2
            met = np.mean([called[a : b + 1].any() for a, b in groups])
            recall = min(caught / positives, 1) * met
            area += (recall - before) * caught / called.sum()
            before = recall
        areas.append(area)
    return np.mean(areas)


def events_in(n, *pairs):
    y = np.zeros(n)
    for start, stop in pairs:
        y[start:stop] = 1
    return y


CASES = [
    (events_in(300, (100, 120)), 0),
    (events_in(300, (100, 120)), 21),
    (events_in(300, (0, 9), (30, 31), (280, 300)), 16),
    (events_in(300, (50, 60), (64, 70), (200, 240)), 10),
]


@pytest.mark.parametrize(("y", "buffer"), CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_vus_is_what_the_definition_says(y, buffer, seed):
    score = np.random.default_rng(seed).normal(size=len(y)).round(1) + y * seed
    assert vus_pr(y, score, buffer=buffer) == pytest.approx(slow_vus_pr(y, score, buffer), rel=1e-9)


@pytest.mark.parametrize(
    ("seed", "reference"),
    [(0, 0.13347332644273), (1, 0.26000369596846), (2, 0.46035086097857), (3, 0.39947674013166)],
)
def test_vus_is_that_of_tsb_ad(seed, reference):
    # what TSB-AD's RangeAUC_volume_opt gives for these very rows
    random, y = np.random.default_rng(seed), np.zeros(400)
    for start in random.integers(0, 380, 3):
        y[start : start + random.integers(1, 20)] = 1
    score = random.normal(size=400) + y * seed * 0.5
    assert vus_pr(y, score, buffer=30) == pytest.approx(reference, rel=1e-10)


def test_without_a_buffer_one_event_and_all_thresholds_it_is_the_average_precision():
    y = events_in(200, (90, 91))
    score = np.random.default_rng(0).normal(size=200)
    found = vus_pr(y, score, buffer=0, thresholds=200)
    assert found == pytest.approx(average_precision_score(y, score))


def test_by_hand():
    y, score = np.array([0, 1, 0, 0]), np.array([0.0, 3.0, 2.0, 1.0])
    # no buffer: the first row called is the event. Buffer 2: its neighbours count sqrt(1/2)
    ramp = np.sqrt(0.5)
    one, two = 1 / 1, (1 + ramp) / (1 + ramp / 2)
    last = min((1 + 2 * ramp) / (1 + ramp), 1)
    assert two > 1
    assert last == 1
    area = 1.0 * one
    assert vus_pr(y, score, buffer=0, thresholds=4) == 1
    assert vus_pr(y, score, buffer=2, thresholds=4) == pytest.approx((1 + 1 + area) / 3)
    late = np.array([0.0, 1.0, 3.0, 2.0])  # called: 2, then 3, then the event, then row 0
    first = ramp / (1 + ramp / 2)
    then = first  # row 3 is no neighbour: recall stays
    third = min((1 + ramp) / (1 + ramp / 2), 1)
    expected = first * ramp + (third - then) * (1 + ramp) / 3
    assert vus_pr(y, late, buffer=0, thresholds=4) == pytest.approx(1 / 3)
    found = 3 * vus_pr(y, late, buffer=2, thresholds=4) - 2 / 3
    assert found == pytest.approx(expected)


def test_an_alarm_nearby_is_worth_more_than_one_far_away_and_less_than_one_inside():
    y, near, far = events_in(400, (200, 220)), np.zeros(400), np.zeros(400)
    near[221:225], far[300:304] = 1, 1
    inside = np.zeros(400)
    inside[205:209] = 1
    values = [vus_pr(y, score, buffer=40) for score in (far, near, inside)]
    assert values[0] < values[1] < values[2]


def test_vus_depends_on_ranks_alone():
    y = events_in(300, (50, 70), (200, 210))
    score = np.random.default_rng(3).normal(size=300)
    assert vus_pr(y, score) == vus_pr(y, np.exp(3 * score))


def test_random_scores_do_not_look_good():
    y = events_in(2000, (500, 600), (1500, 1600))
    values = [vus_pr(y, np.random.default_rng(i).random(2000)) for i in range(5)]
    assert 0.08 < np.mean(values) < 0.25


@pytest.mark.parametrize(
    ("y", "score", "message"),
    [
        ([0, 0], [1, 2], "must be an event"),
        ([0, 2], [1, 2], "1 in an event"),
        ([0, 1], [1, np.nan], "1 rows"),
        ([0, 1], [1, 2, 3], "shape"),
    ],
)
def test_vus_refuses_what_has_no_answer(y, score, message):
    with pytest.raises(DataError, match=message):
        vus_pr(y, score)


def test_vus_refuses_buffers_and_thresholds_that_mean_nothing():
    with pytest.raises(UsageError, match="buffer=-1"):
        vus_pr([0, 1], [0, 1], buffer=-1)
    with pytest.raises(UsageError, match="thresholds=1"):
        vus_pr([0, 1], [0, 1], thresholds=1)


def sigmoid(x):
    return 2 / (1 + np.exp(5 * x)) - 1


def test_nab_gives_100_for_the_first_row_of_each_window_and_0_for_silence():
    score = np.zeros(200)
    score[[60, 120]] = 1
    windows = [[(60, 70), (120, 130)]]
    for profile in ("standard", "low_false_alarms", "low_misses"):
        assert nab_score([score], windows, profile=profile).value == pytest.approx(100)
        silent = nab_score([score], windows, profile=profile, threshold=2.0)
        assert silent == (0, 2.0)


def test_nab_pays_less_for_a_late_alarm_and_charges_false_ones():
    score = np.zeros(200)
    score[65] = 1
    late = nab_score([score], [[(60, 70)]], threshold=1.0).value
    gain = sigmoid(-0.5) / sigmoid(-1.0)
    assert late == pytest.approx(100 * (gain + 1) / 2)
    score[40] = 1  # before any window: the full price
    assert nab_score([score], [[(60, 70)]], threshold=1.0).value == pytest.approx(
        100 * (gain - 0.11 + 1) / 2
    )
    score[40], score[71] = 0, 1  # two rows behind the window of width 10
    after = 0.11 * sigmoid(2 / 9)
    assert -0.11 < after < 0
    assert nab_score([score], [[(60, 70)]], threshold=1.0).value == pytest.approx(
        100 * (gain + after + 1) / 2
    )
    doubled = nab_score([score], [[(60, 70)]], threshold=1.0, profile="low_false_alarms").value
    assert doubled == pytest.approx(100 * (gain + 2 * after + 1) / 2)


def test_nab_counts_the_earliest_alarm_of_a_window_once():
    score = np.zeros(200)
    score[60:70] = 1
    assert nab_score([score], [[(60, 70)]], threshold=1.0).value == pytest.approx(100)


def test_nab_ignores_the_first_rows():
    score = np.zeros(200)
    score[:30], score[60] = 1, 1
    assert nab_score([score], [[(60, 70)]], threshold=1.0).value == pytest.approx(100)
    score[30] = 1
    assert nab_score([score], [[(60, 70)]], threshold=1.0).value < 100
    with pytest.raises(DataError, match="nothing to find"):
        nab_score([score], [[(5, 10)]])


def test_nab_chooses_the_best_threshold_over_all_series():
    rng = np.random.default_rng(0)
    scores = [rng.random(300).round(2) for _ in range(3)]
    windows = [[(100, 140)], [(60, 80), (200, 230)], []]
    best = nab_score(scores, windows)
    tried = [nab_score(scores, windows, threshold=t).value for t in np.arange(0, 1.02, 0.01)]
    assert best.value == pytest.approx(max(tried))
    again = nab_score(scores, windows, threshold=best.threshold)
    assert again.value == pytest.approx(best.value)


@pytest.mark.parametrize("windows", [[(50, 250)], [(50, 60), (55, 70)]])
def test_nab_refuses_windows_that_overlap_or_leave_the_series(windows):
    with pytest.raises(DataError, match="must lie in it, apart"):
        nab_score([np.zeros(200)], [windows])


def test_nab_refuses_what_does_not_fit_together():
    with pytest.raises(UsageError, match="'low_misses'"):
        nab_score([np.zeros(200)], [[(50, 60)]], profile="strict")
    with pytest.raises(DataError, match="1 series"):
        nab_score([np.zeros(200)], [])
    with pytest.raises(DataError, match="finite"):
        nab_score([np.full(200, np.nan)], [[(50, 60)]])


# ---- as a metric of cards ---------------------------------------------------------------------


def three_series():
    """Three series of 200 hours; the last holds no event."""
    rng = np.random.default_rng(0)
    y = np.zeros(600)
    y[100:110] = y[350:370] = 1
    when = np.tile(np.datetime64("2024-01-01") + np.arange(200) * np.timedelta64(1, "h"), 3)
    return {
        "y": y,
        "score": rng.normal(size=600) + 2 * y,
        "who": np.repeat(["a", "b", "c"], 200),
        "when": when,
    }


def test_the_metric_is_the_mean_over_series_with_an_event_whatever_the_order_of_rows():
    parts = three_series()
    y, score = parts["y"], parts["score"]
    for name, buffer in (("vus_pr", 100), ("vus_pr_20", 20)):
        each = [vus_pr(y[at], score[at], buffer=buffer) for at in (slice(200), slice(200, 400))]
        assert evaluate(Outcome(**parts), [name])[name] == pytest.approx(np.mean(each))
    mixed = np.random.default_rng(1).permutation(600)
    moved = Outcome(**{name: part[mixed] for name, part in parts.items()})
    assert evaluate(moved, ["vus_pr"]) == evaluate(Outcome(**parts), ["vus_pr"])
    scale = np.repeat([1.0, 1000.0, 1.0], 200)
    other = Outcome(**{**parts, "score": score * scale})
    assert evaluate(other, ["vus_pr"]) == evaluate(Outcome(**parts), ["vus_pr"])


def test_the_metric_has_no_interval_and_decides_nothing():
    outcome = Outcome(**three_series())
    found = bootstrap(outcome, ["vus_pr", "roc_auc"], n=100)
    assert np.isnan(found["vus_pr"].low)
    assert found["roc_auc"].low < found["roc_auc"].value
    check_metrics(["roc_auc", "vus_pr"], numbers=False)
    with pytest.raises(UsageError, match=r"'vus_pr_20' stands first .* name another one first"):
        check_metrics(["vus_pr_20", "roc_auc"], numbers=False)
    with pytest.raises(UsageError, match=r"'vus_pt'.*mean 'vus_pr'"):
        check_metrics(["roc_auc", "vus_pt"])


def test_the_metric_needs_to_know_the_series():
    parts = three_series()
    with pytest.raises(UsageError, match=r"times occur twice .* which series a row is of"):
        evaluate(Outcome(**{**parts, "who": None}), ["vus_pr"])
    with pytest.raises(UsageError, match="no row weights"):
        evaluate(Outcome(**parts, weight=np.arange(600.0)), ["vus_pr"])
    with pytest.raises(DataError, match="vus_pr is undefined"):
        evaluate(Outcome(**{**parts, "y": np.zeros(600)}), ["vus_pr"])
    assert "up to 20 rows" in wording.metric("vus_pr_20").text
