"""How a circuit becomes sweeps over a matrix product state.

Qubits 0..h and the last h+1 of n belong to one tensor each (see ``mps_state``), so a
gate within either is one product with that tensor. A gate between neighbouring middle
qubits is applied when a sweep passes their bond; any other gate reaches over several
bonds. A plan is a sequence of stages, each of which starts and ends with the centre of
orthogonality at core 0::

    local   head block, one-qubit gates, tail block
    then    right sweep over the bonds, tail block, left sweep over the bonds
    or      gates that reach far, one after another

Gates keep their order on every qubit; each takes the earliest place that this leaves.
One-qubit gates wait for the next two-qubit gate and are multiplied into it.
"""

import functools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tnqrnn.backends.mps_operators import Fan, MaybeBlock, into_fans
from tnqrnn.backends.mps_state import Layout
from tnqrnn.circuits.ansatz import Ansatz, Gate
from tnqrnn.circuits.fusion import Block


@dataclass(frozen=True)
class Stage:
    """One part of a plan; ``None`` is the identity.

    Attributes:
        head, tail: blocks on all qubits of the first and last core, applied first.
        singles: one block for each core between those two.
        right: blocks of the right sweep, from bond 0 to where it turns.
        turn: block on the tail between the sweeps.
        left: blocks of the left sweep, in bond order, as many as ``right``.
        far: gates that reach over any number of bonds, in order, after the local part;
            those that can be applied as one are joined.
    """

    head: MaybeBlock
    tail: MaybeBlock
    singles: tuple[MaybeBlock, ...]
    right: tuple[MaybeBlock, ...]
    turn: MaybeBlock
    left: tuple[MaybeBlock, ...]
    far: tuple[Fan, ...]

    @property
    def cost(self) -> float:
        """Rough cost in truncated splits; a stage has a cost of its own to compile."""
        sweeps = sum(0.4 if block is None else 1.0 for block in self.right + self.left)
        return 2 + sweeps


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
def plan(ansatz: Ansatz, layout: Layout) -> tuple[Stage, ...]:
    """The cheapest of three schedules of a circuit.

    Neighbouring gates go into right sweeps, into sweeps both ways, or are treated like
    gates that reach far (many of which are cheaper than many sweeps).
    """
    schedules = [
        _Schedule(ansatz, layout, both_ways=False, reach=False),
        _Schedule(ansatz, layout, both_ways=True, reach=False),
        _Schedule(ansatz, layout, both_ways=False, reach=True),
    ]
    return min(schedules, key=lambda schedule: schedule.cost).stages


class _Schedule:
    """Places the gates of a circuit one after another.

    A place is (stage, slot); a slot's moment orders it within its stage.
    """

    def __init__(
        self, ansatz: Ansatz, layout: Layout, *, both_ways: bool, reach: bool
    ) -> None:
        self._layout, self._both_ways, self._reach = layout, both_ways, reach
        self._slots: list[dict[tuple, list[Gate]]] = []
        self._latest: dict[int, tuple[int, tuple]] = {}
        self._waiting: dict[int, list[Gate]] = defaultdict(list)
        for gate in ansatz.gates:
            if len(gate.qubits) == 1:
                self._waiting[gate.qubits[0]].append(gate)
            else:
                self._place(gate)
        for qubit in sorted(self._waiting):
            self._settle(qubit)
        self.stages = tuple(map(self._freeze, self._slots))
        self.cost = sum(map(self._cost, self.stages))

    def _place(self, gate: Gate) -> None:
        kinds = tuple(self._kinds(gate))
        if kinds == (("far",),):
            for qubit in gate.qubits:
                self._settle(qubit)
        after = [self._latest[q] for q in gate.qubits if q in self._latest]
        earliest = max(((s, self._moment(k)) for s, k in after), default=(0, 0))
        stage, kind = next(
            (stage, kind)
            for stage in range(earliest[0], len(self._slots) + 1)
            for kind in kinds
            if (stage, self._moment(kind)) >= earliest and self._takes(stage, kind)
        )
        before = [g for q in sorted(gate.qubits) for g in self._waiting.pop(q, ())]
        self._add(stage, kind, [*before, gate])
        for qubit in gate.qubits:
            self._latest[qubit] = stage, kind

    def _settle(self, qubit: int) -> None:
        """Places one-qubit gates that cannot wait: into the last block or alone."""
        gates = self._waiting.pop(qubit, [])
        if not gates:
            return
        stage, kind = self._latest.get(qubit, (-1, ("far",)))
        if kind == ("far",):
            site = self._layout.site(qubit)
            ends = {0: ("head",), self._layout.n_cores - 1: ("tail",)}
            stage, kind = stage + 1, ends.get(site, ("single", site))
            self._latest[qubit] = stage, kind
        self._add(stage, kind, gates)

    def _add(self, stage: int, kind: tuple, gates: list[Gate]) -> None:
        if stage == len(self._slots):
            self._slots.append({})
        self._slots[stage].setdefault(kind, []).extend(gates)

    def _kinds(self, gate: Gate) -> Iterator[tuple]:
        """The slots that could hold a two-qubit gate, earliest moment first."""
        low, high = sorted(map(self._layout.site, gate.qubits))
        first, last = self._layout.first, self._layout.last
        inside = all(first <= qubit <= last for qubit in gate.qubits)
        if low == high == 0:
            yield ("head",)
        elif low == high:
            yield from (("tail",), ("turn",))
        elif high - low > 1 or not inside or self._reach:
            yield ("far",)
        else:
            yield ("right", low)
            if self._both_ways:
                yield ("left", low)

    def _moment(self, kind: tuple) -> int:
        name, *bond = kind
        turn = self._layout.n_cores
        moments = {"far": 1, "turn": turn}
        if name == "right":
            return 1 + bond[0]
        return 2 * turn - 1 - bond[0] if name == "left" else moments.get(name, 0)

    def _takes(self, stage: int, kind: tuple) -> bool:
        """Whether a stage may hold a slot: sweeps and far gates exclude each other."""
        if stage == len(self._slots):
            return kind != ("turn",)
        names = {name for name, *_ in self._slots[stage]}
        if kind == ("far",):
            return not names & {"right", "left", "turn"}
        if kind == ("turn",):
            return "right" in names
        return kind[0] not in ("right", "left") or "far" not in names

    def _freeze(self, slots: dict[tuple, list[Gate]]) -> Stage:
        layout = self._layout

        def block(kind: tuple, qubits: range) -> MaybeBlock:
            return Block(tuple(qubits), tuple(slots[kind])) if kind in slots else None

        def bond(name: str, j: int) -> MaybeBlock:
            return block((name, j), range(layout.first + j, layout.first + j + 2))

        bonds = [j for name, *rest in slots if name in ("right", "left") for j in rest]
        reached = range(1 + max(bonds, default=-1))
        tail = range(layout.last, layout.n_qubits)
        singles = tuple(
            block(("single", j), range(layout.first + j, layout.first + j + 1))
            for j in range(1, layout.n_cores - 1)
        )
        return Stage(
            head=block(("head",), range(layout.first + 1)),
            tail=block(("tail",), tail),
            singles=singles if any(singles) else (),
            right=tuple(bond("right", j) for j in reached),
            turn=block(("turn",), tail),
            left=tuple(bond("left", j) for j in reached),
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
        return stage.cost + far + 0.4 * (moves + centres[-1])
