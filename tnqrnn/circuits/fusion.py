"""Fusing gates into blocks: fewer, larger matrices for a backend to apply.

A block is a short run of gates that together touch at most k qubits. A backend that
applies blocks instead of gates passes over its state a few times instead of dozens of
times. One-qubit gates wait until a two-qubit gate takes them along, so a chain's layer
becomes overlapping groups of neighbours::

    qubits  0 1 2 3 4 5 6      k = 4
    block 0 [=====]            rotations of 0-3, entanglers 01 12 23
    block 1       [=====]      rotations of 4-6, entanglers 34 45 56
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.circuits.ansatz import Ansatz, Gate, apply_matrix
from tnqrnn.circuits.gates import gate_matrix


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
    def pattern(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Gate names on positions within the block: blocks alike share a pattern."""
        place = {qubit: i for i, qubit in enumerate(self.qubits)}
        return tuple((g.name, tuple(place[q] for q in g.qubits)) for g in self.gates)


@functools.lru_cache(maxsize=256)
def fuse(ansatz: Ansatz, max_qubits: int) -> tuple[Block, ...]:
    """Cuts a circuit into blocks of at most ``max(2, max_qubits)`` qubits.

    Greedy: a gate joins the first block that is late enough and does not grow too wide.
    Blocks stay within ``max_qubits`` neighbouring qubits unless a gate itself reaches
    further. Applying the blocks in order is applying the circuit.
    """
    width = max(2, max_qubits)
    sets: list[set[int]] = []
    gates: list[list[Gate]] = []
    latest = [-1] * ansatz.n_qubits
    waiting: list[list[Gate]] = [[] for _ in range(ansatz.n_qubits)]

    def place(qubits: set[int], new: list[Gate]) -> None:
        first = max(0, *(latest[q] for q in qubits))
        at = next(
            (i for i in range(first, len(sets)) if _fits(sets[i], qubits, width)),
            len(sets),
        )
        if at == len(sets):
            sets.append(set())
            gates.append([])
        sets[at] |= qubits
        gates[at] += new
        for qubit in qubits:
            latest[qubit] = at

    for gate in ansatz.gates:
        if len(gate.qubits) == 1:
            waiting[gate.qubits[0]].append(gate)
            continue
        before = [g for qubit in sorted(gate.qubits) for g in waiting[qubit]]
        for qubit in gate.qubits:
            waiting[qubit] = []
        place(set(gate.qubits), [*before, gate])
    for qubit, rest in enumerate(waiting):
        if rest:
            place({qubit}, rest)
    return tuple(
        Block(tuple(sorted(qubits)), tuple(members))
        for qubits, members in zip(sets, gates, strict=True)
    )


def _fits(block: set[int], qubits: set[int], width: int) -> bool:
    union = block | qubits
    if len(union) > width:
        return False
    spans = [max(s) - min(s) < width for s in (union, block, qubits)]
    return spans[0] or not (spans[1] and spans[2])


def block_unitaries(
    blocks: Sequence[Block], angles: jax.Array, dtype: str
) -> list[jax.Array]:
    """The blocks' matrices.

    Blocks of one pattern are built together, so that the number of operations to
    compile depends on the number of different patterns and not on that of blocks.

    Args:
        blocks: in any order.
        angles (array of shape (P,)): radians.
        dtype: complex type of the matrices.

    Returns:
        one array of shape (2**k, 2**k) a block, in the blocks' order.
    """
    places: dict[tuple, list[int]] = {}
    for i, block in enumerate(blocks):
        places.setdefault((len(block.qubits), block.pattern), []).append(i)
    result: dict[int, jax.Array] = {}
    for members in places.values():
        stack = stacked_unitaries([blocks[i] for i in members], angles, dtype)
        result.update({i: stack[j] for j, i in enumerate(members)})
    return [result[i] for i in range(len(blocks))]


def stacked_unitaries(
    blocks: Sequence[Block], angles: jax.Array, dtype: str
) -> jax.Array:
    """The matrices of N blocks of one pattern, as one array of shape (N, 2**k, 2**k).

    Neighbouring one-qubit gates are multiplied as 2x2 matrices and taken along by the
    next two-qubit gate.
    """
    k, count = len(blocks[0].qubits), len(blocks)
    singles: list[jax.Array | None] = [None] * k
    matrix: jax.Array | None = None

    def extend(small: jax.Array, places: tuple[int, ...]) -> jax.Array:
        start = matrix
        if start is None:
            eye = jnp.eye(2**k, dtype=dtype)
            start = jnp.broadcast_to(eye[None], (count, 2**k, 2**k))
        return apply_matrix(small, start, places, k)

    for position, (name, places) in enumerate(blocks[0].pattern):
        index = [block.gates[position].angle for block in blocks]
        angle = None if index[0] is None else angles[np.array(index)]
        small = gate_matrix(name, angle, dtype)
        if small.ndim == 2:
            small = jnp.broadcast_to(small[None], (count, *small.shape))
        if len(places) == 1:
            before = singles[places[0]]
            singles[places[0]] = small if before is None else small @ before
            continue
        small = _take_along(small, [singles[place] for place in places])
        for place in places:
            singles[place] = None
        matrix = extend(small, places)
    for place, single in enumerate(singles):
        if single is not None:
            matrix = extend(single, (place,))
    assert matrix is not None, "a block holds at least one gate"
    return matrix


def _take_along(small: jax.Array, singles: Sequence[jax.Array | None]) -> jax.Array:
    """``small (left (x) right)`` for two-qubit matrices, (N, 4, 4)."""
    tensor = small.reshape(-1, 4, 2, 2)
    left, right = singles
    if left is not None:
        tensor = jnp.einsum("noab,nac->nocb", tensor, left)
    if right is not None:
        tensor = jnp.einsum("noab,nbc->noac", tensor, right)
    return tensor.reshape(small.shape)
