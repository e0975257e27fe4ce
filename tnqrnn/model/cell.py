"""The hybrid quantum-classical recurrent cell [xu2025].

::

    x_t, c -> controller ----theta_t----> U(theta_t) |psi_{t-1}> = |psi_t>
                  ^                                                  |
                  +---- z_{t-1} <---- (one step later) ---- z_t = <P>_psi_t
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from tnqrnn.backends import AbstractBackend, State, Statevector, Truncation
from tnqrnn.checks import (
    check_bool,
    check_choice,
    check_instance,
    check_int,
    check_number,
    check_shape,
    real_dtype,
)
from tnqrnn.circuits import Ansatz, Observables, PauliString, parse_observables
from tnqrnn.model.base import AbstractCell, with_fields
from tnqrnn.model.controller import Controller, ControllerNetwork


class QRNNCarry(NamedTuple):
    """What goes from step to step: the quantum state and its readouts z, (M,)."""

    state: State
    readouts: jax.Array


class QRNNCell(AbstractCell):
    """One step of the quantum recurrence: ``cell(carry, x) -> (carry, z)``.

    The controller turns ``[x_t; z_{t-1}; c]`` into the circuit's angles, the circuit
    moves the state, and Pauli expectations of the new state, read without disturbing
    it, are ``z_t``. The context ``c`` belongs to the sample and is the same at every
    step.

    Args:
        input_size: F, length of x_t.
        ansatz: the circuit.
        observables: what is read, see :func:`tnqrnn.circuits.parse_observables`.
        controller: a :class:`Controller`, or the name of its activation.
        readout: factor on the readouts as controller and head receive them: ``"unit"``
            is 1, ``"haar"`` is sqrt(2**n + 1), which gives readouts of a scrambled
            state unit variance, ``"learned"`` is one trainable factor an observable,
            starting at 1, and a number is itself. What a step returns is unscaled.
        feedback: whether the controller receives the last readouts, or x alone.
        backend: the representation of the state.
        context_size: C, length of a context that every step reads; 0 for none.
        key: PRNG key of the initial weights.

    Raises:
        ValueError: an argument out of range or an unknown name.

    >>> import jax, jax.numpy as jnp
    >>> import tnqrnn as tq
    >>> cell = tq.QRNNCell(3, tq.hardware_efficient(2), key=jax.random.key(0))
    >>> carry, z = cell(cell.init(), jnp.ones(3))
    >>> z.shape
    (6,)
    """

    network: ControllerNetwork
    gain: jax.Array | None
    input_size: int = eqx.field(static=True)
    ansatz: Ansatz = eqx.field(static=True)
    observables: tuple[PauliString, ...] = eqx.field(static=True)
    controller: Controller = eqx.field(static=True)
    readout: str | float = eqx.field(static=True)
    feedback: bool = eqx.field(static=True)
    backend: AbstractBackend = eqx.field(static=True)
    context_size: int = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        ansatz: Ansatz,
        *,
        observables: Observables | Sequence[PauliString] = "xyz",
        controller: str | Controller = "gelu",
        readout: str | float = "unit",
        feedback: bool = True,
        backend: AbstractBackend | None = None,
        context_size: int = 0,
        key: PRNGKeyArray,
    ) -> None:
        self.input_size = check_int("input_size", input_size, minimum=1)
        self.ansatz = check_instance("ansatz", ansatz, Ansatz)
        self.observables = parse_observables(observables, ansatz.n_qubits)
        if isinstance(controller, str):
            controller = Controller(controller)
        self.controller = check_instance("controller", controller, Controller)
        if isinstance(readout, str):
            self.readout = check_choice("readout", readout, ("unit", "haar", "learned"))
        else:
            self.readout = check_number("readout", readout)
        self.feedback = check_bool("feedback", feedback)
        if backend is None:
            backend = Statevector()
        self.backend = check_instance("backend", backend, AbstractBackend)
        _check_scale(self.readout, ansatz.n_qubits, backend)
        dtype = real_dtype(self.backend.dtype)
        n_observables = len(self.observables)
        self.gain = jnp.ones(n_observables, dtype) if readout == "learned" else None
        self.context_size = check_int("context_size", context_size, minimum=0)
        self.network = ControllerNetwork(
            self.controller,
            self.input_size,
            (n_observables if feedback else 0) + self.context_size,
            ansatz.n_params,
            dtype=dtype,
            key=key,
        )

    @property
    def engine(self) -> AbstractBackend:
        """What holds the state: ``backend``, resolved for the circuit's qubits."""
        return self.backend.resolve(self.ansatz.n_qubits)

    @property
    def output_size(self) -> int:
        return len(self.observables)

    @property
    def gradients(self) -> tuple[str, ...]:
        return self.engine.gradients

    @property
    def grows(self) -> bool:
        return self.engine.grows

    def init(self, state: State | None = None) -> QRNNCarry:
        """The state 0...0, or ``state``, and its readouts as the first z."""
        if state is not None:
            return QRNNCarry(state, self.read(state))
        # Behind the barrier XLA does not compute with a large state while it compiles,
        # which takes seconds. In 0...0 every product of Zs reads 1, all others read 0.
        state = jax.lax.optimization_barrier(self.engine.init(self.ansatz.n_qubits))
        values = [all(axis == "Z" for _, axis in each) for each in self.observables]
        return QRNNCarry(state, jnp.array(values, real_dtype(self.backend.dtype)))

    def __call__(
        self,
        carry: QRNNCarry,
        x: jax.Array,
        *,
        context: jax.Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[QRNNCarry, jax.Array]:
        check_shape("x", x, (self.input_size,))
        self.check_context(context, ())
        angles = self.angles(x, carry.readouts, context=context, key=key)
        state = self.engine.evolve(self.ansatz, angles, carry.state)
        carry = QRNNCarry(state, self.read(state))
        return carry, carry.readouts

    def angles(
        self,
        x: jax.Array,
        z: jax.Array,
        *,
        context: jax.Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> jax.Array:
        """theta_t in radians, (P,), from x_t, (F,), z_{t-1}, (M,), and c, (C,)."""
        dtype = real_dtype(self.backend.dtype)
        x = jnp.asarray(x, dtype)
        others = self.features(z) if self.feedback else z[:0]
        if context is not None:
            others = jnp.concatenate([others, jnp.asarray(context, dtype)])
        return self.network(x, others, key=key)

    def select(self, condition: jax.Array, new: QRNNCarry, old: QRNNCarry) -> QRNNCarry:
        state = self.engine.select(condition, new.state, old.state)
        return QRNNCarry(state, jnp.where(condition, new.readouts, old.readouts))

    def read(self, state: State) -> jax.Array:
        """The readouts of a state, bare Pauli expectations, (M,)."""
        return self.engine.expectation(self.observables, state)

    def features(self, z: jax.Array) -> jax.Array:
        if self.gain is not None:
            return z * self.gain
        if self.readout == "haar":
            return z * math.hypot(2.0 ** (self.ansatz.n_qubits / 2), 1)
        return z * self.readout if isinstance(self.readout, float) else z

    def truncation(self, carry: QRNNCarry) -> Truncation:
        return self.engine.truncation(carry.state)

    @property
    def has_chance(self) -> bool:
        return self.controller.dropout > 0

    @property
    def lost_names(self) -> tuple[str, ...]:
        return ("infidelity", "readout_bound", "discarded_weight")

    def lost(self, truncation: Truncation) -> dict[str, jax.Array]:
        # Of the last step: 1 - exp(log_fidelity), the bound, and all bonds together.
        last = jax.tree.map(lambda leaf: leaf[:, -1], truncation)
        values = (
            -jnp.expm1(last.log_fidelity),
            last.readout_bound,
            last.discarded_weight.sum(axis=-1),
        )
        return dict(zip(self.lost_names, values, strict=True))

    def check_lost(self, largest: Mapping[str, float]) -> None:
        self.engine.check_budget(largest["infidelity"])

    def with_backend(self, backend: AbstractBackend) -> "QRNNCell":
        check_instance("backend", backend, AbstractBackend)
        _check_scale(self.readout, self.ansatz.n_qubits, backend)
        dtype = real_dtype(backend.dtype)
        cell = with_fields(self, backend=backend)
        return jax.tree.map(lambda leaf: leaf.astype(dtype), cell)


def _check_scale(readout: str | float, n_qubits: int, backend: AbstractBackend) -> None:
    """Refuses a factor on readouts that is infinite in the backend's precision."""
    dtype = real_dtype(backend.dtype)
    limits = np.finfo(dtype)
    if readout == "haar" and n_qubits >= 2 * limits.maxexp:
        raise ValueError(
            f"readout must be another than 'haar' from {2 * limits.maxexp} qubits on: "
            f"sqrt(2^n + 1) is infinite in {dtype}, got {n_qubits} qubits."
        )
    if isinstance(readout, float) and abs(readout) > float(limits.max):
        raise ValueError(f"readout must be finite in {dtype}, got {readout!r}.")
