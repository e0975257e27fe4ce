"""The command ``tnqrnn train``."""
