"""The training loop: one for all estimators, networks and backends. Imports Keras.

A whole stretch of batches runs as one compiled call, on TensorFlow as a loop in the graph, on JAX
as a scan; measured against ``keras.Model.fit`` this trains 1.5 to 2 times as many rows per second.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from operator import itemgetter
from typing import Any

import numpy as np

from fintech_dl.estimators.groups import in_turn
from fintech_dl.estimators.members import Share, count_steps
from fintech_dl.networks.backend import keras

keras()

import keras as k  # noqa: E402
from keras import ops  # noqa: E402

from fintech_dl.estimators.optimizers import make_optimizer  # noqa: E402

STEPS_PER_CALL = 512  # so that Ctrl-C is answered within seconds


class RowFunction(k.Model):
    """A function of (model, arrays of rows) as a model of its own: one result per row."""

    def __init__(self, model: Any, function: Callable[..., Any], trimming: Any = None) -> None:
        super().__init__()
        self.inner, self.trimming = RowLayer(model, function), trimming
        self.compiled: Callable[..., Any] | None = None

    def call(self, arrays: tuple[Any, ...], training: bool | None = None) -> Any:
        """Return one result per row."""
        found = self.inner(arrays, training=training)
        if self.trimming is None or not training:
            return found
        return found * self.trimming(arrays, training=False)

    def infer(self, arrays: tuple[np.ndarray, ...]) -> np.ndarray:
        """Return one result per row of a block: ``predict_on_batch`` without what it adds."""
        if self.compiled is None:
            self(tuple(a[:1] for a in arrays))
            self.compiled = {"tensorflow": self._tensorflow, "jax": self._jax}[
                k.backend.backend()
            ]()
        return np.asarray(self.compiled(arrays))

    def _tensorflow(self) -> Callable[..., Any]:
        import tensorflow as tf

        def run(arrays: Any) -> Any:
            return self(arrays, training=False)

        fused = tf.function(run, jit_compile=True)  # up to twice as fast; the same bits per block
        return lambda arrays: fused(tuple(tf.constant(a) for a in arrays))

    def _jax(self) -> Callable[..., Any]:
        import jax

        run = jax.jit(lambda t, f, arrays: self.stateless_call(t, f, arrays, training=False)[0])
        variables = self.trainable_variables, self.non_trainable_variables
        return lambda arrays: run(*([v.value for v in part] for part in variables), arrays)


class RowLayer(k.layers.Layer):
    """Hands ``training`` on to every layer, which a model's own ``stateless_call`` would not."""

    def __init__(self, model: Any, function: Callable[..., Any]) -> None:
        super().__init__()
        self.model, self.function = model, function

    def call(self, arrays: tuple[Any, ...], training: bool | None = None) -> Any:
        """Return one result per row."""
        return self.function(self.model, *arrays)


def batches(
    rngs: list[np.random.Generator], parts: list[tuple[np.ndarray, np.ndarray]], steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return shuffled batches of equal size: row positions and weights of each member.

    ``parts`` are those of each member in order, from ``groups.in_turn``. Both have the shape
    (steps, n_members, size), of a single network (steps, size); of whole groups one more dimension,
    the rows of a group. The rows are spread evenly, so that no last batch is small; a free place
    repeats a row of the same batch with weight 0. Weights are such that the mean over a batch is
    the weighted mean over its real rows.
    """
    size = max(math.ceil(len(rows) / steps) for rows, _ in parts)
    shape = (steps, len(parts), size, *parts[0][0].shape[1:])
    index, weights = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.float32)
    for j, (rng, (rows, weight)) in enumerate(zip(rngs, parts, strict=True)):
        order = rng.permutation(len(rows)) if steps > 1 else np.arange(len(rows))
        for step, at in enumerate(np.array_split(order, steps)):
            index[step, j] = rows[at[0]]
            index[step, j, : len(at)] = rows[at]
            weights[step, j, : len(at)] = weight[at] * (size / len(at))
    return (index, weights) if len(parts) > 1 else (index[:, 0], weights[:, 0])


def _with_groups(rows: tuple[Any, ...], weights: Any) -> tuple[Any, ...]:
    """Return what the objective of one network is given: of whole groups the weights too."""
    return (*rows, weights) if len(weights.shape) > 1 else rows


class Trainer:
    """Runs batches of rows through an objective and an optimizer, on the backend in use.

    Several members are trained as one: their variables are stacked, and the gradient of all is
    taken in one vectorised step.
    """

    def __init__(
        self, objective: RowFunction, settings: dict[str, Any], n_members: int = 1
    ) -> None:
        self.objective, self.settings, self.n_members = objective, settings, n_members
        self.began: list[Any] = []
        self.run: Callable[..., Any] | None = None

    def read(self) -> list[Any]:
        """Return the values of the model's variables, trainable and other."""
        return [[ops.convert_to_numpy(v) for v in part] for part in self._own()]

    def begin(self, members: list[Any], steps: int, rate: float) -> None:
        """Take the values that each member begins with; the first time, make the optimizer."""
        many = self.n_members > 1
        stacks = [[np.stack(v) for v in zip(*part, strict=True)] for part in zip(*members)]  # noqa: B905
        if not self.began:
            self.trained, self.fixed = self._own()
            if many:
                self.trained, self.fixed = (
                    [k.Variable(v, dtype=str(v.dtype)) for v in part] for part in stacks
                )
            # of several members each gradient is clipped on its own, before they are stacked
            kept = {**self.settings, "clipnorm": None} if many else self.settings
            self.optimizer = make_optimizer(kept, steps)
            self.optimizer.build(self.trained)
            self.began = [ops.convert_to_numpy(v) for v in self.optimizer.variables]
        elif many:
            for part, values in zip((self.trained, self.fixed), stacks, strict=True):
                for variable, value in zip(part, values, strict=True):
                    variable.assign(value)
        if self.settings["schedule"] == "constant":  # another rate is no reason to compile anew
            self.optimizer.learning_rate = rate

    def restart(self) -> None:
        """Put the optimizer back to where it began, if it has begun."""
        if self.began:
            for variable, value in zip(self.optimizer.variables, self.began, strict=True):
                variable.assign(value)

    def show(self, member: int) -> None:
        """Put the weights of one member into the model."""
        if self.n_members > 1:
            for own, part in zip(self._own(), (self.trained, self.fixed), strict=True):
                for variable, stacked in zip(own, part, strict=True):
                    variable.assign(stacked[member])

    def epoch(self, arrays: tuple[Any, ...], index: Any, weights: np.ndarray) -> np.ndarray:
        """Train on every batch once; return the mean loss of each member."""
        if self.run is None:
            self.objective(tuple(a[:1] for a in arrays))
            make = {"tensorflow": self._tensorflow, "jax": self._jax}[k.backend.backend()]
            self.run = make(arrays, index, weights)
        total: Any = 0.0
        for start in range(0, len(weights), STEPS_PER_CALL):
            stretch = slice(start, start + STEPS_PER_CALL)
            losses = self.run(arrays, tuple(i[stretch] for i in index), weights[stretch])
            total = total + ops.convert_to_numpy(losses)
        return np.atleast_1d(total / len(weights))

    def _own(self) -> tuple[list[Any], list[Any]]:
        return self.objective.trainable_variables, self.objective.non_trainable_variables

    def _loss(self, trained: Any, fixed: Any, rows: Any, weights: Any) -> tuple[Any, Any]:
        """Return the loss of one batch of one member, and the changed variables."""
        given = _with_groups(rows, weights)
        per_row, fixed, penalties = self.objective.stateless_call(
            trained, fixed, given, training=True, return_losses=True
        )
        return ops.mean(per_row * weights) + sum(penalties), list(fixed)

    def _clipped(self, slopes: list[Any]) -> list[Any]:
        most = self.settings["clipnorm"]
        if most is None or self.n_members == 1:  # of a single network the optimizer does it
            return slopes
        norms = [ops.sqrt(ops.sum(ops.square(slope))) for slope in slopes]
        factors = [ops.minimum(1.0, most / ops.maximum(norm, 1e-30)) for norm in norms]
        return [slope * factor for slope, factor in zip(slopes, factors, strict=True)]

    def _tensorflow(self, arrays: Any, index: Any, weights: np.ndarray) -> Callable[..., Any]:
        import tensorflow as tf

        objective, optimizer, variables = self.objective, self.optimizer, self.trained

        def single(rows: Any, weights: Any) -> Any:
            with tf.GradientTape() as tape:
                given = _with_groups(rows, weights)
                loss = tf.reduce_mean(objective(given, training=True) * weights)
                if objective.losses:
                    loss += tf.add_n(objective.losses)
            optimizer.apply(tape.gradient(loss, variables), variables)
            return loss

        def member(state: Any) -> Any:
            trained, fixed, rows, weights = state
            with tf.GradientTape() as tape:
                tape.watch(trained)
                loss, fixed = self._loss(trained, fixed, rows, weights)
            slopes = tape.gradient(loss, trained, unconnected_gradients="zero")
            return self._clipped(slopes), fixed, loss

        @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
        def of_members(state: Any) -> Any:
            try:
                return tf.vectorized_map(member, state)
            except TypeError:  # a recurrent layer that hands on every step: one member by one
                own = (tf.nest.map_structure(itemgetter(j), state) for j in range(self.n_members))
                return tf.nest.map_structure(lambda *v: tf.stack(v), *map(member, own))

        def several(rows: Any, weights: Any) -> Any:
            values = [[v.value for v in part] for part in (variables, self.fixed)]
            slopes, fixed, loss = of_members((*values, rows, weights))
            optimizer.apply(slopes, variables)
            for variable, value in zip(self.fixed, fixed, strict=True):
                variable.assign(value)
            return loss

        step = single if self.n_members == 1 else several

        def run(arrays: Any, index: Any, weights: Any) -> Any:
            total = tf.zeros(() if self.n_members == 1 else (self.n_members,))
            for i in tf.range(tf.shape(weights)[0]):
                rows = tuple(tf.gather(a, at[i]) for a, at in zip(arrays, index))  # noqa: B905
                total += step(rows, weights[i])
            return total

        def of_any_size(a: np.ndarray, *kept: int) -> Any:
            sizes = [n if at in kept else None for at, n in enumerate(a.shape)]
            return tf.TensorSpec(sizes, a.dtype)

        # One graph for any number of rows and steps and any size of batch: were it made for the
        # sizes that came first, the bits of a fit would depend on the fits before it.
        many = () if self.n_members == 1 else (1,)
        signature = (
            tuple(of_any_size(a, *range(1, a.ndim)) for a in arrays),
            tuple(of_any_size(i, *many) for i in index),
            of_any_size(weights, *many),
        )
        return tf.function(run, input_signature=signature)

    def _jax(self, arrays: Any, index: Any, weights: np.ndarray) -> Callable[..., Any]:
        import jax

        optimizer = self.optimizer
        gradient = jax.value_and_grad(self._loss, has_aux=True)

        def clipped(*batch: Any) -> Any:
            (value, fixed), slopes = gradient(*batch)
            return value, fixed, self._clipped(slopes)

        slopes_of = clipped if self.n_members == 1 else jax.vmap(clipped)

        def run(state: Any, arrays: Any, index: Any, weights: Any) -> Any:
            def step(state: Any, batch: Any) -> Any:
                trained, fixed, moments = state
                rows = tuple(a[at] for a, at in zip(arrays, batch[0], strict=True))
                value, fixed, slopes = slopes_of(trained, fixed, rows, batch[1])
                trained, moments = optimizer.stateless_apply(moments, slopes, trained)
                return (list(trained), fixed, list(moments)), value

            state, values = jax.lax.scan(step, state, (index, weights))
            return state, values.sum(axis=0)

        compiled = jax.jit(run)

        def call(arrays: Any, index: Any, weights: np.ndarray) -> Any:
            variables = (self.trained, self.fixed, optimizer.variables)
            state = tuple([v.value for v in part] for part in variables)
            state, total = compiled(state, arrays, index, weights)
            for part, values in zip(variables, state, strict=True):
                for variable, value in zip(part, values, strict=True):
                    variable.assign(value)
            return total

        return call


def mean_course(records: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Return the loss per epoch, and what was monitored, averaged over the members in training."""
    found = {}
    for name in ("loss", "validation_loss", "monitor"):
        curves = [record[name] for record in records if name in record]
        longest = max(map(len, curves), default=0)
        means = [float(np.mean([c[e] for c in curves if len(c) > e])) for e in range(longest)]
        found.update({name: means} if means else {})
    return found


def _moved(index: np.ndarray, offset: np.ndarray | None) -> np.ndarray:
    return index if offset is None else index + offset


class Course:
    """How training went for one member: its best epoch so far, and when it is to stop."""

    def __init__(self, seed: int) -> None:
        self.record: dict[str, Any] = {"seed": seed, "best_epoch": 0, "loss": []}
        self.best, self.weights, self.running = -math.inf, None, True

    def see(self, epoch: int, found: tuple[float, float], model: Any, patience: int) -> None:
        """Take in the validation loss and the monitored value of the weights in the model."""
        for name, value in zip(("validation_loss", "monitor"), found, strict=True):
            self.record.setdefault(name, []).append(value)
        if found[1] > self.best:
            self.best, self.record["best_epoch"] = found[1], epoch
            self.weights = model.get_weights()
        self.running = epoch - self.record["best_epoch"] < patience


def train(
    trainer: Trainer,
    arrays: tuple[np.ndarray, ...],
    *,
    offsets: tuple[np.ndarray | None, ...],
    shares: list[Share],
    epochs: int,
    batch_size: int,
    begun: int,
    model: Any,
    validate: list[Callable[[], tuple[float, float]]],
    patience: int,
    name: str = "",
    verbose: int = 0,
) -> tuple[list[dict[str, Any]], list[list[np.ndarray]]]:
    """Train each member for ``epochs``, or until ``patience`` epochs brought it nothing better.

    ``arrays`` are rows and, if there are any, targets. Where a member has targets of its own they
    lie one below the other, and ``offsets`` says for each array where each member's begin, as
    (n_members, 1), of whole groups (n_members, 1, 1), or None where all share it. ``begun``, the
    epochs trained before this call, decides with the seed the order of rows. ``validate`` has a
    function for each member, or is empty: it returns the validation loss and the monitored value
    (higher = better) of the weights in the model.

    Returns the record of each member (seed, best epoch, and per epoch loss, validation loss and
    monitored value) and the weights of its best epoch.
    """
    on_device = tuple(ops.convert_to_tensor(a) for a in arrays)
    rngs = [np.random.default_rng([share.seed, begun]) for share in shares]
    parts, steps = in_turn(shares), count_steps(shares, batch_size)
    courses = [Course(share.seed) for share in shares]
    for epoch in range(1, epochs + 1):
        started = time.perf_counter()
        index, weights = batches(rngs, parts, steps)
        losses = trainer.epoch(on_device, tuple(_moved(index, o) for o in offsets), weights)
        if not np.isfinite(losses).all():
            raise ValueError(
                f"training diverged in epoch {epoch}: the loss is {losses[~np.isfinite(losses)][0]}"
                ". Lower learning_rate, set clipnorm=1.0, or look for extreme values in the columns"
            )
        for j, course in enumerate(courses):
            if course.running:
                course.record["loss"].append(float(losses[j]))
                if validate:
                    trainer.show(j)
                    course.see(epoch, validate[j](), model, patience)
        if verbose:
            told = ", ".join(
                f"{what} {v[-1]:.5f}"
                for what, v in mean_course([c.record for c in courses]).items()
            )
            took = time.perf_counter() - started
            print(f"[{name}] epoch {epoch}/{epochs}: {told} ({took:.1f} s)", flush=True)
        if not any(course.running for course in courses):
            break
    kept = []
    for j, course in enumerate(courses):
        trainer.show(j)
        if course.weights is None:
            course.record["best_epoch"] = epochs
        elif trainer.n_members == 1:
            model.set_weights(course.weights)
        kept.append(course.weights or model.get_weights())
    return [course.record for course in courses], kept
