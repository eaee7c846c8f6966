"""The layer of the deviation network. Imports Keras: import it in methods only."""

from __future__ import annotations

from typing import Any

from fintech_dl.networks.backend import Tensor, keras
from fintech_dl.networks.noise import Noise

keras()

from keras import ops, random  # noqa: E402


class ScaledNoise(Noise):
    """Noise of a random size for each row: ``largest`` standard deviations of a column at most."""

    def __init__(self, largest: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.largest = largest

    def blurred(self, rows: Tensor, seed: Any) -> tuple[Tensor, Tensor]:
        """Return noisy rows, and the size of their noise as a share of the largest."""
        size = random.uniform((ops.shape(rows)[0], 1), seed=seed)
        return rows + self.largest * size * random.normal(ops.shape(rows), seed=seed), size
