"""What every representation of the quantum state offers.

A backend is a frozen, hashable description without arrays; the quantum state is a
pytree that its methods take and return. States are never changed and cache nothing.
Every method takes one sample and works under ``jax.jit``, ``jax.vmap`` and
``jax.grad``. Qubit 0 is the leftmost tensor factor and the most significant bit of a
basis state's number.

Four methods must be written: ``init``, ``evolve``, ``expectation``,
``to_statevector``. The others follow from them or are refused, and a backend overrides
those it can do better.
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

from tnqrnn.backends.entropy import von_neumann_entropy
from tnqrnn.backends.quimb_states import check_quimb
from tnqrnn.checks import (
    check_dtype,
    check_finite,
    check_int,
    check_memory,
    real_dtype,
)
from tnqrnn.circuits import Ansatz, Observables, PauliString, check_angles
from tnqrnn.circuits.gates import PAULIS
from tnqrnn.products import matmul, tensordot, vdot

if TYPE_CHECKING:
    from quimb.tensor import MatrixProductState

State = Any

MAX_DENSITY = 4
"""Qubits of the largest reduced density matrix that is given."""


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

    A subclass writes :meth:`init`, :meth:`evolve`, :meth:`expectation` and
    :meth:`to_statevector`, and declares what else it can do by class attributes. It is
    checked by :func:`tnqrnn.testing.check_backend`; docs/your_own_backend.md has one.

    Attributes:
        dtype: complex type of the amplitudes, ``"complex64"`` or ``"complex128"``.
        is_exact: whether nothing of a state is ever lost but by rounding.
        grows: whether :meth:`evolve` makes a state larger, so that steps cannot be
            scanned.
        has_entropy: whether :meth:`entropy` can be asked for.
        gradients: modes of :func:`tnqrnn.unroll` it supports, the default first.
    """

    dtype: str
    is_exact: ClassVar[bool] = True
    grows: ClassVar[bool] = False
    has_entropy: ClassVar[bool] = True
    gradients: ClassVar[tuple[str, ...]] = ("store", "checkpoint")

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

    @abc.abstractmethod
    def to_statevector(self, state: State) -> jax.Array:
        """The amplitudes, of shape (2**n,).

        Raises:
            MemoryError: they are larger than this machine's memory.
        """

    def from_statevector(self, amplitudes: ArrayLike) -> State:
        """The state with the given amplitudes, of shape (2**n,) and norm 1.

        An approximate backend truncates here and records it.

        Raises:
            ValueError: a length that is no power of two, an entry that is not finite,
                or a norm that is not 1.
            NotImplementedError: the backend takes no amplitudes.
        """
        raise NotImplementedError(
            f"amplitudes must be given to a backend that takes them, got {self}."
        )

    def from_quimb(self, state: "MatrixProductState") -> State:
        """The state of a ``quimb.tensor.MatrixProductState``, site i as qubit i.

        ``state.to_quimb()`` is the way back. Nothing is truncated.

        Raises:
            TypeError: another type.
            ValueError: periodic boundaries, sites that are no qubits, a norm that is
                not 1, or bonds larger than the backend's.
            MemoryError: a vector is larger than this machine's memory.
            NotImplementedError: the backend takes no amplitudes.
        """
        check_vector(check_quimb(state), self.dtype)
        return self.from_statevector(state.to_dense().ravel())

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
        kept = tuple(
            check_int("qubits: qubit", qubit, minimum=0, maximum=n_qubits - 1)
            for qubit in qubits
        )
        if not 1 <= len(kept) <= MAX_DENSITY or len(set(kept)) < len(kept):
            raise ValueError(
                f"qubits must be 1 to {MAX_DENSITY} different qubits, got {kept}."
            )
        strings, matrices = _all_strings(kept)
        values = self.expectation(strings, state)
        return tensordot(
            values.astype(self.dtype), jnp.asarray(matrices, self.dtype), 1
        )

    def norm(self, state: State) -> jax.Array:
        """sqrt(<psi|psi>), real, of shape ()."""
        return jnp.linalg.norm(self.to_statevector(state))

    def overlap(self, a: State, b: State) -> jax.Array:
        """<a|b>, complex, of shape ().

        Raises:
            ValueError: the states have different numbers of qubits.
        """
        check_same_n_qubits(self.n_qubits(a), self.n_qubits(b))
        return vdot(self.to_statevector(a), self.to_statevector(b))

    def entropy(self, state: State, cut: int) -> jax.Array:
        """Von Neumann entropy between qubits 0..cut-1 and the rest, in bits.

        Raises:
            ValueError: ``cut`` is no integer in [1, n-1].
            NotImplementedError: the backend has no entropies.
        """
        if not self.has_entropy:
            raise NotImplementedError(
                "entropy must be asked of a backend that has entropies, such as a "
                f"Statevector or an MPS, got {self}."
            )
        n_qubits = self.n_qubits(state)
        cut = check_int("cut", cut, minimum=1, maximum=n_qubits - 1)
        matrix = self.to_statevector(state).reshape(2**cut, -1)
        if cut > n_qubits - cut:
            matrix = matrix.T
        density = matmul(matrix, matrix.conj().T)
        return von_neumann_entropy(density / jnp.trace(density))

    def entropies(self, state: State) -> jax.Array:
        """:meth:`entropy` at every cut 1..n-1, in bits, of shape (n-1,)."""
        cuts = range(1, self.n_qubits(state))
        values = [self.entropy(state, cut) for cut in cuts]
        return jnp.stack(values) if values else jnp.zeros(0, real_dtype(self.dtype))

    def truncation(self, state: State) -> Truncation:
        """What the state has lost since ``init``: nothing unless a backend says so."""
        return Truncation.zero(self.n_qubits(state), self.dtype)

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

    def n_qubits(self, state: State) -> int:
        """Number of qubits n of a state.

        It is an attribute of that name, or follows from the shape of
        :meth:`to_statevector`.
        """
        self.check_state(state)
        if hasattr(state, "n_qubits"):
            return state.n_qubits
        (length,) = jax.eval_shape(self.to_statevector, state).shape
        return length.bit_length() - 1

    def check_step(self, ansatz: Ansatz, angles: ArrayLike, state: State) -> jax.Array:
        """The angles as a real array of the state's precision, where ``evolve`` begins.

        Raises:
            ValueError: see :meth:`evolve`.
        """
        n_qubits = self.n_qubits(state)
        if ansatz.n_qubits != n_qubits:
            raise ValueError(
                f"ansatz must act on the state's {n_qubits} qubits, got a circuit on "
                f"{ansatz.n_qubits}."
            )
        return check_angles(ansatz, angles).astype(real_dtype(self.dtype))

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

    def _made(self, state: Any) -> bool:
        """Whether a state may be one of this backend's."""
        return True


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


def check_same_n_qubits(a: int, b: int) -> None:
    """Refuses states of different numbers of qubits, a and b.

    Raises:
        ValueError: a is not b.
    """
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
