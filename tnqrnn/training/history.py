"""What a run has measured, epoch by epoch, and which epoch is the best."""

import math
from collections.abc import Mapping

import numpy as np

from tnqrnn.tasks import AbstractObjective
from tnqrnn.training.programs import Running

History = dict[str, list[float]]


class NonFiniteError(FloatingPointError, ValueError):
    """A loss or gradient became NaN or infinite; the message names the step."""


def extended(
    history: History, running: Running, scores: Mapping[str, float], seconds: float
) -> History:
    """The history with one more epoch.

    Args:
        history: one list a quantity.
        running: after the epoch's last step.
        scores: on the validation split after it, by name.
        seconds: what the steps took.
    """
    losses = np.asarray(running.loss, np.float64)
    norms = np.asarray(running.gradient_norm, np.float64)
    new = {"train_loss": float(losses.mean())}
    new |= {f"valid_{name}": score for name, score in scores.items()}
    new |= {
        "gradient_norm_mean": float(norms.mean()),
        "gradient_norm_max": float(norms.max()),
        "seconds": seconds,
    }
    return {name: [*history.get(name, []), value] for name, value in new.items()}


def judged(history: History, objective: AbstractObjective) -> list[float]:
    """The score of each epoch that decides between them, larger is better."""
    scores = history.get(f"valid_{objective.judge}", [])
    return scores if objective.higher_is_better else [-score for score in scores]


def best_epoch(history: History, objective: AbstractObjective) -> int:
    """The epoch, counted from 1, with the best model; 0 before the first.

    The best validation score, of equal ones the latest: a few hundred samples give many
    equal accuracies, and the learning rate has fallen further by then
    (docs/decisions.md).
    """
    scores = judged(history, objective)
    return len(scores) - scores[::-1].index(max(scores)) if scores else 0


def epochs_without_gain(history: History, objective: AbstractObjective) -> int:
    """Epochs since the validation score first reached its best value."""
    scores = judged(history, objective)
    return len(scores) - 1 - scores.index(max(scores)) if scores else 0


def refuse_non_finite(
    running: Running, start: int, stop: int, epoch: int, kept: str
) -> None:
    """Stops a run whose numbers are no longer finite.

    Args:
        running: after some steps of an epoch.
        start: the first of them.
        stop: the step after the last of them.
        epoch: their epoch, counted from 1.
        kept: a sentence on what is left of the run, for the end of the message.

    Raises:
        NonFiniteError: a loss or gradient norm is NaN or infinite; the message gives
            the first such step, counted from 1 over the whole run.
    """
    losses = np.asarray(running.loss)[start:stop]
    norms = np.asarray(running.gradient_norm)[start:stop]
    good = np.isfinite(losses) & np.isfinite(norms)
    if not good.all():
        first = int(np.argmin(good))
        step = (epoch - 1) * len(running.loss) + start + first + 1
        raise NonFiniteError(
            f"Training must keep loss and gradient finite, got loss {losses[first]} "
            f"and gradient norm {norms[first]} at step {step}, in epoch {epoch}. {kept}"
        )


def refuse_non_finite_score(
    scores: Mapping[str, float], step: int, epoch: int, kept: str
) -> None:
    """Stops a run whose validation loss is no longer finite.

    Args:
        scores: on the validation split.
        step: finished steps of the whole run.
        epoch: the epoch that ended, counted from 1.
        kept: a sentence on what is left of the run.

    Raises:
        NonFiniteError: the loss is NaN or infinite.
    """
    if not math.isfinite(scores["loss"]):
        raise NonFiniteError(
            f"Training must keep the validation loss finite, got {scores['loss']} "
            f"after step {step}, at the end of epoch {epoch}. {kept}"
        )
