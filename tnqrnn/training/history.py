"""What a run has measured, epoch by epoch, and which epoch is the best."""

import math

import numpy as np

from tnqrnn.training.programs import Trace

History = dict[str, list[float]]

QUANTITIES = (
    "train_loss",
    "valid_loss",
    "valid_accuracy",
    "gradient_norm_mean",
    "gradient_norm_max",
    "seconds",
)


class NonFiniteError(FloatingPointError, ValueError):
    """A loss or gradient became NaN or infinite; the message names the step."""


def extended(
    history: History, trace: Trace, scores: dict[str, float], seconds: float
) -> History:
    """The history with one more epoch.

    Args:
        history: one list a quantity.
        trace: the epoch's steps.
        scores: ``loss`` and ``accuracy`` on the validation split after it.
        seconds: what the steps took.
    """
    losses = np.asarray(trace.loss, np.float64)
    norms = np.asarray(trace.gradient_norm, np.float64)
    new = {
        "train_loss": float(losses.mean()),
        "valid_loss": scores["loss"],
        "valid_accuracy": scores["accuracy"],
        "gradient_norm_mean": float(norms.mean()),
        "gradient_norm_max": float(norms.max()),
        "seconds": seconds,
    }
    return {name: [*history[name], new[name]] for name in QUANTITIES}


def best_epoch(history: History) -> int:
    """The epoch, counted from 1, with the best model; 0 before the first.

    The highest validation accuracy, of equal ones the latest: a few hundred samples
    give many equal accuracies, and the learning rate has fallen further by then
    (docs/decisions.md).
    """
    scores = history["valid_accuracy"]
    return len(scores) - scores[::-1].index(max(scores)) if scores else 0


def epochs_without_gain(history: History) -> int:
    """Epochs since validation accuracy first reached its highest value."""
    scores = history["valid_accuracy"]
    return len(scores) - 1 - scores.index(max(scores)) if scores else 0


def refuse_non_finite(
    epoch: int, trace: Trace, scores: dict[str, float], kept: str
) -> None:
    """Stops a run whose numbers are no longer finite.

    Args:
        epoch: the epoch that just ran, counted from 1.
        trace: its steps.
        scores: ``loss`` on the validation split after it.
        kept: a sentence on what is left of the run, for the end of the message.

    Raises:
        NonFiniteError: a loss or gradient norm is NaN or infinite; the message gives
            the first such step, counted from 1 over the whole run.
    """
    losses, norms = np.asarray(trace.loss), np.asarray(trace.gradient_norm)
    good = np.isfinite(losses) & np.isfinite(norms)
    before = (epoch - 1) * len(good)
    if not good.all():
        first = int(np.argmin(good))
        raise NonFiniteError(
            f"Training must keep loss and gradient finite, got loss {losses[first]} "
            f"and gradient norm {norms[first]} at step {before + first + 1}, in epoch "
            f"{epoch}. {kept}"
        )
    if not math.isfinite(scores["loss"]):
        raise NonFiniteError(
            f"Training must keep the validation loss finite, got {scores['loss']} "
            f"after step {before + len(good)}, at the end of epoch {epoch}. {kept}"
        )
