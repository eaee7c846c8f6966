"""Cards of anomalies: who sees what, recall per kind, and a test as it was published."""

import pytest

from fintech_dl import load_table, run_pipeline
from fintech_dl.cards import pipeline_card
from fintech_dl.data.ledger import KINDS as OF_LEDGERS
from fintech_dl.data.planted import KINDS as OF_BARS
from fintech_dl.errors import CardError, DataError, UsageError
from fintech_dl.evaluation.splits import folds

FOREST = {
    "use": "sklearn.ensemble.IsolationForest",
    "title": "Isolation forest",
    "n_estimators": 20,
}
KINDS = {"anomaly-transactions": OF_LEDGERS, "anomaly-markets": OF_BARS}


def as_tested(name, changes=None):
    return pipeline_card(name, changes, dataset=pipeline_card(name).test.dataset)


@pytest.fixture(autouse=True)
def _few_resamples(few_draws):
    with few_draws(50):
        yield


@pytest.mark.parametrize("name", [*KINDS, "intrusion"])
def test_nothing_that_knows_the_answer_is_a_feature(name):
    table = load_table(as_tested(name))
    assert not {"kind", "is_planted", "attack", "difficulty", "split", "is_attack"} & set(table.X)
    assert pipeline_card(name).kinds in table.aside
    assert 0 < table.y.mean() < 0.5


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.usefixtures("unreported")
def test_the_record_tells_how_many_of_each_kind_are_caught(name, tmp_path):
    card = as_tested(name, {"baseline": [FOREST], "metrics": ["average_precision"]})
    small = {"model__epochs": 10, "model__network__units": 64}
    run = run_pipeline(card, tmp_path / "run", set_params=small)
    found = {line["kind"]: line for line in run.record["detection"]["kinds"]}
    assert set(found) <= set(KINDS[name])
    assert len(found) >= 3
    caught = sum(line["recall"] * line["rows"] for line in found.values())
    assert caught == pytest.approx(run.record["decision"]["true_alerts"])
    model = run.record["models"][0]
    assert model["metrics"]["average_precision"]["value"] > 4 * run.record["data"]["positive_rate"]
    assert run.record["decision"]["alerts_per_day"] <= card.decision.per_day


def test_a_published_division_is_taken_as_it_is():
    card = as_tested("intrusion")
    table = load_table(card)
    (fold,) = folds(table, card.split)
    part = table.aside["split"]
    assert set(part.iloc[fold.train]) == {"train"}
    assert set(part.iloc[fold.test]) == {"test"}
    assert len(fold.train) + len(fold.test) == len(table)


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"split.column": ""}, CardError, "needs the name of the column"),
        ({"split.column": "attak"}, UsageError, "'attak' is no column .* mean 'attack'"),
        ({"split.column": "attack"}, DataError, "published: no training rows"),
        ({"split.train": "7d"}, UsageError, r"split\.train needs times"),
    ],
)
def test_what_is_no_published_division(changes, error, told):
    def divided():
        card = as_tested("intrusion", changes)
        return folds(load_table(card), card.split)

    with pytest.raises(error, match=told):
        divided()
