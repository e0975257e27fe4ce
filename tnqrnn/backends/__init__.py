"""Representations of the quantum state behind one interface."""

from tnqrnn.backends.base import (
    AbstractBackend,
    AbstractReversibleBackend,
    State,
    Truncation,
)
from tnqrnn.backends.statevector import Statevector

BACKENDS: dict[str, type[AbstractBackend]] = {"Statevector": Statevector}
"""Every backend by name."""

__all__ = [
    "BACKENDS",
    "AbstractBackend",
    "AbstractReversibleBackend",
    "State",
    "Statevector",
    "Truncation",
]
