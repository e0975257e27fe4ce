"""What is read from a history of circuits: Pauli strings, amplitudes, overlaps.

Strings on few qubits come from density matrices: one contraction answers all strings
whose light cones are the same, and light cones alike are contracted together. The Pauli
matrices of longer strings are tensors of the network.
"""

import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.backends.network_state import NetworkState, tensors, whole
from tnqrnn.backends.readout import pauli_matrices
from tnqrnn.circuits import (
    TOPOLOGIES,
    Ansatz,
    Observables,
    PauliString,
    hardware_efficient,
    parse_observables,
)
from tnqrnn.circuits.fusion import fuse
from tnqrnn.circuits.gates import PAULIS
from tnqrnn.circuits.observables import NAMED
from tnqrnn.contraction import Geometry
from tnqrnn.contraction.circuits import PRODUCT, sandwich, side, vector
from tnqrnn.contraction.cones import (
    MAX_SUPPORT,
    Blocks,
    Family,
    families,
    group_supports,
)

SEARCH_ONCE = "a run with tq.Network(search='auto'), which stores it"

Run = Callable[[Geometry, Sequence[jax.Array]], jax.Array]
"""Contracts networks of one geometry; tensors and result have a leading axis."""


def pauli_expectations(
    strings: tuple[PauliString, ...], state: NetworkState, run: Run
) -> jax.Array:
    """<P>/<psi|psi> of each string, real, of shape (M,)."""
    touched = {qubit for qubits in state.blocks for qubit in qubits}
    values, short, long = {}, [], []
    for i, string in enumerate(strings):
        idle = state.shape == PRODUCT and touched.isdisjoint(q for q, _ in string)
        if idle or not string:
            value = all(axis == "Z" for _, axis in string)  # of qubits in 0
            values[i] = jnp.full((), value, state.pairs.real.dtype)
        else:
            (long if len(string) > MAX_SUPPORT else short).append(i)
    for read, chosen in ((_from_densities, short), (_inserted, long)):
        found = read(tuple(strings[i] for i in chosen), state, run)
        values |= {chosen[i]: value for i, value in found.items()}
    return jnp.stack([values[i] for i in range(len(strings))])


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
    found: dict[Geometry, None] = {}

    def note(geometry: Geometry, tensors: Sequence[jax.Array]) -> jax.Array:
        found[geometry] = None
        size_of = geometry.size_of
        shape = (len(tensors[0]), *(size_of[letter] for letter in geometry.output))
        return jnp.zeros(shape, tensors[0].dtype)

    for blocks in (_layout(ansatz) * n for n in range(n_steps + 1)):
        singles, pairs = (
            jax.ShapeDtypeStruct(
                (sum(len(qubits) == k for qubits in blocks), 2**k, 2**k), "complex64"
            )
            for k in (1, 2)
        )
        state = NetworkState(singles, pairs, (), ansatz.n_qubits, blocks, PRODUCT)
        jax.eval_shape(lambda state: pauli_expectations(strings, state, note), state)
    return tuple(found)


def plan_command(strings: tuple[PauliString, ...], state: NetworkState) -> str:
    """The command that makes the plans of a state's readouts."""
    n, blocks = state.n_qubits, state.blocks
    for topology, n_layers in itertools.product(TOPOLOGIES, range(1, 9)):
        step = _layout(hardware_efficient(n, n_layers, topology=topology))
        n_steps = len(blocks) // max(1, len(step))
        if state.shape == PRODUCT and step * n_steps == blocks:
            named = [one for one in NAMED if parse_observables(one, n) == strings]
            words = [" ".join(f"{axis}{q}" for q, axis in s) or "I" for s in strings]
            read = named[0] if named else f"'{','.join(words)}'"
            return (
                f"tnqrnn plan build --n-qubits {n} --n-layers {n_layers} --topology "
                f"{topology} --n-steps {n_steps} --observables {read}"
            )
    return SEARCH_ONCE


def _layout(ansatz: Ansatz) -> Blocks:
    """The qubits of each block of a circuit."""
    return tuple(block.qubits for block in fuse(ansatz, 2))


def densities(family: Family, state: NetworkState, run: Run) -> jax.Array:
    """Density matrices of a family's supports, of shape (N, 2**k, 2**k), trace 1."""
    ket, bra = (side(family.slots, name, state.shape) for name in ("ket", "bra"))
    kets = tensors(state, family.slots, family.blocks, ket)
    bras = [tensor.conj() for tensor in kets]
    density = run(sandwich(ket, bra, opened=family.support), kets + bras)
    density = density.reshape(len(density), *(2 ** len(family.support),) * 2)
    if state.shape == PRODUCT:
        return density  # the blocks are unitary
    return density / jnp.trace(density, axis1=1, axis2=2)[:, None, None]


def _from_densities(
    strings: tuple[PauliString, ...], state: NetworkState, run: Run
) -> dict[int, jax.Array]:
    groups, place = group_supports(state.blocks, _supports(strings))
    values = {}
    for family in families(state.blocks, groups, state.shape == PRODUCT):
        row = {group: k for k, group in enumerate(family.members)}
        here = [i for i, group in enumerate(place) if group in row]
        rows = np.array([row[place[i]] for i in here])
        relative = tuple(
            tuple((qubit - family.anchors[k], axis) for qubit, axis in strings[i])
            for i, k in zip(here, rows, strict=True)
        )
        density = densities(family, state, run)[rows]
        parts = jnp.stack([density.real, density.imag], axis=1)
        paulis = jnp.asarray(pauli_matrices(family.support, relative), parts.dtype)
        # Tr(P rho) is the sum over the entries of conj(P) rho
        read = jnp.sum(paulis * parts, axis=(1, 2, 3))
        values |= {i: read[k] for k, i in enumerate(here)}
    return values


def _inserted(
    strings: tuple[PauliString, ...], state: NetworkState, run: Run
) -> dict[int, jax.Array]:
    values = {}
    found = families(state.blocks, _supports(strings), state.shape == PRODUCT)
    for family in found:
        ket, bra = (side(family.slots, name, state.shape) for name in ("ket", "bra"))
        kets = tensors(state, family.slots, family.blocks, ket)
        bras = [tensor.conj() for tensor in kets]
        axes = [
            {qubit - anchor: axis for qubit, axis in strings[i]}
            for i, anchor in zip(family.members, family.anchors, strict=True)
        ]
        paulis = [
            np.stack([PAULIS[one.get(qubit, "I")] for one in axes])
            for qubit in family.support
        ]
        operators = [jnp.asarray(pauli, state.pairs.dtype) for pauli in paulis]
        geometry = sandwich(ket, bra, inserted=family.support)
        read = run(geometry, kets + bras + operators).real / _weight(state, run)
        values |= {i: read[k] for k, i in enumerate(family.members)}
    return values


def _supports(strings: tuple[PauliString, ...]) -> Blocks:
    return tuple(tuple(qubit for qubit, _ in string) for string in strings)


def _weight(state: NetworkState, run: Run) -> jax.Array:
    """<psi|psi>, that of the initial state since all blocks are unitary."""
    if state.shape == PRODUCT:
        return jnp.ones((), state.pairs.real.dtype)
    ket, bra = (side((), name, state.shape) for name in ("ket", "bra"))
    kets = tensors(state, (), [()], ket)
    bras = [tensor.conj() for tensor in kets]
    return run(sandwich(ket, bra), kets + bras)[0].real


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
