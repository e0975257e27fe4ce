"""What else was tried for the exact engine's products, beside what it does.

    python benchmarks/engine_variants.py

Microseconds on one core, one sample of 14 qubits, complex64. First a Gram product on
four qubits by the qubits before them: `cotangent` is what the engine takes for the
cotangent of a block's matrix and `readout` for Pauli expectations; `merged` contracts
real and imaginary parts as one more row, so that three distinct products of parts are
left instead of four. Rows are summed by a product with ones: `sum(0)` makes the
compiler of jaxlib 0.10.1 crash at some of these sizes. Then undoing a circuit with its
cotangent: as it is, with an optimization barrier after each block, and with state and
cotangent in one array.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import engine_rate
import jax
import jax.numpy as jnp
import tyro

import tnqrnn as tq
from tnqrnn.backends.blocks import (
    adjoint,
    apply_block,
    block_cotangent,
    gram,
    split_axes,
)
from tnqrnn.backends.statevector import StatevectorState, fuse_for

Undone = tuple[jax.Array, jax.Array, list[jax.Array]]


@dataclass
class Options(engine_rate.Options):
    """What to measure.

    Attributes:
        width: qubits of a Gram product.
    """

    width: int = 4


def row_products(left: jax.Array, right: jax.Array) -> jax.Array:
    """``sum_rows left right^T`` of arrays (rows, d, behind)."""
    if left.shape[2] == 1:
        return jnp.matmul(left[:, :, 0].T, right[:, :, 0], precision="highest")
    products = jax.lax.dot_general(
        left, right, (((2,), (2,)), ((0,), (0,))), precision="highest"
    )
    return jnp.tensordot(jnp.ones(len(products), products.dtype), products, 1)


def merged(left: jax.Array, right: jax.Array, qubits: Sequence[int]) -> jax.Array:
    """What ``block_cotangent(left, right, qubits)`` gives, parts being rows."""
    shape, (d,) = split_axes(qubits, left.shape[1].bit_length() - 1)
    rotated = jnp.stack([-right[1], right[0]])
    rows = (a.reshape(-1, d, shape[-1]) for a in (left, right, rotated))
    first, second, third = rows
    return jnp.stack([row_products(first, second), row_products(first, third)])


def merged_readout(parts: jax.Array, qubits: Sequence[int]) -> jax.Array:
    """Real and imaginary part of a density matrix, three products."""
    shape, (d,) = split_axes(qubits, parts.shape[1].bit_length() - 1)
    rows = parts.reshape(-1, d, shape[-1])
    real, imag = parts.reshape(2, -1, d, shape[-1])
    cross = row_products(imag, real)
    return jnp.stack([row_products(rows, rows), cross - cross.T])


def undo_with_barriers(
    blocks: Sequence[Any], matrices: list, state: jax.Array, cotangent: jax.Array
) -> Undone:
    """Undoes blocks so that each is finished before the next begins."""
    found = []
    for block, matrix in zip(blocks[::-1], matrices[::-1], strict=True):
        back = adjoint(matrix)
        state = apply_block(back, state, block.qubits)
        one = block_cotangent(cotangent, state, block.qubits)
        cotangent = apply_block(back, cotangent, block.qubits)
        state, cotangent, one = jax.lax.optimization_barrier((state, cotangent, one))
        found.append(one)
    return state, cotangent, found


def undo_in_one_array(
    blocks: Sequence[Any], matrices: list, state: jax.Array, cotangent: jax.Array
) -> Undone:
    """Moves state and cotangent by one product a block.

    Its Gram product comes before, and would still have to be multiplied by the block's
    matrix.
    """
    both, found = jnp.stack([state, cotangent]), []
    for block, matrix in zip(blocks[::-1], matrices[::-1], strict=True):
        found.append(block_cotangent(both[1], both[0], block.qubits))
        both = jax.vmap(apply_block, (None, 0, None))(
            adjoint(matrix), both, block.qubits
        )
    return both[0], both[1], found


def main(options: Options) -> None:
    """Prints both tables."""
    n = options.n_qubits
    keys = jax.random.split(jax.random.key(0), 3)
    state, cotangent = (jax.random.normal(key, (2, 2**n)) for key in keys[:2])

    def time(function: Callable, *arguments: Any) -> float:
        return 1e6 * engine_rate.fastest(function, arguments, options)

    idle = time(lambda a, b: (a[:, :1], b[:, :1]), state, cotangent)
    print(f"Gram products on {options.width} qubits, microseconds")
    heads = ("cotangent", "merged", "readout", "merged")
    print("before".rjust(6) + "".join(head.rjust(11) for head in heads))
    for before in range(0, n - options.width + 1, 2):
        at = tuple(range(before, before + options.width))
        row = (
            time(lambda a, b, at=at: block_cotangent(b, a, at), state, cotangent),
            time(lambda a, b, at=at: merged(b, a, at), state, cotangent),
            time(lambda a, b, at=at: (gram(a, a, at), b[:, :1]), state, cotangent),
            time(
                lambda a, b, at=at: (merged_readout(a, at), b[:, :1]), state, cotangent
            ),
        )
        print(f"{before:>6}" + "".join(f"{each - idle:>11.1f}" for each in row))

    backend = tq.Statevector()
    ansatz = tq.hardware_efficient(n, topology=options.topology)
    angles = jax.random.normal(keys[2], (ansatz.n_params,))
    matrices = jax.jit(lambda angles: backend.operators(ansatz, angles))(angles)
    blocks = fuse_for(ansatz)

    def as_it_is(matrices: list, state: jax.Array, cotangent: jax.Array) -> Any:
        pair = StatevectorState(state), StatevectorState(cotangent)
        return backend.undo(ansatz, matrices, *pair)

    print("\nundoing a circuit, microseconds")
    for name, function in {
        "as it is": as_it_is,
        "barriers": lambda *a: undo_with_barriers(blocks, *a),
        "in one array": lambda *a: undo_in_one_array(blocks, *a),
    }.items():
        print(f"{name:14}{time(function, matrices, state, cotangent):>8.0f}")


if __name__ == "__main__":
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    main(tyro.cli(Options))
