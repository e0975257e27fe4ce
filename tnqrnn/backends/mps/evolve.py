"""Applying a scheduled circuit to a matrix product state."""

import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.backends.mps.ends import Matrices, built, on_first, on_last
from tnqrnn.backends.mps.far import apply_fans
from tnqrnn.backends.mps.plan import Stage, parts
from tnqrnn.backends.mps.state import MPSState
from tnqrnn.backends.mps.sweeps import add_weights, normalised, pass_left, sweep
from tnqrnn.backends.mps.windows import WideStage
from tnqrnn.circuits import Ansatz
from tnqrnn.circuits.fusion import Block
from tnqrnn.circuits.unitaries import Unitaries
from tnqrnn.products import einsum


def evolve(
    ansatz: Ansatz, angles: jax.Array, state: MPSState, cutoff: float
) -> MPSState:
    """Applies a circuit; layers that repeat are compiled once.

    Args:
        ansatz: at least one gate.
        angles (real array of shape (P,)): of the state's precision.
        state: centre at core 0, before and after.
        cutoff: see :func:`tnqrnn.backends.mps.truncation.split`.
    """
    for part in parts(ansatz, state.layout):

        def apply(state, angles, stages=part.stages):
            for stage in stages:
                if isinstance(stage, WideStage):
                    state = stage.apply(angles, state, cutoff)
                else:
                    state = _apply_stage(stage, angles, state, cutoff)
            return state, None

        if len(part.index) == 1:
            state, _ = apply(state, angles[part.index[0]])
        else:
            state, _ = jax.lax.scan(apply, state, angles[part.index])
    return MPSState(
        normalised(state.centre), state.right_cores, state.truncation, state.n_qubits
    )


def _apply_stage(
    stage: Stage, angles: jax.Array, state: MPSState, cutoff: float
) -> MPSState:
    ends = {"head": stage.head, "tail": stage.tail, "turn": stage.turn}
    others = (*stage.singles, *stage.right, *stage.left)
    on_ends, unitaries = built(ends, others, angles, state)
    state = _apply_local(stage, on_ends, unitaries, state)
    if stage.right:
        state = _sweep_there_and_back(stage, on_ends["turn"], unitaries, state, cutoff)
    if stage.far:
        state = apply_fans(stage.far, angles, state, cutoff)
    return state


def _apply_local(
    stage: Stage, on_ends: dict[str, Matrices], unitaries: Unitaries, state: MPSState
) -> MPSState:
    """Applies what acts on single tensors: exact, wherever the centre is."""
    layout, right_cores = state.layout, state.right_cores
    centre = on_first(on_ends["head"], state.centre, layout)
    if stage.singles:
        singles = unitaries.stack(stage.singles, 1)
        inner = einsum("kxy,kayb->kaxb", singles, right_cores[:-1])
        right_cores = right_cores.at[:-1].set(inner)
    if on_ends["tail"]:
        last = on_last(on_ends["tail"], right_cores[-1], layout)
        right_cores = right_cores.at[-1].set(last)
    return MPSState(centre, right_cores, state.truncation, state.n_qubits)


def _sweep_there_and_back(
    stage: Stage, turn: Matrices, unitaries: Unitaries, state: MPSState, cutoff: float
) -> MPSState:
    """Sweeps right over the first bonds of the chain, and back to core 0.

    The cores behind the bond where it turns keep their form: they are isometric, and
    gates on the last one leave them so.
    """
    layout, reached = state.layout, len(stage.right)
    swept, beyond = state.right_cores[:reached], state.right_cores[reached:]
    gates, present = _gates(stage.right, unitaries)
    centre, swept, weights = sweep(state.centre, swept, gates, present, cutoff)
    truncation = add_weights(state.truncation, weights, layout.first)
    # The last core is the centre itself if the sweep came so far.
    if turn and len(beyond):
        beyond = beyond.at[-1].set(on_last(turn, beyond[-1], layout))
    elif turn:
        centre = on_last(turn, centre, layout)
    if any(stage.left):
        gates, present = _gates(stage.left, unitaries)
        centre, swept, weights = sweep(
            centre, swept, gates, present, cutoff, leftward=True
        )
        truncation = add_weights(truncation, weights, layout.first)
    else:
        centre, swept = pass_left(centre, swept)  # no gate on the way, so no loss
    right_cores = jnp.concatenate([swept, beyond])
    return MPSState(centre, right_cores, truncation, state.n_qubits)


def _gates(
    blocks: tuple[Block | None, ...], unitaries: Unitaries
) -> tuple[jax.Array, np.ndarray]:
    """A sweep's gates, the identity where there is none, and where there is one."""
    present = np.array([block is not None for block in blocks], bool)
    return unitaries.stack(blocks, 2), present
