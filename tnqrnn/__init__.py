"""Hybrid quantum-classical recurrent networks for scaling experiments.

The public names of the library. ``tnqrnn.diagnostics``, ``tnqrnn.pricing``,
``tnqrnn.study`` and ``tnqrnn.testing`` are loaded when they are first used, so that
``import tnqrnn`` stays light.
"""

import importlib
from types import ModuleType

from tnqrnn import specs
from tnqrnn.backends import (
    MPS,
    AbstractBackend,
    Network,
    Statevector,
    Truncation,
    TruncationError,
)
from tnqrnn.circuits import Ansatz, Gate, hardware_efficient, parse_observables
from tnqrnn.model import (
    AbstractCell,
    Controller,
    LanguageModel,
    QRNNCarry,
    QRNNCell,
    Rollout,
    SequenceClassifier,
    SequenceLabeler,
    SequenceRegressor,
    batch_over_devices,
    build,
    cells,
    describe,
    generate,
    load,
    register,
    save,
    unroll,
)
from tnqrnn.records import RecordError
from tnqrnn.tasks import Split, Stream, Task, load_task
from tnqrnn.training import (
    FitResult,
    NonFiniteError,
    TrainingInterrupted,
    evaluate,
    fit,
)

__version__ = "0.2.0"

__all__ = [
    "MPS",
    "AbstractBackend",
    "AbstractCell",
    "Ansatz",
    "Controller",
    "FitResult",
    "Gate",
    "LanguageModel",
    "Network",
    "NonFiniteError",
    "QRNNCarry",
    "QRNNCell",
    "RecordError",
    "Rollout",
    "SequenceClassifier",
    "SequenceLabeler",
    "SequenceRegressor",
    "Split",
    "Statevector",
    "Stream",
    "Task",
    "TrainingInterrupted",
    "Truncation",
    "TruncationError",
    "batch_over_devices",
    "build",
    "cells",
    "describe",
    "evaluate",
    "fit",
    "generate",
    "hardware_efficient",
    "load",
    "load_task",
    "parse_observables",
    "register",
    "save",
    "specs",
    "unroll",
]


def __getattr__(name: str) -> ModuleType:
    if name in ("diagnostics", "pricing", "study", "testing"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
