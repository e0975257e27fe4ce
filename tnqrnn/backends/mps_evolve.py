"""Applying a planned circuit to a matrix product state."""

import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.backends.mps_far import apply_fans
from tnqrnn.backends.mps_operators import unitaries_in_order
from tnqrnn.backends.mps_plan import Stage, plan, repeats
from tnqrnn.backends.mps_state import MPSState
from tnqrnn.backends.mps_sweeps import record, sweep
from tnqrnn.circuits import Ansatz
from tnqrnn.circuits.fusion import Block
from tnqrnn.circuits.unitaries import stacked_unitaries


def evolve(
    ansatz: Ansatz, angles: jax.Array, state: MPSState, cutoff: float
) -> MPSState:
    """Applies a circuit; a layer that repeats is compiled once.

    Args:
        ansatz: at least one gate.
        angles (real array of shape (P,)): of the state's precision.
        state: centre at core 0, before and after.
        cutoff: see :func:`tnqrnn.backends.truncation.split`.
    """
    layer, index = repeats(ansatz)
    stages = plan(layer, state.layout)

    def apply_layer(state, angles):
        for stage in stages:
            state = _apply_stage(stage, angles, state, cutoff)
        return state, None

    if len(index) == 1:
        return apply_layer(state, angles[index[0]])[0]
    return jax.lax.scan(apply_layer, state, angles[index])[0]


def _apply_stage(
    stage: Stage, angles: jax.Array, state: MPSState, cutoff: float
) -> MPSState:
    state = _apply_local(stage, angles, state)
    if stage.right:
        state = _sweep_there_and_back(stage, angles, state, cutoff)
    if stage.far:
        state = apply_fans(stage.far, angles, state, cutoff)
    return state


def _apply_local(stage: Stage, angles: jax.Array, state: MPSState) -> MPSState:
    """Applies what acts on single tensors: exact, wherever the centre is."""
    centre, rest, end = state.centre, state.rest, state.layout.end
    if stage.head is not None:
        (unitary,) = stacked_unitaries((stage.head,), angles, str(centre.dtype))
        columns = centre[:end].reshape(2 * end, -1)
        centre = centre.at[:end].set((unitary @ columns).reshape(end, 2, -1))
    if stage.singles:
        unitaries = unitaries_in_order(stage.singles, angles, str(rest.dtype))
        rest = rest.at[:-1].set(jnp.einsum("kxy,kayb->kaxb", unitaries, rest[:-1]))
    if stage.tail is not None:
        rest = rest.at[-1].set(_apply_tail(stage.tail, angles, rest[-1], end))
    return MPSState(centre, rest, state.truncation, state.n_qubits)


def _apply_tail(
    block: Block, angles: jax.Array, core: jax.Array, end: int
) -> jax.Array:
    (unitary,) = stacked_unitaries((block,), angles, str(core.dtype))
    rows = core[:, :, :end].reshape(-1, 2 * end)
    return core.at[:, :, :end].set((rows @ unitary.T).reshape(-1, 2, end))


def _sweep_there_and_back(
    stage: Stage, angles: jax.Array, state: MPSState, cutoff: float
) -> MPSState:
    """Sweeps right over the first bonds of the chain, and back to core 0."""
    bonds, layout = len(stage.right), state.layout
    passed, beyond = state.rest[:bonds], state.rest[bonds:]
    centre, truncation = state.centre, state.truncation
    for blocks, leftward in ((stage.right, False), (stage.left, True)):
        present = np.array([block is not None for block in blocks])
        gates = (
            unitaries_in_order(blocks, angles, str(centre.dtype))
            if present.any()
            else None
        )
        centre, passed, weights = sweep(
            centre, passed, gates, present, cutoff, leftward=leftward
        )
        if gates is not None:
            truncation = record(truncation, weights, layout.first)
        if not leftward and stage.turn is not None:
            centre, beyond = _turn(stage.turn, angles, centre, beyond, layout.end)
    rest = jnp.concatenate([passed, beyond])
    return MPSState(centre, rest, truncation, state.n_qubits)


def _turn(
    block: Block, angles: jax.Array, centre: jax.Array, beyond: jax.Array, end: int
) -> tuple[jax.Array, jax.Array]:
    """Applies the tail's block where the last core is: the centre or beyond it."""
    if len(beyond):
        return centre, beyond.at[-1].set(_apply_tail(block, angles, beyond[-1], end))
    return _apply_tail(block, angles, centre, end), beyond
