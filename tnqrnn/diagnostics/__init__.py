"""What a model's loss depends on, measured."""

from tnqrnn.diagnostics.gradient_norms import GradientNorms, gradient_norms

__all__ = ["GradientNorms", "gradient_norms"]
