"""A simulator written to be obviously right: Kronecker products in NumPy.

It imports nothing from tnqrnn and shares no formula with it beyond the definitions of
docs/conventions.md. A circuit is a list of (name, qubits, angle index or None).
"""

from collections.abc import Callable, Sequence

import numpy as np
import scipy.linalg

X = np.array([[0, 1], [1, 0]], complex)
Y = np.array([[0, -1j], [1j, 0]])
Z = np.array([[1, 0], [0, -1]], complex)
I2 = np.eye(2)
PAULI = {"x": X, "y": Y, "z": Z}
FIXED = {
    "h": (X + Z) / np.sqrt(2),
    "x": X,
    "y": Y,
    "z": Z,
    "s": scipy.linalg.sqrtm(Z),
    "t": scipy.linalg.sqrtm(scipy.linalg.sqrtm(Z)),
}
FIXED |= {"sdg": FIXED["s"].conj().T, "tdg": FIXED["t"].conj().T}


def on_qubits(factors: dict[int, np.ndarray], n_qubits: int) -> np.ndarray:
    """Kronecker product of one factor a qubit, identity where none is given."""
    matrix = np.eye(1)
    for qubit in range(n_qubits):
        matrix = np.kron(matrix, factors.get(qubit, I2))
    return matrix


def gate(name: str, qubits: Sequence[int], angle: float | None, n: int) -> np.ndarray:
    """A gate on the whole register, by matrix exponential where it has an angle."""
    if name in FIXED:
        return on_qubits({qubits[0]: FIXED[name]}, n)
    if name == "swap":
        a, b = qubits
        return sum(on_qubits({a: p, b: p}, n) for p in (I2, X, Y, Z)) / 2
    if name in ("cz", "cnot"):
        control, target = qubits
        flip = Z if name == "cz" else X
        on = on_qubits({control: (I2 - Z) / 2, target: flip}, n)
        return on_qubits({control: (I2 + Z) / 2}, n) + on
    axis = PAULI[name[-1]]
    if name.startswith("cr"):
        generator = on_qubits({qubits[0]: (I2 - Z) / 2, qubits[1]: axis}, n)
    else:
        generator = on_qubits(dict.fromkeys(qubits, axis), n)
    return scipy.linalg.expm(-0.5j * angle * generator)


def unitary(n_qubits: int, gates: Sequence, angles: Sequence[float]) -> np.ndarray:
    """The circuit's matrix."""
    matrix = np.eye(2**n_qubits, dtype=complex)
    for name, qubits, index in gates:
        angle = None if index is None else float(angles[index])
        matrix = gate(name, qubits, angle, n_qubits) @ matrix
    return matrix


def expectation(psi: np.ndarray, string: Sequence[tuple[int, str]]) -> float:
    """<psi|P|psi> of a Pauli string such as ((0, "X"), (3, "Z"))."""
    n_qubits = len(psi).bit_length() - 1
    factors = {qubit: PAULI[axis.lower()] for qubit, axis in string}
    return (psi.conj() @ on_qubits(factors, n_qubits) @ psi).real


def entropy(psi: np.ndarray, cut: int) -> float:
    """Entanglement entropy in bits from Schmidt values."""
    values = np.linalg.svd(psi.reshape(2**cut, -1), compute_uv=False) ** 2
    values = values[values > 1e-15]
    return float(-(values * np.log2(values)).sum())


def parameter_shift(function: Callable, angles: np.ndarray) -> np.ndarray:
    """Gradient by the four-term rule, right for controlled rotations too.

    Eigenvalue differences of a controlled rotation's generator are 0, 1/2 and 1
    [anselmetti2021].
    """
    root = np.sqrt(2)
    plus, minus = (root + 1) / (4 * root), (root - 1) / (4 * root)
    gradient = np.zeros(len(angles))
    for i in range(len(angles)):
        for shift, weight in ((np.pi / 2, plus), (3 * np.pi / 2, -minus)):
            moved = np.zeros(len(angles))
            moved[i] = shift
            both = function(angles + moved) - function(angles - moved)
            gradient[i] += weight * both
    return gradient


def central_difference(
    function: Callable, point: np.ndarray, direction: np.ndarray, step: float = 1e-5
) -> float:
    """Derivative of a scalar function along a direction."""
    both = function(point + step * direction) - function(point - step * direction)
    return float(both) / (2 * step)
