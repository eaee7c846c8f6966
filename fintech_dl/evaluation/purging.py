"""What may be learnt from beside a test: one rule for all splits by time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def clear_of_test(
    when: Any, until: Any, begin: Any, known: Any, embargo: Any = None
) -> NDArray[np.bool_]:
    """Return the rows that may train beside a test block: their labels lie clear of it.

    A label looks at the time after ``when``, up to and with ``until``. Clear are rows whose label
    is known when the block begins, and rows decided when the last label of the block is known; of
    the latter an embargo more is left out, for features that look back into the block.

    Parameters
    ----------
    when, until : array of shape (n_rows,)
        Times, or numbers of bars.
    begin : time or number
        When the first row of the block is decided.
    known : time or number
        When the last label of the block is known; never before the last row is decided.
    embargo : length of time or number, optional
        Counted from ``known``.

    Returns
    -------
    bool array of shape (n_rows,)

    Notes
    -----
    Lopez de Prado, Advances in Financial Machine Learning (2018), ch. 7.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.purging import clear_of_test
    >>> when = np.arange(12)
    >>> np.flatnonzero(clear_of_test(when, when + 2, begin=4, known=7, embargo=1))  # tests 4, 5
    array([ 0,  1,  2,  8,  9, 10, 11])
    """
    last = known if embargo is None else known + embargo
    return np.asarray(((when < begin) & (until <= begin)) | (when >= last))
