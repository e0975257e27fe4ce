"""Placing the gates of a circuit into the slots of sweeps.

A stage of a schedule has slots, each of which acts on some cores at its own moment.
Gates are placed one after another, each into the earliest slot that can hold it and
that acts no earlier than the gates before it on its qubits. One-qubit gates wait for
the next two-qubit gate and are multiplied into it.

Two layers of a chain on four cores, right sweeps alone, one row a stage::

    stage   right 0   right 1   right 2
    0       01        12        23          layer 1
    1       01        12        23          layer 2

The second 01 cannot go into stage 0: it would act before 12, its neighbour's last gate.
"""

import abc
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from tnqrnn.circuits.ansatz import Ansatz, Gate


class Slot(NamedTuple):
    """A place for gates in a stage.

    Attributes:
        moment: slots of one stage act in the order of their moments.
        name: ``"head"``, ``"tail"``, ``"single"``, ``"right"``, ``"turn"``, ``"left"``
            or ``"far"``, as the stage's blocks are called.
        core: the first core of a block that is one of several; else 0.
    """

    moment: int
    name: str
    core: int = 0


FAR = Slot(1, "far")
"""Gates over any number of bonds; one-qubit gates do not wait for them."""


class AbstractSweeps(abc.ABC):
    """A kind of stages."""

    @abc.abstractmethod
    def slots(self, qubits: tuple[int, ...]) -> Sequence[Slot]:
        """The slots that could hold a two-qubit gate, earliest moment first."""

    @abc.abstractmethod
    def alone(self, qubit: int) -> Slot:
        """The slot at the start of a stage for one-qubit gates alone."""

    @abc.abstractmethod
    def takes(self, names: Collection[str], slot: Slot) -> bool:
        """Whether a stage that has slots of these names may have another one."""


Filled = Mapping[Slot, Sequence[Gate]]
"""A stage's gates, in order, by slot."""


def placed(ansatz: Ansatz, sweeps: AbstractSweeps) -> list[Filled]:
    """The gates of each stage."""
    stages: list[dict[Slot, list[Gate]]] = []
    latest: dict[int, tuple[int, Slot]] = {}  # where the last gate on a qubit is
    waiting: dict[int, list[Gate]] = defaultdict(list)  # one-qubit gates, by qubit

    def add(stage: int, slot: Slot, gates: Sequence[Gate]) -> None:
        if stage == len(stages):
            stages.append({})
        stages[stage].setdefault(slot, []).extend(gates)

    def settle(qubit: int) -> None:
        """One-qubit gates that cannot wait go into the last block, or alone."""
        if not (gates := waiting.pop(qubit, [])):
            return
        stage, slot = latest.get(qubit, (-1, FAR))
        if slot == FAR:
            stage, slot = stage + 1, sweeps.alone(qubit)
            latest[qubit] = stage, slot
        add(stage, slot, gates)

    def takes(stage: int, slot: Slot) -> bool:
        names = {other.name for other in stages[stage]} if stage < len(stages) else ()
        return sweeps.takes(names, slot)

    for gate in ansatz.gates:
        if len(gate.qubits) == 1:
            waiting[gate.qubits[0]].append(gate)
            continue
        slots = sweeps.slots(gate.qubits)
        if FAR in slots:
            for qubit in gate.qubits:
                settle(qubit)
        before = [latest[qubit] for qubit in gate.qubits if qubit in latest]
        earliest = max(((stage, s.moment) for stage, s in before), default=(0, 0))
        stage, slot = next(
            (stage, slot)
            for stage in range(earliest[0], len(stages) + 1)
            for slot in slots
            if (stage, slot.moment) >= earliest and takes(stage, slot)
        )
        singles = [g for qubit in sorted(gate.qubits) for g in waiting.pop(qubit, ())]
        add(stage, slot, [*singles, gate])
        latest.update(dict.fromkeys(gate.qubits, (stage, slot)))
    for qubit in sorted(waiting):
        settle(qubit)
    return list(stages)
