"""Tasks: arrays to learn from, and what is asked of a model on them."""

from tnqrnn.tasks.base import Task
from tnqrnn.tasks.objectives import (
    AbstractObjective,
    Batch,
    Classify,
    LanguageModelling,
    Regress,
)
from tnqrnn.tasks.registry import LOADERS, load_task
from tnqrnn.tasks.splits import Split, Stream

__all__ = [
    "LOADERS",
    "AbstractObjective",
    "Batch",
    "Classify",
    "LanguageModelling",
    "Regress",
    "Split",
    "Stream",
    "Task",
    "load_task",
]
