"""Gates on the ends of a matrix product state, whose outer bonds are basis states."""

from collections.abc import Iterable, Mapping, Sequence

import jax

from tnqrnn.backends.mps.state import Layout, MPSState
from tnqrnn.backends.statevector.blocks import split_axes
from tnqrnn.circuits.fusion import Block, fuse_gates
from tnqrnn.circuits.unitaries import Unitaries
from tnqrnn.products import einsum

Matrices = list[tuple[tuple[int, ...], jax.Array]]
"""The qubits of each of several blocks, and its unitary."""

END_BLOCK = 4
"""Qubits of the blocks into which gates on an end of the chain are cut."""


def built(
    ends: Mapping[str, Block | None],
    others: Iterable[Block | None],
    angles: jax.Array,
    state: MPSState,
) -> tuple[dict[str, Matrices], Unitaries]:
    """The matrices of a stage's blocks, all built together.

    Args:
        ends: blocks on an end of the chain by name, which are cut; ``None`` for none.
        others: blocks that are not cut.
        angles: of the circuit.
        state: what they are for.

    Returns:
        the matrices of the ends by name, and those of all blocks.
    """
    small_blocks = {
        name: fuse_gates(block.gates, state.n_qubits, END_BLOCK) if block else ()
        for name, block in ends.items()
    }
    every = [small for blocks in small_blocks.values() for small in blocks]
    every += [block for block in others if block]
    unitaries = Unitaries(every, angles, str(state.centre.dtype))
    return {
        name: [(block.qubits, unitaries[block]) for block in blocks]
        for name, blocks in small_blocks.items()
    }, unitaries


def on_first(matrices: Matrices, tensor: jax.Array, layout: Layout) -> jax.Array:
    """Applies gates to the first qubits, an end and those of the cores ``tensor``.

    Args:
        matrices: of the gates, in order.
        tensor (array of shape (chi, d, chi)): the first cores, held as one.
        layout: of the chain.
    """
    _, d, chi = tensor.shape
    rows = tensor[: layout.end].reshape(-1, chi)
    for qubits, unitary in matrices:
        rows = _on_rows(unitary, qubits, rows)
    return tensor.at[: layout.end].set(rows.reshape(layout.end, d, chi))


def on_last(matrices: Matrices, tensor: jax.Array, layout: Layout) -> jax.Array:
    """Applies gates to the last cores, held as one of shape (chi, d, chi)."""
    if not matrices:
        return tensor
    chi, d, _ = tensor.shape
    rows = tensor[:, :, : layout.end].reshape(chi, -1).T
    before = layout.n_qubits - (len(rows).bit_length() - 1)
    for qubits, unitary in matrices:
        rows = _on_rows(unitary, [qubit - before for qubit in qubits], rows)
    return tensor.at[:, :, : layout.end].set(rows.T.reshape(chi, d, layout.end))


def _on_rows(unitary: jax.Array, qubits: Sequence[int], rows: jax.Array) -> jax.Array:
    """Applies a matrix to some of m qubits of a matrix of shape (2**m, columns)."""
    shape, runs = split_axes(qubits, len(rows).bit_length() - 1)
    axes = list(range(len(shape) + 1))
    new = {axis: len(axes) + i for i, axis in enumerate(axes[1:-1:2])}
    result = einsum(
        unitary.reshape(*runs, *runs),
        [*new.values(), *new],
        rows.reshape(*shape, -1),
        axes,
        [new.get(axis, axis) for axis in axes],
    )
    return result.reshape(rows.shape)
