"""What every representation of the quantum state offers.

A backend is a frozen, hashable description without arrays; the quantum state is a
pytree that its methods take and return. States are never changed and cache nothing.
Every method takes one sample and works under ``jax.jit``, ``jax.vmap`` and
``jax.grad``. Qubit 0 is the leftmost tensor factor and the most significant bit of a
basis state's number.
"""

import abc
import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from tnqrnn.checks import (
    check_dtype,
    check_finite,
    check_int,
    check_memory,
    real_dtype,
)
from tnqrnn.circuits import Ansatz, Observables, PauliString
from tnqrnn.circuits.gates import PAULIS
from tnqrnn.contraction.cones import MAX_SUPPORT
from tnqrnn.products import tensordot

if TYPE_CHECKING:
    from quimb.tensor import MatrixProductState

State = Any


class Truncation(NamedTuple):
    """What a state has lost since ``init``, running totals; zero for exact states.

    Attributes:
        log_fidelity (array of shape ()): sum of ln(kept weight) over all truncations,
            at most 0; its exponential estimates the squared overlap with the exact
            state [zhou2020].
        discarded_weight (array of shape (n-1,)): sum over the truncations of each bond
            of the discarded squared Schmidt values, relative to the squared norm just
            before. Entry k belongs to the bond between qubits k and k+1.
        readout_bound (array of shape ()): ``2 sum sqrt(w)`` over the discarded weights
            w, capped at 2: no Pauli expectation is further than this from that of the
            exact state at the same angles.
    """

    log_fidelity: jax.Array
    discarded_weight: jax.Array
    readout_bound: jax.Array

    @classmethod
    def zero(cls, n_qubits: int, dtype: str) -> "Truncation":
        """Nothing lost: the value for ``n_qubits`` qubits at the complex ``dtype``."""
        real = real_dtype(dtype)
        return cls(
            jnp.zeros((), real), jnp.zeros(n_qubits - 1, real), jnp.zeros((), real)
        )


@dataclass(frozen=True)
class AbstractBackend(abc.ABC):
    """A way to hold and move an n-qubit state.

    Attributes:
        dtype: complex type of the amplitudes, ``"complex64"`` or ``"complex128"``.
        grows: whether :meth:`evolve` makes a state larger, so that steps cannot be
            scanned.
        has_entropy: whether :meth:`entropy` can be asked for.
        gradients: modes of :func:`tnqrnn.unroll` it supports, the default first.
    """

    dtype: str
    grows: ClassVar[bool] = False
    has_entropy: ClassVar[bool] = True
    gradients: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        check_dtype(self.dtype)

    def resolve(self, n_qubits: int) -> "AbstractBackend":
        """The backend that holds a register of ``n_qubits`` in this one's place.

        It is another one where this one would hold the same states as the other does,
        and the other can do more with them: see :class:`tnqrnn.MPS`.
        """
        return self

    @abc.abstractmethod
    def init(self, n_qubits: int) -> State:
        """The state 0...0.

        Raises:
            ValueError: ``n_qubits`` is no integer >= 1.
            MemoryError: the state is larger than this machine's memory; nothing has
                been allocated.
        """

    @abc.abstractmethod
    def from_statevector(self, amplitudes: ArrayLike) -> State:
        """The state with the given amplitudes, of shape (2**n,) and norm 1.

        An approximate backend truncates here and records it.

        Raises:
            ValueError: a length that is no power of two, an entry that is not finite,
                or a norm that is not 1.
        """

    @abc.abstractmethod
    def from_quimb(self, state: "MatrixProductState") -> State:
        """The state of a ``quimb.tensor.MatrixProductState``, site i as qubit i.

        ``state.to_quimb()`` is the way back. Nothing is truncated.

        Raises:
            TypeError: another type.
            ValueError: periodic boundaries, sites that are no qubits, a norm that is
                not 1, or bonds larger than the backend's.
            MemoryError: a vector is larger than this machine's memory.
        """

    @abc.abstractmethod
    def evolve(self, ansatz: Ansatz, angles: ArrayLike, state: State) -> State:
        """Applies ``ansatz`` at ``angles``, of shape (P,) in radians.

        Raises:
            ValueError: angles of another shape or a circuit for another number of
                qubits.
        """

    @abc.abstractmethod
    def expectation(
        self, observables: Observables | tuple[PauliString, ...], state: State
    ) -> jax.Array:
        """Pauli expectation values <P>/<psi|psi>, real, of shape (M,).

        The state is read without being disturbed.

        Raises:
            ValueError: an unknown observable or a missing qubit.
        """

    def reduced_density_matrix(self, qubits: Sequence[int], state: State) -> jax.Array:
        """The density matrix of up to four qubits, the others traced out.

        It is put together from the expectations of all Pauli strings on the qubits,
        ``rho = 2^-k sum_P <P> P``, which a backend reads together.

        Args:
            qubits: k different ones, the first the most significant.
            state: of n >= k qubits.

        Returns:
            complex array of shape (2**k, 2**k) and trace 1.

        Raises:
            ValueError: no qubit, more than four, a qubit twice or one that is missing.
        """
        n_qubits = self.n_qubits(state)
        chosen = tuple(
            check_int("qubits: qubit", qubit, minimum=0, maximum=n_qubits - 1)
            for qubit in qubits
        )
        if not 1 <= len(chosen) <= MAX_SUPPORT or len(set(chosen)) < len(chosen):
            raise ValueError(
                f"qubits must be 1 to {MAX_SUPPORT} different qubits, got {chosen}."
            )
        strings, matrices = _all_strings(chosen)
        values = self.expectation(strings, state)
        return tensordot(
            values.astype(self.dtype), jnp.asarray(matrices, self.dtype), 1
        )

    @abc.abstractmethod
    def norm(self, state: State) -> jax.Array:
        """sqrt(<psi|psi>), real, of shape ()."""

    @abc.abstractmethod
    def overlap(self, a: State, b: State) -> jax.Array:
        """<a|b>, complex, of shape ().

        Raises:
            ValueError: the states have different numbers of qubits.
        """

    @abc.abstractmethod
    def entropy(self, state: State, cut: int) -> jax.Array:
        """Von Neumann entropy between qubits 0..cut-1 and the rest, in bits.

        Raises:
            ValueError: ``cut`` is no integer in [1, n-1].
            NotImplementedError: the backend has no entropies.
        """

    def entropies(self, state: State) -> jax.Array:
        """:meth:`entropy` at every cut 1..n-1, in bits, of shape (n-1,)."""
        cuts = range(1, self.n_qubits(state))
        values = [self.entropy(state, cut) for cut in cuts]
        return jnp.stack(values) if values else jnp.zeros(0, real_dtype(self.dtype))

    @abc.abstractmethod
    def truncation(self, state: State) -> Truncation:
        """What the state has lost since ``init``."""

    def within_budget(self, value: Any, truncation: Truncation) -> Any:
        """``value``, unless more was lost than the backend allows.

        :func:`tnqrnn.unroll` asks at its end; an exact backend always allows it.
        """
        return value

    def check_budget(self, worst: float) -> None:
        """The same for the largest infidelity of a batch, known to Python.

        :func:`tnqrnn.fit` and :func:`tnqrnn.evaluate` ask it.
        """
        return None

    def select(self, condition: jax.Array, new: State, old: State) -> State:
        """``new`` where ``condition``, of shape (), is true, else ``old``.

        ``new`` is what :meth:`evolve` made of ``old``.
        """
        return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)

    @abc.abstractmethod
    def to_statevector(self, state: State) -> jax.Array:
        """The amplitudes, of shape (2**n,).

        Raises:
            MemoryError: they are larger than this machine's memory.
        """

    def n_qubits(self, state: State) -> int:
        """Number of qubits n of a state."""
        self.check_state(state)
        return state.n_qubits

    def check_state(self, state: State) -> None:
        """Refuses a state of another backend, as all do that take one.

        Raises:
            ValueError: it is one.
        """
        if not self._made(state):
            name = type(state).__name__
            raise ValueError(
                f"state must be made by {self}, got another backend's {name}."
            )

    @abc.abstractmethod
    def _made(self, state: Any) -> bool:
        """Whether a state is one of this backend's."""


class AbstractReversibleBackend(AbstractBackend):
    """A backend whose evolution can be undone exactly, so that no history is stored."""

    @abc.abstractmethod
    def samples_at_once(self, state: State) -> int:
        """How many samples of a batch are best moved together.

        Args:
            state: states of a batch, each array with a leading axis.
        """

    @abc.abstractmethod
    def group_size(self, state: State) -> int:
        """How many samples of a batch are best rolled out together, over all steps.

        Args:
            state: states of a batch, each array with a leading axis.
        """

    @abc.abstractmethod
    def operators(self, ansatz: Ansatz, angles: jax.Array) -> Any:
        """What :meth:`apply` needs of a circuit at ``angles``, (P,): a small pytree."""

    @abc.abstractmethod
    def apply(self, ansatz: Ansatz, operators: Any, state: State) -> State:
        """Applies the circuit that ``operators`` were made for."""

    @abc.abstractmethod
    def undo(
        self, ansatz: Ansatz, operators: Any, state: State, cotangent: State
    ) -> tuple[State, State, Any]:
        """Undoes :meth:`apply` and carries a cotangent through it.

        Args:
            ansatz: the circuit.
            operators: what ``apply`` was given.
            state: what ``apply`` returned.
            cotangent: dL/d(state), a pytree like ``state``.

        Returns:
            the state before, its cotangent, and dL/d(operators).
        """

    @abc.abstractmethod
    def pull_back_expectation(
        self,
        observables: tuple[PauliString, ...],
        state: State,
        dvalues: jax.Array,
        cotangent: State,
    ) -> State:
        """``cotangent`` plus what of dL/d(state) comes through :meth:`expectation`.

        Args:
            observables: M Pauli strings.
            state: what they were read from.
            dvalues: dL/d(their values), of shape (M,).
            cotangent: the rest of dL/d(state), a pytree like ``state``.
        """


@functools.lru_cache(maxsize=64)
def _all_strings(
    qubits: tuple[int, ...],
) -> tuple[tuple[PauliString, ...], np.ndarray]:
    """All 4**k Pauli strings on some qubits, and their matrices over 2**k."""
    strings, matrices = [], []
    for axes in itertools.product("IXYZ", repeat=len(qubits)):
        factors = sorted(zip(qubits, axes, strict=True))
        strings.append(tuple(f for f in factors if f[1] != "I"))
        paulis = (PAULIS[axis] for axis in axes)
        matrices.append(functools.reduce(np.kron, paulis) / 2 ** len(qubits))
    return tuple(strings), np.array(matrices)


def check_same_qubits(ansatz: Ansatz, n_qubits: int) -> None:
    """Refuses a circuit made for another number of qubits than the state's."""
    if ansatz.n_qubits != n_qubits:
        raise ValueError(
            f"ansatz must act on the state's {n_qubits} qubits, got a circuit on "
            f"{ansatz.n_qubits}."
        )


def check_alike(a: int, b: int) -> None:
    """Refuses two states, of so many qubits, that have no overlap."""
    if a != b:
        raise ValueError(f"b must have the {a} qubits of a, got {b} qubits.")


def check_vector(n_qubits: int, dtype: str) -> None:
    """Refuses a state whose vector does not fit into this machine's memory.

    Raises:
        MemoryError: see :func:`tnqrnn.checks.check_memory`.
    """
    n_bytes = 2**n_qubits * np.dtype(dtype).itemsize
    check_memory(f"state: the vector of its {n_qubits} qubits", n_bytes)


def check_amplitudes(amplitudes: ArrayLike, dtype: str) -> tuple[jax.Array, int]:
    """Amplitudes as an array of norm 1, and their number of qubits.

    Raises:
        ValueError: see :meth:`AbstractBackend.from_statevector`.
    """
    shape = np.shape(amplitudes)
    n_qubits = shape[0].bit_length() - 1 if len(shape) == 1 and shape[0] else 0
    if n_qubits < 1 or shape != (2**n_qubits,):
        raise ValueError(f"amplitudes must be of shape (2**n,), n >= 1, got {shape}.")
    check_finite("amplitudes", amplitudes)
    array = jnp.asarray(amplitudes, dtype)
    norm = jnp.linalg.norm(array)
    if not isinstance(norm, jax.core.Tracer) and abs(norm - 1) > 1e-4:
        raise ValueError(f"amplitudes must have norm 1, got {float(norm):.6g}.")
    return array / norm.astype(dtype), n_qubits
