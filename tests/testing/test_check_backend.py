"""``check_backend`` passes what is right and refuses what is wrong, for its reason."""

import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references

import tnqrnn as tq
from tnqrnn.backends import AbstractReversibleBackend
from tnqrnn.checks import check_int
from tnqrnn.circuits.gates import PAULIS
from tnqrnn.testing import check_backend, kronecker


@dataclass(frozen=True)
class Dense(tq.AbstractBackend):
    """The four methods and no more; the state is a bare array."""

    dtype: str = "complex128"

    def init(self, n_qubits):
        n_qubits = check_int("n_qubits", n_qubits, minimum=1)
        return jnp.zeros(2**n_qubits, self.dtype).at[0].set(1)

    def evolve(self, ansatz, angles, state):
        angles = self.check_step(ansatz, angles, state)
        return ansatz.unitary(angles, self.dtype) @ state

    def expectation(self, observables, state):
        n_qubits = self.n_qubits(state)
        values = []
        for string in tq.parse_observables(observables, n_qubits):
            moved = state.reshape((2,) * n_qubits)
            for qubit, axis in string:
                pauli = jnp.asarray(PAULIS[axis], self.dtype)
                moved = jnp.moveaxis(jnp.tensordot(pauli, moved, (1, qubit)), 0, qubit)
            values.append(jnp.vdot(state, moved.ravel()).real)
        return jnp.stack(values)

    def to_statevector(self, state):
        return state


class WrongStart(Dense):
    def init(self, n_qubits):
        return jnp.roll(super().init(n_qubits), 1)


class TransposedCircuit(Dense):
    def evolve(self, ansatz, angles, state):
        return (
            ansatz.unitary(self.check_step(ansatz, angles, state), self.dtype).T @ state
        )


class LosesNorm(Dense):
    def evolve(self, ansatz, angles, state):
        return 0.999 * super().evolve(ansatz, angles, state)


class WrongOrder(Dense):
    def expectation(self, observables, state):
        return super().expectation(observables, state)[::-1]


class NoGradient(Dense):
    def evolve(self, ansatz, angles, state):
        return super().evolve(ansatz, jax.lax.stop_gradient(angles), state)


class UncheckedAngles(Dense):
    def evolve(self, ansatz, angles, state):
        return super().evolve(ansatz, angles[: ansatz.n_params], state)


class DoublePrecision(Dense):
    def expectation(self, observables, state):
        return super().expectation(observables, state).astype("float32")


class UnknownMode(Dense):
    gradients: ClassVar[tuple[str, ...]] = ("adjoint",)


class Irreversible(Dense):
    gradients: ClassVar[tuple[str, ...]] = ("reversible", "store")


class Rounds(Dense):
    """Approximate, and says so, but not by how much."""

    is_exact: ClassVar[bool] = False

    def expectation(self, observables, state):
        return super().expectation(observables, state) * (1 - 1e-4)


@dataclass(frozen=True)
class Undone(Dense, AbstractReversibleBackend):
    """What a reversible rule needs, and no more."""

    gradients: ClassVar[tuple[str, ...]] = ("reversible", "store")

    def operators(self, ansatz, angles):
        return ansatz.unitary(angles, self.dtype)

    def apply(self, ansatz, operators, state):
        return operators @ state

    def undo(self, ansatz, operators, state, cotangent):
        before = operators.conj().T @ state
        _, pull_back = jax.vjp(lambda u, s: u @ s, operators, before)
        doperators, dbefore = pull_back(cotangent)
        return before, dbefore, doperators


def test_a_reversible_rule_is_three_methods_more():
    check_backend(Undone(), max_qubits=2)


def test_four_methods_are_abstract():
    four = {"init", "evolve", "expectation", "to_statevector"}
    assert tq.AbstractBackend.__abstractmethods__ == four


def test_four_methods_are_enough():
    check_backend(Dense(), max_qubits=3)


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        (WrongStart(), "init: 0...0: off by 1"),
        (TransposedCircuit(), "expectation"),
        (LosesNorm(), "off by"),
        (WrongOrder(), "readouts of 0...0: off by"),
        (NoGradient(), "jax.grad: off by"),
        (UncheckedAngles(), "angles of another length must be a ValueError"),
        (DoublePrecision(), "expectation must be an array .*float64"),
        (UnknownMode(), "gradients must be some of .*'adjoint'"),
        (Irreversible(), "must be an AbstractReversibleBackend"),
        (Rounds(), "off by"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_wrong_is_refused(backend, message):
    with pytest.raises(AssertionError, match=message):
        check_backend(backend, max_qubits=2)


def test_an_approximate_backend_may_say_its_tolerance():
    check_backend(Rounds(), tolerance=2e-4, max_qubits=2)


def test_the_library_s_own_pass():
    check_backend(tq.MPS(1, dtype="complex128"), max_qubits=3)
    check_backend(tq.Network("complex128"), max_qubits=2)


def test_a_failed_check_is_an_error_without_asserts_too(tmp_path):
    program = """
import tnqrnn as tq
from tnqrnn.testing import check_backend, check_unitary

class Wrong(tq.Statevector):
    def expectation(self, observables, state):
        return 0 * super().expectation(observables, state)

try:
    check_backend(Wrong(), max_qubits=2)
except AssertionError as error:
    print("refused:", error)
"""
    done = subprocess.run(
        [sys.executable, "-O", "-c", program], capture_output=True, text=True
    )
    assert done.stdout.startswith("refused: readouts of 0...0"), done.stderr


def test_what_is_derived_is_right(rng):
    backend, exact = Dense(), tq.Statevector("complex128")
    ansatz = tq.hardware_efficient(4, topology="ring")
    angles = rng.uniform(-np.pi, np.pi, ansatz.n_params)
    state = backend.evolve(ansatz, angles, backend.init(4))
    expected = exact.evolve(ansatz, angles, exact.init(4))
    np.testing.assert_allclose(
        backend.entropies(state), exact.entropies(expected), atol=1e-10
    )
    np.testing.assert_allclose(
        backend.reduced_density_matrix((2, 0), state),
        exact.reduced_density_matrix((2, 0), expected),
        atol=1e-10,
    )
    lost = backend.truncation(state)
    assert eqx.tree_equal(lost, tq.Truncation.zero(4, "complex128"))
    with pytest.raises(ValueError, match="must have the 4 qubits of a, got 2"):
        backend.overlap(state, backend.init(2))
    with pytest.raises(NotImplementedError, match="to a backend that takes them"):
        backend.from_statevector(np.ones(2) / np.sqrt(2))
    with pytest.raises(NotImplementedError, match="to a backend that takes them"):
        backend.from_quimb(exact.init(2).to_quimb())


def test_a_roll_out_on_it_is_that_of_exact_states(rng):
    cell = tq.QRNNCell(
        2, tq.hardware_efficient(3), backend=Dense(), key=jax.random.key(0)
    )
    xs = jnp.asarray(rng.normal(size=(2, 4, 2)))
    rollout = tq.unroll(cell, xs)
    expected = tq.unroll(cell.with_backend(tq.Statevector("complex128")), xs)
    np.testing.assert_allclose(rollout.readouts, expected.readouts, atol=1e-10)
    assert eqx.tree_equal(rollout.truncation, expected.truncation)


def test_the_dense_reference_is_that_of_kronecker_products(rng):
    """Two written apart: the package's own and the tests' own."""
    from tnqrnn.testing.properties import random_circuit

    for n_qubits in (1, 2, 3, 4):
        ansatz = random_circuit(n_qubits, 40, rng)
        angles = rng.uniform(-np.pi, np.pi, ansatz.n_params)
        gates = [(g.name, g.qubits, g.angle) for g in ansatz.gates]
        expected = references.unitary(n_qubits, gates, angles)[:, 0]
        psi = kronecker.final_state(ansatz, angles)
        np.testing.assert_allclose(psi, expected, atol=1e-10)
        strings = tq.parse_observables("xyz+zz", n_qubits)
        values = [references.expectation(psi, string) for string in strings]
        np.testing.assert_allclose(kronecker.expectations(psi, strings), values)
        for cut in range(1, n_qubits):
            value = references.entropy(psi, cut)
            np.testing.assert_allclose(kronecker.entropy(psi, cut), value, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_qubits": 1}, "max_qubits must be an integer >= 2, got 1"),
        ({"tolerance": -1.0}, "tolerance must be a finite number"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        check_backend(Dense(), **options)
    with pytest.raises(ValueError, match="backend must be an instance of"):
        check_backend("Dense")
