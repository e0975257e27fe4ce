"""Applying a planned circuit to a matrix product state."""

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.backends.blocks import split_axes
from tnqrnn.backends.mps_far import apply_fans
from tnqrnn.backends.mps_plan import Stage, parts
from tnqrnn.backends.mps_state import Layout, MPSState
from tnqrnn.backends.mps_sweeps import (
    normalised,
    pass_left,
    record,
    split_off,
    sweep,
    taken_in,
)
from tnqrnn.circuits import Ansatz
from tnqrnn.circuits.fusion import Block, fuse_gates
from tnqrnn.circuits.unitaries import Unitaries
from tnqrnn.products import einsum

Matrices = list[tuple[tuple[int, ...], jax.Array]]  # qubits of each, and its unitary
Ends = dict[str, Matrices]  # by the name of a stage's block

END_BLOCK = 4
"""Qubits of the blocks into which gates on an end of the chain are cut."""


def evolve(
    ansatz: Ansatz, angles: jax.Array, state: MPSState, cutoff: float
) -> MPSState:
    """Applies a circuit; layers that repeat are compiled once.

    Args:
        ansatz: at least one gate.
        angles (real array of shape (P,)): of the state's precision.
        state: centre at core 0, before and after.
        cutoff: see :func:`tnqrnn.backends.truncation.split`.
    """
    for part in parts(ansatz, state.layout):

        def apply(state, angles, stages=part.stages):
            for stage in stages:
                state = _apply_stage(stage, angles, state, cutoff)
            return state, None

        if len(part.index) == 1:
            state, _ = apply(state, angles[part.index[0]])
        else:
            state, _ = jax.lax.scan(apply, state, angles[part.index])
    return MPSState(
        normalised(state.centre), state.rest, state.truncation, state.n_qubits
    )


def _apply_stage(
    stage: Stage, angles: jax.Array, state: MPSState, cutoff: float
) -> MPSState:
    blocks = {
        name: fuse_gates(block.gates, state.n_qubits, END_BLOCK) if block else ()
        for name, block in stage.ends.items()
    }
    swept = (block for block in (*stage.singles, *stage.right, *stage.left) if block)
    every = itertools.chain(*blocks.values(), swept)
    unitaries = Unitaries(every, angles, str(state.centre.dtype))
    ends = {
        name: [(block.qubits, unitaries[block]) for block in small]
        for name, small in blocks.items()
    }
    state = _apply_local(stage, ends, unitaries, state)
    if stage.right or stage.window > 2:
        state = _sweep_there_and_back(stage, ends, unitaries, state, cutoff)
    if stage.far:
        state = apply_fans(stage.far, angles, state, cutoff)
    return state


def _apply_local(
    stage: Stage, ends: Ends, unitaries: Unitaries, state: MPSState
) -> MPSState:
    """Applies what acts on single tensors: exact, wherever the centre is."""
    centre, rest, layout = state.centre, state.rest, state.layout
    if stage.window == 2:
        centre = _on_first(ends["head"], centre, layout)
    if stage.singles:
        singles = unitaries.stack(stage.singles, 1)
        rest = rest.at[:-1].set(einsum("kxy,kayb->kaxb", singles, rest[:-1]))
    if ends["tail"]:
        rest = rest.at[-1].set(_on_last(ends["tail"], rest[-1], layout))
    return MPSState(centre, rest, state.truncation, state.n_qubits)


def _on_first(matrices: Matrices, tensor: jax.Array, layout: Layout) -> jax.Array:
    """Applies gates to the first cores, held as one of shape (chi, d, chi)."""
    _, d, chi = tensor.shape
    rows = tensor[: layout.end].reshape(-1, chi)
    for qubits, unitary in matrices:
        rows = _on_rows(unitary, qubits, rows)
    return tensor.at[: layout.end].set(rows.reshape(layout.end, d, chi))


def _on_last(matrices: Matrices, tensor: jax.Array, layout: Layout) -> jax.Array:
    """Applies gates to the last cores, held as one of shape (chi, d, chi)."""
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


def _sweep_there_and_back(
    stage: Stage, ends: Ends, unitaries: Unitaries, state: MPSState, cutoff: float
) -> MPSState:
    """Sweeps right over the first bonds of the chain, and back to core 0."""
    layout, held = state.layout, stage.window - 2  # cores held beside the centre
    turns = held + len(stage.right)
    beyond = state.rest[turns:]
    centre, truncation = state.centre, state.truncation
    for core in state.rest[:held]:
        centre = taken_in(centre, core)
    if held:
        centre = _on_first(ends["head"], centre, layout)
    gates, present = _gates(stage.right, stage.window, unitaries)
    centre, passed, weights = sweep(
        centre, state.rest[held:turns], gates, present, cutoff
    )
    if ends["turn"] and len(beyond):
        beyond = beyond.at[-1].set(_on_last(ends["turn"], beyond[-1], layout))
    elif ends["turn"]:
        centre = _on_last(ends["turn"], centre, layout)
    for _ in range(held):
        core, centre, weight = split_off(centre, cutoff)
        passed = jnp.concatenate([passed, core[None]])
        weights = jnp.append(weights, weight)
    truncation = record(truncation, weights, layout.first)
    if any(stage.left):
        gates, present = _gates(stage.left, 2, unitaries)
        centre, passed, weights = sweep(
            centre, passed, gates, present, cutoff, leftward=True
        )
        truncation = record(truncation, weights, layout.first)
    else:
        centre, passed = pass_left(centre, passed)
    rest = jnp.concatenate([passed, beyond])
    return MPSState(centre, rest, truncation, state.n_qubits)


def _gates(
    blocks: tuple[Block | None, ...], window: int, unitaries: Unitaries
) -> tuple[jax.Array, np.ndarray]:
    """A sweep's gates and where they are; all sites of a wide window are split."""
    present = np.array([window > 2 or block is not None for block in blocks], bool)
    return unitaries.stack(blocks, window), present
