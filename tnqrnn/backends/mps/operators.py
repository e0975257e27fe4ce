"""What a schedule's far gates are as arrays.

A two-qubit gate is a sum of products, ``G = sum_r L_r (x) R_r``. For every gate of the
package but ``swap`` the left operators span two dimensions with the identity among
them, so that they can be two orthogonal projectors. Then gates that share their left
qubit and its projectors multiply into one operator of two terms, a fan::

    prod_j sum_r P_r (x) R_r^j  =  sum_r P_r (x) (prod_j R_r^j)
"""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.backends.mps.state import Layout
from tnqrnn.circuits.ansatz import Gate
from tnqrnn.circuits.fusion import Block
from tnqrnn.circuits.gates import GATES
from tnqrnn.circuits.unitaries import Unitaries
from tnqrnn.products import einsum


@dataclass(frozen=True)
class Fan:
    """Two-qubit gates that are applied as one.

    Attributes:
        gates: at least one. If there are more they share their lowest qubit and its
            projectors, and their other qubits differ.
    """

    gates: tuple[Gate, ...]

    @property
    def left(self) -> int:
        """The qubit on which the terms of the sum differ by a constant operator."""
        return min(self.gates[0].qubits)

    @property
    def basis(self) -> np.ndarray:
        """Those operators, orthonormal, of shape (r, 2, 2)."""
        gate = self.gates[0]
        return left_basis(gate.name, gate.qubits[0] > gate.qubits[1])

    def span(self, layout: Layout) -> tuple[int, int]:
        """The first and last core it touches."""
        last = max(max(gate.qubits) for gate in self.gates)
        return layout.site(self.left), layout.site(last)

    def takes(self, other: "Fan") -> bool:
        """Whether a single gate that comes next may join."""
        ends = [max(gate.qubits) for gate in self.gates + other.gates]
        return (
            self.left == other.left
            and len(set(ends)) == len(ends)
            and len(self.basis) == len(other.basis) == 2
            and np.allclose(self.basis, other.basis)
        )


def into_fans(gates: Iterable[Gate]) -> tuple[Fan, ...]:
    """Joins neighbours in a sequence of far gates as much as possible."""
    fans: list[Fan] = []
    for fan in (Fan((gate,)) for gate in gates):
        if fans and fans[-1].takes(fan):
            fans[-1] = Fan(fans[-1].gates + fan.gates)
        else:
            fans.append(fan)
    return tuple(fans)


@functools.lru_cache(maxsize=64)
def left_basis(name: str, swapped: bool) -> np.ndarray:
    """Orthonormal (r, 2, 2) that span a gate's operators on its lower qubit.

    Args:
        name: of a two-qubit gate.
        swapped: whether the gate's second qubit is the lower one.

    Returns:
        two orthogonal projectors, or the four matrix units where they do not suffice.
    """
    # Operators on the lower qubit are sums of 1 and of traceless ones. If the latter
    # are multiples of one axis a with a^2 = 1, then 1 and a span what the projectors
    # (1 + a)/2 and (1 - a)/2 span. Axes that differ in sign alone are made the same,
    # so that their gates can join a fan.
    spec = GATES[name]
    terms = (spec.matrix, spec.generator, spec.projector_on)
    parts = [term for term in terms if term is not None]
    tensors = np.stack(parts).reshape(-1, 2, 2, 2, 2)
    order = (0, 1, 3, 2, 4) if swapped else (0, 2, 4, 1, 3)
    operators = tensors.transpose(order).reshape(-1, 2, 2)
    traces = np.trace(operators, axis1=1, axis2=2)[:, None, None]
    traceless = operators - traces / 2 * np.eye(2)
    if np.linalg.matrix_rank(traceless.reshape(-1, 4), tol=1e-9) > 1:
        return np.eye(4).reshape(4, 2, 2)
    axis = max(traceless, key=np.linalg.norm)
    axis = axis / np.sqrt(complex(-np.linalg.det(axis)))  # Hermitian, its square is 1
    first = axis.ravel()[np.flatnonzero(abs(axis) > 1e-9)[0]]
    axis = axis * np.sign(first.real + first.imag)
    return np.stack([np.eye(2) + axis, np.eye(2) - axis]) / 2


def fan_operators(
    fans: Sequence[Fan], layout: Layout, angles: jax.Array, dtype: str
) -> tuple[jax.Array, jax.Array]:
    """The factors of N fans.

    The left ones are constant, so the others are linear in the gates and no
    decomposition depends on an angle.

    Returns:
        operators on the left qubits, of shape (N, r, 2, 2), and on all qubits from
        core 0's on, the identity where a fan does not act, of shape
        (N, n-h, r, 2, 2).
    """
    bases = [fan.basis for fan in fans]
    r = max(map(len, bases))
    bases = [np.pad(b, ((0, r - len(b)), (0, 0), (0, 0))) for b in bases]
    members = [(i, gate) for i, fan in enumerate(fans) for gate in fan.gates]
    blocks = [Block(tuple(sorted(gate.qubits)), (gate,)) for _, gate in members]
    matrices = Unitaries(blocks, angles, dtype).stack(blocks, 2)
    matrices = matrices.reshape(-1, 2, 2, 2, 2)
    lefts = jnp.asarray(np.stack([bases[i] for i, _ in members]), dtype)
    # R_r = Tr_left(L_r^dagger G), since the L_r are orthonormal
    rights = einsum("grik,gijkl->grjl", lefts.conj(), matrices)
    width = layout.n_qubits - layout.first
    eye = jnp.eye(2, dtype=dtype)[None, None, None]
    operators = jnp.broadcast_to(eye, (len(fans), width, r, 2, 2))
    at_fan = np.array([i for i, _ in members])
    at_qubit = np.array([max(gate.qubits) for _, gate in members]) - layout.first
    operators = operators.at[at_fan, at_qubit].set(rights)
    return jnp.asarray(np.stack(bases), dtype), operators
