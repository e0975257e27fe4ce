"""Training a model on a task, with checkpoints, and judging it."""

from tnqrnn.training.callbacks import Logger, LoggerError, Progress
from tnqrnn.training.evaluation import evaluate
from tnqrnn.training.history import NonFiniteError
from tnqrnn.training.loggers import TensorBoardLogger, WandbLogger
from tnqrnn.training.loop import fit
from tnqrnn.training.result import FitResult, TrainingInterrupted

__all__ = [
    "FitResult",
    "Logger",
    "LoggerError",
    "NonFiniteError",
    "Progress",
    "TensorBoardLogger",
    "TrainingInterrupted",
    "WandbLogger",
    "evaluate",
    "fit",
]
