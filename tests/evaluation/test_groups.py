import numpy as np
import pandas as pd
import pytest

from fintech_dl.cards import Validation
from fintech_dl.errors import CardError
from fintech_dl.evaluation.groups import check_columns, groups_in, groups_of, periods
from fintech_dl.table import Table

N = 40
TABLE = Table(
    X=pd.DataFrame({"income": np.arange(N), "region": ["north", "south"] * (N // 2)}),
    aside=pd.DataFrame(
        {
            "sex": ["f", "m"] * (N // 2),
            "age": np.arange(20, 20 + N),
            "ead": np.arange(N) * 10.0,
            "income": np.arange(N),  # beside the features, and one of them
        }
    ),
)


@pytest.mark.parametrize(
    ("validation", "told"),
    [
        (Validation(protected=["region"]), "'region' is among the features"),
        (Validation(protected=["income"]), "'income' is among the features"),
        (Validation(protected=["sx"]), "protected = 'sx' is no column that .* did you mean 'sex'"),
        (
            Validation(segments=["regoin"]),
            "segments = 'regoin' is no column; did you mean 'region'",
        ),
        (Validation(lgd=0.5, ead="eda"), "ead = 'eda' is no column that"),
        (Validation(lgd=0.5, ead="region"), "ead = 'region' is no column that"),
        (Validation(lgd=0.5, ead="sex"), "ead = 'sex' holds .*, expected numbers"),
        (Validation(protected=["sex"], bands={"sex": [1.0]}), "sex: bands are for numbers"),
        (
            Validation(protected=["sex"], reference={"sex": "male"}),
            "reference.sex = 'male': .*allowed: f, m",
        ),
    ],
)
def test_a_validation_that_does_not_fit_its_table(validation, told):
    with pytest.raises(CardError, match=told):
        check_columns(validation, TABLE, range(N), "mine: [validation]")


def test_one_that_fits():
    reference = {"sex": "m", "age": "below 30"}
    check_columns(
        Validation(
            protected=["sex", "age"],
            segments=["region", "income", "ead"],
            bands={"age": [30.0]},
            reference=reference,
            lgd=0.4,
            ead="ead",
        ),
        TABLE,
        range(N),
        "mine",
    )


def test_a_reference_needs_test_rows():
    with pytest.raises(CardError, match=r"reference\.sex = 'm': no test row .*allowed: f"):
        check_columns(
            Validation(protected=["sex"], reference={"sex": "m"}), TABLE, [0, 2, 4], "mine"
        )


def test_a_window_of_a_protected_attribute_is_found():
    table = Table(X=pd.DataFrame({"sex@-1": [0.0], "sex@-0": [1.0]}), aside=TABLE.aside[:1])
    with pytest.raises(CardError, match="'sex' is among the features"):
        check_columns(Validation(protected=["sex"]), table, [0], "mine")


def test_numbers_are_cut_by_bounds_or_in_quarters():
    age = TABLE.aside["age"]
    found = groups_in(Validation(protected=["age"], bands={"age": [25, 40.5]}), TABLE, "age")
    assert list(found.cat.categories) == ["below 25", "25 to below 40.5", "40.5 and above"]
    assert found[age == 25].tolist() == ["25 to below 40.5"]  # a bound belongs to the group above
    assert found.value_counts().to_dict() == {
        "below 25": 5,
        "25 to below 40.5": 16,
        "40.5 and above": 19,
    }
    assert groups_of(age, None, "age").value_counts().tolist() == [10] * 4


def test_few_numbers_texts_and_gaps_stay_groups():
    few = groups_of(pd.Series([10, 2, 2, np.nan]), None, "x")
    assert few.tolist()[:3] == ["10", "2", "2"]
    assert pd.isna(few[3])
    assert list(few.cat.categories) == ["2", "10"]  # in the order of numbers, not of texts
    flags = groups_of(pd.Series([True, False]), None, "x")
    assert flags.tolist() == ["True", "False"]


def test_periods():
    when = pd.Series(pd.to_datetime(["2024-01-31", "2024-02-01", "2024-04-01"]))
    assert periods(when, "month").tolist() == ["2024-01", "2024-02", "2024-04"]
    assert periods(when, "quarter").tolist() == ["2024Q1", "2024Q1", "2024Q2"]
    assert periods(when.dt.tz_localize("UTC"), "quarter")[2] == "2024Q2"
