"""Training against anomalies among the training rows: the worst of each batch do not count.

Imports Keras: import it in methods only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fintech_dl.networks.backend import keras

keras()

from keras import layers, ops  # noqa: E402

DECAY = 0.999  # of the teacher's weights, per step; less at first, so that it does not lag behind
BEGIN = 10
RAMP = 0.1  # share of the steps over which the trimmed share grows from 0


class Trimming(layers.Layer):
    """Weighs the rows of a batch: 0 those that a slow copy of the network finds worst, else 1.

    The copy, the teacher, is a moving average of all weights over the steps. It has not followed
    the last few batches yet, and therefore does not excuse an anomaly that was just learned. It is
    no part of the fitted state, and a fit begins with a teacher equal to the network.

    Parameters
    ----------
    model : keras.Model
        The network in training.
    teacher : keras.Model
        Another of the same structure.
    score : callable
        A row's anomaly score as a function of (model, rows).
    share : float
        Share of each batch that is left out, in [0, 1).

    Notes
    -----
    The self-paced idea of Kumar, Packer and Koller (2010), with the averaged teacher of Tarvainen
    and Valpola (2017). Rows as bad as the last one kept are kept: of equal rows none is left out.
    """

    def __init__(self, model: Any, teacher: Any, score: Callable[..., Any], share: float) -> None:
        super().__init__()
        teacher.trainable = False
        self.teacher, self.score, self.share = teacher, score, share
        self.pairs = lambda: zip(teacher.weights, model.weights, strict=True)
        self.step = self.add_weight(name="step", initializer="zeros", trainable=False)
        self.ramp = self.add_weight(name="ramp", initializer="ones", trainable=False)
        self.built = True  # all there is; nothing waits for the first rows

    def begin(self, steps: int) -> None:
        """Begin a fit of so many steps."""
        self.step.assign(0.0)
        self.ramp.assign(max(1.0, RAMP * steps))

    def call(self, arrays: tuple[Any, ...], training: bool | None = None) -> Any:
        """Return the weight of each row; ``arrays`` are rows and, if there are any, labels."""
        self._follow()
        scores = ops.stop_gradient(self.score(self.teacher, arrays[0]))
        share = self.share * ops.minimum(1.0, self.step / self.ramp)
        self.step.assign(self.step + 1)
        n = scores.shape[0] or ops.shape(scores)[0]
        dropped = ops.cast(ops.floor(share * ops.cast(n, "float32") + 1e-3), "int32")
        worst = ops.take(ops.sort(scores), n - 1 - dropped)
        kept = scores <= worst
        if len(arrays) > 1:  # a known anomaly teaches, and is not learned
            kept = ops.logical_or(kept, ops.equal(ops.reshape(arrays[1], (-1,)), 1))
        return ops.cast(kept, "float32")

    def _follow(self) -> None:
        decay = ops.minimum(DECAY, self.step / (self.step + BEGIN))
        for slow, weight in self.pairs():
            if "float" in str(slow.dtype):
                own = ops.convert_to_tensor(weight)
                moved = decay * slow + (1 - decay) * own
                slow.assign(ops.where(self.step > 0, moved, own))
            else:
                slow.assign(weight)
