"""Measurements on models: what a loss depends on, how exact a gradient is."""

from tnqrnn.diagnostics.differences import (
    cosine_distance,
    infidelity,
    relative_error,
)
from tnqrnn.diagnostics.drift import reversible_drift
from tnqrnn.diagnostics.entanglement import entanglement
from tnqrnn.diagnostics.gradient_norms import GradientNorms, gradient_norms
from tnqrnn.diagnostics.missed_tangent import MissedTangent, missed_tangent
from tnqrnn.diagnostics.truncation_gap import truncation_gap

__all__ = [
    "GradientNorms",
    "MissedTangent",
    "cosine_distance",
    "entanglement",
    "gradient_norms",
    "infidelity",
    "missed_tangent",
    "relative_error",
    "reversible_drift",
    "truncation_gap",
]
