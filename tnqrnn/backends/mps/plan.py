"""How a circuit becomes sweeps over a matrix product state.

Qubits 0..h and the last h+1 of n belong to one tensor each (see ``state``), so a
gate within either is one product with that tensor. A gate between neighbouring middle
qubits is applied when a sweep passes their bond; any other gate reaches over several
bonds. A schedule is a sequence of stages, each of which starts and ends with the centre
of orthogonality at core 0::

    local   head block, one-qubit gates, tail block
    then    right sweep over the bonds, tail block, left sweep over the bonds
    or      gates that reach far, one after another

Or it is one wide sweep (``windows``). ``placement`` says which gate goes where.
"""

import functools
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tnqrnn.backends.mps.operators import Fan, into_fans
from tnqrnn.backends.mps.placement import FAR, AbstractSweeps, Filled, Slot, placed
from tnqrnn.backends.mps.state import Layout
from tnqrnn.backends.mps.windows import WINDOW, WideStage, wide_stages
from tnqrnn.circuits.ansatz import Ansatz, Gate
from tnqrnn.circuits.fusion import Block

_PASS = 0.4  # a bond that is passed without a gate, in truncated splits


@dataclass(frozen=True)
class Stage:
    """One part of a schedule; ``None`` is the identity.

    Attributes:
        head: block on all qubits of core 0, applied first.
        tail: block on all qubits of the last core, applied first.
        singles: one block for each core between those two, applied first.
        right: blocks of the right sweep on two qubits, from core 0's on to where it
            turns.
        turn: block on all qubits of the last core between the sweeps.
        left: blocks of the left sweep, in bond order, as many as ``right``.
        far: gates that reach over any number of bonds, in order, after the local part;
            those that can be applied as one are joined.
    """

    head: Block | None
    tail: Block | None
    singles: tuple[Block | None, ...]
    right: tuple[Block | None, ...]
    turn: Block | None
    left: tuple[Block | None, ...]
    far: tuple[Fan, ...]

    def cost(self, layout: Layout) -> float:
        """Rough cost in truncated splits; a stage has a cost of its own to compile."""
        gated = sum(block is not None for block in self.right + self.left)
        near = gated + _PASS * (2 * len(self.right) - gated)
        spans = [fan.span(layout) for fan in self.far]
        centres = [0, *(right for _, right in spans)]
        moves = sum(
            max(left - centre, centre - right, 0)
            for centre, (left, right) in zip(centres, spans, strict=False)
        )
        far = sum(2.5 * (right - left) for left, right in spans)
        return 2 + near + far + _PASS * (moves + centres[-1])


@dataclass(frozen=True)
class Part:
    """A circuit that is applied several times in a row with other angles.

    Attributes:
        stages: its schedule.
        index (integer array of shape (repetitions, its P)): the places of its angles
            among those of the whole circuit.
    """

    stages: tuple[Stage | WideStage, ...]
    index: np.ndarray


@functools.lru_cache(maxsize=256)
def parts(ansatz: Ansatz, layout: Layout) -> tuple[Part, ...]:
    """The circuit as parts to apply in order: its layers one by one, or in pairs."""
    layer, index = repeats(ansatz)
    single = best_schedule(layer, layout)
    one_by_one = (Part(single.stages, index),)
    if len(index) == 1:
        return one_by_one
    # Two layers scheduled together may share sweeps, so that a bond is truncated once
    # for both; what is left of an odd number of layers is scheduled alone.
    even = len(index) // 2 * 2
    double = best_schedule(_twice(layer), layout)
    if even // 2 * double.cost >= even * single.cost:
        return one_by_one
    pairs = Part(double.stages, index[:even].reshape(even // 2, -1))
    return (pairs, Part(single.stages, index[even:])) if len(index) % 2 else (pairs,)


def _twice(layer: Ansatz) -> Ansatz:
    """Two layers with angles of their own."""
    again = [
        Gate(g.name, g.qubits, None if g.angle is None else g.angle + layer.n_params)
        for g in layer.gates
    ]
    return Ansatz(layer.n_qubits, [*layer.gates, *again])


@functools.lru_cache(maxsize=256)
def repeats(ansatz: Ansatz) -> tuple[Ansatz, np.ndarray]:
    """The shortest circuit that, repeated with other angles, is ``ansatz``.

    Returns:
        the circuit, and an integer array of shape (repetitions, its P) whose rows are
        the places of its angles among those of ``ansatz``.
    """
    gates = ansatz.gates
    shape = [(gate.name, gate.qubits) for gate in gates]
    period = next(
        p
        for p in range(1, len(gates) + 1)
        if len(gates) % p == 0 and shape == shape[:p] * (len(gates) // p)
    )
    taking = [i for i in range(period) if gates[i].angle is not None]
    place = {i: angle for angle, i in enumerate(taking)}
    unit = [Gate(g.name, g.qubits, place.get(i)) for i, g in enumerate(gates[:period])]
    index = [
        [gates[start + i].angle for i in taking]
        for start in range(0, len(gates), period)
    ]
    return Ansatz(ansatz.n_qubits, unit), np.array(index, int).reshape(len(index), -1)


class Schedule(NamedTuple):
    """Stages that are a circuit, and their cost, roughly, in truncated splits."""

    stages: tuple[Stage | WideStage, ...]
    cost: float


@functools.lru_cache(maxsize=256)
def best_schedule(ansatz: Ansatz, layout: Layout) -> Schedule:
    """The cheapest of three schedules of a circuit.

    Neighbouring gates go into sweeps both ways, or are treated like gates that reach
    far (many of which are cheaper than many sweeps). Where no gate reaches far, they
    may go into wide sweeps.
    """
    near = stages_of(ansatz, layout)
    schedules = [
        Schedule(stages, sum(stage.cost(layout) for stage in stages))
        for stages in (near, stages_of(ansatz, layout, reach=True))
    ]
    if layout.n_cores >= WINDOW and not any(stage.far for stage in near):
        wide = wide_stages(ansatz, layout)
        schedules.append(Schedule(wide, sum(stage.cost(_PASS) for stage in wide)))
    return min(schedules, key=lambda schedule: schedule.cost)


def stages_of(
    ansatz: Ansatz, layout: Layout, *, reach: bool = False
) -> tuple[Stage, ...]:
    """A circuit in sweeps of two cores; with ``reach`` all gates on bonds are far."""
    sweeps = Sweeps(layout, reach)
    return tuple(_stage(filled, layout) for filled in placed(ansatz, sweeps))


@dataclass(frozen=True)
class Sweeps(AbstractSweeps):
    """Sweeps there and back, or far gates: a stage has one of them."""

    layout: Layout
    reach: bool

    def slots(self, qubits: tuple[int, ...]) -> tuple[Slot, ...]:
        layout, turn = self.layout, self.layout.n_cores
        low, high = sorted(map(layout.site, qubits))
        if low == high == 0:
            return (Slot(0, "head"),)
        if low == high:
            return Slot(0, "tail"), Slot(turn, "turn")
        if self.reach or high - low > 1 or not layout.has_inside(qubits):
            return (FAR,)
        return Slot(1 + low, "right", low), Slot(2 * turn - 1 - low, "left", low)

    def alone(self, qubit: int) -> Slot:
        site, last = self.layout.site(qubit), self.layout.n_cores - 1
        ends = {0: Slot(0, "head"), last: Slot(0, "tail")}
        return ends.get(site, Slot(0, "single", site))

    def takes(self, names: Collection[str], slot: Slot) -> bool:
        if slot == FAR:
            return not {"right", "left", "turn"} & set(names)
        if slot.name == "turn":
            return "right" in names
        return slot.name not in ("right", "left") or "far" not in names


def _stage(filled: Filled, layout: Layout) -> Stage:
    """A stage's slots as blocks, on the qubits of the cores they act on."""
    gates = {(slot.name, slot.core): tuple(run) for slot, run in filled.items()}

    def block(name: str, start: int, stop: int, core: int = 0) -> Block | None:
        run = gates.get((name, core))
        return Block(tuple(range(start, stop)), run) if run else None

    first, last = layout.first, layout.last
    bonds = [core for name, core in gates if name in ("right", "left")]
    # A sweep turns where its last gate is: what lies beyond need not be touched.
    reached = range(1 + max(bonds, default=-1))
    singles = tuple(
        block("single", first + j, first + j + 1, j)
        for j in range(1, layout.n_cores - 1)
    )
    return Stage(
        head=block("head", 0, first + 1),
        tail=block("tail", last, layout.n_qubits),
        singles=singles if any(singles) else (),
        right=tuple(block("right", first + j, first + j + 2, j) for j in reached),
        turn=block("turn", last, layout.n_qubits),
        left=tuple(block("left", first + j, first + j + 2, j) for j in reached),
        far=into_fans(gates.get(("far", 0), ())),
    )
