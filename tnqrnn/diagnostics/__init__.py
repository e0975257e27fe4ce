"""What a model's loss depends on, and how exactly its gradient is had, measured."""

from tnqrnn.diagnostics.drift import reversible_drift
from tnqrnn.diagnostics.entanglement import entanglement
from tnqrnn.diagnostics.gradient_norms import GradientNorms, gradient_norms
from tnqrnn.diagnostics.missed_tangent import MissedTangent, missed_tangent
from tnqrnn.diagnostics.truncation_gap import truncation_gap

__all__ = [
    "GradientNorms",
    "MissedTangent",
    "entanglement",
    "gradient_norms",
    "missed_tangent",
    "reversible_drift",
    "truncation_gap",
]
