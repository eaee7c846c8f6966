"""Names of bins: short, in order, and never two the same."""

import numpy as np
import pytest

from fintech_dl.evaluation.binning import bin_labels

SHAPES = {
    "amounts": lambda rng: rng.lognormal(4, 2, 9),
    "scores": lambda rng: rng.beta(0.3, 3, 9),
    "close": lambda rng: 36.3149 + 1e-5 * rng.random(9),
    "mixed": lambda rng: [*rng.normal(0, 40, 6), *rng.integers(-50, 50, 3)],
    "rates": lambda rng: np.round(rng.uniform(0, 30, 9), 2),
    "large": lambda rng: rng.uniform(1e3, 1e8, 9),
    "tiny": lambda rng: rng.lognormal(-12, 3, 9),
}


def read(text):
    return float(text.replace(",", "").replace("−", "-"))  # noqa: RUF001


def edges_of(labels):
    return [label.removeprefix("up to ").split(" to ")[-1] for label in labels[:-1]]


def digits(text):
    return len(text.split("e")[0].replace(",", "").replace(".", "").lstrip("−0").rstrip("0"))  # noqa: RUF001


@pytest.mark.parametrize("shape", SHAPES)
def test_bins_are_told_apart_by_no_more_digits_than_that_takes(shape):
    rng = np.random.default_rng(0)
    for _ in range(100):
        edges = np.unique(np.asarray(SHAPES[shape](rng), dtype=float))
        texts = edges_of(bin_labels(edges))
        found = np.array([read(text) for text in texts])
        assert (np.diff(found) > 0).all(), texts  # no two the same, none out of order
        np.testing.assert_allclose(found, edges, rtol=0.0051)
        for i, text in enumerate(texts):
            if edges[i].is_integer():
                assert found[i] == edges[i]
            elif digits(text) > 3 and abs(edges[i]) < 100:
                near = edges[max(i - 1, 0) : i + 2]
                short = {float(f"{edge:.{digits(text) - 1}g}") for edge in near}
                assert len(short) < len(near), (text, near)  # one digit fewer would not do


def test_numbers_are_written_as_in_every_report():
    assert bin_labels([36.314939, 36.31495]) == [
        "up to 36.3149",
        "36.3149 to 36.315",
        "above 36.315",
    ]
    assert bin_labels([-1234567, -0.5, 1e6]) == [
        "up to −1,234,567",  # noqa: RUF001
        "−1,234,567 to −.5",  # noqa: RUF001
        "−.5 to 1,000,000",  # noqa: RUF001
        "above 1,000,000",
    ]
    assert bin_labels([]) == ["any"]
    assert bin_labels([np.nextafter(0.0, -1), 0.0, 1 / 3]) == [
        "below 0",
        "0",
        "0 to .333",
        "above .333",
    ]
    assert bin_labels([1.0, np.nextafter(1.0, 2), 2]) == bin_labels([1, 1 + 2.3e-16, 2])
