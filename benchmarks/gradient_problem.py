"""The problem of `gradient_step.py` and `mps_step.py`: one circuit, weights, a loss.

Imports NumPy alone, so that every peer's environment can read it.

Two layers of RY, RZ and CRX on the pairs of a topology; a controller of 64 tanh units
from [x_t; z_{t-1}] to all angles; X, Y, Z of every qubit; a linear head of 10 classes
on the last readouts.
"""

import dataclasses
import itertools

import numpy as np

Gate = tuple[str, tuple[int, ...], int]

HIDDEN, INPUTS, CLASSES, LAYERS = 64, 16, 10, 2
NAMES = ("w1x", "w1z", "b1", "w2", "b2", "wo", "bo")
"""Weights in the order in which gradients are compared."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """Weights and data.

    Attributes:
        topology: of the entanglers: chain, ring, brickwork or all_to_all.
        weights: by the names in ``NAMES``; matrices multiply from the right.
        xs (array of shape (B, T, F)): inputs.
        targets (array of shape (B,)): classes.
    """

    n_qubits: int
    topology: str
    weights: dict[str, np.ndarray]
    xs: np.ndarray
    targets: np.ndarray

    @property
    def gates(self) -> list[Gate]:
        """Name, qubits and number of the angle of each gate, in order."""
        return gates(self.n_qubits, self.topology)


def make(
    n_qubits: int, n_steps: int, batch: int, dtype: str, topology: str = "chain"
) -> Problem:
    """The problem of a size, in the real type of the complex ``dtype``."""
    real = "float32" if dtype == "complex64" else "float64"
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return (rng.normal(size=shape) / np.sqrt(shape[0])).astype(real)

    n_angles = len(gates(n_qubits, topology))
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
    targets = rng.integers(0, CLASSES, batch)
    return Problem(n_qubits, topology, weights, xs, targets)


def gates(n_qubits: int, topology: str) -> list[Gate]:
    """The gates of a circuit, see :attr:`Problem.gates`."""
    names: list[tuple[str, tuple[int, ...]]] = [
        (name, (q,)) for name in ("ry", "rz") for q in range(n_qubits)
    ]
    names += [("crx", pair) for pair in pairs(n_qubits, topology)]
    return [(name, qubits, i) for i, (name, qubits) in enumerate(names * LAYERS)]


def pairs(n_qubits: int, topology: str) -> list[tuple[int, int]]:
    """Pairs of an entangling layer in order, control first."""
    chain = [(q, q + 1) for q in range(n_qubits - 1)]
    return {
        "chain": chain,
        "ring": [*chain, (n_qubits - 1, 0)],
        "brickwork": chain[0::2] + chain[1::2],
        "all_to_all": list(itertools.combinations(range(n_qubits), 2)),
    }[topology]


def einsum_of(qubits: tuple[int, ...], n_qubits: int) -> tuple[str, list[int], int]:
    """How one einsum applies a gate: its formula, and both operands' shapes.

    Returns:
        the formula for a matrix and a state, the state's shape for it, and the sides
        of the matrix's axes, two for each qubit unless the qubits are neighbours.
    """
    if len(qubits) == 1 or qubits[1] == qubits[0] + 1:
        side = 2 ** len(qubits)
        left = 2 ** qubits[0]
        return "ij,ljr->lir", [left, side, 2**n_qubits // left // side], side
    low, high = sorted(qubits)
    shape = [2**low, 2, 2 ** (high - low - 1), 2, 2 ** (n_qubits - 1 - high)]
    if qubits[0] == low:
        return "xyab,lambr->lxmyr", shape, 2
    return "xyab,lbmar->lymxr", shape, 2
