"""The matrix product state: cores, sweeps, truncated splits and their derivatives."""

from tnqrnn.backends.mps.backend import MPS

__all__ = ["MPS"]
