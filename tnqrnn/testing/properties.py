"""Strategies and checks of one property each, see :mod:`tnqrnn.testing`."""

import functools
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from jax.typing import ArrayLike

from tnqrnn.backends import AbstractBackend, State
from tnqrnn.circuits import (
    ENTANGLERS,
    GATES,
    TOPOLOGIES,
    Ansatz,
    Gate,
    Observables,
    PauliString,
    hardware_efficient,
)

TOLERANCES = {"complex64": 1e-5, "complex128": 1e-10}
"""Largest absolute error a check allows, by dtype."""

_SPECIAL = (0.0, np.pi / 2, np.pi, -np.pi / 2, 2 * np.pi, 1e-3, 1e-8)


@functools.lru_cache(maxsize=8)
def pool(max_qubits: int = 6) -> tuple[Ansatz, ...]:
    """A small fixed set of circuits on 1 to ``max_qubits`` qubits.

    For each number of qubits one layer of :func:`tnqrnn.hardware_efficient`, which goes
    through the entanglers and topologies in turn, and one circuit of twelve gates drawn
    from all there are.
    """
    rng = np.random.default_rng(0)
    circuits = []
    for n in range(1, max_qubits + 1):
        entangler = ENTANGLERS[n % len(ENTANGLERS)]
        topology = TOPOLOGIES[n % len(TOPOLOGIES)]
        layer = hardware_efficient(
            n, n_layers=1, entangler=entangler, topology=topology
        )
        circuits += [layer, random_circuit(n, 12, rng)]
    return tuple(circuits)


def random_circuit(n_qubits: int, n_gates: int, rng: np.random.Generator) -> Ansatz:
    """Gates of any name on any qubits; angles are not shared."""
    names = [name for name, spec in GATES.items() if spec.n_qubits <= n_qubits]
    gates, angle = [], 0
    for name in rng.choice(names, n_gates):
        spec = GATES[str(name)]
        qubits = rng.choice(n_qubits, spec.n_qubits, replace=False)
        index = angle if spec.has_angle else None
        gates.append(Gate(str(name), tuple(int(q) for q in qubits), index))
        angle += spec.has_angle
    return Ansatz(n_qubits, gates)


def ansaetze(min_qubits: int = 1, max_qubits: int = 6) -> st.SearchStrategy[Ansatz]:
    """Circuits of :func:`pool` with ``min_qubits`` to ``max_qubits`` qubits."""
    chosen = [a for a in pool(max_qubits) if a.n_qubits >= min_qubits]
    return st.sampled_from(chosen)


def angles(ansatz: Ansatz) -> st.SearchStrategy[np.ndarray]:
    """Angle vectors, float64 of shape (P,): free values mixed with special ones."""
    one = st.one_of(st.sampled_from(_SPECIAL), st.floats(-2 * np.pi, 2 * np.pi))
    size = ansatz.n_params
    return st.lists(one, min_size=size, max_size=size).map(np.array)


@st.composite
def circuits(draw: st.DrawFn, max_qubits: int = 6) -> tuple[Ansatz, np.ndarray]:
    """A circuit of the pool together with angles for it."""
    ansatz = draw(ansaetze(max_qubits=max_qubits))
    return ansatz, draw(angles(ansatz))


def amplitudes(n_qubits: int) -> st.SearchStrategy[np.ndarray]:
    """Normalised states, complex128 of shape (2**n,), Haar distributed."""

    def make(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        vector = rng.normal(size=(2**n_qubits, 2)) @ np.array([1, 1j])
        return vector / np.linalg.norm(vector)

    return st.integers(0, 2**32 - 1).map(make)


# Arguments without arrays are static, so each of these compiles once a circuit.
@functools.partial(jax.jit, static_argnums=(0, 1))
def _unitary(ansatz: Ansatz, dtype: str, angles: jax.Array) -> jax.Array:
    return ansatz.unitary(angles, dtype)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _evolve(
    backend: AbstractBackend, ansatz: Ansatz, angles: jax.Array, state: State
) -> State:
    return backend.evolve(ansatz, angles, state)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _read(backend: AbstractBackend, observables: Any, state: State) -> jax.Array:
    return backend.expectation(observables, state)


def evolve(
    backend: AbstractBackend,
    ansatz: Ansatz,
    angles: ArrayLike,
    amplitudes: ArrayLike | None = None,
) -> State:
    """The state after ``ansatz``, from 0...0 or from given amplitudes; compiled once.

    Raises:
        ValueError: see :meth:`tnqrnn.AbstractBackend.evolve`.
    """
    if amplitudes is None:
        start = backend.init(ansatz.n_qubits)
    else:
        start = backend.from_statevector(amplitudes)
    return _evolve(backend, ansatz, jnp.asarray(angles), start)


def read(
    backend: AbstractBackend,
    state: State,
    observables: Observables | Sequence[PauliString] = "xyz",
) -> np.ndarray:
    """Expectation values as a NumPy array, compiled once a set of observables."""
    static = observables if isinstance(observables, str) else tuple(observables)
    return np.asarray(_read(backend, static, state))


def check_unitary(
    ansatz: Ansatz, angles: ArrayLike, dtype: str = "complex64", scale: float = 1
) -> None:
    """``U U^dagger = 1``, and the inverse circuit at ``-angles`` is ``U^dagger``."""
    matrix = np.asarray(_unitary(ansatz, dtype, jnp.asarray(angles)))
    back = np.asarray(_unitary(ansatz.inverse(), dtype, -jnp.asarray(angles)))
    _close("U U^dagger", matrix @ matrix.conj().T, np.eye(len(matrix)), dtype, scale)
    _close("U of the inverse circuit", back, matrix.conj().T, dtype, scale)


def check_norm_preserved(
    backend: AbstractBackend,
    ansatz: Ansatz,
    angles: ArrayLike,
    amplitudes: ArrayLike | None = None,
    scale: float = 1,
) -> None:
    """The norm stays 1; a truncating backend normalises after each truncation."""
    state = evolve(backend, ansatz, angles, amplitudes)
    _close("the norm", backend.norm(state), 1.0, backend.dtype, scale)


def check_inverse(
    backend: AbstractBackend,
    ansatz: Ansatz,
    angles: ArrayLike,
    amplitudes: ArrayLike,
    scale: float = 1,
) -> None:
    """A circuit and then its inverse gives the state back; for exact backends."""
    state = evolve(backend, ansatz, angles, amplitudes)
    state = _evolve(backend, ansatz.inverse(), -jnp.asarray(angles), state)
    back = backend.to_statevector(state)
    _close("the state given back", back, amplitudes, backend.dtype, scale)


def check_inner_products(
    backend: AbstractBackend,
    ansatz: Ansatz,
    angles: ArrayLike,
    left: ArrayLike,
    right: ArrayLike,
    scale: float = 1,
) -> None:
    """<U a|U b> = <a|b>; for exact backends."""
    a = evolve(backend, ansatz, angles, left)
    b = evolve(backend, ansatz, angles, right)
    value = backend.overlap(a, b)
    _close("<Ua|Ub>", value, np.vdot(left, right), backend.dtype, scale)


def check_readouts(backend: AbstractBackend, state: State, scale: float = 1) -> None:
    """``|<P>| <= 1`` for all X, Y, Z and neighbouring ZZ, and ``<I> = 1``."""
    tolerance = scale * TOLERANCES[backend.dtype]
    values = read(backend, state, "xyz+zz")
    largest = float(np.abs(values).max())
    expect(largest <= 1 + tolerance, f"|<P>| must be at most 1, got {largest!r}")
    _close("<I>", read(backend, state, ["I"])[0], 1.0, backend.dtype, scale)


def check_backends_agree(
    first: AbstractBackend,
    second: AbstractBackend,
    ansatz: Ansatz,
    angles: ArrayLike,
    observables: Observables | Sequence[PauliString] = "xyz+zz",
    scale: float = 1,
) -> None:
    """Two backends give the same readouts, to the coarser of their dtypes."""
    values = [
        read(backend, evolve(backend, ansatz, angles), observables)
        for backend in (first, second)
    ]
    coarse = max(first.dtype, second.dtype, key=TOLERANCES.__getitem__)
    _close("readouts of two backends", values[0], values[1], coarse, scale)


def check_parameters_finite(module: eqx.Module) -> None:
    """No trainable parameter, or gradient given as a module, is NaN or infinite."""
    for leaf in jax.tree.leaves(eqx.filter(module, eqx.is_inexact_array)):
        finite = bool(np.isfinite(np.asarray(leaf)).all())
        expect(finite, f"an array of shape {leaf.shape} must be finite")


def _close(what: str, value: Any, wanted: Any, dtype: str, scale: float) -> None:
    tolerance = scale * TOLERANCES[dtype]
    error = float(np.abs(np.asarray(value) - np.asarray(wanted)).max())
    expect(error <= tolerance, f"{what}: off by {error:.3g}, allowed {tolerance:.3g}")


def expect(condition: bool, message: str) -> None:
    """``assert condition, message``, also under ``python -O``."""
    if not condition:
        raise AssertionError(message)
