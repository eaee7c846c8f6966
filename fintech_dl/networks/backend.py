"""The one door to Keras, and names for what passes through it."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from fintech_dl.errors import NotInstalledError

Tensor = Any
Columns = list[dict[str, Any]]
Settings = dict[str, Any]


def keras() -> ModuleType:
    """Import Keras, on TensorFlow unless ``KERAS_BACKEND`` or what is installed says otherwise.

    Raises
    ------
    NotInstalledError
        Keras or every backend is missing.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "KERAS_BACKEND" not in os.environ and not find_spec("tensorflow") and find_spec("jax"):
        os.environ["KERAS_BACKEND"] = "jax"
    if find_spec("keras") is None or not (find_spec("tensorflow") or find_spec("jax")):
        raise NotInstalledError(
            "training needs Keras and a backend, which are not installed; "
            'install them with: pip install "fintech-dl[tensorflow]" (or "fintech-dl[jax]")'
        )
    if "keras" not in sys.modules:
        _cap_threads()
        with quietly():
            import keras as module

            module.ops.zeros(())
        logging.getLogger("tensorflow").addFilter(_concerns_the_user)
    return sys.modules["keras"]


def _cap_threads() -> None:
    """Keep a backend to the threads that joblib, Ray or a scheduler leaves to this process.

    They say so in ``OMP_NUM_THREADS``, which no backend reads.
    """
    if (threads := os.environ.get("OMP_NUM_THREADS", "")).isdigit():
        for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "NPROC"):  # NPROC: JAX
            os.environ.setdefault(name, threads)


def _concerns_the_user(message: logging.LogRecord) -> bool:
    """Drop TensorFlow's advice on how functions are traced and vectorised."""
    text = message.getMessage()
    return "triggered tf.function retracing" not in text and "Using a while_loop" not in text


@contextmanager
def quietly() -> Iterator[None]:
    """Keep what libraries print while they load off the terminal, and NumPy's state as it was.

    JAX, which Keras imports on every backend, draws random numbers on import.
    """
    state = np.random.get_state()
    with Path(os.devnull).open("w") as nowhere:
        stderr = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            np.random.set_state(state)
