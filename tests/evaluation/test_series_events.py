"""Events of a series: grouping, thresholds that move along, overlaps, delays; by hand."""

import numpy as np
import pytest

from fintech_dl.errors import UsageError
from fintech_dl.evaluation.series_events import (
    EventCounts,
    alarm_delays,
    event_counts,
    event_f1,
    events,
    find_events,
    merged,
)


@pytest.mark.parametrize(
    ("flags", "given", "expected"),
    [
        ([], {}, []),
        ([0, 0, 0], {}, []),
        ([1, 1, 1], {}, [(0, 3)]),
        ([1, 0, 1], {}, [(0, 1), (2, 3)]),
        ([1, 0, 1], {"gap": 1}, [(0, 3)]),
        ([1, 0, 0, 1], {"gap": 1}, [(0, 1), (3, 4)]),
        ([0, 0, 1, 0, 0, 0], {"pad": 1}, [(1, 4)]),
        ([1, 0, 0, 0, 1], {"pad": 2}, [(0, 5)]),
    ],
)
def test_flags_become_events(flags, given, expected):
    assert events(flags, **given) == expected


def test_events_of_flags_hold_exactly_the_flags():
    flags = np.random.default_rng(0).random(500) < 0.4
    again = np.zeros(500, dtype=bool)
    for start, stop in events(flags):
        assert start < stop
        again[start:stop] = True
    assert (again == flags).all()


def test_what_is_no_flag_or_gap_is_refused():
    with pytest.raises(UsageError, match="gap=-1"):
        events([0, 1], gap=-1)
    with pytest.raises(UsageError, match="one flag per row"):
        events([[0, 1]])


def test_overlapping_pairs_are_one():
    assert merged([(5, 6), (0, 2), (1, 3)]) == [(0, 3), (5, 6)]
    assert merged([(0, 2), (2, 3)]) == [(0, 3)]
    assert merged([(0, 2), (2, 3)], gap=-1) == [(0, 2), (2, 3)]


def test_peaks_far_above_their_window_are_found_with_what_is_around_them():
    score = np.tile([1.0, 1.1], 500)
    score[[200, 700]] = 9.0, 8.0
    assert find_events(score, pad=5) == [(195, 206), (695, 706)]


def test_peaks_that_hardly_rise_above_the_rest_are_dropped():
    score = np.ones(1000)
    score[500] = 9.0
    score[505:515] = 8.5  # just below the threshold
    alone = find_events(score, window=1.0, deviations=9.6, pad=0)
    assert alone == []  # the next highest is less than a tenth lower
    assert find_events(score, window=1.0, deviations=9.6, pad=0, separation=0.05) == [(500, 501)]


def test_a_level_that_never_changes_has_no_event():
    assert find_events(np.full(300, 2.0)) == []
    assert find_events([1.0]) == []


@pytest.mark.parametrize("bad", [{"window": 0.0}, {"step": 1.5}])
def test_shares_out_of_range_are_refused(bad):
    with pytest.raises(UsageError, match=next(iter(bad))):
        find_events(np.ones(10), **bad)


@pytest.mark.parametrize("score", [[], [1.0, np.nan]])
def test_scores_must_be_there_and_finite(score):
    with pytest.raises(UsageError, match="finite"):
        find_events(score)


def test_overlap_counts():
    true = [(10, 20), (30, 40), (50, 60)]
    assert event_counts([], true) == (0, 3, 0)
    assert event_counts(true, true) == (3, 0, 0)
    assert event_counts([(0, 10), (20, 30)], true) == (0, 3, 2)  # they touch, and share no row
    assert event_counts([(19, 31)], true) == (2, 1, 0)
    assert event_counts([(11, 12), (13, 14), (45, 46)], true) == (1, 2, 1)


def test_f1_of_several_series_adds_counts_up():
    assert event_f1([EventCounts(2, 0, 0), EventCounts(0, 2, 2)]) == pytest.approx(0.5)
    assert event_f1([EventCounts(0, 3, 0)]) == 0
    assert event_f1([EventCounts(0, 0, 0)]) == 1


def test_delay_is_counted_from_the_start_of_the_event():
    flags = [0, 1, 0, 0, 1, 1, 0, 1]
    delays = alarm_delays(flags, [(1, 3), (2, 6), (6, 7)])
    np.testing.assert_array_equal(delays, [0, 2, np.nan])
