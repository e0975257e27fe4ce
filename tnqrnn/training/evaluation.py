"""Scoring a model on all samples of a split."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.checks import check_int
from tnqrnn.tasks import (
    AbstractObjective,
    Classify,
    LanguageModelling,
    Regress,
    Split,
    Stream,
)
from tnqrnn.tasks.splits import TARGETS
from tnqrnn.training.chunks import compiled, in_chunks
from tnqrnn.training.programs import Model, score_steps


def evaluate(
    model: Model, split: Split | Stream, *, batch_size: int = 64
) -> dict[str, float]:
    """The scores of a model over all targets of a split, each counted once.

    Args:
        model: inputs to outputs, see :func:`tnqrnn.fit`.
        split: the samples, or a stream; masked steps do not count.
        batch_size: samples at a time, cut to the number of samples; the result depends
            on it by rounding alone. A stream is cut into so many rows, each of which
            begins without context: only ``batch_size=1`` leaves all of it. One program
            is compiled for each shape.

    Returns:
        the scores of the split's objective: ``loss``, and ``accuracy``,
        ``mean_squared_error``, ``perplexity`` or ``bits_per_character`` where they
        apply. For a model with a quantum state, what truncation lost, too, by a
        sample's end: ``infidelity`` (1 - exp(log_fidelity)), ``readout_bound`` and
        ``discarded_weight`` (summed over bonds), means over samples, and the largest of
        each as ``infidelity_max`` and so on; all are 0 for exact states.

    Raises:
        ValueError: a task instead of one of its splits, a batch_size below 1, token ids
            that the model does not have, or outputs that do not fit the targets.
        TruncationError: a backend with ``on_truncation="raise"`` lost too much.
    """
    check_int("batch_size", batch_size, minimum=1)
    check_split(split)
    check_fit(model, split)
    scores = Scoring(model, split, batch_size).scores(model, lambda: None)
    return scores | split.objective.whole_split_scores(model, split, batch_size)


def check_split(split: Any) -> None:
    """Refuses what is no split.

    Raises:
        ValueError: it is none, a whole task, say.
    """
    if not isinstance(split, Split | Stream):
        raise ValueError(
            "split must be one of a task's splits, task.test, say, got a "
            f"{type(split).__name__}."
        )


def check_fit(model: Any, split: Split | Stream) -> None:
    """Refuses a split that one of the library's models cannot learn.

    Raises:
        ValueError: another kind of targets, or token ids out of range.
    """
    if not hasattr(model, "run"):
        return  # a function of the user's own: its outputs are checked
    built_in = isinstance(split.objective, Classify | Regress | LanguageModelling)
    if built_in and split.kind not in model.learns:
        learns = " or ".join(TARGETS[kind] for kind in model.learns)
        raise ValueError(
            f"model must predict {TARGETS[split.kind]}, as the targets say, got a "
            f"{type(model).__name__}, which predicts {learns}."
        )
    inputs = split.tokens if isinstance(split, Stream) else split.inputs
    lengths = None if isinstance(split, Stream) else split.lengths
    model.check_inputs(inputs, lengths)


def first_carry(model: Any, objective: AbstractObjective, batch_size: int) -> Any:
    """What a model starts from where batches go on; ``None`` where they do not.

    Raises:
        ValueError: a model without a carry, or one whose carry grows.
    """
    if not objective.carries:
        return None
    if not hasattr(model, "start") or model.cell.grows:
        raise ValueError(
            "model must have a carry of fixed size for a stream that is taken window "
            f"by window, got {type(model).__name__}"
            f"{', whose carry grows' if hasattr(model, 'start') else ''}."
        )
    return model.start(batch_size)


class Scoring:
    """The compiled program that scores models of one structure on one split.

    Args:
        model: one of them.
        split: the samples.
        batch_size: samples at a time.
    """

    def __init__(self, model: Model, split: Split | Stream, batch_size: int) -> None:
        self._objective = split.objective
        batch_size = min(batch_size, len(split))
        arrays = self._objective.arrange(split, batch_size)
        self._data = {name: jnp.asarray(array) for name, array in arrays.items()}
        self._index = jnp.asarray(self._objective.scoring_steps(split, batch_size))
        self._carry = first_carry(model, self._objective, batch_size)
        zero = jnp.zeros((), jnp.int32)
        self._program = compiled(
            score_steps, *self._arguments(model, self._carry), zero, zero
        )

    def scores(self, model: Model, between: Callable[[], None]) -> dict[str, float]:
        """The scores of a model; ``between`` is called between chunks.

        Raises:
            TruncationError: a backend with ``on_truncation="raise"`` lost too much.
        """
        carry = self._carry
        totals: dict[str, Any] = {}

        def run(start: jax.Array, stop: jax.Array) -> Any:
            nonlocal carry
            carry, sums = self._program(*self._arguments(model, carry), start, stop)
            for name, each in sums.items():  # of other chunks they are 0
                totals[name] = totals.get(name, 0) + np.asarray(each, np.float64)
            return carry

        in_chunks(run, len(self._index), between)
        n_samples = totals.pop("samples").sum()
        lost, worst = {}, {}
        for name in getattr(model, "lost_names", ()):
            lost[name] = float(totals.pop(f"lost.{name}").sum() / n_samples)
            worst[name] = float(totals.pop(f"worst.{name}").max())
        if worst:
            model.check_lost(worst)
        total = {name: float(each.sum()) for name, each in totals.items()}
        largest = {f"{name}_max": value for name, value in worst.items()}
        return self._objective.scores(total) | lost | largest

    def _arguments(self, model: Model, carry: Any) -> tuple:
        return model, self._objective, self._data, self._index, carry
