"""What every backend must pass, a user's own as well."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from tnqrnn.backends import AbstractBackend, AbstractReversibleBackend, State
from tnqrnn.checks import (
    check_dtype,
    check_instance,
    check_int,
    check_number,
    real_dtype,
)
from tnqrnn.circuits import Ansatz, hardware_efficient, parse_observables
from tnqrnn.model import Controller, QRNNCell, unroll
from tnqrnn.testing import kronecker
from tnqrnn.testing.properties import TOLERANCES, expect, random_circuit, read

_STEPS = {"complex64": 2e-2, "complex128": 1e-4}
"""Step of a central difference of fourth order."""

_DIFFERENCE = {"complex64": 1e-3, "complex128": 1e-7}
"""Largest error of a derivative against such a difference, relative or absolute."""


class _Case(NamedTuple):
    """A backend, a circuit at some angles, and its exact state by NumPy."""

    backend: AbstractBackend
    ansatz: Ansatz
    angles: jax.Array
    exact: np.ndarray
    tolerance: float

    @property
    def is_exact(self) -> bool:
        return self.backend.resolve(self.ansatz.n_qubits).is_exact

    def moved(self, angles: jax.Array | None = None) -> State:
        """The state after the circuit, from 0...0."""
        start = self.backend.init(self.ansatz.n_qubits)
        angles = self.angles if angles is None else angles
        return self.backend.evolve(self.ansatz, angles, start)


def check_backend(
    backend: AbstractBackend,
    *,
    tolerance: float | None = None,
    max_qubits: int = 4,
    seed: int = 0,
) -> None:
    """Raises unless a backend does what the library and its users rely on.

    Checked on circuits of 1 to ``max_qubits`` qubits, which hold every gate: the start,
    norms, amplitudes and Pauli readouts against dense linear algebra in NumPy, circuits
    undone by their inverses, entropies, what it says of truncation, ``jax.jit``,
    ``jax.vmap`` and ``jax.grad``, :func:`tnqrnn.unroll` in every gradient mode, and the
    errors for wrong arguments. It takes a minute, mostly of compilation.

    Args:
        backend: any.
        tolerance: largest absolute error of amplitudes and readouts; that of the dtype
            unless given, see ``TOLERANCES``. A backend that is not ``is_exact`` may be
            off by the ``readout_bound`` that it reports, or by ``tolerance`` if given.
        max_qubits: at least 2.
        seed: of circuits and angles.

    Raises:
        AssertionError: it does not; the message says in what, and by how much. What the
            backend itself raises comes through.
        ValueError: an argument out of range.

    >>> import tnqrnn as tq
    >>> check_backend(tq.Statevector(), max_qubits=2)
    """
    check_instance("backend", backend, AbstractBackend)
    max_qubits = check_int("max_qubits", max_qubits, minimum=2)
    if tolerance is not None:
        tolerance = check_number("tolerance", tolerance, minimum=0.0)
    allowed = TOLERANCES[backend.dtype] if tolerance is None else tolerance
    _check_description(backend)
    rng = np.random.default_rng(check_int("seed", seed, minimum=0))
    for n_qubits in range(1, max_qubits + 1):
        _check_start(backend, n_qubits, allowed)
        ansatz = random_circuit(n_qubits, 6 + 6 * n_qubits, rng)
        case = _case(backend, ansatz, rng, tolerance)
        _check_readouts(case, tolerance)
        _check_state(case)
    layer = hardware_efficient(max_qubits, n_layers=1, topology="ring")
    case = _case(backend, layer, rng, tolerance)
    _check_readouts(case, tolerance)
    _check_transformations(case, rng)
    _check_roll_out(case, rng)
    _check_errors(case)


def _case(
    backend: AbstractBackend,
    ansatz: Ansatz,
    rng: np.random.Generator,
    tolerance: float | None,
) -> _Case:
    angles = rng.uniform(-np.pi, np.pi, ansatz.n_params)
    angles = angles.astype(real_dtype(backend.dtype))
    allowed = TOLERANCES[backend.dtype] if tolerance is None else tolerance
    exact = kronecker.final_state(ansatz, angles)
    return _Case(backend, ansatz, jnp.asarray(angles), exact, allowed)


def _check_description(backend: AbstractBackend) -> None:
    """It is a frozen dataclass that is compared and hashed by value."""
    check_dtype(backend.dtype)
    again = dataclasses.replace(backend)
    alike = backend == again and hash(backend) == hash(again)
    expect(alike, f"a backend must equal another one made alike, got {backend}")
    modes = backend.gradients
    known = {"reversible", "checkpoint", "store"}
    expect(
        bool(modes) and set(modes) <= known,
        f"gradients must be some of {sorted(known)}, got {modes}",
    )
    if "reversible" in modes:
        expect(
            isinstance(backend, AbstractReversibleBackend),
            "a backend with reversible gradients must be an AbstractReversibleBackend",
        )


def _check_start(backend: AbstractBackend, n_qubits: int, tolerance: float) -> None:
    state = backend.init(n_qubits)
    zeros = np.eye(2**n_qubits)[0]
    psi = backend.to_statevector(state)
    _check_array("to_statevector", psi, (2**n_qubits,), backend.dtype)
    _check_close("init: 0...0", psi, zeros, tolerance)
    found = backend.n_qubits(state)
    expect(found == n_qubits, f"n_qubits must be {n_qubits}, got {found}")
    strings = parse_observables("xyz+zz", n_qubits)
    values = kronecker.expectations(zeros, strings)
    _check_close("readouts of 0...0", read(backend, state, "xyz+zz"), values, tolerance)


def _check_readouts(case: _Case, tolerance: float | None) -> None:
    """Readouts of every kind against those of the exact state."""
    n_qubits = case.ansatz.n_qubits
    state = jax.jit(case.moved)()
    lost = case.backend.truncation(state)
    allowed = case.tolerance
    if not case.is_exact and tolerance is None:
        allowed += float(lost.readout_bound)
    string = " ".join(f"{'XYZ'[q % 3]}{q}" for q in range(n_qubits))
    for observables in ("xyz+zz", (string, "I", f"Y{n_qubits - 1}")):
        strings = parse_observables(observables, n_qubits)
        values = read(case.backend, state, observables)
        real = str(real_dtype(case.backend.dtype))
        _check_array("expectation", values, (len(strings),), real)
        exact = kronecker.expectations(case.exact, strings)
        _check_close(f"expectation({observables!r})", values, exact, allowed)
    expect(
        lost.discarded_weight.shape == (n_qubits - 1,),
        f"discarded_weight must be of shape ({n_qubits - 1},), got "
        f"{lost.discarded_weight.shape}",
    )
    if case.is_exact:
        worst = max(float(jnp.max(jnp.abs(x), initial=0)) for x in lost)
        expect(worst == 0, f"an exact backend must report no loss, got {worst:.3g}")


def _check_state(case: _Case) -> None:
    """Amplitudes, norm, overlaps, entropies, and the way back by the inverse."""
    backend, n_qubits = case.backend, case.ansatz.n_qubits
    state = jax.jit(case.moved)()
    psi = np.asarray(backend.to_statevector(state))
    tolerance = max(case.tolerance, TOLERANCES[backend.dtype])
    _check_close("norm", backend.norm(state), 1.0, tolerance)
    own = backend.overlap(state, state)
    _check_close("overlap of a state and itself", own, 1.0, tolerance)
    if backend.has_entropy:
        cuts = range(1, n_qubits)
        entropies = np.array([kronecker.entropy(psi, cut) for cut in cuts])
        found = backend.entropies(state)
        real = str(real_dtype(backend.dtype))
        _check_array("entropies", found, (n_qubits - 1,), real)
        _check_close("entropies", found, entropies, 30 * tolerance)
    if not case.is_exact:
        return
    _check_close("amplitudes", psi, case.exact, tolerance)
    start = backend.init(n_qubits)
    overlap = backend.overlap(start, state)
    _check_close("overlap with 0...0", overlap, case.exact[0], tolerance)
    undo = jax.jit(lambda s: backend.evolve(case.ansatz.inverse(), -case.angles, s))
    back = backend.to_statevector(undo(state))
    _check_close("a circuit and its inverse", back, np.eye(len(psi))[0], tolerance)


def _check_transformations(case: _Case, rng: np.random.Generator) -> None:
    """Readouts by angles under ``jit``, ``vmap`` and ``grad``, and by names."""
    backend, size = case.backend, case.ansatz.n_params
    n_readouts = 3 * case.ansatz.n_qubits
    weights = jnp.asarray(rng.normal(size=n_readouts), case.angles.dtype)

    def values(angles: jax.Array) -> jax.Array:
        return backend.expectation("xyz", case.moved(angles))

    rows = jnp.asarray(rng.uniform(-np.pi, np.pi, (2, size)), case.angles.dtype)
    compiled = jax.jit(values)
    loop = np.stack([compiled(row) for row in rows])
    _check_close("jax.jit", loop[0], values(rows[0]), case.tolerance)
    _check_close("jax.vmap", jax.jit(jax.vmap(values))(rows), loop, case.tolerance)
    state = jax.jit(case.moved)(rows[0])
    for name in ("xyz", "z"):
        strings = parse_observables(name, case.ansatz.n_qubits)
        named = read(backend, state, name)
        parsed = backend.expectation(strings, state)
        _check_close(f"expectation({name!r})", named, parsed, case.tolerance)
    total = jax.jit(jax.value_and_grad(lambda angles: values(angles) @ weights))
    _check_derivative("jax.grad", total, case.angles, backend.dtype, rng)


def _check_roll_out(case: _Case, rng: np.random.Generator) -> None:
    """:func:`tnqrnn.unroll`: steps one by one, and the gradient of every mode."""
    backend, dtype = case.backend, case.angles.dtype
    cell = QRNNCell(
        2,
        case.ansatz,
        controller=Controller("tanh", (4,), init_scale=1.0),
        backend=backend,
        key=jax.random.key(0),
    )
    xs = jnp.asarray(rng.normal(size=(2, 3, 2)), dtype)
    rollout = unroll(cell, xs)
    carry, readouts = cell.init(), []
    for x in xs[0]:
        carry, z = eqx.filter_jit(cell)(carry, x)
        readouts.append(z)
    stepwise = jnp.stack(readouts)
    tolerance = 10 * max(case.tolerance, TOLERANCES[backend.dtype])
    _check_close("unroll, step by step", rollout.readouts[0], stepwise, tolerance)
    params, static = eqx.partition(cell, eqx.is_inexact_array)
    vector, unflatten = ravel_pytree(params)

    def by(mode: str) -> Callable:
        def loss(vector: jax.Array) -> jax.Array:
            moved = eqx.combine(unflatten(vector), static)
            return jnp.sum(jnp.sin(unroll(moved, xs, gradient=mode).readouts))

        return jax.jit(jax.value_and_grad(loss))

    for mode in cell.gradients:
        what = f"gradient of unroll, {mode!r}"
        _check_derivative(what, by(mode), vector, backend.dtype, rng)


def _check_derivative(
    what: str,
    value_and_gradient: Callable,
    point: jax.Array,
    dtype: str,
    rng: np.random.Generator,
) -> None:
    """A gradient along a direction against differences of the function's own values.

    With f_k = f(x + k h d): ``f' = (8 (f_1 - f_-1) - (f_2 - f_-2)) / 12 h + O(h^4)``.
    """
    gradient = np.asarray(value_and_gradient(point)[1], float)
    expect(bool(np.isfinite(gradient).all()), f"{what} must be finite")
    # Along the gradient, where it is largest, and aside, should it be wrong.
    parts = gradient, rng.normal(size=point.shape)
    direction = sum(part / max(1e-6, float(np.linalg.norm(part))) for part in parts)
    step = _STEPS[dtype]

    def at(k: int) -> float:
        moved = point + jnp.asarray(k * step * direction, point.dtype)
        return float(value_and_gradient(moved)[0])

    differences = 8 * (at(1) - at(-1)) - (at(2) - at(-2))
    expected = differences / (12 * step)
    tolerance = _DIFFERENCE[dtype] * max(1.0, abs(expected))
    _check_close(what, gradient @ direction, expected, tolerance)


def _check_errors(case: _Case) -> None:
    """Wrong arguments are refused by a ValueError that says what is wrong."""
    backend, ansatz = case.backend, case.ansatz
    state, n_qubits = backend.init(ansatz.n_qubits), ansatz.n_qubits
    angles = np.zeros(ansatz.n_params + 1, case.angles.dtype)
    other = hardware_efficient(n_qubits - 1, n_layers=1)
    wrong: dict[str, Callable[[], Any]] = {
        "init(0)": lambda: backend.init(0),
        "angles of another length": lambda: backend.evolve(ansatz, angles, state),
        "a circuit for fewer qubits": lambda: backend.evolve(
            other, angles[: other.n_params], state
        ),
        "a missing qubit": lambda: backend.expectation([f"Z{n_qubits}"], state),
        "no Pauli string": lambda: backend.expectation(["A0"], state),
    }
    for what, call in wrong.items():
        try:
            call()
        except ValueError:
            continue
        expect(False, f"{what} must be a ValueError")


def _check_array(what: str, array: Any, shape: tuple[int, ...], dtype: str) -> None:
    found = np.shape(array), str(jnp.result_type(array))
    wanted = shape, dtype
    expect(found == wanted, f"{what} must be an array {wanted}, got {found}")


def _check_close(what: str, value: Any, wanted: Any, tolerance: float) -> None:
    error = np.abs(np.asarray(value) - np.asarray(wanted))
    worst = float(np.max(error, initial=0))
    expect(
        worst <= tolerance,  # false for NaN, too
        f"{what}: off by {worst:.3g}, allowed {tolerance:.3g}",
    )
