"""The exchange rates of the markets' benchmark: the published protocol, and "stays as it is".

Eight currencies; 70 % of the days to learn, 10 % to choose, 20 % to test; each currency in standard
deviations of its training days; every window of the test, 96 to 720 days ahead in one pass. A
network sees the last 96 days of one currency at a time, and every fourth training window.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from markets_state import Job, Line
from numpy.lib.stride_tricks import sliding_window_view

from fintech_dl.data.frames import load_frame
from fintech_dl.errors import DataError
from fintech_dl.evaluation.forecast_tests import diebold_mariano

HORIZONS = (96, 192, 336, 720)
LOOK_BACK, STRIDE = 96, 4
LAST = "last value"
# network and its size; each sees the window relative to its last step
NETWORKS: dict[str, dict[str, Any]] = {
    "NLinear": {},
    "NHiTS": {"pooling": (8, 4, 1), "hidden": (64, 64)},
    "TSMixer": {"blocks": 1, "units": 16, "dropout": 0.3},
    "Transformer": {"patch": 16, "stride": 8, "units": 32, "heads": 4, "blocks": 1},
}
SETTINGS = {"epochs": 10, "patience": 2, "learning_rate": 1e-3, "batch_size": 256}
METHODS = [LAST, *NETWORKS]


def jobs(part: str) -> Iterator[Job]:
    for horizon in HORIZONS:
        for method in METHODS:
            yield Job(part, horizon, method)


@cache
def rates() -> tuple[np.ndarray, int, int]:
    """Return the standardised rates, and where choosing and testing begin."""
    frame = load_frame("exchange_rate")
    wide = frame.pivot(index="date", columns="asset", values="close").to_numpy()
    n = len(wide)
    train, test = int(0.7 * n), n - int(0.2 * n)
    own = wide[:train]
    return (wide - own.mean(axis=0)) / own.std(axis=0), train, test


def windows(values: np.ndarray, horizon: int, stride: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return pasts of shape (n_windows x n_currencies, 96), and what follows each."""
    whole = sliding_window_view(values, LOOK_BACK + horizon, axis=0)[::stride]
    flat = whole.reshape(-1, LOOK_BACK + horizon).astype(np.float32)
    return flat[:, :LOOK_BACK], flat[:, LOOK_BACK:]


def measure(job: Job) -> Line:
    values, train, test = rates()
    X, y = windows(values[test - LOOK_BACK :], job.horizon)
    naive = np.repeat(X[:, -1:], job.horizon, axis=1)
    forecast = naive if job.method == LAST else _network(job, values, train, test).predict(X)
    error = y - forecast
    line: Line = {"mse": float((error**2).mean()), "mae": float(np.abs(error).mean())}
    if job.method != LAST:
        n = values.shape[1]
        of_date = [((e**2).mean(axis=1)).reshape(-1, n).mean(axis=1) for e in (y - naive, error)]
        try:
            found = diebold_mariano(*of_date, horizon=job.horizon)
        except DataError:  # windows of 720 days overlap throughout the test
            return line
        line |= {"t": found.t, "p": found.p_value}
    return line


def _network(job: Job, values: np.ndarray, train: int, test: int) -> Any:
    import fintech_dl

    network = getattr(fintech_dl, job.method)(**NETWORKS[job.method], normalise="last")
    model = fintech_dl.NeuralRegressor(network=network, random_state=job.seed, **SETTINGS)
    X, y = windows(values[:train], job.horizon, STRIDE)
    X_val, y_val = windows(values[train - LOOK_BACK : test], job.horizon, STRIDE)
    return model.fit(X, y, X_val=X_val, y_val=y_val)
