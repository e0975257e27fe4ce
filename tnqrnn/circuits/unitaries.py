"""The matrices of blocks, built together for as many blocks as possible.

Blocks whose gates act on the same positions are built by the same operations, with one
more axis. Blocks that merely resemble each other share a template, the shortest
sequence of gates that holds theirs; a gate that a block does not have is the identity
there. So the number of operations, and with it the time to compile and to start them,
depends on how many kinds of blocks a circuit has and not on how many blocks.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.circuits.ansatz import Gate
from tnqrnn.circuits.fusion import Block, Pattern
from tnqrnn.circuits.gates import GATES, gate_matrix
from tnqrnn.circuits.joins import join, locate
from tnqrnn.products import matmul


@dataclass(frozen=True)
class Template:
    """A sequence of gates that holds those of several blocks.

    Attributes:
        slots: gate names and positions within a block.
        gates: for each slot, each block's gate there, or ``None``.
    """

    slots: Pattern
    gates: tuple[tuple[Gate | None, ...], ...]

    @property
    def cost(self) -> int:
        """Two-qubit gates that are multiplied, those that are identities included."""
        return sum(len(places) == 2 for _, places in self.slots) * len(self.gates[0])


@functools.lru_cache(maxsize=256)
def template_of(blocks: tuple[Block, ...]) -> Template:
    """The template of blocks that act on equally many qubits."""
    slots: Pattern = ()
    for block in blocks:
        slots = join(slots, block.pattern)
    columns = [
        [None if at is None else block.gates[at] for at in locate(slots, block.pattern)]
        for block in blocks
    ]
    return Template(slots, tuple(zip(*columns, strict=True)))


@functools.lru_cache(maxsize=256)
def group_blocks(blocks: tuple[Block, ...]) -> tuple[tuple[int, ...], ...]:
    """Numbers of the blocks to build together.

    A block joins a group while no more than half of the template's gates are
    identities.
    """
    groups: list[list[int]] = []
    for i in range(len(blocks)):
        for group in groups:
            chosen = [*group, i]
            members = tuple(blocks[j] for j in chosen)
            if len({len(member.qubits) for member in members}) > 1:
                continue
            gates = sum(len(g.qubits) == 2 for member in members for g in member.gates)
            if template_of(members).cost <= 2 * gates:
                group.append(i)
                break
        else:
            groups.append([i])
    return tuple(map(tuple, groups))


def block_unitaries(
    blocks: tuple[Block, ...], angles: jax.Array, dtype: str
) -> list[jax.Array]:
    """The blocks' matrices.

    Args:
        blocks: in any order.
        angles (array of shape (P,)): radians.
        dtype: complex type of the matrices.

    Returns:
        one array of shape (2**k, 2**k) a block, in the blocks' order.
    """
    result: dict[int, jax.Array] = {}
    for group in group_blocks(blocks):
        stack = stacked_unitaries(tuple(blocks[i] for i in group), angles, dtype)
        result.update({i: stack[j] for j, i in enumerate(group)})
    return [result[i] for i in range(len(blocks))]


def stacked_unitaries(
    blocks: tuple[Block, ...], angles: jax.Array, dtype: str
) -> jax.Array:
    """The matrices of N blocks on k qubits each, as one array (N, 2**k, 2**k).

    One-qubit gates are taken along by the next two-qubit gate of their qubit. All such
    moves of one kind are built together; then they are multiplied one after another,
    and the product has only the axes of the qubits touched so far. On a position that
    no gate touches it is the identity.
    """
    template = template_of(blocks)
    moves = moves_of(template.slots)
    kinds: dict[tuple, list[int]] = {}
    for i, move in enumerate(moves):
        kinds.setdefault((move.left, move.right, move.pair), []).append(i)
    # One gather for all angles: slots in the order in which the kinds use them.
    order = [
        [moves[i].slots[j] for i in members]
        for members in kinds.values()
        for j in range(len(moves[members[0]].slots))
    ]
    rows = [[template.gates[slot] for slot in slots] for slots in order]
    values = _angles(rows, angles)
    small: dict[int, jax.Array] = {}
    matrices = (
        _gate_matrices(template.slots[slots[0]][0], row, value, dtype)
        for slots, row, value in zip(order, rows, values, strict=True)
    )
    for (left, right, pair), members in kinds.items():
        joined = _join_singles([next(matrices) for _ in left])
        other = _join_singles([next(matrices) for _ in right])
        if pair is not None:
            joined = _take_along(next(matrices), joined, other)
        assert joined is not None, "a move holds a gate"
        side = joined.shape[-1]
        stack = joined.reshape(len(members), len(blocks), side, side)
        small.update({i: stack[j] for j, i in enumerate(members)})
    k = len(blocks[0].qubits)
    nothing = _Product((), jnp.ones((len(blocks), 1, 1), dtype))
    product = nothing
    for segment in _segments(moves, k):
        part = nothing if len(segment) > 2 else product
        for i in segment:
            part = part.extended(small[i], moves[i].places)
        product = part if len(segment) <= 2 else part.after(product)
    eye = jnp.broadcast_to(jnp.eye(2, dtype=dtype)[None], (len(blocks), 2, 2))
    for place in range(k):
        if place not in product.places:
            product = product.extended(eye, (place,))
    return product.matrix


def _segments(moves: Sequence["Move"], k: int) -> list[list[int]]:
    """Cuts moves where their product has the axes of all k qubits.

    The product of a segment starts small again, and two such products are multiplied as
    whole matrices, which costs less than multiplying one gate after another.
    """
    segments: list[list[int]] = []
    touched: set[int] = set()
    for i, move in enumerate(moves):
        if not segments or len(touched) == k:
            segments.append([])
            touched = set()
        segments[-1].append(i)
        touched |= set(move.places)
    return segments


@dataclass(frozen=True)
class Move:
    """A two-qubit gate and the one-qubit gates just before it, or those alone.

    Attributes:
        places: one or two positions.
        left: names of the gates before, on the first position.
        right: the same on the second.
        pair: name of the two-qubit gate; ``None`` where none follows.
        slots: numbers in the template of ``(*left, *right, pair)``.
    """

    places: tuple[int, ...]
    left: tuple[str, ...]
    right: tuple[str, ...]
    pair: str | None
    slots: tuple[int, ...]


@functools.lru_cache(maxsize=256)
def moves_of(slots: Pattern) -> tuple[Move, ...]:
    """A pattern as moves, in order."""
    waiting: dict[int, list[int]] = {}
    moves = []

    def names(numbers: Sequence[int]) -> tuple[str, ...]:
        return tuple(slots[i][0] for i in numbers)

    for i, (name, places) in enumerate(slots):
        if len(places) == 1:
            waiting.setdefault(places[0], []).append(i)
            continue
        left, right = (waiting.pop(place, []) for place in places)
        numbers = (*left, *right, i)
        moves.append(Move(places, names(left), names(right), name, numbers))
    for place, rest in waiting.items():
        moves.append(Move((place,), names(rest), (), None, tuple(rest)))
    return tuple(moves)


@dataclass(frozen=True)
class _Product:
    """A product of gates on the positions touched so far, ascending.

    Attributes:
        matrix (array of shape (N, 2**t, 2**t)): N products at once.
    """

    places: tuple[int, ...]
    matrix: jax.Array

    def extended(self, small: jax.Array, places: tuple[int, ...]) -> "_Product":
        """Multiplied from the left by N matrices on ``places``."""
        touched = tuple(sorted({*self.places, *places}))
        count, side = len(small), 2 ** len(touched)
        # Axes by name: 0 counts blocks; of position p, what goes into the product is
        # 3p+1, what came out so far 3p+2, and what comes out now 3p+3.
        new = [3 * p + 3 for p in places]
        old = [3 * p + (2 if p in self.places else 1) for p in places]
        small = small.reshape(count, *(2,) * (2 * len(places)))
        out = [3 * p + (3 if p in places else 2) for p in touched]
        result = [0, *out, *(3 * p + 1 for p in touched)]
        matrix = self.matrix.reshape(count, *(2,) * (2 * len(self.places)))
        axes = [3 * p + 2 for p in self.places] + [3 * p + 1 for p in self.places]
        grown = _contract(small, [0, *new, *old], matrix, [0, *axes], result)
        return _Product(touched, grown.reshape(count, side, side))

    def after(self, first: "_Product") -> "_Product":
        """This product after another one."""
        if not first.places:
            return self
        if self.places != first.places:
            return first.extended(self.matrix, self.places)
        left, right = self.matrix, first.matrix
        rows = jnp.concatenate([left.real, left.imag], 1)
        re, im = (matmul(rows, part) for part in (right.real, right.imag))
        d = left.shape[1]
        matrix = jax.lax.complex(re[:, :d] - im[:, d:], re[:, d:] + im[:, :d])
        return _Product(self.places, matrix)


Gates = Sequence[Sequence[Gate | None]]


def _angles(rows: Sequence[Gates], angles: jax.Array) -> list[jax.Array]:
    """For each of ``rows``, its gates' angles, flat; 0 where there is none.

    R(0) is the identity, so that a missing rotation needs no care.
    """
    flat = [[gate for gates in row for gate in gates] for row in rows]
    none = len(angles)
    index = [
        none if gate is None or gate.angle is None else gate.angle
        for gates in flat
        for gate in gates
    ]
    padded = jnp.append(angles, jnp.zeros(1, angles.dtype))
    ends = np.cumsum([len(gates) for gates in flat])[:-1]
    return jnp.split(padded[np.array(index)], ends)


def _gate_matrices(name: str, gates: Gates, angles: jax.Array, dtype: str) -> jax.Array:
    """Matrices of gates of one name, the identity where there is none: (N, d, d)."""
    if GATES[name].has_angle:
        return gate_matrix(name, angles, dtype)
    matrix = np.asarray(GATES[name].matrix)
    eye = np.eye(len(matrix))
    flat = [eye if gate is None else matrix for row in gates for gate in row]
    return jnp.asarray(np.stack(flat), dtype)


def _join_singles(matrices: Sequence[jax.Array]) -> jax.Array | None:
    """The product of N one-qubit gates after another, ``None`` of none."""
    joined: jax.Array | None = None
    for matrix in matrices:
        joined = matrix if joined is None else _multiply(matrix, joined)
    return joined


def _take_along(
    small: jax.Array, left: jax.Array | None, right: jax.Array | None
) -> jax.Array:
    """``small (left (x) right)`` for two-qubit matrices, (N, 4, 4)."""
    shape = small.shape
    if left is not None:
        tensor = small.reshape(-1, 4, 2, 2)
        small = _contract(tensor, [0, 1, 2, 3], left, [0, 2, 4], [0, 1, 4, 3])
    if right is not None:
        tensor = small.reshape(-1, 4, 2, 2)
        small = _contract(tensor, [0, 1, 2, 3], right, [0, 3, 4], [0, 1, 2, 4])
    return small.reshape(shape)


def _multiply(left: jax.Array, right: jax.Array) -> jax.Array:
    """``left @ right``, one of N small matrices at a time."""
    return _contract(left, [0, 1, 2], right, [0, 2, 3], [0, 1, 3])


def _contract(
    a: jax.Array, a_axes: list[int], b: jax.Array, b_axes: list[int], result: list[int]
) -> jax.Array:
    """An einsum over named axes, as a sum of elementwise products; axes are merged.

    XLA fuses it into one loop on a CPU. For thousands of matrices of side 2 to 16 that
    takes a third of the time of a batched complex product (docs/decisions.md).

    Returns:
        the entries in the order of ``result``, neighbouring axes possibly as one.
    """
    summed = [axis for axis in a_axes if axis in b_axes and axis not in result]
    half = 1 + (len(result) - 1) // 2
    order = [*result[:half], *summed, *result[half:]]
    sizes = dict(zip(a_axes, a.shape, strict=True)) | dict(
        zip(b_axes, b.shape, strict=True)
    )
    # Neighbours that the same operands have, and that are summed or kept alike.
    runs: list[list[int]] = []
    kind = lambda axis: (axis in a_axes, axis in b_axes, axis in summed)  # noqa: E731
    for axis in order:
        if runs and kind(runs[-1][0]) == kind(axis):
            runs[-1].append(axis)
        else:
            runs.append([axis])
    aligned = []
    for array, axes in ((a, a_axes), (b, b_axes)):
        present = [axis for axis in order if axis in axes]
        array = jnp.transpose(array, [axes.index(axis) for axis in present])
        shape = [
            math.prod(sizes[axis] for axis in run) if run[0] in axes else 1
            for run in runs
        ]
        aligned.append(array.reshape(shape))
    over = tuple(i for i, run in enumerate(runs) if run[0] in summed)
    return jnp.sum(aligned[0] * aligned[1], over)
