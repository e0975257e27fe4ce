"""The contracted network: a circuit's blocks, contracted for what is read."""

from tnqrnn.backends.network.backend import Network

__all__ = ["Network"]
