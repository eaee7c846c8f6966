"""Planted series: the seed decides everything, and labels say where and what the events are."""

import numpy as np
import pytest

from fintech_dl import load_frame
from fintech_dl.data.series import KINDS, QUIET, planted_series
from fintech_dl.errors import UsageError
from fintech_dl.evaluation.series_events import events

FRAME = planted_series(n_series=3, rows=1200, n_events=6, length=40, seed=3)


def each():
    return [own.reset_index(drop=True) for _, own in FRAME.groupby("series")]


def test_the_seed_decides_everything():
    again = planted_series(n_series=3, rows=1200, n_events=6, length=40, seed=3)
    assert again.equals(FRAME)
    other = planted_series(n_series=3, rows=1200, n_events=6, length=40, seed=4)
    assert not other["value"].equals(FRAME["value"])


def test_events_are_labelled_apart_and_not_at_the_beginning():
    for own in each():
        found = events(own["anomaly"])
        assert [stop - start for start, stop in found] == [40] * 6
        assert found[0][0] >= QUIET * 1200
        assert ((own["kind"] != "") == (own["anomaly"] == 1)).all()
        for start, stop in found:
            assert own["kind"][start:stop].nunique() == 1
    assert set(FRAME["kind"]) == {"", *KINDS}


def test_each_kind_is_what_its_name_says():
    for own in each():
        quiet = own["value"][: int(QUIET * 1200)]
        level, spread = quiet.mean(), quiet.std()
        for start, stop in events(own["anomaly"]):
            part = own["value"][start:stop]
            away, kind = (part - level).abs() / spread, own["kind"][start]
            if kind == "level":
                assert away.min() > 1.5
            elif kind == "spikes":
                assert 4 <= (away > 3).sum() <= 5
            else:
                assert away.max() < 3
                assert np.abs(np.diff(part)).mean() > 1.15 * np.abs(np.diff(quiet)).mean()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rows": 0}, "rows must be 1 or more"),
        ({"n_events": 0}, "n_events must be 1 or more"),
        ({"rows": 100, "n_events": 4, "length": 40}, "do not fit"),
    ],
)
def test_what_cannot_be_planted_is_refused(given, message):
    with pytest.raises(UsageError, match=message):
        planted_series(**given)


def test_the_cards_give_what_they_say():
    small = load_frame("synthetic_series_small")
    assert small["series"].nunique() == 4
    assert len(small) == 4 * 1500
    assert 0.1 < small["anomaly"].mean() < 0.15
