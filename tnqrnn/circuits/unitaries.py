"""The matrices of blocks, built together for as many blocks as possible.

Blocks whose gates act on the same positions are built by the same operations, with one
more axis. Blocks that merely resemble each other share a template, the shortest
sequence of gates that holds theirs; a gate that a block does not have is the identity
there. So the number of operations, and with it the time to compile and to start them,
depends on how many kinds of blocks a circuit has and not on how many blocks.
"""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.circuits.ansatz import Gate
from tnqrnn.circuits.elementwise import fused_einsum
from tnqrnn.circuits.fusion import Block, Pattern
from tnqrnn.circuits.joins import join, locate
from tnqrnn.circuits.moves import matrices_of, moves_of
from tnqrnn.products import matmul


class Unitaries:
    """The matrices of blocks of any sizes.

    Args:
        blocks: in any order, each once or more.
        angles (array of shape (P,)): radians.
        dtype: complex type of the matrices.
    """

    def __init__(self, blocks: Iterable[Block], angles: jax.Array, dtype: str) -> None:
        self._dtype = dtype
        self._groups = group_blocks(tuple(dict.fromkeys(blocks)))
        self._group_of = {
            block: i for i, group in enumerate(self._groups) for block in group
        }
        templates = [template_of(group) for group in self._groups]
        moves_by_group = [moves_of(template.slots) for template in templates]
        # All moves of all groups get their matrices together, then each group takes as
        # many of them, in the same order, as it has moves.
        every_move = [
            (move, template.gates)
            for template, moves in zip(templates, moves_by_group, strict=True)
            for move in moves
        ]
        matrices = iter(matrices_of(every_move, angles, dtype))
        self._stacks = [
            _product_of(
                [(move.places, next(matrices)) for move in moves], len(group[0].qubits)
            )
            for group, moves in zip(self._groups, moves_by_group, strict=True)
        ]
        self._rows: dict[Block, jax.Array] = {}

    def __getitem__(self, block: Block) -> jax.Array:
        """One block's matrix, of shape (2**k, 2**k)."""
        if not self._rows:
            for group, stack in zip(self._groups, self._stacks, strict=True):
                rows = jnp.split(stack, len(group))
                self._rows.update(zip(group, (row[0] for row in rows), strict=True))
        return self._rows[block]

    def stack(self, blocks: Sequence[Block | None], n_qubits: int) -> jax.Array:
        """The matrices of N >= 0 blocks on k qubits each, (N, 2**k, 2**k).

        ``None`` is the identity. The number of operations does not depend on N.
        """
        if not blocks:
            return jnp.zeros((0, 2**n_qubits, 2**n_qubits), self._dtype)
        used = sorted({self._group_of[block] for block in blocks if block is not None})
        every = [*(block for i in used for block in self._groups[i]), None]
        row = {block: i for i, block in enumerate(every)}
        eye = jnp.eye(2**n_qubits, dtype=self._dtype)[None]
        stacked = jnp.concatenate([*(self._stacks[i] for i in used), eye])
        index = [row[block] for block in blocks]
        start, stop = index[0], index[0] + len(index)
        if index == list(range(start, stop)):
            return stacked[start:stop]
        return stacked[np.array(index)]


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
    for pattern in dict.fromkeys(block.pattern for block in blocks):
        slots = join(slots, pattern)
    columns = [
        [None if at is None else block.gates[at] for at in locate(slots, block.pattern)]
        for block in blocks
    ]
    return Template(slots, tuple(zip(*columns, strict=True)))


@functools.lru_cache(maxsize=256)
def group_blocks(blocks: tuple[Block, ...]) -> tuple[tuple[Block, ...], ...]:
    """The blocks to build together.

    Blocks of one pattern join a group while no more than half of the template's gates
    are identities.
    """
    alike: dict[tuple[int, Pattern], list[Block]] = {}
    for block in blocks:
        alike.setdefault((len(block.qubits), block.pattern), []).append(block)
    groups: list[tuple[Block, ...]] = []
    for (n_qubits, _), members in alike.items():
        for i, group in enumerate(groups):
            if len(group[0].qubits) == n_qubits:
                joined = (*group, *members)
                gates = sum(len(g.qubits) == 2 for b in joined for g in b.gates)
                if template_of(joined).cost <= 2 * gates:
                    groups[i] = joined
                    break
        else:
            groups.append(tuple(members))
    return tuple(groups)


def _product_of(
    moves: Sequence[tuple[tuple[int, ...], jax.Array]], n_qubits: int
) -> jax.Array:
    """The product of moves in order, for N blocks on k qubits: (N, 2**k, 2**k).

    It has only the axes of the qubits touched so far, and on a position that no gate
    touches it is the identity.

    A segment of more than two moves is multiplied out by itself, starting small, and
    then into the product as a whole matrix. With up to two that gains nothing: in
    products of numbers, a two-qubit move into a matrix on k qubits costs 4^(k+1) and a
    whole matrix 8^k, at k = 3 as much as two moves.
    """
    n_blocks, dtype = len(moves[0][1]), moves[0][1].dtype
    identity = _Product((), jnp.ones((n_blocks, 1, 1), dtype))
    product = identity
    for segment in _segments(moves, n_qubits):
        by_itself = len(segment) > 2
        factor = identity if by_itself else product
        for places, small in segment:
            factor = factor.extended(small, places)
        product = factor.after(product) if by_itself else factor
    eye = jnp.broadcast_to(jnp.eye(2, dtype=dtype)[None], (n_blocks, 2, 2))
    for place in range(n_qubits):
        if place not in product.places:
            product = product.extended(eye, (place,))
    return product.matrix


def _segments(moves: Sequence[tuple[tuple[int, ...], jax.Array]], k: int) -> list:
    """Cuts moves where their product has the axes of all k qubits.

    The product of a segment starts small again, and two such products are multiplied as
    whole matrices, which costs less than multiplying one gate after another.
    """
    segments: list[list] = []
    touched: set[int] = set()
    for places, small in moves:
        if not segments or len(touched) == k:
            segments.append([])
            touched = set()
        segments[-1].append((places, small))
        touched |= set(places)
    return segments


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
        grown = fused_einsum(small, [0, *new, *old], matrix, [0, *axes], result)
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
