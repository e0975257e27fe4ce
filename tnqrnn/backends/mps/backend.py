"""The approximate state: a matrix product state of bounded bond dimension."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from tnqrnn.backends.base import (
    AbstractBackend,
    State,
    Truncation,
    check_amplitudes,
    check_same_n_qubits,
    check_vector,
)
from tnqrnn.backends.budget import ON_TRUNCATION, check_budget, within_budget
from tnqrnn.backends.mps import readout
from tnqrnn.backends.mps.evolve import evolve
from tnqrnn.backends.mps.state import Layout, MPSState
from tnqrnn.backends.mps.sweeps import (
    add_weights,
    normalised,
    pass_left,
    truncated_split,
)
from tnqrnn.backends.quimb_states import check_quimb, to_cores
from tnqrnn.backends.statevector.backend import Statevector, StatevectorState
from tnqrnn.checks import (
    check_choice,
    check_int,
    check_memory,
    check_number,
)
from tnqrnn.circuits import (
    Ansatz,
    Observables,
    PauliString,
    parse_observables,
)
from tnqrnn.products import matmul

if TYPE_CHECKING:
    from quimb.tensor import MatrixProductState


Method = TypeVar("Method", bound=Callable[..., Any])


def _by_statevector_where_exact(method: Method) -> Method:
    """``method`` of an :class:`MPS`, but that of a Statevector for a vector.

    Such are the states that an MPS makes where :meth:`MPS.resolve` is another backend.
    """

    @functools.wraps(method)
    def resolved(self: "MPS", *arguments: Any, **named: Any) -> Any:
        for value in (*arguments, *named.values()):
            if isinstance(value, StatevectorState) and self._made(value):
                engine = self.resolve(value.n_qubits)
                return getattr(engine, method.__name__)(*arguments, **named)
        return method(self, *arguments, **named)

    return resolved  # type: ignore[return-value]


@dataclass(frozen=True, init=False)
class MPS(AbstractBackend):
    """Simulation with at most ``max_bond`` Schmidt values at every bond.

    Where ``max_bond >= 2**(n // 2)`` nothing can be truncated, and a
    :class:`Statevector` takes over (:meth:`resolve`). Below that, a
    circuit layer costs O(n chi^3). Wherever gates widen a bond, the ``max_bond``
    largest Schmidt values are kept and the norm is restored; gates of two layers on a
    bond may be applied before it is truncated. ``truncation(state)`` says what was
    lost.

    Gradients are those of the truncated simulation itself, not of the exact one, and
    first derivatives only.

    Warning:
        At two kinds of points of measure zero the truncated simulation has no
        derivative; the gradient is finite there and leaves a part out. One is where a
        kept Schmidt value equals a discarded one, other than zero. The other is where a
        bond's rank is below ``max_bond`` and an angle would raise it, at angles that
        are all exactly pi, say; the value is exact there.
        :func:`tnqrnn.diagnostics.missed_tangent` says how much is left out.

    Args:
        max_bond: chi >= 1; 1 is a product state.
        cutoff: Schmidt values below ``cutoff`` times a bond's largest are discarded
            too; shapes stay. Without effect on a register that ``max_bond`` holds
            exactly, ``max_bond >= 2**(n // 2)``: nothing is split there.
        dtype: ``"complex64"`` or ``"complex128"``.
        on_truncation: what :func:`tnqrnn.unroll` does when a state ends with an
            estimated infidelity ``1 - exp(log_fidelity)`` above ``budget``:
            ``"ignore"``, ``"warn"``, or ``"raise"`` a :class:`TruncationError`;
            :func:`tnqrnn.fit` and :func:`tnqrnn.evaluate` raise it, too. In a program
            that a caller compiles the check runs when the program does, which warns, or
            raises ``equinox.EquinoxRuntimeError`` under ``equinox.filter_jit`` and
            ``jax.errors.JaxRuntimeError`` under ``jax.jit``.
        budget: in [0, 1].

    Raises:
        ValueError: a number out of range, an unknown dtype, or complex128 without JAX's
            64-bit mode.

    >>> import tnqrnn as tq
    >>> backend = tq.MPS(max_bond=2)
    >>> ghz = tq.Ansatz(6, [("h", 0)] + [("cnot", (i, i + 1)) for i in range(5)])
    >>> state = backend.evolve(ghz, [], backend.init(6))
    >>> [round(abs(float(z)), 4) for z in backend.expectation(["Z0", "Z0 Z5"], state)]
    [0.0, 1.0]
    """

    max_bond: int
    cutoff: float
    on_truncation: str
    budget: float
    is_exact: ClassVar[bool] = False
    gradients: ClassVar[tuple[str, ...]] = ("checkpoint", "store")

    def __init__(
        self,
        max_bond: int,
        cutoff: float = 0.0,
        dtype: str = "complex64",
        *,
        on_truncation: str = "ignore",
        budget: float = 0.01,
    ) -> None:
        max_bond = check_int("max_bond", max_bond, minimum=1)
        cutoff = check_number("cutoff", cutoff, minimum=0.0, maximum=1.0)
        object.__setattr__(self, "max_bond", max_bond)
        object.__setattr__(self, "cutoff", cutoff)
        object.__setattr__(self, "dtype", dtype)
        check_choice("on_truncation", on_truncation, ON_TRUNCATION)
        object.__setattr__(self, "on_truncation", on_truncation)
        budget = check_number("budget", budget, minimum=0.0, maximum=1.0)
        object.__setattr__(self, "budget", budget)
        self.__post_init__()

    def resolve(self, n_qubits: int) -> AbstractBackend:
        """A :class:`Statevector` where ``max_bond >= 2**(n_qubits // 2)``, else self.

        Nothing can be truncated there, so a vector holds the same states, and its
        gradients are reversible.
        """
        is_dense = Layout(n_qubits, self.max_bond).is_dense
        return Statevector(self.dtype) if is_dense else self

    def init(self, n_qubits: int) -> State:
        n_qubits = check_int("n_qubits", n_qubits, minimum=1)
        if (engine := self.resolve(n_qubits)) is not self:
            return engine.init(n_qubits)
        layout = Layout(n_qubits, self.max_bond)
        chi, k = self.max_bond, layout.n_cores
        n_bytes = 2 * k * chi**2 * np.dtype(self.dtype).itemsize
        check_memory(f"max_bond={chi}: a state of {n_qubits} qubits", n_bytes)
        cores = jnp.zeros((k, chi, 2, chi), self.dtype).at[:, 0, 0, 0].set(1)
        zero = Truncation.zero(n_qubits, self.dtype)
        return MPSState(cores[0], cores[1:], zero, n_qubits)

    def from_statevector(self, amplitudes: ArrayLike) -> State:
        array, n_qubits = check_amplitudes(amplitudes, self.dtype)
        if (engine := self.resolve(n_qubits)) is not self:
            return engine.from_statevector(amplitudes)
        layout = Layout(n_qubits, self.max_bond)
        chi, end = self.max_bond, layout.end
        # A sweep to the right: the centre is all that has not been split off yet.
        centre = jnp.pad(array.reshape(end, -1), ((0, chi - end), (0, 0)))
        isometries, weights = [], []
        for _ in range(layout.n_cores - 1):
            theta = centre.reshape(2 * chi, -1)
            isometry, centre, weight = truncated_split(theta, chi, self.cutoff)
            isometries.append(isometry.reshape(chi, 2, chi))
            weights.append(weight)
        last = jnp.pad(centre.reshape(chi, 2, end), ((0, 0), (0, 0), (0, chi - end)))
        centre, cores = pass_left(last, jnp.stack(isometries))
        zero = Truncation.zero(n_qubits, self.dtype)
        lost = add_weights(zero, jnp.stack(weights), layout.first)
        return MPSState(normalised(centre), cores, lost, n_qubits)

    def from_quimb(self, state: "MatrixProductState") -> State:
        n_qubits = check_quimb(state)
        if (engine := self.resolve(n_qubits)) is not self:
            return engine.from_quimb(state)
        layout = Layout(n_qubits, self.max_bond)
        cores = jnp.asarray(to_cores(state, self.max_bond, layout.first), self.dtype)
        zero = Truncation.zero(n_qubits, self.dtype)
        return MPSState(normalised(cores[0]), cores[1:], zero, n_qubits)

    @_by_statevector_where_exact
    def evolve(self, ansatz: Ansatz, angles: ArrayLike, state: MPSState) -> MPSState:
        array = self.check_step(ansatz, angles, state)
        return evolve(ansatz, array, state, self.cutoff) if ansatz.gates else state

    @_by_statevector_where_exact
    def expectation(
        self,
        observables: Observables | tuple[PauliString, ...],
        state: MPSState,
    ) -> jax.Array:
        strings = parse_observables(observables, self.n_qubits(state))
        return readout.pauli_expectations(strings, state)

    @_by_statevector_where_exact
    def norm(self, state: MPSState) -> jax.Array:
        self.check_state(state)
        return jnp.linalg.norm(state.centre.ravel())

    @_by_statevector_where_exact
    def overlap(self, a: MPSState, b: MPSState) -> jax.Array:
        check_same_n_qubits(self.n_qubits(a), self.n_qubits(b))
        return readout.overlap(a, b)

    @_by_statevector_where_exact
    def entropy(self, state: MPSState, cut: int) -> jax.Array:
        cut = check_int("cut", cut, minimum=1, maximum=self.n_qubits(state) - 1)
        return readout.entropy(state, cut)

    @_by_statevector_where_exact
    def entropies(self, state: MPSState) -> jax.Array:
        self.check_state(state)
        return readout.entropies(state)

    @_by_statevector_where_exact
    def truncation(self, state: MPSState) -> Truncation:
        self.check_state(state)
        return state.truncation

    def within_budget(self, value: Any, truncation: Truncation) -> Any:
        return within_budget(value, truncation, self.on_truncation, self.budget)

    def check_budget(self, worst: float) -> None:
        check_budget(worst, self.on_truncation, self.budget)

    @_by_statevector_where_exact
    def to_statevector(self, state: MPSState) -> jax.Array:
        self.check_state(state)
        check_vector(state.n_qubits, self.dtype)
        chi, end = self.max_bond, state.layout.end
        rows = state.centre[:end].reshape(2 * end, chi)
        for core in state.right_cores:
            rows = matmul(rows, core.reshape(chi, 2 * chi)).reshape(-1, chi)
        return rows[:, :end].ravel()

    def _made(self, state: Any) -> bool:
        if isinstance(state, StatevectorState):
            return self.resolve(state.n_qubits) is not self
        return isinstance(state, MPSState) and state.layout.max_bond == self.max_bond
