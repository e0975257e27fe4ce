"""Gradient modes: ways to run a cell over a sequence so that it can be differentiated.

A mode is a frozen value with one method, :meth:`AbstractGradient.roll`. All modes give
the same readouts and, up to rounding, the same gradient; they differ in what they keep.
"""

from tnqrnn.model.gradients.base import AbstractGradient, Samples
from tnqrnn.model.gradients.reversible import Reversible
from tnqrnn.model.gradients.stored import Checkpoint, Store

GRADIENTS: dict[str, AbstractGradient] = {
    mode.name: mode for mode in (Reversible(), Checkpoint(), Store())
}
"""The modes by the names that :func:`tnqrnn.unroll` takes."""

__all__ = [
    "GRADIENTS",
    "AbstractGradient",
    "Checkpoint",
    "Reversible",
    "Samples",
    "Store",
]
