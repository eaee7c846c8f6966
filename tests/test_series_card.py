"""The card of series: what is a feature, what trains, and that planted anomalies are found."""

import numpy as np
import pytest

from fintech_dl import load_table, run_pipeline
from fintech_dl.cards import pipeline_card
from fintech_dl.evaluation.splits import folds

SMALL = {"baseline": [{"use": "fintech_dl.SubPCA"}], "metrics": ["roc_auc", "average_precision"]}


@pytest.fixture(scope="module")
def card():
    name = "anomaly-series"
    return pipeline_card(name, SMALL, dataset=pipeline_card(name).test.dataset)


def test_features_are_windows_and_nothing_that_knows_the_answer(card):
    table = load_table(card)
    assert {str(name).partition("@")[0] for name in table.X} == {"value"}
    assert table.X.shape[1] == card.table["last"]
    assert set(np.unique(table.y)) == {0, 1}


def test_the_first_part_of_each_series_trains_and_the_rest_tests(card):
    table = load_table(card)
    (fold,) = folds(table, card.split)
    for name in table.who.unique():
        own = (table.who == name).to_numpy()
        last = table.when.iloc[fold.train][own[fold.train]].max()
        assert last < table.when.iloc[fold.test][own[fold.test]].min()
    assert len(fold.train) + len(fold.test) == len(table)


@pytest.mark.usefixtures("unreported")
def test_a_run_finds_planted_events(card, tmp_path, few_draws):
    with few_draws(50):
        run = run_pipeline(card, tmp_path / "run", set_params={"model__epochs": 5})
    model, rival = run.record["models"]
    assert model["metrics"]["roc_auc"]["value"] > 0.7
    assert rival["metrics"]["roc_auc"]["value"] > 0.7
