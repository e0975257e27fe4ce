"""The history that :class:`tnqrnn.Network` holds in place of a state."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.backends.quimb_states import check_one_sample
from tnqrnn.backends.statevector.backend import width_on_cpu
from tnqrnn.circuits import Ansatz
from tnqrnn.circuits.fusion import Block, fuse
from tnqrnn.circuits.unitaries import Unitaries
from tnqrnn.contraction.circuits import Side, Start, side
from tnqrnn.contraction.cones import QubitSets

if TYPE_CHECKING:
    from quimb.tensor import TensorNetworkGenVector


class NetworkState(eqx.Module):
    """The circuits that made a state, in blocks of a few qubits.

    Attributes:
        matrices: arrays of shape (K, 2**k, 2**k), k = 1, 2, ...: the matrices of the
            blocks on k qubits, in the order in which they act.
        start: tensors of the initial state, none for 0...0.
        n_qubits: number of qubits.
        blocks: the qubits of each block, ascending, in the order in which they act.
        shape: of the initial state.
    """

    matrices: tuple[jax.Array, ...]
    start: tuple[jax.Array, ...]
    n_qubits: int = eqx.field(static=True)
    blocks: QubitSets = eqx.field(static=True)
    shape: Start = eqx.field(static=True)

    def to_quimb(self) -> "TensorNetworkGenVector":
        """The history as a ``quimb.tensor.TensorNetworkGenVector``, not contracted.

        Index ``k0`` is qubit 0, and so on; a tensor's tags are its qubits, ``I0``.

        Raises:
            ValueError: states of a batch.
        """
        import quimb.tensor as qtn

        check_one_sample(self.matrices[0], 3)
        slots, blocks = whole(self)
        ket = side(slots, "ket", self.shape)
        names = {leg: f"k{qubit}" for qubit, leg in ket.ends.items()}
        start_qubits = [
            tuple(leg for leg in legs if isinstance(leg, int))
            for legs in self.shape.legs
        ]
        parts = [
            qtn.Tensor(
                np.asarray(tensor[0]),
                [names.get(leg, "-".join(map(str, leg))) for leg in legs],
                [f"I{qubit}" for qubit in qubits],
            )
            for tensor, legs, qubits in zip(
                tensors(self, slots, blocks, ket),
                ket.inputs,
                (*start_qubits, *slots),
                strict=True,
            )
        ]
        return qtn.TensorNetworkGenVector.from_TN(
            qtn.TensorNetwork(parts),
            sites=range(self.n_qubits),
            site_ind_id="k{}",
            site_tag_id="I{}",
        )


SIZES = (1, 2, 3, 4)
"""Numbers of qubits that a block may have."""

FEW_QUBITS = 12
"""Registers of so many qubits are cut into wider blocks: fewer tensors to compile."""


def fused_blocks(ansatz: Ansatz) -> tuple[Block, ...]:
    """A circuit's blocks: narrow for light cones, wider where cones reach everywhere.

    They are the same on every device, of the sizes in ``SIZES``.

    >>> import tnqrnn as tq
    >>> [len(fused_blocks(tq.hardware_efficient(n))) for n in (40, 8)]
    [78, 6]
    """
    few = ansatz.n_qubits <= FEW_QUBITS
    return fuse(ansatz, width_on_cpu(ansatz) if few else 2)


def block_matrices(
    blocks: Sequence[Block], angles: jax.Array, dtype: str
) -> tuple[jax.Array, ...]:
    """The matrices of a circuit's blocks, in order, by size: (K, d, d) for each."""
    unitaries = Unitaries(blocks, angles, dtype)
    stacks = []
    for n_qubits in SIZES:
        of_size = [block for block in blocks if len(block.qubits) == n_qubits]
        stacks.append(unitaries.stack(of_size, n_qubits))
    return tuple(stacks)


def tensors(
    state: NetworkState,
    slots: QubitSets,
    blocks: Sequence[Sequence[int | None]],
    ket: Side,
) -> list[jax.Array]:
    """The ket's tensors of several light cones of one shape.

    Args:
        state: N = len(blocks) cones are cut from it.
        slots: the qubits of each block of a cone, K in all.
        blocks: for each cone the number of its block in each slot, ``None`` for the
            identity.
        ket: the legs of the slots.

    Returns:
        the start's tensors and then K more, each with a leading axis N.
    """
    n_cones = len(blocks)
    by_slot = {}
    for n_qubits, matrices in zip(SIZES, state.matrices, strict=True):
        same = [i for i, qubits in enumerate(state.blocks) if len(qubits) == n_qubits]
        rank: dict[int | None, int] = {i: k for k, i in enumerate(same)}
        rank[None] = len(same)  # the identity comes after them
        places = [k for k, slot in enumerate(slots) if len(slot) == n_qubits]
        if not places:
            continue
        eye = jnp.eye(2**n_qubits, dtype=matrices.dtype)[None]
        index = [[rank[cone[k]] for cone in blocks] for k in places]
        stack = jnp.concatenate([matrices, eye])[np.array(index)]
        stack = stack.reshape(len(places), n_cones, *(2,) * (2 * n_qubits))
        for k, tensor in zip(places, jnp.split(stack, len(places)), strict=True):
            # A qubit that starts here is in 0: the block's column for 0, and no leg.
            inputs = tuple(0 if fresh else slice(None) for fresh in ket.fresh[k])
            by_slot[k] = tensor[0, ..., *inputs]
    start = [jnp.broadcast_to(array, (n_cones, *array.shape)) for array in state.start]
    return start + [by_slot[k] for k in range(len(slots))]


def whole(state: NetworkState) -> tuple[QubitSets, list[tuple[int | None, ...]]]:
    """Slots and blocks of the whole circuit; qubits without a block get an identity."""
    touched = {qubit for legs in state.shape.legs for qubit in legs}
    touched |= {qubit for qubits in state.blocks for qubit in qubits}
    idle = tuple((qubit,) for qubit in range(state.n_qubits) if qubit not in touched)
    blocks = (*(None for _ in idle), *range(len(state.blocks)))
    return idle + state.blocks, [blocks]
