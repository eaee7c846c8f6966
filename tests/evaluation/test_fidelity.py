"""Whether reasons can be relied on: told as customers get them, compared between members."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fintech_dl import MLP, NeuralClassifier
from fintech_dl.cards import Reasons
from fintech_dl.evaluation.declines import settle, with_reference
from fintech_dl.evaluation.fidelity import reason_fidelity
from fintech_dl.evaluation.reasons import MEASURES, reason_codes, reason_stability
from fintech_dl.evaluation.validation_findings import reasons

NAMES = ["debt", "income", "late", "age"]
RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.normal(size=(300, 4)), columns=NAMES)
Y = (X @ [1.0, -0.8, 0.6, 0.5] + RNG.normal(size=300) > 0).astype(int)
TEXTS = {name: f"{name} was against you" for name in NAMES}


@pytest.fixture(scope="module")
def several():
    network = MLP(units=8, activation="gelu")
    model = NeuralClassifier(
        network=network, n_members=3, average="logit", epochs=4, random_state=0
    )
    return model.set_params(learning_rate=0.02).fit(X, Y)


@pytest.fixture(scope="module")
def declined(several):
    return several.predict(X) == 1


@pytest.fixture(scope="module")
def found(several, declined):
    return reason_fidelity(several, X, declined, max_rows=40)


def test_single_members_average_to_the_whole(several):
    members = several.single_members()
    assert len(members) == 3
    logits = [one.decision_function(X) for one in members]
    assert not np.allclose(logits[0], logits[1])
    assert np.allclose(np.mean(logits, axis=0), several.decision_function(X), atol=1e-6)
    assert [one.n_members for one in members] == [1, 1, 1]
    assert several.n_members == 3


def test_members_are_compared_by_pairs(found, several, declined):
    assert found["members"] == 3
    some = np.flatnonzero(declined)
    some = np.sort(np.random.default_rng(0).choice(some, 40, replace=False))
    usual = X[~declined].median().to_frame().T
    texts = pd.DataFrame({"feature": NAMES, "text": NAMES})
    told = {
        i: reason_codes(one, X.iloc[some], usual, texts)
        for i, one in enumerate(several.single_members())
    }
    expected = reason_stability(told).iloc[-1]
    got = found["between_members"]
    assert got == pytest.approx({name: expected[name] for name in MEASURES})
    assert 0 < got["jaccard"] <= got["overlap"] < 1
    [pairs] = [b["pairs"] for b in reasons({}, {"reasons": found}) if "pairs" in b]
    assert "Same reasons by each of 3 members" in dict(pairs)


def test_members_behind_steps_are_compared_too(several, found, declined):
    same = StandardScaler(with_mean=False, with_std=False)
    pipeline = make_pipeline(same, clone(several)).fit(X, Y)
    behind = reason_fidelity(pipeline, X, declined, max_rows=40)
    assert behind["between_members"] == pytest.approx(found["between_members"], abs=0.02)


def test_members_with_the_same_weights_agree_wholly(several, declined):
    same = NeuralClassifier(**several.get_params(deep=False))
    vars(same).update(vars(several))
    same.weights_ = [np.stack([w[0]] * 3) for w in several.weights_]
    same.__dict__.pop("_lease")
    told = reason_fidelity(same, X, declined, max_rows=20)
    assert set(told["between_members"].values()) == {1.0}


def test_a_single_network_has_nothing_to_compare(several, declined):
    told = reason_fidelity(several.single_members()[0], X, declined, max_rows=20)
    assert told["members"] == 1
    assert told["between_members"] is None
    [pairs] = [b["pairs"] for b in reasons({}, {"reasons": told}) if "pairs" in b]
    assert "a single network has one seed" in dict(pairs)["Same reasons by other seeds"]


def test_reasons_are_those_of_the_card(several, declined):
    asked = Reasons(texts=TEXTS, excluded=["debt"], reference="best", most=1)
    kept = with_reference(settle(asked, X, ["age"], "card"), several, X, declined)
    told = reason_fidelity(several, X, declined, told=kept, protected=["age"], max_rows=40)
    assert told["references"][0] == "the row of best points"
    assert told["most"] == 1
    assert {line["feature"] for line in told["first"]} <= {"income", "late"}
    assert all(line["text"] == TEXTS[line["feature"]] for line in told["first"])
    assert told["protected"] == []
    assert told["complete"]


def test_declared_groups_are_judged_together(several, declined):
    asked = Reasons(
        texts={"past": "Past", "money": "Money"},
        groups={"past": ["late", "age"], "money": ["debt", "income"]},
    )
    kept = with_reference(settle(asked, X, [], "card"), several, X, declined)
    told = reason_fidelity(several, X, declined, told=kept, max_rows=20)
    assert {line["feature"] for line in told["first"]} <= {"past", "money"}
