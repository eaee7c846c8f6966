"""How long networks train that have no labels to stop them: by the number of rows."""

from __future__ import annotations

from math import ceil

from fintech_dl.networks.backend import Settings

LEAST_STEPS = 2_000
MOST_STEPS = 20_000
MOST_ROWS = 4_000_000  # rows seen in all: what bounds the time


def pace(n_rows: int, epochs: int, batch_size: int = 64) -> Settings:
    """Return epochs, batch size and patience: few rows are seen more often, many in larger batches.

    A fit takes 2,000 steps at least and 20,000 at most.

    Examples
    --------
    >>> from fintech_dl.networks.pace import pace
    >>> pace(100, epochs=100)
    {'epochs': 1000, 'batch_size': 64, 'patience': 1000}
    >>> pace(25_000, epochs=100)
    {'epochs': 100, 'batch_size': 128, 'patience': 100}
    """
    n = max(n_rows, 1)
    epochs = max(epochs, ceil(LEAST_STEPS / ceil(n / batch_size)))
    epochs = max(min(epochs, MOST_ROWS // n), 10)
    while epochs * ceil(n / batch_size) > MOST_STEPS:
        batch_size *= 2
    return {"epochs": epochs, "batch_size": batch_size, "patience": epochs}
