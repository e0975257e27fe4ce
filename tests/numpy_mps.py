"""A matrix product state in plain NumPy, to test against.

It imports nothing from tnqrnn. Tensors (left, 2, right) have the bonds they need and no
padding; a gate between distant qubits is applied to the contracted tensors between
them, which are then cut apart again from left to right.
"""

from collections.abc import Container, Sequence

import numpy as np


class NumpyMPS:
    """A state of n qubits, |0...0> at first, with at most ``max_bond`` Schmidt values.

    Attributes:
        cores: n tensors.
        discarded: sum of the relative discarded weights at each of the n-1 bonds.
        log_fidelity: sum of ln(kept weight).
        bound: 2 sum sqrt(discarded weight).
    """

    def __init__(self, n_qubits: int, max_bond: int) -> None:
        self.max_bond = max_bond
        self.cores = [np.eye(1, 2).reshape(1, 2, 1).astype(complex)] * n_qubits
        self.discarded = np.zeros(n_qubits - 1)
        self.log_fidelity = self.bound = 0.0

    def apply(
        self, matrix: np.ndarray, qubits: Sequence[int], bonds: Container | None = None
    ) -> None:
        """Applies a matrix whose first factor is ``qubits[0]``.

        Bonds between the qubits are truncated, or of them only ``bonds``.
        """
        low, high = min(qubits), max(qubits)
        self._centre_at(low)
        theta = self.cores[low]
        for core in self.cores[low + 1 : high + 1]:
            theta = np.tensordot(theta, core, 1)
        gate = matrix.reshape((2,) * (2 * len(qubits)))
        axes = [1 + q - low for q in qubits]
        k = len(qubits)
        theta = np.tensordot(gate, theta, (range(k, 2 * k), axes))
        theta = np.moveaxis(theta, range(k), axes)
        for qubit in range(low, high):
            most = self.max_bond if bonds is None or qubit in bonds else None
            theta = self._cut(theta, qubit, most)
        self.cores[high] = theta

    def vector(self) -> np.ndarray:
        """All 2**n amplitudes."""
        psi = np.ones((1, 1))
        for core in self.cores:
            psi = np.tensordot(psi, core, 1).reshape(-1, core.shape[2])
        return psi.ravel()

    def _cut(self, theta: np.ndarray, qubit: int, k: int | None) -> np.ndarray:
        """Splits off the core of ``qubit`` at a bond of k; what remains has norm 1."""
        left = theta.shape[0]
        u, s, v = np.linalg.svd(theta.reshape(2 * left, -1), full_matrices=False)
        k = len(s) if k is None else k
        weight = np.sum(s[k:] ** 2) / np.sum(s**2)
        self.discarded[qubit] += weight
        self.log_fidelity += np.log1p(-weight)
        self.bound += 2 * np.sqrt(weight)
        self.cores[qubit] = u[:, :k].reshape(left, 2, -1)
        rest = s[:k, None] * v[:k] / np.linalg.norm(s[:k])
        return rest.reshape(-1, *theta.shape[2:])

    def _centre_at(self, qubit: int) -> None:
        """Makes all cores left of ``qubit`` left-isometric, all others right ones."""
        for i in range(qubit):
            core = self.cores[i]
            q, r = np.linalg.qr(core.reshape(-1, core.shape[2]))
            self.cores[i] = q.reshape(*core.shape[:2], -1)
            self.cores[i + 1] = np.tensordot(r, self.cores[i + 1], 1)
        for i in range(len(self.cores) - 1, qubit, -1):
            core = self.cores[i]
            q, r = np.linalg.qr(core.reshape(core.shape[0], -1).conj().T)
            self.cores[i] = q.conj().T.reshape(-1, *core.shape[1:])
            self.cores[i - 1] = np.tensordot(self.cores[i - 1], r.conj().T, 1)
