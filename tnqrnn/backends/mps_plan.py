"""How a circuit becomes sweeps over a matrix product state.

Qubits 0..h and the last h+1 of n belong to one tensor each (see ``mps_state``), so a
gate within either is one product with that tensor. A gate between neighbouring middle
qubits is applied when a sweep passes their bond; any other gate reaches over several
bonds. A plan is a sequence of stages, each of which starts and ends with the centre of
orthogonality at core 0::

    local   head block, one-qubit gates, tail block
    then    right sweep over the bonds, tail block, left sweep over the bonds
    or      gates that reach far, one after another

A sweep may hold a window of three cores instead of two. Each of its blocks takes the
gates of all layers that can run on three qubits, as a light cone does, so two layers of
a chain are one sweep, and each bond is truncated once instead of twice::

    window           layer 1      layer 2
    0: cores 0-2     12           01
    1: cores 1-3     23           12
    2: cores 2-4     34           23

Gates keep their order on every qubit; each takes the earliest place that this leaves.
One-qubit gates wait for the next two-qubit gate and are multiplied into it.
"""

import functools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tnqrnn.backends.mps_operators import Fan, into_fans
from tnqrnn.backends.mps_state import Layout
from tnqrnn.circuits.ansatz import Ansatz, Gate
from tnqrnn.circuits.fusion import Block

_WINDOW = 3  # cores at once in a wide sweep (benchmarks/windows.py)
_WIDE = 1.6  # a split of three cores, in splits of two
_PASS = 0.4  # a bond that is passed without a gate


@dataclass(frozen=True)
class Stage:
    """One part of a plan; ``None`` is the identity.

    Attributes:
        window: cores that the right sweep holds at once. Beyond two there is nothing
            but ``head``, ``right`` and ``turn``.
        head: block on the qubits of the first ``window - 1`` cores, applied first.
        tail: block on all qubits of the last core, applied first.
        singles: one block for each core between those two.
        right: blocks of the right sweep on ``window`` qubits, from core 0's on to where
            it turns.
        turn: block on the qubits of the last ``window - 1`` cores between the sweeps.
        left: blocks of the left sweep, in bond order, as many as ``right``.
        far: gates that reach over any number of bonds, in order, after the local part;
            those that can be applied as one are joined.
    """

    window: int
    head: Block | None
    tail: Block | None
    singles: tuple[Block | None, ...]
    right: tuple[Block | None, ...]
    turn: Block | None
    left: tuple[Block | None, ...]
    far: tuple[Fan, ...]

    @property
    def ends(self) -> dict[str, Block | None]:
        """The blocks on an end of the chain, by name."""
        return {"head": self.head, "tail": self.tail, "turn": self.turn}

    @property
    def cost(self) -> float:
        """Rough cost in truncated splits; a stage has a cost of its own to compile."""
        if held := self.window - 2:
            bonds = len(self.right) + held
            return 2 + _WIDE * len(self.right) + held + _PASS * bonds
        gated = sum(block is not None for block in self.right + self.left)
        return 2 + gated + _PASS * (2 * len(self.right) - gated)


@dataclass(frozen=True)
class Part:
    """A planned circuit that is applied several times in a row with other angles.

    Attributes:
        stages: the plan.
        index (integer array of shape (repetitions, its P)): the places of its angles
            among those of the whole circuit.
    """

    stages: tuple[Stage, ...]
    index: np.ndarray


@functools.lru_cache(maxsize=256)
def parts(ansatz: Ansatz, layout: Layout) -> tuple[Part, ...]:
    """The circuit as parts to apply in order: its layers one by one, or in pairs."""
    layer, index = repeats(ansatz)
    one = best_schedule(layer, layout)
    single = (Part(one.stages, index),)
    if len(index) == 1:
        return single
    even = len(index) // 2 * 2
    two = best_schedule(_twice(layer), layout)
    if even // 2 * two.cost >= even * one.cost:
        return single
    paired = Part(two.stages, index[:even].reshape(even // 2, -1))
    return (paired, Part(one.stages, index[even:])) if len(index) % 2 else (paired,)


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


@functools.lru_cache(maxsize=256)
def best_schedule(ansatz: Ansatz, layout: Layout) -> "Schedule":
    """The cheapest of four schedules of a circuit.

    Neighbouring gates go into right sweeps, into sweeps both ways, or are treated like
    gates that reach far (many of which are cheaper than many sweeps). Where no gate
    reaches far, they may go into wide sweeps.
    """
    schedules = [
        Schedule(ansatz, layout),
        Schedule(ansatz, layout, both_ways=True),
        Schedule(ansatz, layout, reach=True),
    ]
    near = all(not stage.far for stage in schedules[0].stages)
    if near and layout.n_cores >= _WINDOW:
        schedules.append(Schedule(ansatz, layout, window=_WINDOW))
    return min(schedules, key=lambda schedule: schedule.cost)


class Schedule:
    """Places the gates of a circuit one after another.

    A place is (stage, slot); a slot's moment orders it within its stage.

    Attributes:
        stages: the plan.
        cost: roughly, in truncated splits.
    """

    def __init__(
        self,
        ansatz: Ansatz,
        layout: Layout,
        *,
        both_ways: bool = False,
        reach: bool = False,
        window: int = 2,
    ) -> None:
        self._layout, self._both_ways, self._reach = layout, both_ways, reach
        self._window = window
        self._filled: list[dict[tuple, list[Gate]]] = []
        self._latest: dict[int, tuple[int, tuple]] = {}
        self._waiting: dict[int, list[Gate]] = defaultdict(list)
        for gate in ansatz.gates:
            if len(gate.qubits) == 1:
                self._waiting[gate.qubits[0]].append(gate)
            else:
                self._place(gate)
        for qubit in sorted(self._waiting):
            self._settle(qubit)
        self.stages = tuple(map(self._freeze, self._filled))
        self.cost = sum(map(self._cost, self.stages))

    def _place(self, gate: Gate) -> None:
        slots = tuple(self._slots_for(gate))
        if slots == (("far",),):
            for qubit in gate.qubits:
                self._settle(qubit)
        after = [self._latest[q] for q in gate.qubits if q in self._latest]
        earliest = max(((s, self._moment(k)) for s, k in after), default=(0, 0))
        stage, slot = next(
            (stage, slot)
            for stage in range(earliest[0], len(self._filled) + 1)
            for slot in slots
            if (stage, self._moment(slot)) >= earliest and self._takes(stage, slot)
        )
        before = [g for q in sorted(gate.qubits) for g in self._waiting.pop(q, ())]
        self._add(stage, slot, [*before, gate])
        for qubit in gate.qubits:
            self._latest[qubit] = stage, slot

    def _settle(self, qubit: int) -> None:
        """Places one-qubit gates that cannot wait: into the last block or alone."""
        gates = self._waiting.pop(qubit, [])
        if not gates:
            return
        stage, slot = self._latest.get(qubit, (-1, ("far",)))
        if slot == ("far",):
            stage, slot = stage + 1, self._alone(qubit)
            self._latest[qubit] = stage, slot
        self._add(stage, slot, gates)

    def _alone(self, qubit: int) -> tuple:
        """The slot at the start of a stage for one-qubit gates alone."""
        site, last = self._layout.site(qubit), self._layout.n_cores - 1
        if self._window > 2:
            return next(self._wide((qubit,)))
        return {0: ("head",), last: ("tail",)}.get(site, ("single", site))

    def _add(self, stage: int, slot: tuple, gates: list[Gate]) -> None:
        if stage == len(self._filled):
            self._filled.append({})
        self._filled[stage].setdefault(slot, []).extend(gates)

    def _slots_for(self, gate: Gate) -> Iterator[tuple]:
        """The slots that could hold a two-qubit gate, earliest moment first."""
        low, high = sorted(map(self._layout.site, gate.qubits))
        if self._window > 2:
            yield from self._wide(gate.qubits)
        elif low == high == 0:
            yield ("head",)
        elif low == high:
            yield from (("tail",), ("turn",))
        elif high - low > 1 or not self._between(gate.qubits) or self._reach:
            yield ("far",)
        else:
            yield ("right", low)
            if self._both_ways:
                yield ("left", low)

    def _wide(self, qubits: tuple[int, ...]) -> Iterator[tuple]:
        """The slots of a wide sweep that hold qubits which are no further apart."""
        sites = [self._layout.site(qubit) for qubit in qubits]
        low, high = min(sites), max(sites)
        held, beyond = self._window - 1, self._layout.n_cores - self._window + 1
        if high < held:
            yield ("head",)
        if self._between(qubits):
            for j in range(max(0, high - held), min(low + 1, beyond)):
                yield ("right", j)
        if low >= beyond:
            yield ("turn",)

    def _between(self, qubits: tuple[int, ...]) -> bool:
        """Whether each of the qubits is the physical one of its core."""
        return all(self._layout.first <= q <= self._layout.last for q in qubits)

    def _moment(self, slot: tuple) -> int:
        name, *bond = slot
        turn = self._layout.n_cores
        if name == "right":
            return 1 + bond[0]
        if name == "left":
            return 2 * turn - 1 - bond[0]
        return {"far": 1, "turn": turn}.get(name, 0)

    def _takes(self, stage: int, slot: tuple) -> bool:
        """Whether a stage may hold a slot: sweeps and far gates exclude each other."""
        if self._window > 2:
            return True
        if stage == len(self._filled):
            return slot != ("turn",)
        names = {name for name, *_ in self._filled[stage]}
        if slot == ("far",):
            return not names & {"right", "left", "turn"}
        if slot == ("turn",):
            return "right" in names
        return slot[0] not in ("right", "left") or "far" not in names

    def _freeze(self, slots: dict[tuple, list[Gate]]) -> Stage:
        layout, held = self._layout, self._window - 1

        def block(slot: tuple, qubits: range) -> Block | None:
            return Block(tuple(qubits), tuple(slots[slot])) if slot in slots else None

        def swept(name: str, j: int) -> Block | None:
            start = layout.first + j
            return block((name, j), range(start, start + self._window))

        bonds = [j for name, *rest in slots if name in ("right", "left") for j in rest]
        if self._window > 2 and ("turn",) in slots:
            bonds = [layout.n_cores - self._window]
        reached = range(1 + max(bonds, default=-1))
        singles = tuple(
            block(("single", j), range(layout.first + j, layout.first + j + 1))
            for j in range(1, layout.n_cores - 1)
        )
        return Stage(
            window=self._window,
            head=block(("head",), range(layout.first + held)),
            tail=block(("tail",), range(layout.last, layout.n_qubits)),
            singles=singles if any(singles) else (),
            right=tuple(swept("right", j) for j in reached),
            turn=block(("turn",), range(layout.last + 1 - held, layout.n_qubits)),
            left=() if held > 1 else tuple(swept("left", j) for j in reached),
            far=into_fans(slots.get(("far",), ())),
        )

    def _cost(self, stage: Stage) -> float:
        spans = [fan.span(self._layout) for fan in stage.far]
        centres = [0, *(right for _, right in spans)]
        moves = sum(
            max(left - centre, centre - right, 0)
            for centre, (left, right) in zip(centres, spans, strict=False)
        )
        far = sum(2.5 * (right - left) for left, right in spans)
        return stage.cost + far + _PASS * (moves + centres[-1])
