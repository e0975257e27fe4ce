"""Hybrid quantum-classical recurrent networks for scaling experiments."""

from tnqrnn.backends import Statevector, Truncation
from tnqrnn.circuits import Ansatz, Gate, hardware_efficient

__version__ = "0.1.0"

__all__ = ["Ansatz", "Gate", "Statevector", "Truncation", "hardware_efficient"]
