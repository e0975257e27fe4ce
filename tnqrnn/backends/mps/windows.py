"""Wide sweeps: three cores at once, so that two layers of a chain are one sweep.

Each block of a wide sweep takes the gates of all layers that can run on its three
qubits, as a light cone does. Each bond is then truncated once instead of twice::

    window           layer 1      layer 2
    0: cores 0-2     12           01
    1: cores 1-3     23           12
    2: cores 2-4     34           23

The centre is two cores held as one. It takes in the next core, the block is applied,
and its first core is split off.
"""

import functools
from collections.abc import Collection
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.backends.mps.ends import built, on_first, on_last
from tnqrnn.backends.mps.placement import AbstractSweeps, Filled, Slot, placed
from tnqrnn.backends.mps.state import Layout, MPSState
from tnqrnn.backends.mps.sweeps import (
    add_weights,
    pass_left,
    split_off,
    sweep,
    taken_in,
)
from tnqrnn.circuits.ansatz import Ansatz
from tnqrnn.circuits.fusion import Block

WINDOW = 3
"""Cores at once (docs/decisions.md)."""

_SPLIT = 1.6  # a split of three cores, in splits of two


@dataclass(frozen=True)
class WideStage:
    """A wide sweep to the right, and the centre's way back; ``None`` is the identity.

    Attributes:
        head: block on the qubits of the first two cores, applied first.
        right: blocks on three qubits, from core 0's on to where the sweep turns.
        turn: block on the qubits of the last two cores.
    """

    head: Block | None
    right: tuple[Block | None, ...]
    turn: Block | None

    def cost(self, pass_cost: float) -> float:
        """Rough cost in truncated splits, see ``plan``.

        Args:
            pass_cost: that of a bond that is passed without a gate.
        """
        bonds = len(self.right) + 1
        return 3 + _SPLIT * len(self.right) + pass_cost * bonds

    def apply(self, angles: jax.Array, state: MPSState, cutoff: float) -> MPSState:
        """The state after the stage; the centre is at core 0 before and after."""
        layout = state.layout
        ends = {"head": self.head, "turn": self.turn}
        on_ends, unitaries = built(ends, self.right, angles, state)
        # right_cores[:reached] are swept, those after them never touched. The window is
        # one core wider than a plain centre, so the sweep starts from core 1.
        reached = 1 + len(self.right)
        centre = taken_in(state.centre, state.right_cores[0])
        centre = on_first(on_ends["head"], centre, layout)
        gates = unitaries.stack(self.right, WINDOW)
        everywhere = np.ones(len(self.right), bool)
        centre, swept, weights = sweep(
            centre, state.right_cores[1:reached], gates, everywhere, cutoff
        )
        centre = on_last(on_ends["turn"], centre, layout)
        core, centre, weight = split_off(centre, cutoff)
        swept = jnp.concatenate([swept, core[None]])
        weights = jnp.append(weights, weight)
        truncation = add_weights(state.truncation, weights, layout.first)
        centre, swept = pass_left(centre, swept)
        right_cores = jnp.concatenate([swept, state.right_cores[reached:]])
        return MPSState(centre, right_cores, truncation, state.n_qubits)


@functools.lru_cache(maxsize=256)
def wide_stages(ansatz: Ansatz, layout: Layout) -> tuple[WideStage, ...]:
    """A circuit in wide sweeps: no gate reaches far, and there are three cores."""
    return tuple(_stage(slots, layout) for slots in placed(ansatz, WideSweeps(layout)))


@dataclass(frozen=True)
class WideSweeps(AbstractSweeps):
    """Every stage may have all slots: they take gates of qubits not further apart."""

    layout: Layout

    def slots(self, qubits: tuple[int, ...]) -> list[Slot]:
        layout = self.layout
        sites = [layout.site(qubit) for qubit in qubits]
        low, high = min(sites), max(sites)
        n_windows = layout.n_cores - WINDOW + 1
        slots = [Slot(0, "head")] if high < WINDOW - 1 else []
        if layout.has_inside(qubits):
            first, stop = max(0, high - WINDOW + 1), min(low + 1, n_windows)
            slots += [Slot(1 + j, "right", j) for j in range(first, stop)]
        if low >= n_windows:
            slots.append(Slot(layout.n_cores, "turn"))
        return slots

    def alone(self, qubit: int) -> Slot:
        return self.slots((qubit,))[0]

    def takes(self, names: Collection[str], slot: Slot) -> bool:
        return True


def _stage(filled: Filled, layout: Layout) -> WideStage:
    """One row of the table above, its slots as blocks.

    The sweep ends with the window that takes its last gate; a block on the last cores
    is applied where it turns, so then it goes all the way.
    """
    gates = {(slot.name, slot.core): tuple(run) for slot, run in filled.items()}

    def block(name: str, start: int, stop: int, core: int = 0) -> Block | None:
        run = gates.get((name, core))
        return Block(tuple(range(start, stop)), run) if run else None

    first, centre_size = layout.first, WINDOW - 1  # cores that are the centre
    reached = max((core + 1 for name, core in gates if name == "right"), default=0)
    if ("turn", 0) in gates:
        reached = layout.n_cores - centre_size
    return WideStage(
        head=block("head", 0, first + centre_size),
        right=tuple(
            block("right", first + j, first + j + WINDOW, j) for j in range(reached)
        ),
        turn=block("turn", layout.last + 1 - centre_size, layout.n_qubits),
    )
