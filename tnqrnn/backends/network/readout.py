"""What is read from a history of circuits: Pauli strings, amplitudes, overlaps.

Of a small register the amplitudes are contracted and read. Of a larger one strings on
few qubits come from density matrices: one contraction answers all strings whose light
cones are the same, and light cones alike are contracted together. The Pauli matrices of
longer strings are tensors of the network.
"""

from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.backends.network.state import (
    SIZES,
    NetworkState,
    fused_blocks,
    tensors,
    whole,
)
from tnqrnn.backends.statevector.blocks import as_parts
from tnqrnn.backends.statevector.readout import in_order, pauli_matrices
from tnqrnn.backends.statevector.readout import pauli_expectations as dense_expectations
from tnqrnn.circuits import (
    Ansatz,
    Observables,
    PauliString,
    parse_observables,
)
from tnqrnn.circuits.gates import PAULIS
from tnqrnn.contraction import Geometry
from tnqrnn.contraction.circuits import PRODUCT, Side, sandwich, side, vector
from tnqrnn.contraction.cones import (
    MAX_SUPPORT,
    Family,
    QubitSets,
    families,
    group_supports,
)

SMALL = 2**18
"""Tensors times amplitudes up to which amplitudes are contracted, and read as a vector.

Light cones take more tensors, so longer to compile, and cost as much (docs/decisions).
"""

Run = Callable[[Geometry, Sequence[jax.Array]], jax.Array]
"""Contracts networks of one geometry; tensors and result have a leading axis."""


def pauli_expectations(
    strings: tuple[PauliString, ...], state: NetworkState, run: Run
) -> jax.Array:
    """<P>/<psi|psi> of each string, real, of shape (M,)."""
    n_tensors = len(state.start) + len(state.blocks)
    if 0 < n_tensors * 2**state.n_qubits <= SMALL:
        parts = as_parts(amplitudes(state, run))
        return dense_expectations(parts, strings) / jnp.sum(parts**2)
    touched = {qubit for qubits in state.blocks for qubit in qubits}
    idle: list[int] = []
    short: list[int] = []
    long: list[int] = []
    for i, string in enumerate(strings):
        if not string or (
            state.shape == PRODUCT and touched.isdisjoint(q for q, _ in string)
        ):
            idle.append(i)
        else:
            (long if len(string) > MAX_SUPPORT else short).append(i)
    pieces = [_of_zeros(strings, idle, state)]
    pieces += _from_densities(strings, short, state, run)
    pieces += _inserted(strings, long, state, run)
    numbers, values = zip(*pieces, strict=True)
    return in_order(numbers, values)


Piece = tuple[Sequence[int], jax.Array]
"""Numbers of strings and their values."""


def _of_zeros(
    strings: tuple[PauliString, ...], numbers: Sequence[int], state: NetworkState
) -> Piece:
    """Strings on qubits in 0, on which only Z does not vanish."""
    values = [all(axis == "Z" for _, axis in strings[i]) for i in numbers]
    return numbers, jnp.asarray(values, state.matrices[0].real.dtype)


def network_geometries(
    ansatz: Ansatz, n_steps: int, observables: Observables = "xyz"
) -> tuple[Geometry, ...]:
    """The networks that a roll-out from 0...0 contracts: what needs a plan.

    Args:
        ansatz: the circuit of every step.
        n_steps: T >= 0; readouts of the initial state are among them.
        observables: what is read after every step.

    Raises:
        ValueError: an unknown observable or a missing qubit.
    """
    strings = parse_observables(observables, ansatz.n_qubits)
    geometries: dict[Geometry, None] = {}  # an ordered set

    # A dry run: readouts of a state that has shapes and no values, for which what is to
    # contract each network notes its geometry instead. So these are the very plans that
    # a run will look up, whichever way it reads.
    def note(geometry: Geometry, tensors: Sequence[jax.Array]) -> jax.Array:
        geometries[geometry] = None
        size_of = geometry.size_of
        shape = (len(tensors[0]), *(size_of[letter] for letter in geometry.output))
        return jnp.zeros(shape, tensors[0].dtype)

    for blocks in (_layout(ansatz) * n for n in range(n_steps + 1)):

        def read(blocks: QubitSets = blocks) -> jax.Array:
            counts = [sum(len(qubits) == k for qubits in blocks) for k in SIZES]
            matrices = tuple(
                jnp.zeros((count, 2**k, 2**k), "complex64")
                for k, count in zip(SIZES, counts, strict=True)
            )
            state = NetworkState(matrices, (), ansatz.n_qubits, blocks, PRODUCT)
            return pauli_expectations(strings, state, note)

        jax.eval_shape(read)
    return tuple(geometries)


def _layout(ansatz: Ansatz) -> QubitSets:
    """The qubits of each block of a circuit."""
    return tuple(block.qubits for block in fused_blocks(ansatz))


def densities(family: Family, state: NetworkState, run: Run) -> jax.Array:
    """Density matrices of a family's supports, of shape (N, 2**k, 2**k), trace 1."""
    ket, bra, arrays = _both_sides(state, family.slots, family.blocks)
    density = run(sandwich(ket, bra, opened=family.support), arrays)
    density = density.reshape(len(density), *(2 ** len(family.support),) * 2)
    if state.shape == PRODUCT:
        return density  # the blocks are unitary
    return density / jnp.trace(density, axis1=1, axis2=2)[:, None, None]


def _from_densities(
    strings: tuple[PauliString, ...],
    numbers: Sequence[int],
    state: NetworkState,
    run: Run,
) -> Iterator[Piece]:
    """Strings on few qubits, a family of density matrices at a time."""
    groups, group_of = group_supports(state.blocks, _supports(strings, numbers))
    for family in families(state.blocks, groups, state.shape == PRODUCT):
        row = {group: k for k, group in enumerate(family.members)}
        # (number of the string, row of its density matrix) of this family's strings
        rows = [
            (i, row[group])
            for i, group in zip(numbers, group_of, strict=True)
            if group in row
        ]
        shifted = tuple(
            tuple((qubit - family.anchors[k], axis) for qubit, axis in strings[i])
            for i, k in rows
        )
        density = densities(family, state, run)[np.array([k for _, k in rows])]
        parts = jnp.stack([density.real, density.imag], axis=1)
        paulis = jnp.asarray(pauli_matrices(family.support, shifted), parts.dtype)
        # Tr(P rho) is the sum over the entries of conj(P) rho
        yield [i for i, _ in rows], jnp.sum(paulis * parts, axis=(1, 2, 3))


def _inserted(
    strings: tuple[PauliString, ...],
    numbers: Sequence[int],
    state: NetworkState,
    run: Run,
) -> Iterator[Piece]:
    """Strings on many qubits, their Pauli matrices in the network.

    A family is contracted by one plan, so each string has an operator on every qubit of
    the family's support: the identity where it does not act.
    """
    supports = _supports(strings, numbers)
    for family in families(state.blocks, supports, state.shape == PRODUCT):
        members = [numbers[k] for k in family.members]
        ket, bra, arrays = _both_sides(state, family.slots, family.blocks)
        axes = [
            {qubit - anchor: axis for qubit, axis in strings[i]}
            for i, anchor in zip(members, family.anchors, strict=True)
        ]
        paulis = [
            np.stack([PAULIS[axis_of.get(qubit, "I")] for axis_of in axes])
            for qubit in family.support
        ]
        operators = [jnp.asarray(pauli, arrays[0].dtype) for pauli in paulis]
        geometry = sandwich(ket, bra, inserted=family.support)
        values = run(geometry, arrays + operators).real
        yield members, values / _weight(state, run)


def _supports(strings: tuple[PauliString, ...], numbers: Sequence[int]) -> QubitSets:
    return tuple(tuple(qubit for qubit, _ in strings[i]) for i in numbers)


def _weight(state: NetworkState, run: Run) -> jax.Array:
    """<psi|psi>, that of the initial state since all blocks are unitary."""
    if state.shape == PRODUCT:
        return jnp.ones((), state.matrices[0].real.dtype)
    ket, bra, arrays = _both_sides(state, (), [()])
    return run(sandwich(ket, bra), arrays)[0].real


def _both_sides(
    state: NetworkState, slots: QubitSets, blocks: Sequence[Sequence[int | None]]
) -> tuple[Side, Side, list[jax.Array]]:
    """Ket and bra of light cones of one shape, and the tensors of both."""
    ket, bra = (side(slots, name, state.shape) for name in ("ket", "bra"))
    kets = tensors(state, slots, blocks, ket)
    return ket, bra, kets + [tensor.conj() for tensor in kets]


def amplitudes(state: NetworkState, run: Run) -> jax.Array:
    """The 2**n amplitudes."""
    slots, blocks = whole(state)
    ket = side(slots, "ket", state.shape)
    kets = tensors(state, slots, blocks, ket)
    return run(vector(ket, range(state.n_qubits)), kets).ravel()


def overlap(a: NetworkState, b: NetworkState, run: Run) -> jax.Array:
    """<a|b>, complex, of shape (): no block is left out, even where both cancel."""
    halves = []
    for name, state in (("ket", b), ("bra", a)):
        slots, blocks = whole(state)
        legs = side(slots, name, state.shape)
        halves.append((legs, tensors(state, slots, blocks, legs)))
    (ket, kets), (bra, bras) = halves
    bras = [tensor.conj() for tensor in bras]
    return run(sandwich(ket, bra), kets + bras)[0]
