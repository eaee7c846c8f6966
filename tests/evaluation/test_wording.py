import pytest

from fintech_dl.evaluation.wording import (
    clean,
    decimals,
    general,
    interval_decimals,
    metric,
    moment,
    number,
    p_value,
    percent,
    seconds,
)

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("value", "places", "sign", "written"),
    [
        (0.653, 3, False, ".653"),
        (1.0, 3, False, "1.000"),
        (0, 0, False, "0"),
        (0.0, 3, False, ".000"),
        (-0.05, 2, False, f"{MINUS}.05"),
        (-0.0001, 3, True, ".000"),
        (0.02, 3, True, "+.020"),
        (12345.678, 1, False, "12,345.7"),
        (None, 3, False, "\N{EN DASH}"),
        (float("nan"), 3, False, "\N{EN DASH}"),
        (float("inf"), 3, False, "\N{EN DASH}"),
        (True, 3, False, "\N{EN DASH}"),
    ],
)
def test_number(value, places, sign, written):
    assert number(value, places, sign) == written


@pytest.mark.parametrize(
    ("values", "places"),
    [
        ([0.65, 0.02], 3),
        ([1.0], 3),
        ([1.2], 2),
        ([15.0], 1),
        ([-250.0], 0),
        ([0.05, 0.01], 4),
        ([0.005], 5),
        ([0.0004], 6),
        ([0.0000312], 7),
        ([1e-12], 9),
        ([0.0], 3),
        ([None, float("nan")], 3),
        ([], 3),
    ],
)
def test_decimals_of_a_column(values, places):
    assert decimals(values) == places


def test_intervals_are_written_shorter_where_they_are_wide():
    wide, narrow = {"low": 0.62, "high": 0.68}, {"low": 0.651, "high": 0.655}
    assert interval_decimals([wide, wide, narrow], 3) == 2
    assert interval_decimals([narrow, narrow, wide], 3) == 3
    assert interval_decimals([{"low": None, "high": 0.5}, {}], 3) == 3


@pytest.mark.parametrize(
    ("share", "written"),
    [
        (0, "0%"), (1, "100%"), (0.5, "50%"), (0.0952, "10%"), (0.0123, "1.2%"), (0.0084, "0.84%"),
        (0.0002, "0.020%"), (-0.5, f"{MINUS}50%"), (2.5, "250%"), (None, "\N{EN DASH}"),
    ],
)  # fmt: skip
def test_percent(share, written):
    assert percent(share) == written


@pytest.mark.parametrize(
    ("name", "short", "higher"),
    [
        ("average_precision", "AP", True),
        ("ap", "AP", True),
        ("card_precision_at_100", "CP@100", True),
        ("precision_at_50", "P@50", True),
        ("recall_at_fpr_1", "R@1%", True),
        ("recall_at_fpr_0.5", "R@0.5%", True),
        ("brier", "Brier", False),
        ("log_loss", "Log loss", False),
        ("ece", "ECE", False),
        ("savings", "Savings", True),
        ("my_own_metric", "my own metric", True),
        ("qlike", "QLIKE", False),
        ("absolute_error", "MAE", False),
        ("bias", "Bias", None),
        ("ic", "IC", True),
        ("rank_ic", "Rank IC", True),
        ("r2", "R²", True),
        ("mcc", "MCC", True),
    ],
)
def test_metric(name, short, higher):
    found = metric(name)
    assert (found.short, found.higher_is_better) == (short, higher)
    assert found.text[-1] != "."


@pytest.mark.parametrize(
    "name",
    [
        *("average_precision", "roc_auc", "brier", "log_loss", "ece", "savings"),
        *("qlike", "mse", "mae", "r2", "ic", "rank_ic", "mcc"),
    ],
)
def test_direction_agrees_with_the_evaluation(name):
    outcomes = pytest.importorskip("fintech_dl.evaluation.outcomes")
    assert outcomes.metric(name).higher_is_better == metric(name).higher_is_better


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (" a\t b\r\nc ", "a b c"),
        ("\x1b[2Jx", "\ufffd[2Jx"),
        ("a\u202eb\u200fc\u2066", "a\ufffdb\ufffdc\ufffd"),
        ("\ud800", "\ufffd"),
        (3, "3"),
        ("e\u0301 \u6c49 \U0001f600", "e\u0301 \u6c49 \U0001f600"),
    ],
)
def test_clean(value, text):
    assert clean(value) == text
    clean(value).encode()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2018-07-25", "2018-07-25"),
        ("2018-07-25 00:00:00", "2018-07-25"),
        ("2018-07-25T08:30:15.123", "2018-07-25 08:30"),
        ("2018-07-25T08:30:15+02:00", "2018-07-25 08:30+02:00"),
        ("2018-07-25T08:30:15Z", "2018-07-25 08:30 UTC"),
        ("yesterday", "yesterday"),
        (None, "\N{EN DASH}"),
    ],
)
def test_moment(value, text):
    assert moment(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0004, "0.4 ms"),
        (0.62, "0.62 s"),
        (41.3, "41 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_seconds(value, text):
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0314, ".031"), (0.0009, "< .001"), (0.001, ".001"), (None, "\N{EN DASH}")],
)
def test_p_value(value, text):
    assert p_value(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"),
        (2018, "2018"),
        (1234567, "1,234,567"),
        (0.001, "0.001"),
        (None, "\N{EN DASH}"),
        ([128, 64], "128, 64"),
        ({"units": 64, "name": "a\nb"}, "units 64, name a b"),
        ("text", "text"),
    ],
)
def test_general(value, text):
    assert general(value) == text


@pytest.mark.parametrize(("name", "short"), [("gini", "Gini"), ("ks", "KS")])
def test_measures_of_credit_scores_have_words(name, short):
    assert metric(name).short == short
    assert "guessing" in metric(name).text
