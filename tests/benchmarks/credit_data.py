"""The rows and folds of the credit benchmark: every method gets the same."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import RepeatedStratifiedKFold, StratifiedKFold, train_test_split

from fintech_dl.cards import dataset_card, pipeline_card
from fintech_dl.data.files import get_file, verify


class Fold(NamedTuple):
    """Row numbers; ``apart`` is scored too and told apart: labels that are not final yet."""

    train: Any
    test: Any
    apart: Any = ()


class Data(NamedTuple):
    """Columns, label (1 = bad), folds, whether rows stand in the order of time.

    ``X.attrs["pipeline"]`` names the pipeline card whose model is ours.
    """

    X: pd.DataFrame
    y: pd.Series
    folds: list[Fold]
    ordered: bool = False


PROTOCOLS = {
    "german": "German credit, 1,000 applications: 10 x 5 stratified folds.",
    "taiwan": "Taiwan default, 30,000 cards: 5 stratified folds.",
    "taiwan-ratios": "Taiwan default, the same folds, with the ratios of monthly statements that "
    "the pipeline credit-taiwan makes, for every method.",
    "bank": "Bank marketing, 41,188 calls in order: first 70 % train, the rest test.",
    "lending": "Lending Club 2018, 31,766 loans in order of issue: first 70 % train, the rest "
    "test.",
    "lending-months": "Lending Club 2018: January to May (20,102 loans) train, June to September "
    "test; October to December, whose loans had little time to default, told apart.",
    "gmsc": "Give Me Some Credit, 150,000 borrowers: 5 stratified folds.",
    "gmsc-debts": "Give Me Some Credit, the same folds, with the debts and counts that the "
    "pipeline credit-gmsc makes, for every method.",
}
CARDS = {  # dataset, and the pipeline whose model is ours
    "german": ("german_credit", "credit-german"),
    "taiwan": ("taiwan_default", "credit-taiwan"),
    "taiwan-ratios": ("taiwan_default", "credit-taiwan"),
    "bank": ("bank_marketing", "credit"),
    "lending": ("lending_club_2018", "credit-lending-club"),
    "lending-months": ("lending_club_2018", "credit-lending-club"),
    "gmsc": ("give_me_some_credit", "credit-gmsc"),
    "gmsc-debts": ("give_me_some_credit", "credit-gmsc"),
}

REPEATED = {"german"}  # every row is tested ten times
MADE = {"taiwan-ratios", "lending", "lending-months", "gmsc-debts"}  # columns of the pipeline


class Size(NamedTuple):
    """What a plan must know before anything is read."""

    folds: int
    train_rows: int


SIZES = {
    "german": Size(50, 800),
    "taiwan": Size(5, 24_000),
    "taiwan-ratios": Size(5, 24_000),
    "bank": Size(1, 28_831),
    "lending": Size(1, 22_236),
    "lending-months": Size(1, 20_102),
    "gmsc": Size(5, 120_000),
    "gmsc-debts": Size(5, 120_000),
}


def read(name: str) -> pd.DataFrame:
    """Return the file of a dataset card as published: every row, columns under the card's names.

    Its bytes are those of the card's checksum.
    """
    card = dataset_card(CARDS[name][0])
    path = get_file(card)
    with path.open("rb") as file:
        verify(file, card.source.sha256, path.name)
    names = {column.source: name for name, column in card.columns.items() if column.source}
    return pd.read_parquet(path).rename(columns=names)


def load(name: str, frame: Callable[[str], pd.DataFrame] = read) -> Data:
    """Return the columns, the label and the folds of a data set."""
    data = LOADERS[name](frame(name))
    data.X.attrs["pipeline"] = CARDS[name][1]
    return data


def as_columns(frame: pd.DataFrame, *drop: str) -> pd.DataFrame:
    """Return a frame without some columns, its text as categories."""
    X = frame.drop(columns=list(drop))
    return X.astype(dict.fromkeys(X.select_dtypes(["str", "object"]), "category"))


def recipe(name: str) -> dict[str, Any]:
    """Return how the pipeline makes a data set's columns; nothing of columns as published.

    What the pipeline only sets aside stays among them, protected attributes too, for every method:
    published figures count them.
    """
    table = pipeline_card(CARDS[name][1]).table if name in MADE else {}
    return {key: table[key] for key in table if key not in ("aside", "protected")}


def made_columns(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that the pipeline makes, protected attributes among them."""
    given = recipe(name)
    module, function = given.pop("use").split(".")
    given["drop"] = [name for name in given.get("drop", []) if name in frame]  # not what is made
    make = getattr(import_module(f"fintech_dl.features.{module}"), function)
    return as_columns(make(frame, **given).X)


def inner_split(data: Data, fold: Fold) -> tuple[Any, Any]:
    """Return training rows of a fold as those to learn from and those to tune on (20 %).

    The latest where rows stand in order, else stratified at random.
    """
    if data.ordered:
        first = int(len(fold.train) * 0.8)
        return fold.train[:first], fold.train[first:]
    y = data.y.iloc[fold.train]
    learn, hold = train_test_split(fold.train, test_size=0.2, stratify=y, random_state=0)
    return np.sort(learn), np.sort(hold)


def stratified(X: pd.DataFrame, y: pd.Series) -> Data:
    cut = StratifiedKFold(5, shuffle=True, random_state=0)
    return Data(X, y, [Fold(*rows) for rows in cut.split(X, y)])


def in_order(X: pd.DataFrame, y: pd.Series) -> Data:
    rows, first = np.arange(len(X)), int(len(X) * 0.7)
    return Data(X, y, [Fold(rows[:first], rows[first:])], ordered=True)


def taiwan(frame: pd.DataFrame) -> Data:
    return stratified(as_columns(frame, "account_id", "defaulted"), frame["defaulted"])


def taiwan_ratios(frame: pd.DataFrame) -> Data:
    return stratified(made_columns("taiwan-ratios", frame), frame["defaulted"])


def gmsc(frame: pd.DataFrame) -> Data:
    return stratified(as_columns(frame, "borrower_id", "defaulted"), frame["defaulted"])


def gmsc_debts(frame: pd.DataFrame) -> Data:
    return stratified(made_columns("gmsc-debts", frame), frame["defaulted"])


def german(frame: pd.DataFrame) -> Data:
    X, y = as_columns(frame, "outcome"), (frame["outcome"] == "bad").astype(int)
    cut = RepeatedStratifiedKFold(n_splits=5, n_repeats=10, random_state=0)
    return Data(X, y, [Fold(*rows) for rows in cut.split(X, y)])


def bank(frame: pd.DataFrame) -> Data:
    X = as_columns(frame, "call_seconds", "subscribed")  # a call's length is known after it alone
    return in_order(X, (frame["subscribed"] == "yes").astype(int))


def loans(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    frame = frame.sort_values("issue_d", kind="stable", ignore_index=True)
    return made_columns("lending", frame), frame["defaulted"], frame["issue_d"]


def lending(frame: pd.DataFrame) -> Data:
    X, y, _ = loans(frame)
    return in_order(X, y)


def lending_months(frame: pd.DataFrame) -> Data:
    X, y, when = loans(frame)
    month = when.dt.month
    rows = [np.flatnonzero(month.between(*ends)) for ends in ((1, 5), (6, 9), (10, 12))]
    return Data(X, y, [Fold(*rows)], ordered=True)


LOADERS: dict[str, Callable[[pd.DataFrame], Data]] = {
    "german": german,
    "taiwan": taiwan,
    "taiwan-ratios": taiwan_ratios,
    "bank": bank,
    "lending": lending,
    "lending-months": lending_months,
    "gmsc": gmsc,
    "gmsc-debts": gmsc_debts,
}
