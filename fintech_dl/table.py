"""The table: one row per decision, everything else aligned with it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True, eq=False)
class Table:
    """Rows to decide about, with what is known of each.

    All parts share one index (0, 1, ... n_rows - 1) and are ordered by ``when`` where it exists.

    Attributes
    ----------
    X : DataFrame of shape (n_rows, n_features)
        What a model may see.
    y : Series or DataFrame, optional
        The target; a column each where several numbers are forecast at once, the main one first.
    when : Series of datetime64, optional
        When the row is decided; orders rows and drives splits by time.
    until : Series of datetime64, optional
        When the label is known; drives purging. Never earlier than ``when``.
    who : Series, optional
        Whom the row is about: card, ticker, borrower.
    weight : Series, optional
        Weight of the row in training and in metrics, 0 or more.
    aside : DataFrame, optional
        Columns that no model may see: ids, amounts for costs, protected attributes, segments.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.table import Table
    >>> table = Table(X=pd.DataFrame({"amount": [5.0, 7.0]}), y=pd.Series([0, 1]))
    >>> len(table.rows([1]))
    1
    """

    X: pd.DataFrame
    y: Any = None
    when: pd.Series[Any] | None = None
    until: pd.Series[Any] | None = None
    who: pd.Series[Any] | None = None
    weight: pd.Series[Any] | None = None
    aside: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        parts: dict[Hashable, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, part in parts.items():
            if part is not None and len(part) != len(self.X):
                raise ValueError(f"Table.{name} has {len(part)} rows, X has {len(self.X)}")
        if self.when is not None and not self.when.is_monotonic_increasing:
            raise ValueError("Table.when is not in time order; sort the rows first")
        if self.until is not None and self.when is not None and (self.until < self.when).any():
            raise ValueError("Table.until: a label cannot be known before its row is decided")

    def __len__(self) -> int:
        return len(self.X)

    def rows(self, index: Any) -> Table:
        """Return the rows at positions ``index`` (integers or a mask), renumbered from 0."""
        at = np.asarray(index)
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        taken = {k: v.iloc[at].reset_index(drop=True) for k, v in parts.items() if v is not None}
        return replace(self, **taken)

    def main(self) -> Table:
        """Return the same rows with one target: the first, where there are several."""
        return replace(self, y=self.y.iloc[:, 0]) if isinstance(self.y, pd.DataFrame) else self
