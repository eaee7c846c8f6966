"""What figures say beside their charts."""

from xml.etree import ElementTree

import pytest

from fintech_dl.evaluation.figures import importance_figure, search_figure


@pytest.mark.parametrize(
    ("n", "said"),
    [
        (20, None),
        (21, "The other one is in the table."),
        (23, "The other 3 are in the table."),
    ],
)
def test_columns_that_are_left_out_are_counted_in_good_english(n, said):
    record = {
        "importance": [
            {"feature": f"f{i}", "mean": 0.1, "low": 0.0, "high": 0.2} for i in range(n)
        ],
        "importance_metric": "roc_auc",
    }
    read = importance_figure(record)["read"]
    assert read.endswith(said) if said else "in the table" not in read


@pytest.mark.parametrize("trials", [[0, 1], range(11), range(13), [3, 4], [0, 27]])
def test_trials_are_whole(trials):
    log = [{"trial": t, "mean": 0.5 + t / 1000, "share": 1} for t in trials]
    svg = search_figure({"search": {"metric": "roc_auc", "log": log}})["svg"]
    texts = [element.text for element in ElementTree.fromstring(svg).iter("text")]
    ticks = texts[: texts.index("trial")]
    assert len(ticks) >= 2
    assert all(tick.isdecimal() for tick in ticks)
