"""Pauli expectations of a dense state, grouped so that it is passed over few times.

The state's real and imaginary parts form a real vector s with one more factor of 2.
For a group of g qubits the Gram matrix ``G = sum_rest s s^T``, of side 2^(g+1), holds
the group's density matrix, and every Pauli string on those qubits is a fixed linear
function of G. So a group costs one matrix product, however many strings it answers.
"""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.backends.statevector.blocks import apply_block, gram
from tnqrnn.circuits import PauliString
from tnqrnn.circuits.gates import PAULIS
from tnqrnn.products import matmul, on_accelerator, tensordot


def most_together() -> int:
    """The largest number of qubits that are read together: what is fastest there."""
    return 5 if on_accelerator() else 4


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
    strings: tuple[PauliString, ...], max_qubits: int
) -> tuple[Group, ...]:
    """Packs Pauli strings into groups, greedily and from the last to the first.

    A string on more than ``max_qubits`` qubits is a group of its own. What is left over
    is a group at the register's front, where a product costs least.
    """
    sets: list[set[int]] = []
    members: list[list[int]] = []
    for i, string in reversed(list(enumerate(strings))):
        qubits = {qubit for qubit, _ in string}
        place = next(
            (j for j, s in enumerate(sets) if len(s | qubits) <= max_qubits), len(sets)
        )
        if place == len(sets):
            sets.append(set())
            members.append([])
        sets[place] |= qubits
        members[place].insert(0, i)
    return tuple(
        Group(tuple(sorted(qubits)), tuple(strings[i] for i in numbers), tuple(numbers))
        for qubits, numbers in zip(sets[::-1], members[::-1], strict=True)
    )


@functools.lru_cache(maxsize=256)
def pauli_matrices(
    qubits: tuple[int, ...], strings: tuple[PauliString, ...]
) -> np.ndarray:
    """Strings as matrices on some qubits, real and imaginary parts: (M, 2, d, d)."""
    rows = []
    for string in strings:
        axes = dict(string)
        matrix: np.ndarray = np.eye(1)
        for qubit in qubits:
            matrix = np.kron(matrix, PAULIS[axes.get(qubit, "I")])
        rows.append([matrix.real, matrix.imag])
    return np.array(rows)


@functools.lru_cache(maxsize=256)
def _weights(group: Group) -> np.ndarray:
    """(M, 4**(k+1)): the strings' expectations as linear functions of the Gram matrix.

    With ``s = (a, b)`` and ``psi = a + i b``, ``<psi|P|psi>`` is
    ``s^T [[Re P, -Im P], [Im P, Re P]] s``.
    """
    real, imag = pauli_matrices(group.qubits, group.strings).swapaxes(0, 1)
    rows = np.block([[real, -imag], [imag, real]])
    return rows.reshape(len(rows), -1)


def in_order(
    numbers: Iterable[Sequence[int]], values: Sequence[jax.Array]
) -> jax.Array:
    """Values of groups of strings as one array, in the order of the strings' numbers.

    Args:
        numbers: of the strings of each group, 0 to M - 1 in all.
        values (arrays of shape (size of the group,)): one for each group.

    Returns:
        array of shape (M,).
    """
    order = np.argsort([i for group in numbers for i in group])
    joined = jnp.concatenate(values)
    return joined if (order == np.arange(len(order))).all() else joined[order]


def pauli_expectations(parts: jax.Array, strings: tuple[PauliString, ...]) -> jax.Array:
    """<psi|P|psi> for each Pauli string.

    Args:
        parts (array of shape (2, 2**n)): real and imaginary parts of psi, norm 1.
        strings: M Pauli strings.

    Returns:
        real array of shape (M,).
    """
    groups = group_strings(strings, most_together())
    values = []
    for group in groups:
        if len(group.qubits) > most_together():
            image = _image(parts, group.strings[0])
            values.append(jnp.sum(parts * image)[None])
            continue
        weights = jnp.asarray(_weights(group), parts.dtype)
        values.append(matmul(weights, gram(parts, parts, group.qubits).ravel()))
    return in_order([group.order for group in groups], values)


def pull_back_expectations(
    parts: jax.Array,
    strings: tuple[PauliString, ...],
    dvalues: jax.Array,
    cotangent: jax.Array,
) -> jax.Array:
    """The cotangent of :func:`pauli_expectations` added to another of the same state.

    ``cotangent + 2 sum_m dvalues_m P_m psi``. A group's strings are summed to one
    matrix first, so that it costs one product.

    Args:
        parts (array of shape (2, 2**n)): real and imaginary parts of psi.
        strings: M Pauli strings.
        dvalues (array of shape (M,)): dL/d(values).
        cotangent (array of shape (2, 2**n)): what comes from elsewhere.

    Returns:
        array like ``parts``.
    """
    total = cotangent
    for group in group_strings(strings, most_together()):
        weights = 2 * dvalues[np.array(group.order)]
        if len(group.qubits) > most_together():
            total += weights[0] * _image(parts, group.strings[0])
            continue
        matrices = jnp.asarray(pauli_matrices(group.qubits, group.strings), parts.dtype)
        matrix = tensordot(weights, matrices, 1)
        total += apply_block(matrix, parts, group.qubits)
    return total


def _image(parts: jax.Array, string: PauliString) -> jax.Array:
    """P psi for a string on many qubits, one qubit at a time."""
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
    return jnp.stack([real, imag]).reshape(parts.shape)
