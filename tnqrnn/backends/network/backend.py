"""Exact expectations without a state: the history as a tensor network.

What is held are the circuits so far, as matrices on a few qubits each. An
expectation is the contraction of its light cone, ``<0| U^dagger P U |0>`` without the
blocks that cancel, in the order of a stored plan. The number of qubits does not matter,
the depth does: the largest intermediate result grows with the number of steps, until it
has ``2**n`` entries.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from tnqrnn.backends.base import (
    AbstractBackend,
    check_amplitudes,
    check_same_n_qubits,
    check_vector,
)
from tnqrnn.backends.network.readout import (
    amplitudes,
    overlap,
    pauli_expectations,
)
from tnqrnn.backends.network.state import (
    SIZES,
    NetworkState,
    block_matrices,
    fused_blocks,
)
from tnqrnn.backends.quimb_states import check_quimb
from tnqrnn.checks import check_choice, check_int, check_memory
from tnqrnn.circuits import (
    Ansatz,
    Observables,
    PauliString,
    parse_observables,
)
from tnqrnn.contraction import ContractionPlan, Geometry, contract, find_plan
from tnqrnn.contraction.circuits import PRODUCT, Start
from tnqrnn.contraction.store import SEARCH

if TYPE_CHECKING:
    from quimb.tensor import MatrixProductState


@dataclass(frozen=True)
class Network(AbstractBackend):
    """Exact simulation of few steps on any number of qubits.

    Its state is its history, which grows with every step: :func:`tnqrnn.unroll` loops
    over steps instead of scanning them, and the program to compile grows with them.
    There are no entropies.

    Args:
        dtype: ``"complex64"`` or ``"complex128"``.
        search: ``"never"`` makes a contraction without a stored plan an error; the
            default searches for one and stores it.
        memory_limit: bytes that the largest intermediate results may take, for one
            sample: light cones alike are contracted a few at a time, and a contraction
            that is wider by itself is cut into slices that run one after another.
            ``None`` does all at once.

    Raises:
        ValueError: an argument out of range, or complex128 without JAX's 64-bit mode.

    >>> import tnqrnn as tq
    >>> ansatz = tq.hardware_efficient(40, n_layers=1, topology="brickwork")
    >>> backend = tq.Network()
    >>> angles = jnp.zeros(ansatz.n_params)
    >>> state = backend.evolve(ansatz, angles, backend.init(40))
    >>> [round(float(z), 4) for z in backend.expectation(["Z7", "X3 Z39"], state)]
    [1.0, 0.0]
    """

    dtype: str = "complex64"
    search: str = "auto"
    memory_limit: int | None = None
    grows: ClassVar[bool] = True
    has_entropy: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("search", self.search, SEARCH)
        if self.memory_limit is not None:
            limit = check_int("memory_limit", self.memory_limit, minimum=1)
            object.__setattr__(self, "memory_limit", limit)

    def init(self, n_qubits: int) -> NetworkState:
        n_qubits = check_int("n_qubits", n_qubits, minimum=1)
        return self._start((), n_qubits, PRODUCT)

    def from_statevector(self, amplitudes: ArrayLike) -> NetworkState:
        array, n_qubits = check_amplitudes(amplitudes, self.dtype)
        shape = Start((tuple(range(n_qubits)),))
        return self._start((array.reshape((2,) * n_qubits),), n_qubits, shape)

    def from_quimb(self, state: "MatrixProductState") -> NetworkState:
        n_qubits = check_quimb(state)
        legs = tuple(
            tuple(
                site if index == state.site_ind(site) else str(index)
                for index in state[site].inds
            )
            for site in range(n_qubits)
        )
        bonds = {leg for of_site in legs for leg in of_site if isinstance(leg, str)}
        shape = Start(
            legs, tuple((bond, state.ind_size(bond)) for bond in sorted(bonds))
        )
        tensors = tuple(
            jnp.asarray(state[site].data, self.dtype) for site in range(n_qubits)
        )
        return self._start(tensors, n_qubits, shape)

    def _start(
        self, tensors: tuple[jax.Array, ...], n_qubits: int, shape: Start
    ) -> NetworkState:
        none = tuple(jnp.zeros((0, 2**k, 2**k), self.dtype) for k in SIZES)
        return NetworkState(none, tensors, n_qubits, (), shape)

    def evolve(
        self, ansatz: Ansatz, angles: ArrayLike, state: NetworkState
    ) -> NetworkState:
        angles = self.check_step(ansatz, angles, state)
        blocks = fused_blocks(ansatz)
        added = block_matrices(blocks, angles, self.dtype)
        matrices = tuple(
            jnp.concatenate([old, new])
            for old, new in zip(state.matrices, added, strict=True)
        )
        layout = state.blocks + tuple(block.qubits for block in blocks)
        return NetworkState(matrices, state.start, state.n_qubits, layout, state.shape)

    def expectation(
        self, observables: Observables | tuple[PauliString, ...], state: NetworkState
    ) -> jax.Array:
        strings = parse_observables(observables, self.n_qubits(state))
        return pauli_expectations(strings, state, self._run)

    def norm(self, state: NetworkState) -> jax.Array:
        return jnp.sqrt(self.overlap(state, state).real)

    def overlap(self, a: NetworkState, b: NetworkState) -> jax.Array:
        check_same_n_qubits(self.n_qubits(a), self.n_qubits(b))
        return overlap(a, b, self._run)

    def select(
        self, condition: jax.Array, new: NetworkState, old: NetworkState
    ) -> NetworkState:
        # A history cannot be shortened where a value decides: what was added to it
        # becomes the identity, which leaves the state as it was.
        def new_or_idle(new: jax.Array, old: jax.Array) -> jax.Array:
            identity = jnp.eye(new.shape[-1], dtype=new.dtype)
            shape = (len(new) - len(old), *identity.shape)
            idle = jnp.broadcast_to(identity[None], shape)
            return jnp.where(condition, new, jnp.concatenate([old, idle]))

        matrices = tuple(map(new_or_idle, new.matrices, old.matrices))
        return dataclasses.replace(new, matrices=matrices)

    def to_statevector(self, state: NetworkState) -> jax.Array:
        check_vector(self.n_qubits(state), self.dtype)
        return amplitudes(state, self._run)

    def _made(self, state: Any) -> bool:
        return isinstance(state, NetworkState)

    def _run(self, geometry: Geometry, tensors: Sequence[jax.Array]) -> jax.Array:
        """Contracts networks of one geometry, N at once: tensors are (N, ...)."""
        plan = find_plan(geometry, search=self.search, progress=None)
        at_once = n_networks = len(tensors[0])
        if self.memory_limit is not None:
            plan = plan.sliced(self.memory_limit, self.dtype)
            at_once = min(n_networks, self.memory_limit // self._n_bytes(plan))
        n_bytes = at_once * self._n_bytes(plan)
        check_memory("the state's history: intermediate results", n_bytes)
        contract_one = functools.partial(contract, plan)
        if at_once < n_networks:
            return jax.lax.map(contract_one, tuple(tensors), batch_size=at_once)
        return jax.vmap(contract_one)(tuple(tensors))

    def _n_bytes(self, plan: ContractionPlan) -> int:
        """Bytes of a plan's largest intermediate result."""
        width = math.ceil(plan.log2_width - 1e-9)
        return 2**width * np.dtype(self.dtype).itemsize
