"""TabM against pytabkit's, at the same width, networks in one, epochs and batch size.

Run in the repository on an idle machine, with taiwan_default.parquet in FINTECH_DL_DATA; needs the
extra ``bench``:

    FINTECH_DL_DATA=/my/data python tests/benchmarks/credit_speed.py

Both fit the training rows of fold 0 of the credit benchmark (24,000 rows, 23 columns), in turns and
each time in a process of its own. It takes some five minutes and starts anew each time.
"""

import os
import resource
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median
from typing import Any

import credit_data
import numpy as np
from results import write_result
from sklearn.metrics import roc_auc_score
from speed_rounds import timed

EPOCHS, ROUNDS = 3, 3
HELD = 100  # rows that pytabkit cannot do without to watch; ours does not watch any
SIZES = [  # networks in one, width of two layers, bins and size of a number's vector
    {"k": 32, "units": 256, "bins": 24, "embedding_units": 16},
    {"k": 8, "units": 256, "bins": 24, "embedding_units": 8},
]
BATCH = 256


def ours(size: dict[str, int]) -> Any:
    from fintech_dl import NeuralClassifier, TabM

    network = TabM(**{**size, "units": (size["units"],) * 2})
    return NeuralClassifier(network=network, epochs=EPOCHS, batch_size=BATCH, random_state=0)


def pytabkit(size: dict[str, int]) -> Any:
    from pytabkit import TabM_D_Classifier

    return TabM_D_Classifier(
        tabm_k=size["k"],
        d_block=size["units"],
        n_blocks=2,
        num_emb_type="pwl",
        num_emb_n_bins=size["bins"],
        d_embedding=size["embedding_units"],
        batch_size=BATCH,
        n_epochs=EPOCHS,
        weight_decay=3e-4,
        gradient_clipping_norm=1.0,
        random_state=0,
        device="cpu",
        n_threads=os.cpu_count(),
    )


MADE_BY = {"ours": ours, "pytabkit": pytabkit}


def measure(name: str, size: dict[str, int]) -> tuple[float, float, int]:
    """Return seconds of a fit, AUC of the test rows, and peak memory in MB."""
    data = credit_data.load("taiwan")
    train, test = data.folds[0][:2]
    rows, held = train[HELD:], train[:HELD]
    X, y = data.X.astype(np.float32), data.y.to_numpy()
    model = MADE_BY[name](size)
    watched = (X.iloc[held], y[held]) if name == "pytabkit" else ()
    seconds = timed(lambda: model.fit(X.iloc[rows], y[rows], *watched))
    auc = roc_auc_score(y[test], model.predict_proba(X.iloc[test])[:, 1])
    return seconds, float(auc), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def alone(*arguments: Any) -> Any:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def main() -> None:
    rows = []
    for size in SIZES:
        found: dict[str, list[Any]] = {name: [] for name in MADE_BY}
        for _ in range(ROUNDS):
            for name, several in found.items():
                several.append(alone(name, size))
        seconds = {name: median(s for s, _, _ in several) for name, several in found.items()}
        row = {
            "k": size["k"],
            "layers": f"2 x {size['units']}",
            "bins": size["bins"],
            "number's vector": size["embedding_units"],
            "ours s": round(seconds["ours"], 1),
            "pytabkit s": round(seconds["pytabkit"], 1),
            "times faster": round(seconds["pytabkit"] / seconds["ours"], 2),
            "AUC, ours / pytabkit": " / ".join(f"{found[n][0][1]:.4f}" for n in MADE_BY),
            "peak MB, ours / pytabkit": " / ".join(f"{found[n][0][2]:,}" for n in MADE_BY),
        }
        print(row, flush=True)
        rows.append(row)
    notes = [
        f"Fit of {EPOCHS} epochs on the training rows of fold 0 of Taiwan default, batches of "
        f"{BATCH}, AdamW, gradients cut at norm 1; median of {ROUNDS}, compiling and set-up "
        "included, imports not.",
        f"pytabkit watches {HELD} rows that neither learns from. It draws other rows for each of "
        "the k networks, ours shows all k the same; arithmetic per step is the same.",
        "AUC after so few epochs only shows that both learn. Bar: at least as fast.",
    ]
    command = "FINTECH_DL_DATA=/my/data python tests/benchmarks/credit_speed.py"
    print(write_result("credit_speed", rows, notes, command))


if __name__ == "__main__":
    main()
