"""Clean rows as a file of their own."""

import pandas as pd
import pytest

from fintech_dl.cards import Column, Contract, DatasetCard, Source
from fintech_dl.data.describing import export

TEXTS = ["=cmd|' /C calc'!A0", "+1+1", "-x", "@sum", "\tt", "\rr", "a\r=b", "-5.5", "plain"]


@pytest.fixture
def card(tmp_path):
    pd.DataFrame({"note": TEXTS}).to_parquet(tmp_path / "notes.parquet")
    return DatasetCard(
        title="Notes",
        licence="own",
        source=Source(kind="file", path="notes.parquet"),
        contract=Contract(),
        columns={"note": Column(type="text")},
        folder=tmp_path,
    )


@pytest.mark.parametrize("name", ["clean.csv", "clean.csv.gz"])
def test_no_cell_of_a_csv_file_is_a_formula_to_a_spreadsheet(card, tmp_path, name):
    export(card, tmp_path / name)
    found = pd.read_csv(tmp_path / name, dtype=str)["note"].tolist()
    assert found == [*("'" + text for text in TEXTS[:6]), *TEXTS[6:]]


def test_parquet_keeps_every_text_as_it_is(card, tmp_path):
    export(card, tmp_path / "clean.parquet")
    assert pd.read_parquet(tmp_path / "clean.parquet")["note"].tolist() == TEXTS
