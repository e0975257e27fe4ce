"""The exact state: 2**n amplitudes, moved by fused blocks and moved back."""

from tnqrnn.backends.statevector.backend import Statevector, StatevectorState

__all__ = ["Statevector", "StatevectorState"]
