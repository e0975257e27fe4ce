"""Training a model on a task, with checkpoints, and judging it."""

from tnqrnn.training.history import NonFiniteError
from tnqrnn.training.loop import FitResult, fit
from tnqrnn.training.losses import accuracy, cross_entropy
from tnqrnn.training.programs import evaluate

__all__ = [
    "FitResult",
    "NonFiniteError",
    "accuracy",
    "cross_entropy",
    "evaluate",
    "fit",
]
