"""Pauli expectations of a dense state, grouped so that it is passed over few times.

The state's real and imaginary parts form a real vector s with one more factor of 2.
For a group of g qubits the Gram matrix ``G = sum_rest s s^T``, of side 2^(g+1), holds
the group's density matrix, and every Pauli string on those qubits is a fixed linear
function of G. So a group costs one matrix product, however many strings it answers.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.circuits import PauliString
from tnqrnn.circuits.gates import PAULIS

GROUP_QUBITS = 4


@dataclass(frozen=True)
class Group:
    """Pauli strings that are read from one density matrix.

    Attributes:
        qubits: the group's qubits, ascending.
        strings: what is read there.
        order: the place of each string among all observables.
    """

    qubits: tuple[int, ...]
    strings: tuple[PauliString, ...]
    order: tuple[int, ...]


@functools.lru_cache(maxsize=256)
def group_strings(
    strings: tuple[PauliString, ...], max_qubits: int = GROUP_QUBITS
) -> tuple[Group, ...]:
    """Packs Pauli strings into groups, greedily and in order.

    A string on more than ``max_qubits`` qubits is a group of its own.
    """
    sets: list[set[int]] = []
    members: list[list[int]] = []
    for i, string in enumerate(strings):
        qubits = {qubit for qubit, _ in string}
        at = next(
            (j for j, s in enumerate(sets) if len(s | qubits) <= max_qubits), len(sets)
        )
        if at == len(sets):
            sets.append(set())
            members.append([])
        sets[at] |= qubits
        members[at].append(i)
    return tuple(
        Group(tuple(sorted(qubits)), tuple(strings[i] for i in chosen), tuple(chosen))
        for qubits, chosen in zip(sets, members, strict=True)
    )


def split_axes(
    qubits: Sequence[int], n_qubits: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shape of a 2**n axis cut into runs of ``qubits`` and what lies between.

    Returns:
        the sizes (rest, run, rest, run, ..., rest), rests possibly 1, and the sizes of
        the runs alone.
    """
    shape: list[int] = []
    runs: list[int] = []
    last = -1
    for qubit in qubits:
        if runs and qubit == last + 1:
            runs[-1] *= 2
            shape[-1] *= 2
        else:
            shape += [2 ** (qubit - last - 1), 2]
            runs.append(2)
        last = qubit
    return (*shape, 2 ** (n_qubits - 1 - last)), tuple(runs)


def gram(left: jax.Array, right: jax.Array, qubits: Sequence[int]) -> jax.Array:
    """``sum_rest left right^T`` over the axes other than ``qubits``.

    Args:
        left (array of shape (2, 2**n)): real and imaginary parts.
        right (array of shape (2, 2**n)): real and imaginary parts.
        qubits: ascending.

    Returns:
        real array of shape (2**(k+1), 2**(k+1)), indexed by (part, qubits) twice.
    """
    shape, runs = split_axes(qubits, left.shape[1].bit_length() - 1)
    axes = list(range(len(shape) + 1))
    inner = [0, *axes[2::2]]
    renamed = {axis: len(axes) + i for i, axis in enumerate(inner)}
    result = jnp.einsum(
        left.reshape(2, *shape),
        axes,
        right.reshape(2, *shape),
        [renamed.get(axis, axis) for axis in axes],
        inner + [renamed[axis] for axis in inner],
    )
    side = 2 * int(np.prod(runs, dtype=int))
    return result.reshape(side, side)


@functools.lru_cache(maxsize=256)
def _weights(group: Group) -> np.ndarray:
    """(M, 4**(k+1)): the strings' expectations as linear functions of the Gram matrix.

    With ``s = (a, b)`` and ``psi = a + i b``, ``<psi|P|psi>`` is
    ``s^T [[Re P, -Im P], [Im P, Re P]] s``.
    """
    rows = []
    for string in group.strings:
        axes = dict(string)
        factors = [PAULIS[axes.get(qubit, "I")] for qubit in group.qubits]
        matrix: np.ndarray = np.eye(1)
        for factor in factors:
            matrix = np.kron(matrix, factor)
        real = np.block([[matrix.real, -matrix.imag], [matrix.imag, matrix.real]])
        rows.append(real.ravel())
    return np.array(rows)


def pauli_expectations(parts: jax.Array, strings: tuple[PauliString, ...]) -> jax.Array:
    """<psi|P|psi> for each Pauli string.

    Args:
        parts (array of shape (2, 2**n)): real and imaginary parts of psi, norm 1.
        strings: M Pauli strings.

    Returns:
        real array of shape (M,).
    """
    groups = group_strings(strings)
    values = []
    for group in groups:
        if len(group.qubits) > GROUP_QUBITS:
            values.append(_one_by_one(parts, group.strings[0])[None])
            continue
        weights = jnp.asarray(_weights(group), parts.dtype)
        values.append(weights @ gram(parts, parts, group.qubits).ravel())
    order = np.argsort([i for group in groups for i in group.order])
    joined = jnp.concatenate(values)
    return joined if (order == np.arange(len(order))).all() else joined[order]


def _one_by_one(parts: jax.Array, string: PauliString) -> jax.Array:
    """<psi|P|psi> for a string on many qubits: P psi first, one qubit at a time."""
    n_qubits = parts.shape[1].bit_length() - 1
    real, imag = parts.reshape(2, *(2,) * n_qubits)
    for qubit, axis in string:
        column = np.array([1, -1]).reshape(2, *(1,) * (n_qubits - 1 - qubit))
        signs = jnp.asarray(np.broadcast_to(column, real.shape), parts.dtype)
        if axis != "Z":
            real, imag = jnp.flip(real, qubit), jnp.flip(imag, qubit)
        if axis == "Y":
            real, imag = signs * imag, -signs * real
        elif axis == "Z":
            real, imag = signs * real, signs * imag
    image = jnp.stack([real, imag]).reshape(parts.shape)
    return jnp.sum(parts * image)
