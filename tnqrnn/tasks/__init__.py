"""Data to train on, by name or from a user's own arrays."""

from tnqrnn.tasks.base import Split, Task
from tnqrnn.tasks.registry import LOADERS, load_task

__all__ = ["LOADERS", "Split", "Task", "load_task"]
