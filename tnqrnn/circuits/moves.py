"""Two-qubit gates with the one-qubit gates before them, built for many blocks at once.

A block's gates become moves, each a matrix on one or two of its positions::

    -[ry]-[rz]-o-           -[    ]-
               |      is     [move]
    -[rz]------[x]-         -[    ]-

All one-qubit gates of all blocks are made by one formula, and so are all two-qubit
gates; runs of one-qubit gates are filled up with identities to the length of the
longest. So the number of operations depends on that length alone.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.checks import real_dtype
from tnqrnn.circuits.ansatz import Gate
from tnqrnn.circuits.elementwise import fused_einsum
from tnqrnn.circuits.fusion import Pattern
from tnqrnn.circuits.gates import gate_matrices

Column = Sequence[Gate | None]  # what each of several blocks has in one slot


@dataclass(frozen=True)
class Move:
    """A two-qubit gate and the one-qubit gates just before it, or those alone.

    Attributes:
        places: one or two positions within a block.
        runs: for each of them, the slots of the one-qubit gates, in order.
        pair: the slot of the two-qubit gate; ``None`` where none follows.
    """

    places: tuple[int, ...]
    runs: tuple[tuple[int, ...], ...]
    pair: int | None


@functools.lru_cache(maxsize=256)
def moves_of(slots: Pattern) -> tuple[Move, ...]:
    """A pattern as moves, in order."""
    waiting: dict[int, tuple[int, ...]] = {}
    moves = []
    for i, (_, places) in enumerate(slots):
        if len(places) == 1:
            waiting[places[0]] = (*waiting.get(places[0], ()), i)
        else:
            runs = tuple(waiting.pop(place, ()) for place in places)
            moves.append(Move(places, runs, i))
    moves += [Move((place,), (run,), None) for place, run in waiting.items()]
    return tuple(moves)


def matrices_of(
    moves: Sequence[tuple[Move, Sequence[Column]]], angles: jax.Array, dtype: str
) -> list[jax.Array]:
    """The matrices of moves.

    Args:
        moves: each with the gates that N blocks have in the slots it counts by, which
            may be another N for another move.
        angles (real array of shape (P,)): radians.
        dtype: complex type of the matrices.

    Returns:
        for each move an array of shape (N, d, d), d = 2 or 4.
    """
    order = sorted(range(len(moves)), key=lambda i: moves[i][0].pair is None)
    paired = [moves[i] for i in order if moves[i][0].pair is not None]
    alone = [moves[i] for i in order if moves[i][0].pair is None]
    pairs = [
        gate
        for move, columns in moves
        if move.pair is not None
        for gate in columns[move.pair]
    ]
    # Runs of one-qubit gates: before the first qubits of all pairs, before their second
    # qubits, and those that no pair follows. In this order they are cut apart below.
    runs = _runs(paired, 0) + _runs(paired, 1) + _runs(alone, 0)
    singles = _side_by_side(runs)
    values = _angles_of([*singles, *pairs], angles.astype(real_dtype(dtype)))
    of_singles, of_pairs = jnp.split(values, [len(singles)])
    left = right = lone = None
    if singles:
        matrices = gate_matrices(_names(singles), 1, of_singles)
        joined = _joined(matrices.reshape(-1, len(runs), 2, 2))
        left, right, lone = jnp.split(joined, [len(pairs), 2 * len(pairs)])
    matrices_in_order: list[jax.Array] = []
    if pairs:
        small = gate_matrices(_names(pairs), 2, of_pairs)
        if left is not None and right is not None:
            small = _take_along(small, left, right)
        matrices_in_order += _by_move(small, paired)
    if lone is not None and alone:
        matrices_in_order += _by_move(lone, alone)
    return [matrices_in_order[order.index(i)] for i in range(len(moves))]


def _runs(
    moves: Sequence[tuple[Move, Sequence[Column]]], side: int
) -> list[list[Gate | None]]:
    """The one-qubit gates on a side of moves: a run for each move and each block."""
    runs = []
    for move, columns in moves:
        for j in range(len(columns[0])):
            runs.append([columns[slot][j] for slot in move.runs[side]])
    return runs


def _by_move(stack: jax.Array, moves: Sequence[tuple[Move, Sequence[Column]]]) -> list:
    """The rows of each move, as many as there are blocks."""
    ends = np.cumsum([len(columns[0]) for _, columns in moves])
    return jnp.split(stack, ends[:-1])


def _side_by_side(runs: Sequence[Column]) -> list[Gate | None]:
    """The first gates of all runs, then the second ones, and so on, ``None`` if none.

    So the gates that are multiplied lie apart by the number of runs.
    """
    longest = max(map(len, runs), default=0)
    filled = [(*run, *(None,) * (longest - len(run))) for run in runs]
    return [gate for column in zip(*filled, strict=True) for gate in column]


def _names(gates: Column) -> tuple[str | None, ...]:
    return tuple(None if gate is None else gate.name for gate in gates)


def _angles_of(gates: Column, angles: jax.Array) -> jax.Array:
    """Each gate's angle, that of index 0 where it has none and depends on none."""
    if not len(angles):
        return jnp.zeros(len(gates), angles.dtype)
    index = [0 if gate is None else gate.angle or 0 for gate in gates]
    return angles[np.array(index, int)]


def _joined(matrices: jax.Array) -> jax.Array:
    """The products of R runs, (R, 2, 2), of gates of shape (length, R, 2, 2)."""
    first, *later = jnp.split(matrices, len(matrices))
    product = first[0]
    for matrix in later:
        product = fused_einsum(matrix[0], [0, 1, 2], product, [0, 2, 3], [0, 1, 3])
    return product


def _take_along(small: jax.Array, left: jax.Array, right: jax.Array) -> jax.Array:
    """``small (left (x) right)`` for N two-qubit matrices, (N, 4, 4)."""
    for matrix, axes, result in (
        (left, [0, 2, 4], [0, 1, 4, 3]),
        (right, [0, 3, 4], [0, 1, 2, 4]),
    ):
        tensor = small.reshape(-1, 4, 2, 2)
        small = fused_einsum(tensor, [0, 1, 2, 3], matrix, axes, result)
    return small.reshape(-1, 4, 4)
