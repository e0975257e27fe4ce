"""What a model's loss depends on, and how exactly its gradient is had, measured."""

from tnqrnn.diagnostics.drift import reversible_drift
from tnqrnn.diagnostics.entanglement import entanglement
from tnqrnn.diagnostics.gradient_norms import GradientNorms, gradient_norms

__all__ = ["GradientNorms", "entanglement", "gradient_norms", "reversible_drift"]
