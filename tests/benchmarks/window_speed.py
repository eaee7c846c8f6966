"""An LSTM trained on windows of stocks, beside bare Keras, PyTorch and neuralforecast.

Run in the repository on an idle machine, with sp500_stocks_5yr.parquet in FINTECH_DL_DATA; needs
the extra ``bench``:

    FINTECH_DL_DATA=/my/data python tests/benchmarks/window_speed.py

The windows are the last 60 bars of all stocks, 6 channels each (close, open, high, low, volume,
present), LSTM(64), batches of 256. Rates are measured on some of them, memory on all. Each library
has processes of its own. It takes some fifteen minutes and starts anew each time.
"""

import json
import os
import resource
import subprocess
import sys
from statistics import median
from typing import Any

import numpy as np
from results import write_result
from speed_rounds import timed
from speed_table import BACKENDS
from speed_training import beside_keras, in_torch

STEPS, CHANNELS, BATCH = 60, 6, 256
ROWS, ROUNDS, EPOCHS = 50_000, 3, {"short": 1, "long": 3}
BAR = 1.3  # times as fast as bare Keras
MEMORY_GB = 4.0


def windows() -> tuple[np.ndarray, np.ndarray]:
    """Return all windows, step by step, and the return of the next five bars."""
    from fintech_dl.data.frames import load_frame
    from fintech_dl.features.prices import panel

    frame = load_frame("sp500_stocks_5yr")
    table = panel(frame, features=["bars"], last=STEPS, label="return", labelled=True)
    assert table.y is not None
    assert table.X.shape[1] == STEPS * CHANNELS
    return table.X.to_numpy(np.float32), table.y.to_numpy(np.float32)


def rates(library: str) -> dict[str, Any]:
    X, y = windows()
    X, y = X[-ROWS:], y[-ROWS:]
    if library == "torch":
        return in_torch("windows", X, y, BATCH, ROUNDS, **EPOCHS)
    tries = [(32, "auto"), (32, False)][: 2 if library == "tensorflow" else 1]
    return beside_keras("windows", X, y, BATCH, tries, ROUNDS, **EPOCHS)


def whole(library: str) -> dict[str, Any]:
    """Fit an epoch on all windows; return how many, the seconds and the largest memory."""
    from fintech_dl import LSTM, NeuralRegressor

    X, y = windows()
    model = NeuralRegressor(network=LSTM(units=64, channels=CHANNELS), epochs=1, batch_size=BATCH)
    took = timed(lambda: model.fit(X, y))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"rows": len(X), "seconds": took, "peak_gb": peak}


def neuralforecast(library: str) -> dict[str, Any]:
    """Time steps of neuralforecast's LSTM, 256 windows each, on the closes of the same stocks."""
    import pandas as pd
    from neuralforecast import NeuralForecast
    from neuralforecast.models import LSTM

    from fintech_dl.data.frames import load_frame

    frame = load_frame("sp500_stocks_5yr").rename(columns={"asset": "unique_id", "date": "ds"})
    exogenous = ["open", "high", "low", "volume"]
    frame["y"], frame["present"] = frame["close"], 1.0
    bars = frame.groupby("unique_id")["ds"].transform("size")
    frame = frame.loc[bars == bars.max(), ["unique_id", "ds", "y", "present", *exogenous]]
    frame["ds"] = frame.groupby("unique_id").cumcount()  # trading days have no frequency
    kept = {"input_size": STEPS, "inference_input_size": STEPS, "h": 1, "recurrent": False}
    shape = {"encoder_n_layers": 1, "encoder_hidden_size": 64, "decoder_layers": 1}

    def fit(steps: int) -> None:
        model = LSTM(
            **kept,
            **shape,
            hist_exog_list=["present", *exogenous],
            max_steps=steps,
            windows_batch_size=BATCH,
            batch_size=8,
            enable_progress_bar=False,
            logger=False,
            enable_checkpointing=False,
        )
        NeuralForecast(models=[model], freq=1).fit(pd.DataFrame(frame))

    short, long = 50, 250
    fit(short)
    found = [(timed(lambda: fit(long)) - timed(lambda: fit(short))) / (long - short) for _ in "123"]
    return {"rows": BATCH, "seconds": found}


PARTS = {"rates": rates, "whole": whole, "neuralforecast": neuralforecast}


def measure(part: str, library: str) -> dict[str, Any]:
    """Measure in a fresh process."""
    backend = {"KERAS_BACKEND": library} if library in BACKENDS else {}
    words = [sys.executable, __file__, part, library]
    done = subprocess.run(words, env={**os.environ, **backend}, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{part} {library} failed")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    raw = {name: measure("rates", name) for name in (*BACKENDS, "torch")}
    raw["neuralforecast"] = measure("neuralforecast", "")
    raw["whole"] = measure("whole", "tensorflow")

    def rate(part: str, name: str) -> float:
        return float(raw[part]["rows"] / median(raw[part][name]))

    torch = max(rate("torch", name) for name in ("fused", "plain"))
    others = {"PyTorch": torch, "neuralforecast": rate("neuralforecast", "seconds")}
    rows = []
    for name, title in BACKENDS.items():
        own = rate(name, "ours")
        rivals = {f"bare Keras ({raw[name]['keras_settings']})": rate(name, "keras"), **others}
        for rival, value in rivals.items():
            bare = rival.startswith("bare")
            rows.append(
                {
                    "backend": title,
                    "windows/s": f"{own:,.0f}",
                    "rival": rival,
                    "its windows/s": f"{value:,.0f}",
                    "times as fast": f"{own / value:.2f}",
                    "bar": BAR if bare else "",
                    "met": ("yes" if own / value >= BAR else "no") if bare else "",
                }
            )
    peak = raw["whole"]["peak_gb"]
    notes = [
        f"Rates: {ROWS:,} windows of {STEPS} x {CHANNELS}, medians of {ROUNDS} rounds, of an epoch "
        "once everything is compiled.",
        f"An epoch on all {raw['whole']['rows']:,} windows took {raw['whole']['seconds']:.0f} s, "
        f"compiling included, and at most {peak:.1f} GB of memory with the table (bar: "
        f"{MEMORY_GB:g} GB, {'met' if peak < MEMORY_GB else 'not met'}).",
        "neuralforecast: LSTM of the same width on the same channels, 256 windows a step; it cuts "
        "them from the series itself, with set-up and logging off, per step beyond the first 50.",
        f"Load average when it ended: {os.getloadavg()[0]:.2f}.",
    ]
    command = "FINTECH_DL_DATA=/my/data python tests/benchmarks/window_speed.py"
    print(write_result("window_speed", rows, notes, command, raw=raw))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        print(json.dumps(PARTS[sys.argv[1]](sys.argv[2])))
    else:
        main()
