"""A dense simulator in NumPy, complex128: what backends are compared with."""

from collections.abc import Sequence

import numpy as np
from jax.typing import ArrayLike

from tnqrnn.circuits import GATES, Ansatz, PauliString
from tnqrnn.circuits.gates import PAULIS


def final_state(ansatz: Ansatz, angles: ArrayLike) -> np.ndarray:
    """The amplitudes after a circuit from 0...0, of shape (2**n,)."""
    angles = np.asarray(angles, float)
    psi = np.eye(2**ansatz.n_qubits, dtype=complex)[0]
    for gate in ansatz.gates:
        spec = GATES[gate.name]
        if spec.generator is None or spec.projector_on is None:
            matrix = np.asarray(spec.matrix)
        else:  # exp(-i t G / 2), where G^2 = P is a projector
            half, on = angles[gate.angle] / 2, spec.projector_on
            matrix = np.eye(len(on)) + (np.cos(half) - 1) * on
            matrix = matrix - 1j * np.sin(half) * spec.generator
        psi = on_qubits(matrix, gate.qubits, ansatz.n_qubits) @ psi
    return psi


def expectations(psi: np.ndarray, strings: Sequence[PauliString]) -> np.ndarray:
    """<psi|P|psi> of each string, float64 of shape (M,)."""
    n_qubits = len(psi).bit_length() - 1
    values = []
    for string in strings:
        matrix = np.eye(1)
        for _, axis in string:
            matrix = np.kron(matrix, PAULIS[axis])
        operator = on_qubits(matrix, [qubit for qubit, _ in string], n_qubits)
        values.append((psi.conj() @ operator @ psi).real)
    return np.array(values)


def entropy(psi: np.ndarray, cut: int) -> float:
    """Entanglement entropy between the first ``cut`` qubits and the rest, in bits."""
    weights = np.linalg.svd(psi.reshape(2**cut, -1), compute_uv=False) ** 2
    weights = weights[weights > 1e-15]
    return float(-np.sum(weights * np.log2(weights)))


def on_qubits(matrix: np.ndarray, qubits: Sequence[int], n_qubits: int) -> np.ndarray:
    """A matrix on some qubits as one on all of them, (2**n, 2**n)."""
    others = [qubit for qubit in range(n_qubits) if qubit not in qubits]
    full = np.kron(matrix, np.eye(2 ** len(others)))  # in the order qubits, others
    place = np.argsort([*qubits, *others])
    tensor = full.reshape((2,) * (2 * n_qubits))
    return tensor.transpose(*place, *(n_qubits + place)).reshape(full.shape)
