"""The exact state: 2**n amplitudes, moved by fused blocks, undone exactly.

The amplitudes are held as real numbers of shape (2, 2**n), real parts and imaginary
parts, because real matrix products are much faster on a CPU than complex ones
(:mod:`tnqrnn.backends.statevector.blocks`). Undoing a circuit is applying the adjoints
of its blocks in reverse.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from tnqrnn.backends.base import check_amplitudes
from tnqrnn.backends.quimb_states import from_amplitudes
from tnqrnn.backends.reversible import AbstractReversibleBackend
from tnqrnn.backends.statevector.blocks import (
    adjoint,
    apply_block,
    as_parts,
    block_cotangent,
)
from tnqrnn.backends.statevector.readout import (
    pauli_expectations,
    pull_back_expectations,
)
from tnqrnn.checks import check_int, check_memory, real_dtype
from tnqrnn.circuits import (
    Ansatz,
    Observables,
    PauliString,
    parse_observables,
)
from tnqrnn.circuits.fusion import Block, fuse
from tnqrnn.circuits.unitaries import Unitaries
from tnqrnn.products import on_accelerator

if TYPE_CHECKING:
    from quimb.tensor import MatrixProductState

AMPLITUDES_AT_ONCE = 2**13
"""Of a batch, so much is moved together on a CPU (measured, docs/decisions.md)."""

SMALLEST_GROUP = 8
"""Fewer samples are not rolled out together: building their blocks would cost more."""

AMPLITUDES_TO_FILL_AN_ACCELERATOR = 2**25
"""With more, a sample takes no less time: a large batch then costs memory alone."""


class StatevectorState(eqx.Module):
    """A dense state.

    Attributes:
        parts (array of shape (2, 2**n)): real parts, then imaginary parts.
    """

    parts: jax.Array

    @property
    def amplitudes(self) -> jax.Array:
        """Complex amplitudes, of shape (2**n,), or (B, 2**n) of a batch."""
        return jax.lax.complex(self.parts[..., 0, :], self.parts[..., 1, :])

    @property
    def n_qubits(self) -> int:
        """Number of qubits."""
        return self.parts.shape[-1].bit_length() - 1

    def to_quimb(self) -> "MatrixProductState":
        """The state as a ``quimb.tensor.MatrixProductState``, without truncation.

        Raises:
            ValueError: states of a batch.
        """
        return from_amplitudes(self.amplitudes)


@dataclass(frozen=True)
class Statevector(AbstractReversibleBackend):
    """Exact simulation with 2**n amplitudes.

    One step of a circuit costs O(2**n) per gate; memory is ``2**n`` amplitudes a
    sample, for any number of steps when gradients are reversible.

    Args:
        dtype: ``"complex64"`` or ``"complex128"``.

    Raises:
        ValueError: an unknown dtype, or complex128 without JAX's 64-bit mode.

    >>> import tnqrnn as tq
    >>> backend = tq.Statevector()
    >>> circuit = tq.Ansatz(1, [("ry", 0, 0)])
    >>> state = backend.evolve(circuit, [np.pi / 3], backend.init(1))
    >>> [round(float(z), 4) for z in backend.expectation("xyz", state)]
    [0.866, 0.0, 0.5]
    """

    dtype: str = "complex64"
    gradients: ClassVar[tuple[str, ...]] = ("reversible", "checkpoint", "store")

    def init(self, n_qubits: int) -> StatevectorState:
        n_qubits = check_int("n_qubits", n_qubits, minimum=1)
        n_bytes = 2**n_qubits * np.dtype(self.dtype).itemsize
        check_memory(f"n_qubits={n_qubits}: a statevector", n_bytes)
        parts = jnp.zeros((2, 2**n_qubits), real_dtype(self.dtype))
        return StatevectorState(parts.at[0, 0].set(1))

    def from_statevector(self, amplitudes: ArrayLike) -> StatevectorState:
        array, _ = check_amplitudes(amplitudes, self.dtype)
        return StatevectorState(as_parts(array))

    def evolve(
        self, ansatz: Ansatz, angles: ArrayLike, state: StatevectorState
    ) -> StatevectorState:
        matrices = self.operators(ansatz, self.check_step(ansatz, angles, state))
        return self.apply(ansatz, matrices, state)

    def samples_at_once(self, state: StatevectorState) -> int:
        batch, _, amplitudes = state.parts.shape
        if on_accelerator():
            return batch  # it wants as much at once as it can get
        return max(1, AMPLITUDES_AT_ONCE // amplitudes)

    def group_size(self, state: StatevectorState) -> int:
        amplitudes = state.parts.shape[-1]
        if on_accelerator():
            return max(1, AMPLITUDES_TO_FILL_AN_ACCELERATOR // amplitudes)
        return max(SMALLEST_GROUP, AMPLITUDES_AT_ONCE // amplitudes)

    def operators(self, ansatz: Ansatz, angles: jax.Array) -> list[jax.Array]:
        blocks = fuse_for(ansatz)
        unitaries = Unitaries(blocks, angles, self.dtype)
        return [as_parts(unitaries[block]) for block in blocks]

    def apply(
        self, ansatz: Ansatz, operators: list[jax.Array], state: StatevectorState
    ) -> StatevectorState:
        parts = state.parts
        for block, matrix in zip(fuse_for(ansatz), operators, strict=True):
            parts = apply_block(matrix, parts, block.qubits)
        return StatevectorState(parts)

    def undo(
        self,
        ansatz: Ansatz,
        operators: list[jax.Array],
        state: StatevectorState,
        cotangent: StatevectorState,
    ) -> tuple[StatevectorState, StatevectorState, list[jax.Array]]:
        parts, dparts = state.parts, cotangent.parts
        doperators = []
        blocks = fuse_for(ansatz)
        for block, matrix in zip(blocks[::-1], operators[::-1], strict=True):
            inverse = adjoint(matrix)
            parts = apply_block(inverse, parts, block.qubits)  # psi before the block
            doperators.append(block_cotangent(dparts, parts, block.qubits))
            dparts = apply_block(inverse, dparts, block.qubits)
        return StatevectorState(parts), StatevectorState(dparts), doperators[::-1]

    def pull_back_expectation(
        self,
        observables: tuple[PauliString, ...],
        state: StatevectorState,
        dvalues: jax.Array,
        cotangent: StatevectorState,
    ) -> StatevectorState:
        parts = pull_back_expectations(
            state.parts, observables, dvalues, cotangent.parts
        )
        return StatevectorState(parts)

    def expectation(
        self,
        observables: Observables | tuple[PauliString, ...],
        state: StatevectorState,
    ) -> jax.Array:
        strings = parse_observables(observables, self.n_qubits(state))
        return pauli_expectations(state.parts, strings)

    def to_statevector(self, state: StatevectorState) -> jax.Array:
        self.check_state(state)
        return state.amplitudes

    def _made(self, state: Any) -> bool:
        return isinstance(state, StatevectorState)


def fuse_for(ansatz: Ansatz) -> tuple[Block, ...]:
    """The circuit in blocks of the size that is fastest on the device in use."""
    return fuse(ansatz, 5 if on_accelerator() else width_on_cpu(ansatz))


def width_on_cpu(ansatz: Ansatz) -> int:
    """Qubits of a block that are fastest on a CPU for the circuit's number of qubits.

    Wider blocks are fewer, but each costs more to build: small registers want small
    blocks, unless there are many gates to put into them (measured, docs/decisions.md).
    """
    n_qubits = ansatz.n_qubits
    width = 2 if n_qubits <= 6 else 3 if n_qubits <= 8 else 4 if n_qubits <= 14 else 5
    n_pairs = sum(len(gate.qubits) == 2 for gate in ansatz.gates)
    if n_qubits <= 8 and n_pairs > 4 * n_qubits:
        width += 1
    return width
