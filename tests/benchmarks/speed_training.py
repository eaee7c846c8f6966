"""Parts of the speed benchmark that train: ours and bare Keras in turns, PyTorch on its own.

Each function returns raw numbers, all times in seconds. ``quick`` means tiny sizes, for trying.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from speed_rounds import fastest, in_turns, timed

Fit = Callable[[int], Any]  # trains for so many epochs
WINDOWS = {"lstm": (30, 8), "windows": (60, 6)}  # steps and channels; else 32 columns
SHORT, LONG = 2, 6  # epochs of two fits, whose difference holds neither compiling nor set-up
SIZES = {"mlp": (32, 1024, 200_000), "lstm": (240, 256, 20_000)}  # columns, batch, rows
# steps_per_execution and jit_compile of bare Keras; JAX without jit runs each operation alone
SETTINGS = {
    "tensorflow": [(1, "auto"), (32, "auto"), (1, False), (32, False)],
    "jax": [(1, "auto"), (32, "auto")],
}


def settings() -> list[tuple[int, Any]]:
    return SETTINGS[os.environ["KERAS_BACKEND"]]


def numbers(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and a target that depends on three columns."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, columns), dtype=np.float32)
    return X, X[:, 0] * X[:, 1] + X[:, 2]


def per_epoch(fit: Fit, short: int = SHORT, long: int = LONG) -> float:
    """Return the seconds of one epoch of a network that is compiled already."""
    seconds = timed(lambda: fit(long)) - timed(lambda: fit(short))
    return max(seconds / (long - short), 1e-6)


def keras_model(kind: str) -> Any:
    from keras import Input, Sequential, layers

    if kind == "mlp":
        inner = [Input((32,)), *(layers.Dense(256, activation="relu") for _ in range(2))]
    else:
        inner = [Input(WINDOWS[kind]), layers.LSTM(64)]
    return Sequential([*inner, layers.Dense(1)])


def keras_fit(kind: str, X: np.ndarray, y: np.ndarray, batch: int, steps: int, jit: Any) -> Fit:
    import keras

    model = keras_model(kind)
    model.compile(keras.optimizers.Adam(1e-3), "mse", steps_per_execution=steps, jit_compile=jit)
    return lambda epochs: model.fit(X, y, batch_size=batch, epochs=epochs, verbose=0)


def beside_keras(
    kind: str, X: Any, y: Any, batch: int, tries: Any, rounds: int, **epochs: int
) -> dict[str, Any]:
    """Time an epoch of ours and of bare Keras with its fastest settings."""
    from fintech_dl import LSTM, MLP, NeuralRegressor

    shape = WINDOWS.get(kind, (len(X[0]),))
    network = MLP(units=(256, 256)) if kind == "mlp" else LSTM(units=64, channels=shape[1])

    def ours(epochs: int) -> Any:
        model = NeuralRegressor(
            network=network, batch_size=batch, epochs=epochs, optimizer="adam", learning_rate=1e-3
        )
        return model.set_params(schedule="constant", random_state=0).fit(X, y)

    shaped = X.reshape(len(X), *shape)
    fits = {
        f"steps_per_execution={steps}, jit_compile={jit}": keras_fit(
            kind, shaped, y, batch, steps, jit
        )
        for steps, jit in tries
    }
    for fit in (ours, *fits.values()):
        fit(1)
    best = fastest({name: partial(per_epoch, fit, **epochs) for name, fit in fits.items()})
    sides = {"ours": ours, "keras": fits[best]}
    tasks = {name: partial(per_epoch, fit, **epochs) for name, fit in sides.items()}
    return {"rows": len(X), "keras_settings": best, **in_turns(tasks, rounds)}


def training(kind: str, quick: bool) -> dict[str, Any]:
    columns, batch, rows = SIZES[kind]
    X, y = numbers(rows // 20 if quick else rows, columns)
    tries = settings()[:2] if quick else settings()
    return beside_keras(kind, X, y, batch, tries, 2 if quick else 5)


def mlp(quick: bool) -> dict[str, Any]:
    return training("mlp", quick)


def lstm(quick: bool) -> dict[str, Any]:
    return training("lstm", quick)


def in_torch(kind: str, X: Any, y: Any, batch: int, rounds: int, **epochs: int) -> dict[str, Any]:
    """Time an epoch of a plain PyTorch loop, with Adam fused and not."""
    import torch

    shape = WINDOWS.get(kind, (len(X[0]),))

    class Recurrent(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(shape[-1], 64, batch_first=True)
            self.head = torch.nn.Linear(64, 1)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(x)[0][:, -1])

    def dense() -> Any:
        a, b, c = (torch.nn.Linear(*size) for size in ((32, 256), (256, 256), (256, 1)))
        return torch.nn.Sequential(a, torch.nn.ReLU(), b, torch.nn.ReLU(), c)

    rows, target = torch.from_numpy(X.reshape(len(X), *shape)), torch.from_numpy(y)

    def fit(fused: bool) -> Fit:
        model = dense() if kind == "mlp" else Recurrent()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=fused)

        def run(epochs: int) -> None:
            for _ in range(epochs):
                for at in torch.randperm(len(rows)).split(batch):
                    optimizer.zero_grad()
                    loss = torch.nn.functional.mse_loss(model(rows[at])[:, 0], target[at])
                    loss.backward()
                    optimizer.step()

        run(1)
        return run

    tasks = {
        name: partial(per_epoch, fit(fused), **epochs)
        for name, fused in (("fused", True), ("plain", False))
    }
    return {"rows": len(X), "threads": torch.get_num_threads(), **in_turns(tasks, rounds)}


def torch_training(kind: str, quick: bool) -> dict[str, Any]:
    if find_spec("torch") is None:
        return {"absent": True}
    columns, batch, rows = SIZES[kind]
    X, y = numbers(rows // 20 if quick else rows, columns)
    return in_torch(kind, X, y, batch, 2 if quick else 5)


def torch_mlp(quick: bool) -> dict[str, Any]:
    return torch_training("mlp", quick)


def torch_lstm(quick: bool) -> dict[str, Any]:
    return torch_training("lstm", quick)


def member_fits(quick: bool, *, keep: bool = False) -> dict[str, Callable[[], Any]]:
    """Return one fit of eight members, and eight fits; ``keep`` the eight, to predict with.

    A model that is kept keeps its compiled network, one that is dropped leaves it to the next.
    """
    from fintech_dl import MLP, NeuralClassifier

    X, target = numbers(1_000 if quick else 20_000, 30)
    y = (target > 0).astype(int)

    def fit(n_members: int, seed: int) -> Any:
        epochs = 2 if quick else 20
        model = NeuralClassifier(network=MLP(), epochs=epochs, n_members=n_members)
        return model.set_params(random_state=seed).fit(X, y)

    def apart() -> list[Any]:
        if keep:
            return [fit(1, seed) for seed in range(8)]
        return [fit(1, seed).weights_ for seed in range(8)]

    return {"together": lambda: fit(8, 0), "apart": apart}


def members(quick: bool) -> dict[str, Any]:
    """Time one fit of eight members and eight fits, everything compiled."""
    fits = member_fits(quick)
    for fit in fits.values():
        fit()
    tasks = {name: partial(timed, fit) for name, fit in fits.items()}
    return in_turns(tasks, 2 if quick else 5)


def members_cold(quick: bool) -> dict[str, Any]:
    """Time the same, compiling included, each in a fresh process that has imported Keras.

    The eight models are kept, as whoever predicts with the ensemble keeps them.
    """
    code = (
        "import sys, speed_rounds, speed_training, keras, fintech_dl.estimators.training\n"
        "fits = speed_training.member_fits(sys.argv[2] == 'True', keep=True)\n"
        "fit = fits[sys.argv[1]]\n"
        "print(speed_rounds.timed(fit))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}

    def fresh(name: str) -> float:
        words = [sys.executable, "-c", code, name, str(quick)]
        done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        return float(json.loads(done.stdout.splitlines()[-1]))

    tasks = {name: partial(fresh, name) for name in ("together", "apart")}
    return in_turns(tasks, 1 if quick else 3)


def overhead(quick: bool) -> dict[str, Any]:
    """Time the first and second fit of a network on 1,000 rows, beside bare Keras of the same.

    Each round has another number of columns, so that nothing fits what is compiled already.
    """
    import keras
    from keras import layers

    from fintech_dl import MLP, NeuralClassifier

    def ours(X: np.ndarray, y: np.ndarray) -> Any:
        return NeuralClassifier(network=MLP(), epochs=5, random_state=0).fit(X, y)

    def bare(X: np.ndarray, y: np.ndarray, steps: int, jit: Any) -> Any:
        dense = [layers.Dense(n, activation="relu") for n in (128, 64)]
        model = keras.Sequential([keras.Input(X.shape[1:]), *dense, layers.Dense(1)])
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(1e-3), loss, steps_per_execution=steps, jit_compile=jit)
        return model.fit(X, y, batch_size=256, epochs=5, verbose=0)

    found: dict[str, list[float]] = {}
    for i in range(2 if quick else 6):
        X, target = numbers(1_000, 30 + i)
        y = (target > 0).astype(np.float32)
        tasks = {"first": partial(ours, X, y), "second": partial(ours, X, y)}
        for steps, jit in settings():
            name = f"keras steps_per_execution={steps}, jit_compile={jit}"
            tasks[name] = partial(bare, X, y, steps, jit)
        for name, task in tasks.items():
            seconds = timed(task)
            if i:  # the first round warms the process up
                found.setdefault(name, []).append(seconds)
    return found


def memory(quick: bool) -> dict[str, Any]:
    """Return the resident memory, in MB, after 10 and after all fits of a grid search."""
    from sklearn.model_selection import GridSearchCV

    from fintech_dl import MLP, NeuralClassifier

    X, target = numbers(1_000, 30)
    seen: list[float] = []

    def scoring(model: Any, X: Any, y: Any) -> float:
        score = float(model.score(X, y))
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        seen.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
        return score

    grid = {
        "learning_rate": np.geomspace(1e-4, 1e-2, 2 if quick else 10).tolist(),
        "network__units": [16, 32, 64, (32, 16), (64, 32)],
    }
    model = NeuralClassifier(network=MLP(), epochs=2, random_state=0)
    search = GridSearchCV(model, grid, cv=2, scoring=scoring, refit=False, n_jobs=1)
    search.fit(X, (target > 0).astype(int))
    return {"fits": len(seen), "after_10": seen[9], "after_all": seen[-1], "every_fit": seen}
