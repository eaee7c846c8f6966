"""Pipeline cards to tables and scikit-learn pipelines: what a card may name, and what it gets."""

import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from fintech_dl import LSTM, NeuralClassifier, build_pipeline, load_table
from fintech_dl.cards import names, pipeline_card
from fintech_dl.errors import CardError, DataError, NotInstalledError
from fintech_dl.features.transactions import card_history
from fintech_dl.pipelines import check_history, make, make_table


def payments():
    time = pd.to_datetime(["2024-05-01 12:00", "2024-05-01 13:30", "2024-05-02 02:00"])
    return pd.DataFrame(
        {
            "transaction_id": [1, 2, 3],
            "time": time,
            "customer_id": [7, 7, 8],
            "terminal_id": [1, 2, 1],
            "amount": [10.0, 30.0, 50.0],
            "is_fraud": [1, 0, 0],
        }
    )


@pytest.mark.parametrize("name", names("pipelines"))
def test_shipped_cards_build_plain_pipelines(name):
    model = build_pipeline(name)
    assert type(model) is Pipeline
    assert model.steps[-1][0] == "model"
    assert repr(model) == repr(build_pipeline(pipeline_card(name)))
    told = "model__verbose" if "model__verbose" in model.get_params() else "model__fpr"
    assert repr(clone(model).set_params(**{told: 0.5})) != repr(model)


CARD = """
title = "Mine"
question = "Which?"
dataset = "synthetic_card_transactions_small"
table = { use = "transactions.card_history", delay_days = 3, extra = false }
split = { kind = "prequential", train = "7d", gap = "7d", test = "7d" }
[[step]]
name = "columns"
use = "sklearn.compose.ColumnTransformer"
remainder = "passthrough"
transformers = [
  [
    "week",
    { use = "sklearn.preprocessing.StandardScaler" },
    { use = "sklearn.compose.make_column_selector", pattern = "_7d$" },
  ],
]
[[step]]
name = "model"
use = "fintech_dl.NeuralClassifier"
epochs = 3
network = { use = "fintech_dl.LSTM", units = 5 }
"""


def test_what_a_card_says_is_what_is_built(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(CARD)
    table = load_table(path)
    expected = card_history(payments(), delay_days=3, extra=False)
    assert list(table.X.columns) == list(expected.X.columns)
    assert (table.until - table.when).unique().tolist() == [pd.Timedelta("3D")]
    model = build_pipeline(path)
    columns, network = model.steps[0][1], model.steps[1][1].network
    assert isinstance(columns, ColumnTransformer)
    assert isinstance(network, LSTM)
    assert (network.units, model.steps[1][1].epochs) == (5, 3)
    week = [name for name in table.X if name.endswith("_7d")]
    scaled_rows = columns.fit_transform(table.X)
    np.testing.assert_allclose(scaled_rows[:, : len(week)].mean(axis=0), 0, atol=1e-3)
    assert scaled_rows.shape == table.X.shape


def test_use_nests_in_lists_and_tables():
    model = make(
        {
            "use": "sklearn.ensemble.StackingClassifier",
            "estimators": [
                ["deep", {"use": "fintech_dl.NeuralClassifier", "epochs": 2}],
                ["plain", {"use": "sklearn.linear_model.LogisticRegression", "C": 0.5}],
            ],
            "final_estimator": {"use": "sklearn.linear_model.LogisticRegression"},
        },
        "here",
    )
    assert isinstance(model, StackingClassifier)
    assert [type(part) for _, part in model.estimators] == [NeuralClassifier, LogisticRegression]
    assert model.estimators[1][1].C == 0.5
    weights = make({"use": "fintech_dl.NeuralClassifier", "class_weight": {"0": 1, "1": 5}}, "here")
    assert weights.class_weight == {"0": 1, "1": 5}
    assert make([1, "text", {"a": [2]}], "here") == [1, "text", {"a": [2]}]


REFUSED = {
    "os.system": "is not allowed; name an estimator class of fintech_dl, sklearn, lightgbm",
    "subprocess.Popen": "is not allowed",
    "builtins.eval": "is not allowed",
    "NeuralClassifier": "is not allowed",
    "sklearn": "is not allowed",
    "": "is not allowed",
    "fintech_dl.runs.run_pipeline": "is no estimator class",
    "fintech_dl.pipelines.import_module": "is no estimator class",
    "fintech_dl.artefact.os.system": "No module named 'fintech_dl.artefact.os'",
    "fintech_dl.cli.main": "is no estimator class",
    "fintech_dl.Table": "is no estimator class",
    "fintech_dl.NeuralClasifier": "is no estimator class; did you mean 'NeuralClassifier'?",
    "fintech_dl.": "is no estimator class",
    "sklearn.utils.parallel.Parallel": "is no estimator class",
    "sklearn.datasets.fetch_openml": "is no estimator class",
    "sklearn.linear_model.LogisticRegresion": "did you mean 'LogisticRegression'?",
    "sklearn.linear_models.Ridge": "No module named 'sklearn.linear_models'",
    "sklearn..os.system": "No module named",
}


@pytest.mark.parametrize("use", REFUSED)
def test_a_card_may_name_estimators_of_known_libraries_only(use):
    with pytest.raises(CardError) as error:
        make({"use": use}, "mine: step 1")
    assert str(error.value).startswith("mine: step 1: use = ")
    assert REFUSED[use] in str(error.value)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (
            {"use": "fintech_dl.NeuralClassifier", "epoch": 3},
            "has no parameter 'epoch'; did you mean 'epochs'?",
        ),
        (
            {"use": "fintech_dl.NeuralClassifier", "network": {"use": "fintech_dl.MLP", "unit": 3}},
            "fintech_dl.MLP has no parameter 'unit'; did you mean 'units'?",
        ),
        ({"use": "sklearn.compose.ColumnTransformer"}, "missing 1 required positional argument"),
        ({"use": 3}, "use = '3' is not allowed"),
    ],
)
def test_parameters_are_checked_when_the_card_is_read(spec, told):
    with pytest.raises(CardError, match="mine: step 1: ") as error:
        make(spec, "mine: step 1")
    assert told in str(error.value)


def test_a_library_that_is_not_there_names_what_to_install(monkeypatch):
    for name in ("lightgbm", "xgboost"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(NotInstalledError, match=r'pip install "fintech-dl\[baselines\]"'):
        make({"use": "lightgbm.LGBMClassifier"}, "here")
    with pytest.raises(NotInstalledError, match=r"here: xgboost.* pip install xgboost"):
        make({"use": "xgboost.XGBClassifier"}, "here")


def test_a_library_that_is_there_but_fails_says_so(monkeypatch):
    def fail(name):
        raise OSError("libgomp.so.1: cannot open shared object file")

    monkeypatch.setattr("fintech_dl.pipelines.import_module", fail)
    with pytest.raises(NotInstalledError, match="'sklearn' is installed but fails: libgomp"):
        make({"use": "sklearn.linear_model.LogisticRegression"}, "here")


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"use": "transactions.card_histroy"}, "did you mean 'transactions.card_history'?"),
        ({"use": "card_history"}, "makes no table; did you mean 'transactions.card_history'?"),
        ({"use": "transactions.by_entity"}, "makes no table; "),
        ({"use": "transactions.pd.read_pickle"}, "makes no table; "),
        ({"use": "os.system"}, "makes no table; "),
        ({"use": ""}, "makes no table; "),
        ({}, "makes no table; "),
        (
            {"use": "transactions.card_history", "delay_day": 3},
            "transactions.card_history has no parameter 'delay_day'; did you mean 'delay_days'?",
        ),
        ({"use": "transactions.card_history", "frame": 3}, "has no parameter 'frame'"),
        ({"use": "transactions.card_history", "delay_days": "7d"}, r"[table]: transactions.card_h"),
        ({"use": "transactions.card_history", "windows": 7}, r"[table]: transactions.card_history"),
        ({"use": "rows.as_they_are"}, "missing 1 required keyword-only argument: 'target'"),
    ],
)
def test_tables_are_made_by_feature_functions_only(spec, told):
    with pytest.raises(CardError) as error:
        make_table(spec, payments())
    assert told in str(error.value)


def test_faults_of_the_data_stay_faults_of_the_data():
    with pytest.raises(DataError, match="'terminal_id' is missing"):
        make_table({"use": "transactions.card_history"}, payments().drop(columns="terminal_id"))


def test_load_table_is_the_table_of_the_card():
    card = pipeline_card("fraud", dataset="synthetic_card_transactions_small")
    table = load_table(card, as_of="2018-08-23")
    assert table.when.iloc[-1] < pd.Timestamp("2018-08-23")
    whole = load_table(card)
    pd.testing.assert_frame_equal(table.X, whole.X.iloc[: len(table)])
    assert len(whole) > len(table)


def test_a_history_shorter_than_the_features_look_back_is_refused():
    card = pipeline_card("fraud", {"table.last": 5})
    with pytest.raises(CardError, match='looks back 67 days; set history = "67d"'):
        check_history(card)
    check_history(pipeline_card("fraud", {"table.last": 5, "history": "67d"}))
    check_history(pipeline_card("fraud-ulb"))
