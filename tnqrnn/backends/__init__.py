"""Representations of the quantum state behind one interface."""

from tnqrnn.backends.base import (
    AbstractBackend,
    AbstractReversibleBackend,
    State,
    Truncation,
)
from tnqrnn.backends.statevector import Statevector

__all__ = [
    "AbstractBackend",
    "AbstractReversibleBackend",
    "State",
    "Statevector",
    "Truncation",
]
