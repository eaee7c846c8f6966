"""Which of many forecasts may be the best."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fintech_dl.errors import DataError, UsageError, require


def model_confidence_set(
    losses: pd.DataFrame, *, size: float = 0.10, block: int | None = None, n: int = 1000, seed: int
) -> pd.DataFrame:
    """Return which of many models may be the best, so that the best is kept with 1 - size.

    Parameters
    ----------
    losses : DataFrame of shape (n_dates, n_models)
        Mean loss of each date, in time order; two models or more.
    size : float
        Share of mistakes allowed.
    block : int, optional
        Mean length of the blocks of dates that the stationary bootstrap draws; default: the square
        root of n_dates.
    n, seed : int
        Resamples.

    Returns
    -------
    DataFrame
        Indexed by model: ``loss``, ``p_value`` and ``kept``, the best model first.

    Raises
    ------
    NotInstalledError
        The library ``arch`` is missing.
    DataError
        Fewer than 2 models, or losses that are no finite numbers.

    Notes
    -----
    Hansen, Lunde and Nason, The model confidence set (2011), with their range statistic.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from fintech_dl.evaluation.confidence_set import model_confidence_set
    >>> losses = pd.DataFrame(np.random.default_rng(0).chisquare(1, (300, 3)), columns=list("abc"))
    >>> found = model_confidence_set(losses.assign(c=losses["c"] + 1), seed=0)
    >>> sorted(found.index[found["kept"]])
    ['a', 'b']
    """
    require("arch", "baselines")
    from arch.bootstrap import MCS

    if losses.shape[1] < 2 or not np.isfinite(losses.to_numpy(dtype=float)).all():
        raise DataError(
            f"model_confidence_set: losses of shape {losses.shape}; two models or more and finite "
            "numbers are needed"
        )
    if not 0 < size < 1:
        raise UsageError(f"model_confidence_set: size: got {size}, allowed: above 0, below 1")
    length = block or max(1, round(np.sqrt(len(losses))))
    test = MCS(losses.astype(float), size, reps=n, block_size=length, method="R", seed=seed)
    test.compute()
    found = pd.DataFrame({"loss": losses.mean(), "p_value": test.pvalues["Pvalue"]})
    found["kept"] = found["p_value"] > size
    return found.sort_values(["p_value", "loss"], ascending=[False, True], kind="stable")
