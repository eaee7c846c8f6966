"""Which way each column of the credit benchmark may move a scorecard, and whether it does."""

from typing import Any

import numpy as np
import pandas as pd

POINTS = 10_000
UP, DOWN = "increasing", "decreasing"


def several(names: str, way: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), way)


# By pipeline, declared from common sense before any fit: with more of it the chance of default (of
# a deposit, for the calls that `credit` stands in for) may only rise or fall. Columns that are not
# named may do both: bills, age in Taiwan, amounts of loans.
DIRECTIONS: dict[str, dict[str, str]] = {
    "credit-taiwan": {
        **{f"status_{month}": UP for month in range(1, 7)},
        **{f"utilisation_{month}": UP for month in range(1, 7)},
        **{f"paid_{month}": DOWN for month in range(1, 7)},
        **{f"paid_share_{month}": DOWN for month in range(1, 6)},
        **several("utilisation_change months_late worst_status", UP),
        "limit": DOWN,
    },
    "credit-gmsc": {
        **several("utilisation late_30_59 late_60_89 late_90 dependents", UP),
        **several("debt_to_income times_late used_lines", UP),
        **several("age monthly_income", DOWN),
    },
    "credit-german": {**several("duration installment_commitment", UP), "age": DOWN},
    "credit-lending-club": {
        **several("acc_open_past_24mths inq_last_12m num_tl_90g_dpd_24m", UP),
        **several("dti dti_joint all_util bc_util percent_bc_gt_75", UP),
        **several("annual_inc avg_cur_bal bc_open_to_buy total_bc_limit tot_hi_cred_lim", DOWN),
        **several("pct_tl_nvr_dlq mo_sin_old_il_acct mo_sin_old_rev_tl_op", DOWN),
        **several("mths_since_last_delinq mths_since_last_major_derog", DOWN),
        **several("mths_since_last_record mths_since_recent_inq", DOWN),
        **several("mths_since_recent_bc_dlq mths_since_recent_revol_delinq", DOWN),
    },
    "credit": {**several("campaign pdays", DOWN), "previous": UP},
}


def directions(X: pd.DataFrame) -> dict[str, str]:
    """Return the declared directions of the columns that are there."""
    declared = DIRECTIONS[X.attrs["pipeline"]]
    return {name: declared[name] for name in X if name in declared}


def checked(model: Any, X: pd.DataFrame) -> dict[str, int]:
    """Count the steps of a grid over each declared column in which the output goes the wrong way.

    Everything else is as in the first training row, which a sum of curves makes no difference to.
    """
    wrong = 0
    for name, way in model.network.monotone.items():
        codes = (model.special_codes or {}).get(name, [])
        values = X[name][X[name].notna() & ~X[name].isin(codes)]
        grid = np.linspace(values.min(), values.max(), POINTS)
        grid = grid[~np.isin(grid, codes)]
        rows = X.iloc[np.zeros(len(grid), dtype=int)].assign(**{name: grid})
        steps = np.diff(np.asarray(model.decision_function(rows), dtype=float))
        wrong += int((steps < 0 if way == UP else steps > 0).sum())
    return {"columns": len(model.network.monotone), "points": POINTS, "violations": wrong}
