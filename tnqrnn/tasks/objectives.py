"""Objectives: what a kind of task asks of a model, and how it is scored.

An objective cuts a split into batches, sums a loss and other quantities over the
targets of one batch, and turns sums over a whole split into scores. Training and
evaluation know no kind of task by name: a new kind is a new objective.

The arrays of a split go to the device once (:meth:`AbstractObjective.arrange`); a step
of training is a few numbers that say which part of them is its batch
(:meth:`AbstractObjective.training_steps`, :meth:`AbstractObjective.batch`).
"""

import abc
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.checks import check_bool, check_choice, check_int, check_shape

Sums = dict[str, jax.Array]
"""Weighted sums over the targets of a batch, by name; those of two batches add up."""


class Batch(NamedTuple):
    """Samples, and how much each of their targets counts.

    Attributes:
        inputs (array of shape (B, T, F) or (B, T)): features, or token ids.
        targets (array of shape (B, ...) or (B, T, ...)): classes or numbers.
        weights (array of shape (B,) or (B, T)): >= 0, one a target.
        lengths (array of shape (B,)): steps of each sample that count; ``None`` when
            all do.
    """

    inputs: Any
    targets: jax.Array
    weights: jax.Array
    lengths: jax.Array | None


class AbstractObjective(abc.ABC):
    """How a kind of task is cut into batches, what it minimises, and its scores.

    An objective is a frozen value without arrays, so that compiled programs are found
    again by it.

    Attributes:
        judge: the score that chooses the best epoch.
        higher_is_better: whether a larger ``judge`` is better.
        carries: whether a batch goes on where the one before ended, so that the model's
            carry is passed on (:class:`LanguageModelling`).
    """

    judge: ClassVar[str]
    higher_is_better: ClassVar[bool]

    @property
    def carries(self) -> bool:
        return False

    @abc.abstractmethod
    def arrange(self, split: Any, batch_size: int) -> dict[str, np.ndarray]:
        """The split's arrays as :meth:`batch` wants them.

        Raises:
            ValueError: the split is too small for ``batch_size``.
        """

    @abc.abstractmethod
    def training_steps(
        self, split: Any, batch_size: int, *, seed: int, epoch: int
    ) -> np.ndarray:
        """What each step of an epoch takes, from the seed and the epoch alone.

        Returns:
            int32 of shape (S, ...), one entry a step, as many in every epoch.
        """

    @abc.abstractmethod
    def scoring_steps(self, split: Any, batch_size: int) -> np.ndarray:
        """The same for a look at every target of a split once, in order."""

    @abc.abstractmethod
    def batch(self, data: Mapping[str, jax.Array], step: jax.Array) -> Batch:
        """One step's part of the arranged data; runs inside a compiled program."""

    @abc.abstractmethod
    def sums(self, outputs: jax.Array, batch: Batch) -> Sums:
        """Weighted sums over a batch; ``loss`` and ``weight`` are among them.

        Training minimises ``loss / weight``.

        Raises:
            ValueError: the model's outputs do not fit the targets.
        """

    @abc.abstractmethod
    def scores(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Scores by name from sums over a whole split; ``loss`` is among them."""

    def whole_split_scores(
        self, model: Any, split: Any, batch_size: int
    ) -> dict[str, float]:
        """Scores that no sum over batches gives, such as BLEU; none by default."""
        return {}


@dataclass(frozen=True)
class AbstractSampleObjective(AbstractObjective):
    """Samples are independent of each other: an epoch takes them in random order."""

    def arrange(self, split: Any, batch_size: int) -> dict[str, np.ndarray]:
        data = {
            "inputs": split.inputs,
            "targets": split.targets,
            "weights": split.weights,
        }
        return data if split.lengths is None else data | {"lengths": split.lengths}

    def training_steps(
        self, split: Any, batch_size: int, *, seed: int, epoch: int
    ) -> np.ndarray:
        return shuffled_rows(len(split), batch_size, seed=seed, epoch=epoch)

    def scoring_steps(self, split: Any, batch_size: int) -> np.ndarray:
        return padded_rows(len(split), min(batch_size, len(split)))

    def batch(self, data: Mapping[str, jax.Array], step: jax.Array) -> Batch:
        # A row of -1 fills a batch up: sample 0 with a weight of 0.
        real = step >= 0
        taken = {name: values[jnp.maximum(step, 0)] for name, values in data.items()}
        weights = taken["weights"]
        real = real.astype(weights.dtype).reshape(-1, *(1,) * (weights.ndim - 1))
        weights = weights * real
        return Batch(taken["inputs"], taken["targets"], weights, taken.get("lengths"))


@dataclass(frozen=True)
class Classify(AbstractSampleObjective):
    """Cross entropy of one class a sequence, or one class a step.

    Scores are ``loss``, the mean cross entropy in nats, and ``accuracy`` in [0, 1].

    Args:
        n_classes: the model gives at least so many logits.

    >>> Classify(3).scores({"loss": 2.0, "correct": 3.0, "weight": 4.0})
    {'loss': 0.5, 'accuracy': 0.75}
    """

    n_classes: int
    judge: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool] = True

    def sums(self, outputs: jax.Array, batch: Batch) -> Sums:
        weights = batch.weights.astype(outputs.dtype)
        return cross_entropy_sums(outputs, batch.targets, weights, self.n_classes)

    def scores(self, sums: Mapping[str, float]) -> dict[str, float]:
        weight = sums["weight"]
        return {"loss": sums["loss"] / weight, "accuracy": sums["correct"] / weight}


@dataclass(frozen=True)
class Regress(AbstractSampleObjective):
    """Squared error of numbers, a few a sequence or a few a step.

    Scores are ``loss`` and ``mean_squared_error``, both the mean over all targets that
    count, in squared units of the targets.
    """

    judge: ClassVar[str] = "mean_squared_error"
    higher_is_better: ClassVar[bool] = False

    def sums(self, outputs: jax.Array, batch: Batch) -> Sums:
        targets = batch.targets.astype(outputs.dtype)
        # One number a target may come with or without an axis of its own.
        if outputs.shape == (*targets.shape, 1):
            targets = targets[..., None]
        check_shape("model's outputs", outputs, targets.shape)
        weights = batch.weights.astype(outputs.dtype)
        of_a_target = tuple(range(weights.ndim, outputs.ndim))
        squares = jnp.mean((outputs - targets) ** 2, axis=of_a_target)
        return {"loss": jnp.sum(weights * squares), "weight": jnp.sum(weights)}

    def scores(self, sums: Mapping[str, float]) -> dict[str, float]:
        error = sums["loss"] / sums["weight"]
        return {"loss": error, "mean_squared_error": error}


@dataclass(frozen=True)
class LanguageModelling(AbstractObjective):
    """Cross entropy of the next token of a stream, window after window.

    The N tokens of a stream give N - 1 pairs of a token and the one after it. They are
    cut into B rows of equal length, and each row into windows of W steps, which follow
    each other. Steps that fill up a row have weight 0, so that every pair counts once,
    in training and in evaluation.

    The carry of a window is the start of the next, its gradient stopped (truncated
    backpropagation). Each row starts from the cell's own first carry: scores depend on
    B, and with B = 1 nothing of the context is cut. With ``carry=False`` every window
    starts from there and knows no more than its own tokens, and windows are trained on
    in an order drawn from seed and epoch.

    Scores are ``loss`` in nats per token, ``accuracy``, ``perplexity`` = exp(loss) and,
    where a token is a character, ``bits_per_character`` = loss / ln 2.

    Args:
        n_tokens: size of the vocabulary.
        window: W, steps between two truncations of the gradient.
        unit: what a token is, ``"character"`` or ``"word"``. The best epoch is chosen
            by perplexity, which bits per character order alike.
        carry: whether a window starts where the one before it ended.
    """

    n_tokens: int
    window: int = 100
    unit: str = "character"
    carry: bool = True
    judge: ClassVar[str] = "perplexity"
    higher_is_better: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_int("n_tokens", self.n_tokens, minimum=2)
        check_int("window", self.window, minimum=1)
        check_choice("unit", self.unit, ("character", "word"))
        check_bool("carry", self.carry)

    @property
    def carries(self) -> bool:
        return self.carry

    def arrange(self, split: Any, batch_size: int) -> dict[str, np.ndarray]:
        tokens = split.tokens
        n_pairs = len(tokens) - 1
        row = -(-n_pairs // batch_size)
        steps = -(-row // self.window) * self.window
        index = np.arange(batch_size)[:, None] * row + np.arange(steps)[None, :]
        real = (index < n_pairs) & (np.arange(steps)[None, :] < row)
        index = np.where(real, index, 0)
        return {
            "inputs": tokens[index],
            "targets": tokens[index + 1],
            "weights": real.astype(np.float32),
        }

    def training_steps(
        self, split: Any, batch_size: int, *, seed: int, epoch: int
    ) -> np.ndarray:
        windows = self.scoring_steps(split, batch_size)
        if self.carry:  # one order: neither seed nor epoch changes it
            return windows
        return np.random.default_rng([seed, epoch]).permutation(windows)

    def scoring_steps(self, split: Any, batch_size: int) -> np.ndarray:
        row = -(-(len(split) - 1) // batch_size)
        return np.arange(0, row, self.window, dtype=np.int32)

    def batch(self, data: Mapping[str, jax.Array], step: jax.Array) -> Batch:
        window = {
            name: jax.lax.dynamic_slice_in_dim(values, step, self.window, axis=1)
            for name, values in data.items()
        }
        return Batch(window["inputs"], window["targets"], window["weights"], None)

    def sums(self, outputs: jax.Array, batch: Batch) -> Sums:
        weights = batch.weights.astype(outputs.dtype)
        return cross_entropy_sums(outputs, batch.targets, weights, self.n_tokens)

    def scores(self, sums: Mapping[str, float]) -> dict[str, float]:
        nats = sums["loss"] / sums["weight"]
        scores = {
            "loss": nats,
            "accuracy": sums["correct"] / sums["weight"],
            "perplexity": math.exp(min(nats, 700.0)),  # beyond, exp overflows
        }
        if self.unit == "character":
            scores["bits_per_character"] = nats / math.log(2)
        return scores


def cross_entropy_sums(
    logits: jax.Array, targets: jax.Array, weights: jax.Array, n_classes: int
) -> Sums:
    """Sums over targets of cross entropy and of right guesses.

    ``loss = sum_i w_i (ln sum_c exp(l_ic) - l_iy)`` in nats, with y the target of i;
    ``correct = sum_i w_i [argmax_c l_ic = y]``, of equal logits the first counts.

    Args:
        logits (array of shape (..., C)): real.
        targets (array of shape (...)): integers in [0, C).
        weights (array of shape (...)): >= 0, of the logits' dtype.
        n_classes: the least C that covers all targets.

    Returns:
        ``loss``, ``correct`` and ``weight``, each of shape ().

    Raises:
        ValueError: the logits have other axes than the targets and C, or C < n_classes.

    >>> logits, target = jnp.zeros((1, 4)), jnp.array([2])
    >>> sums = cross_entropy_sums(logits, target, jnp.ones(1), 4)
    >>> round(float(sums["loss"]), 4)  # ln 4
    1.3863
    """
    *_, n_logits = check_shape("model's logits", logits, (*targets.shape, "C"))
    if n_logits < n_classes:
        raise ValueError(
            f"model must give at least {n_classes} logits, one for each class of the "
            f"targets, got {n_logits}."
        )
    # log_softmax subtracts the largest logit first, so that no loss drowns in it.
    logs = jax.nn.log_softmax(logits)
    losses = -jnp.take_along_axis(logs, targets[..., None], axis=-1)[..., 0]
    hits = jnp.argmax(logits, axis=-1).astype(targets.dtype) == targets
    return {
        "loss": jnp.sum(weights * losses),
        "correct": jnp.sum(weights * hits.astype(weights.dtype)),
        "weight": jnp.sum(weights),
    }


def shuffled_rows(
    n_samples: int, batch_size: int, *, seed: int, epoch: int
) -> np.ndarray:
    """The samples of each step of one epoch, from the seed and the epoch alone.

    Every sample is drawn at most once; the ``n_samples % batch_size`` that do not fill
    a batch are left out, other ones in every epoch.

    Returns:
        int32 of shape (n_samples // batch_size, batch_size).
    """
    rows = np.random.default_rng([seed, epoch]).permutation(n_samples)
    n_steps = n_samples // batch_size
    return rows[: n_steps * batch_size].reshape(n_steps, batch_size).astype(np.int32)


def padded_rows(n_samples: int, batch_size: int) -> np.ndarray:
    """All samples in order, the last batch filled up with -1.

    Returns:
        int32 of shape (ceil(n_samples / batch_size), batch_size).
    """
    n_steps = -(-n_samples // batch_size)
    rows = np.arange(n_steps * batch_size, dtype=np.int32).reshape(n_steps, batch_size)
    return np.where(rows < n_samples, rows, np.int32(-1))
