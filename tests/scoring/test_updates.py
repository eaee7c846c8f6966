"""What intervals of new rows learn from the history, and what is said of it."""

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor

from fintech_dl import ConformalRegressor
from fintech_dl.cards import Forecast, Intervals
from fintech_dl.evaluation.online import online_bands
from fintech_dl.scoring.updates import intervals_of
from fintech_dl.table import Table

CARD = Forecast(kind="price", intervals=Intervals(adapt=0.1))
WHEN = pd.Series(pd.date_range("2024-01-01", periods=60))
Y = pd.Series(np.random.default_rng(0).normal(size=60)) * ([1.0] * 30 + [4.0] * 30)
TABLE = Table(X=pd.DataFrame({"x": Y * 0}), y=Y, when=WHEN, until=WHEN + pd.Timedelta(days=1))


@pytest.fixture(scope="module")
def model():
    zero = ConformalRegressor(DummyRegressor(strategy="constant", constant=0.0), adapt=0.1)
    early = TABLE.rows(np.arange(30))
    return zero.fit(early.X, early.y).calibrate(early.X, early.y, early.when)


def test_intervals_that_never_learn_are_those_of_the_model(model):
    plain = Forecast(kind="price", intervals=Intervals())
    low, high, learnt = intervals_of(model, plain, "", TABLE, np.arange(50, 60))
    assert learnt is None
    assert (low.tolist(), high.tolist()) == tuple(
        end.tolist() for end in model.predict_interval(TABLE.X.iloc[50:])
    )


def test_a_whole_history_is_learnt_without_a_word(model, recwarn):
    low, high, learnt = intervals_of(model, CARD, "5d", TABLE, np.arange(59, 60))
    assert learnt == {
        "calibrated_to": "2024-01-30 00:00:00",
        "outcomes": 29,
        "updated_to": "2024-02-29 00:00:00",
        "complete": True,
    }
    assert not recwarn
    assert (high - low) > 1.5 * np.subtract(*model.predict_interval(TABLE.X.iloc[:1])[::-1])


def test_learning_intervals_are_those_of_a_run_to_the_bit(model):
    at = np.arange(45, 60)
    low, high, _ = intervals_of(model, CARD, "5d", TABLE, at)
    told = online_bands(model, TABLE, at).ends[CARD.coverage]
    assert (low.tolist(), high.tolist()) == tuple(end.tolist() for end in told)
    assert len(np.unique(high - low)) > 5


def test_without_outcomes_intervals_stay_as_calibrated_and_that_is_said(model):
    new = TABLE.rows(np.arange(40, 60))
    unknown = Table(X=new.X, y=new.y * np.nan, when=new.when, until=new.until)
    said = "holds none, so that they stay as they were.*give rows from 2024-01-25 00:00:00 on"
    with pytest.warns(UserWarning, match=said):
        low, _, learnt = intervals_of(model, CARD, "5d", unknown, np.arange(20))
    assert (learnt["outcomes"], learnt["updated_to"], learnt["complete"]) == (0, None, False)
    assert low.tolist() == model.predict_interval(new.X)[0].tolist()
    with pytest.warns(UserWarning, match="holds only the latest 19; give rows"):
        low, _, learnt = intervals_of(model, CARD, "5d", new, np.arange(19, 20))
    assert learnt["outcomes"] == 19
    assert low < model.predict_interval(new.X[:1])[0]
