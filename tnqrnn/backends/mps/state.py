"""The tensors of a matrix product state with dense ends.

A bond next to the chain's end needs no more than the ``2^k`` basis states of the k
qubits beyond it. So with ``h = floor(log2(max_bond))`` the first h and the last h
qubits are no tensors of their own: their basis states *are* the two outer bonds, and
only the n - 2h qubits between are cores (left, physical, right)::

    qubits 0..h-1    h       h+1             n-h-1    n-h..n-1
           =======-[core]--[core]-- ... --[core]-=======
                   centre  right-isometric ...

Core 0 holds the centre of orthogonality between operations. All bonds have ``max_bond``
values; the outer ones are padded with zeros when that is no power of two.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import equinox as eqx
import jax

from tnqrnn.backends.base import Truncation
from tnqrnn.backends.quimb_states import from_cores

if TYPE_CHECKING:
    from quimb.tensor import MatrixProductState


@dataclass(frozen=True)
class Layout:
    """Which tensor holds which qubits.

    Attributes:
        n_qubits: n.
        max_bond: chi, below ``2**(n // 2)``: otherwise nothing is ever truncated and
            the state is held as a vector.
    """

    n_qubits: int
    max_bond: int

    @property
    def is_dense(self) -> bool:
        """Whether ``max_bond`` suffices for any state, so that a vector is held."""
        return self.n_cores < 2  # n - 2h < 2, which is max_bond >= 2**(n // 2)

    @property
    def first(self) -> int:
        """The qubit of core 0, h; qubits before it are the left outer bond."""
        return self.max_bond.bit_length() - 1

    @property
    def last(self) -> int:
        """The qubit of the last core; qubits after it are the right outer bond."""
        return self.n_qubits - 1 - self.first

    @property
    def n_cores(self) -> int:
        """Number of cores, at least 2 unless ``is_dense``."""
        return self.last - self.first + 1

    @property
    def end(self) -> int:
        """Number of basis states of an end, ``2**h``, at most ``max_bond``."""
        return 2**self.first

    def site(self, qubit: int) -> int:
        """The core that holds a qubit, alone or in its outer bond."""
        return min(max(qubit, self.first), self.last) - self.first

    def has_inside(self, qubits: tuple[int, ...]) -> bool:
        """Whether each of some qubits is the physical one of its core."""
        return all(self.first <= qubit <= self.last for qubit in qubits)

    def bit(self, qubit: int) -> int:
        """Weight of a qubit's bit in the index (outer bond, physical) of its core."""
        if qubit < self.first:
            return 2 ** (self.first - qubit)
        return 2 ** (self.n_qubits - qubit) if qubit > self.last else 1


class MPSState(eqx.Module):
    """A matrix product state of norm 1 with its centre of orthogonality at core 0.

    Attributes:
        centre (complex array of shape (chi, 2, chi)): core 0.
        right_cores (complex array of shape (n-2h-1, chi, 2, chi)): the other cores, in
            chain order. Together they map the bond after core 0 isometrically wherever
            the state has weight.
        truncation: running totals since ``init``.
        n_qubits: n, static.
    """

    centre: jax.Array
    right_cores: jax.Array
    truncation: Truncation
    n_qubits: int = eqx.field(static=True)

    @property
    def layout(self) -> Layout:
        """Which tensor holds which qubits."""
        return Layout(self.n_qubits, self.centre.shape[-1])

    def to_quimb(self) -> "MatrixProductState":
        """The state as a ``quimb.tensor.MatrixProductState``, one tensor a qubit.

        Raises:
            ValueError: states of a batch.
        """
        return from_cores(self.centre, self.right_cores, self.layout.first)
