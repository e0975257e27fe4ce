"""Hybrid quantum-classical recurrent networks for scaling experiments."""

from tnqrnn.backends import MPS, Statevector, Truncation
from tnqrnn.circuits import Ansatz, Gate, hardware_efficient, parse_observables
from tnqrnn.model import (
    Controller,
    QRNNCarry,
    QRNNCell,
    Rollout,
    SequenceClassifier,
    SequenceLabeler,
    cells,
    load,
    save,
    unroll,
)

__version__ = "0.1.0"

__all__ = [
    "MPS",
    "Ansatz",
    "Controller",
    "Gate",
    "QRNNCarry",
    "QRNNCell",
    "Rollout",
    "SequenceClassifier",
    "SequenceLabeler",
    "Statevector",
    "Truncation",
    "cells",
    "hardware_efficient",
    "load",
    "parse_observables",
    "save",
    "unroll",
]
