"""Representations of the quantum state behind one interface."""

from tnqrnn.backends.base import (
    AbstractBackend,
    State,
    Truncation,
)
from tnqrnn.backends.budget import TruncationError
from tnqrnn.backends.mps import MPS
from tnqrnn.backends.network import Network
from tnqrnn.backends.reversible import AbstractReversibleBackend
from tnqrnn.backends.statevector import Statevector

BACKENDS: dict[str, type[AbstractBackend]] = {
    "Statevector": Statevector,
    "MPS": MPS,
    "Network": Network,
}
"""Every backend by name."""

__all__ = [
    "BACKENDS",
    "MPS",
    "AbstractBackend",
    "AbstractReversibleBackend",
    "Network",
    "State",
    "Statevector",
    "Truncation",
    "TruncationError",
]
