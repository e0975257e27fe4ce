"""The problem of `gradient_step.py`: one circuit, one set of weights, one loss.

Imports NumPy alone, so that every peer's environment can read it.

Two layers of RY, RZ and a CRX chain; a controller of 64 tanh units from [x_t; z_{t-1}]
to all angles; X, Y, Z of every qubit; a linear head of 10 classes on the last readouts.
"""

import dataclasses

import numpy as np

HIDDEN, INPUTS, CLASSES, LAYERS = 64, 16, 10, 2
NAMES = ("w1x", "w1z", "b1", "w2", "b2", "wo", "bo")
"""Weights in the order in which gradients are compared."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """Weights and data.

    Attributes:
        weights: by the names in ``NAMES``; matrices multiply from the right.
        xs (array of shape (B, T, F)): inputs.
        targets (array of shape (B,)): classes.
    """

    n_qubits: int
    weights: dict[str, np.ndarray]
    xs: np.ndarray
    targets: np.ndarray


def make(n_qubits: int, n_steps: int, batch: int, dtype: str) -> Problem:
    """The problem of a size, in the real type of the complex ``dtype``."""
    real = "float32" if dtype == "complex64" else "float64"
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return (rng.normal(size=shape) / np.sqrt(shape[0])).astype(real)

    n_angles = LAYERS * (3 * n_qubits - 1)
    weights = {
        "w1x": normal(INPUTS, HIDDEN),
        "w1z": normal(3 * n_qubits, HIDDEN),
        "b1": np.zeros(HIDDEN, real),
        "w2": normal(HIDDEN, n_angles),
        "b2": np.zeros(n_angles, real),
        "wo": normal(3 * n_qubits, CLASSES),
        "bo": np.zeros(CLASSES, real),
    }
    xs = rng.normal(size=(batch, n_steps, INPUTS)).astype(real)
    return Problem(n_qubits, weights, xs, rng.integers(0, CLASSES, batch))


def gates(n_qubits: int) -> list[tuple[str, tuple[int, ...], int]]:
    """Name, qubits and number of the angle of each gate, in order."""
    names: list[tuple[str, tuple[int, ...]]] = [
        (name, (q,)) for name in ("ry", "rz") for q in range(n_qubits)
    ]
    names += [("crx", (q, q + 1)) for q in range(n_qubits - 1)]
    return [(name, qubits, i) for i, (name, qubits) in enumerate(names * LAYERS)]
