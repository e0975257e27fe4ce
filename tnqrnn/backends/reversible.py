"""What a backend offers whose circuits can be undone.

:func:`tnqrnn.unroll` then needs no history: the backward pass rebuilds each state from
the one after it.
"""

import abc
import functools
from typing import Any

import jax
import jax.numpy as jnp

from tnqrnn.backends.base import AbstractBackend, State
from tnqrnn.circuits import Ansatz, PauliString


class AbstractReversibleBackend(AbstractBackend):
    """A backend whose evolution can be undone exactly, so that no history is stored.

    A subclass writes :meth:`operators`, :meth:`apply` and :meth:`undo` besides, and
    names ``"reversible"`` among its ``gradients``.
    """

    def samples_at_once(self, state: State) -> int:
        """How many samples of a batch are best moved together: all of them.

        Args:
            state: states of a batch, each array with a leading axis.
        """
        return len(jax.tree.leaves(state)[0])

    def group_size(self, state: State) -> int:
        """How many samples of a batch are best rolled out together, over all steps.

        Args:
            state: states of a batch, each array with a leading axis.
        """
        return len(jax.tree.leaves(state)[0])

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
        read = functools.partial(self.expectation, observables)
        (dstate,) = jax.vjp(read, state)[1](dvalues)
        return jax.tree.map(jnp.add, cotangent, dstate)
