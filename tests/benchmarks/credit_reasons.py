"""How far the reasons for a decline agree between seeds of the shipped credit models.

Run in the repository, with taiwan_default.parquet and give_me_some_credit.parquet in
FINTECH_DL_DATA:

    FINTECH_DL_DATA=/my/data python tests/benchmarks/credit_reasons.py

The pipeline's model is fitted on the training rows of fold 0 with three seeds; the reasons of the
same declined test rows, told against the approved applicants' usual row, are compared by pairs. It
takes some ten minutes and starts anew each time.
"""

from typing import Any

import numpy as np
import pandas as pd
from results import write_result

from fintech_dl import build_pipeline, load_table
from fintech_dl.cards import pipeline_card
from fintech_dl.evaluation.attribution import reference_profile
from fintech_dl.evaluation.cutoffs import cutoff_for
from fintech_dl.evaluation.reasons import reason_codes, reason_stability
from fintech_dl.evaluation.splits import folds

PIPELINES = ("credit-taiwan", "credit-gmsc")
SEEDS, ROWS = (0, 1, 2), 100
# columns that say the same share what they add by chance, so that they are judged as one
STATEMENTS = ("status", "bill", "paid_share", "paid", "utilisation")


def groups(columns: list[str]) -> dict[str, list[str]]:
    """Return months of one kind together, every other column alone."""
    found: dict[str, list[str]] = {}
    for column in columns:
        kind = column.rpartition("_")[0]
        found.setdefault(kind if kind in STATEMENTS else column, []).append(column)
    return found


def measure(name: str, together: bool) -> dict[str, Any]:
    card = pipeline_card(name)
    table = load_table(card)
    fold = folds(table, card.split)[0]
    train, test = table.rows(fold.train), table.rows(fold.test)
    sets = groups(list(test.X)) if together else {column: [column] for column in test.X}
    texts = pd.DataFrame({"feature": list(sets), "text": list(sets)})
    models = [build_pipeline(card).set_params(model__random_state=seed) for seed in SEEDS]
    scores = [model.fit(train.X, train.y).predict_proba(test.X)[:, 1] for model in models]
    assert card.validation
    rate = card.validation.approval_rate
    declined = [p >= cutoff_for(p, approval_rate=rate) for p in scores]
    by_all = np.flatnonzero(np.all(declined, axis=0))
    some = np.sort(np.random.default_rng(0).choice(by_all, ROWS, replace=False))
    usual = reference_profile(
        test.X[~np.any(declined, axis=0)], special_codes=models[0][-1].special_codes
    )
    told = {
        seed: reason_codes(model, test.X.iloc[some], usual, texts, groups=sets)
        for seed, model in zip(SEEDS, models, strict=True)
    }
    found = reason_stability(told).iloc[-1]
    alike = np.mean([np.mean(a == b) for i, a in enumerate(declined) for b in declined[:i]])
    return {
        "pipeline": name,
        "features": f"{len(sets)} of {test.X.shape[1]} columns",
        "approval rate": rate,
        "same decision": round(float(alike), 3),
        "same first reason": round(float(found["same_first"]), 3),
        "overlap of lists (Jaccard)": round(float(found["jaccard"]), 3),
        "rank-biased overlap": round(float(found["rank_biased"]), 3),
        "most points of a row": max(frame.attrs["steps"] for frame in told.values()),
    }


def main() -> None:
    rows = []
    for name in PIPELINES:
        for together in (False, True) if name == "credit-taiwan" else (False,):
            rows.append(measure(name, together))
            print(rows[-1], flush=True)
    notes = [
        f"Fold 0 of the pipeline's split, seeds {SEEDS}; {ROWS} test rows that all three decline, "
        "at random; means over pairs of seeds. Integrated gradients against the approved "
        "applicants' usual row, at most four reasons, complete to 1e-4 of the log odds.",
        "Months of one kind (status, bill, paid, shares, utilisation) say much the same, and seeds "
        "divide them differently; together they are one feature with one text.",
    ]
    command = "FINTECH_DL_DATA=/my/data python tests/benchmarks/credit_reasons.py"
    print(write_result("credit_reasons", rows, notes, command))


if __name__ == "__main__":
    main()
