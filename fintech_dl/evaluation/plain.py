"""What a record may hold: values as JSON has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def plain(value: Any) -> Any:
    """Return nested values as JSON can hold them: a frame a list of lines, NaN as None.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.evaluation.plain import plain
    >>> plain({"grades": pd.DataFrame({"grade": ["1"], "observed": [float("nan")]})})
    {'grades': [{'grade': '1', 'observed': None}]}
    """
    if isinstance(value, pd.DataFrame):
        return [plain(line) for line in value.to_dict("records")]
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
