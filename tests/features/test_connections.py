"""Connection records: amounts as logarithms, and no column that knows the answer."""

import numpy as np
import pytest

from fintech_dl import load_frame
from fintech_dl.cards import pipeline_card
from fintech_dl.errors import DataError
from fintech_dl.evaluation.splits import folds
from fintech_dl.features.connections import AMOUNTS, records
from fintech_dl.pipelines import load_table


@pytest.fixture(scope="module")
def frame():
    return load_frame("synthetic_nsl_kdd")


def test_what_knows_the_answer_stays_out(frame):
    table = records(frame)
    assert not {"is_attack", "attack", "difficulty", "split", "num_outbound_cmds"} & set(table.X)
    assert table.X.shape[1] == 40
    assert list(table.aside) == ["attack", "difficulty", "split"]
    assert table.y.tolist() == frame["is_attack"].tolist()


def test_amounts_are_logarithms_and_the_rest_is_as_it_was(frame):
    X = records(frame).X
    for name in AMOUNTS:
        assert np.allclose(np.expm1(X[name].astype(float)), frame[name], rtol=1e-4, atol=1e-4)
    assert (X["serror_rate"] == frame["serror_rate"]).all()
    assert (X["service"] == frame["service"]).all()


def test_rows_to_score_need_no_label(frame):
    bare = frame.drop(columns=["is_attack", "attack", "difficulty", "split"])
    table = records(bare)
    assert table.y is None
    assert table.aside is None
    assert table.X.equals(records(frame).X)


def test_the_hard_half_of_the_test(frame):
    table = records(frame, test_below=9)
    easy = (frame["split"] == "test") & (frame["difficulty"] >= 9)
    assert len(table) == (~easy).sum() < len(frame)
    assert (table.aside["split"] == "train").sum() == (frame["split"] == "train").sum()


def test_what_is_refused(frame):
    with pytest.raises(DataError, match="'src_bytes' is missing"):
        records(frame.drop(columns="src_bytes"))
    with pytest.raises(DataError, match="row 1: hot is -1; must be 0 or more"):
        records(frame.assign(hot=[0, -1] + [0] * (len(frame) - 2)))


@pytest.mark.needs_data("nsl_kdd.parquet")
def test_the_published_division_of_the_real_file():
    card = pipeline_card("intrusion")
    for below, rows in ((None, 22_544), (21, 11_850)):
        hard = pipeline_card("intrusion", {"table.test_below": below} if below else None)
        table = load_table(hard)
        (fold,) = folds(table, card.split)
        assert (len(fold.train), len(fold.test)) == (125_973, rows)
        assert table.aside["attack"].iloc[fold.test].nunique() == 38
