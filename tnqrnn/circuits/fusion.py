"""Fusing gates into blocks: fewer, larger matrices for a backend to apply.

A block is a short run of gates that together touch at most k qubits. A backend that
applies blocks instead of gates passes over its state a few times instead of dozens of
times. A block takes gates of all layers that can run on its qubits, as a light cone
does, so two layers of a chain on 8 qubits are three blocks::

    k = 4            layer 1      layer 2
    block 0: 0-3     01 12 23     01 12
    block 1: 2-5     34 45        23 34
    block 2: 4-7     56 67        45 56 67

One-qubit gates wait for the next two-qubit gate, which takes them along.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tnqrnn.circuits.ansatz import Ansatz, Gate

Pattern = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Block:
    """Gates that act one after another on a few qubits.

    Attributes:
        qubits: the qubits they touch, ascending.
        gates: the gates in order, on the circuit's own qubit numbers.
    """

    qubits: tuple[int, ...]
    gates: tuple[Gate, ...]

    @property
    def pattern(self) -> Pattern:
        """Gate names on positions within the block: blocks alike share a pattern."""
        place = {qubit: i for i, qubit in enumerate(self.qubits)}
        return tuple((g.name, tuple(place[q] for q in g.qubits)) for g in self.gates)


def fuse(ansatz: Ansatz, max_qubits: int) -> tuple[Block, ...]:
    """Cuts a circuit into blocks of at most ``max(2, max_qubits)`` qubits.

    Greedy: the next block takes the set of qubits, neighbours first, on which most
    two-qubit gates can run before another qubit is needed. Applying the blocks in order
    is applying the circuit.
    """
    return fuse_gates(ansatz.gates, ansatz.n_qubits, max_qubits)


@functools.lru_cache(maxsize=256)
def fuse_gates(
    every: tuple[Gate, ...], n_qubits: int, max_qubits: int
) -> tuple[Block, ...]:
    """:func:`fuse` for a part of a circuit of n qubits."""
    width = min(max(2, max_qubits), n_qubits)
    queues = _Queues(every, n_qubits)
    blocks = []
    while any(queues.waiting):
        best: list[int] = []
        for qubits in _qubit_sets(queues, width):
            run = queues.runnable(qubits)
            if queues.worth(run) > queues.worth(best):
                best = run
        queues.take(best)
        gates = tuple(every[i] for i in best)
        touched = sorted({qubit for gate in gates for qubit in gate.qubits})
        blocks.append(Block(tuple(touched), gates))
    return tuple(blocks)


class _Queues:
    """The gates that have not run yet, by their numbers, in order on each qubit."""

    def __init__(self, gates: Sequence[Gate], n_qubits: int) -> None:
        self.on = [gate.qubits for gate in gates]
        self.waiting: list[list[int]] = [[] for _ in range(n_qubits)]
        for i, qubits in enumerate(self.on):
            for qubit in qubits:
                self.waiting[qubit].append(i)

    def runnable(self, qubits: Sequence[int]) -> list[int]:
        """Gates that can run on these qubits alone, in order.

        One-qubit gates at the end wait for a later block, which takes them along with a
        two-qubit gate at no cost, if there is one to come.
        """
        done = dict.fromkeys(qubits, 0)
        order: list[int] = []

        def is_next(i: int, qubit: int) -> bool:
            return qubit in done and self.waiting[qubit][done[qubit]] == i

        # A gate runs when it is next on all its qubits. That may let others run, on
        # qubits already looked at, too: look again until nothing changes.
        grown = True
        while grown:
            grown = False
            for qubit in qubits:
                while done[qubit] < len(self.waiting[qubit]):
                    i = self.waiting[qubit][done[qubit]]
                    if not all(is_next(i, q) for q in self.on[i]):
                        break
                    for q in self.on[i]:
                        done[q] += 1
                    order.append(i)
                    grown = True
        for qubit in qubits:
            ran = self.waiting[qubit][: done[qubit]]
            later = self.waiting[qubit][done[qubit] :]
            if any(len(self.on[i]) == 2 for i in later):
                while ran and len(self.on[ran[-1]]) == 1:
                    order.remove(ran.pop())
        return sorted(order)

    def next_pair(self, qubit: int) -> tuple[int, int]:
        """The qubits, ascending, of the next two-qubit gate on a qubit, if any."""
        pairs = (self.on[i] for i in self.waiting[qubit] if len(self.on[i]) == 2)
        low, high = sorted(next(pairs, (qubit, qubit)))
        return low, high

    def take(self, gates: Sequence[int]) -> None:
        """Removes gates that have run."""
        taken = set(gates)
        self.waiting = [[i for i in q if i not in taken] for q in self.waiting]

    def worth(self, gates: Sequence[int]) -> tuple[int, int]:
        """How many two-qubit gates, and how many gates."""
        return sum(len(self.on[i]) == 2 for i in gates), len(gates)


def _qubit_sets(queues: _Queues, width: int) -> Iterator[tuple[int, ...]]:
    """The sets of at most ``width`` qubits a block may act on, those to prefer first.

    All runs of neighbours; then two runs of neighbours around the two qubits of each
    gate that reaches further and is next on its first qubit.
    """
    n_qubits = len(queues.waiting)
    for first in range(n_qubits - width + 1):
        yield tuple(range(first, first + width))
    far = {queues.next_pair(qubit) for qubit in range(n_qubits)}
    for low, high in sorted(pair for pair in far if pair[1] - pair[0] >= width):
        for size in range(1, width):
            for start in range(max(0, low - size + 1), low + 1):
                left = range(start, start + size)
                right_size = width - size
                latest = min(high, n_qubits - right_size)
                for begin in range(high - right_size + 1, latest + 1):
                    if begin >= left.stop:
                        yield (*left, *range(begin, begin + right_size))
