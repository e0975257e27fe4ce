"""Strings of Pauli matrices on several sites of an MPS: transfer contraction or plan.

    python benchmarks/observables.py            # 3 minutes on one core

A set of strings ``Z_i Z_{i+d}`` for all i is read from one MPS, complex64, in three
ways. `whole`: every string is carried through the whole chain, from one end to the
other. `spans`: from its first core to its last, with one shared set of left
environments, strings of one span together, which is what `tq.MPS` does. `plan`: the
same spans as networks of an environment and the cores between, contracted by a plan of
cotengra's, all strings of one span together. Seconds to compile, of a value and of a
gradient by all cores; and the same for overlaps, whose network is the whole chain.
"""

import functools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from engine_rate import least_seconds

import tnqrnn as tq
from tnqrnn.backends import mps_readout
from tnqrnn.backends.mps_state import Layout, MPSState
from tnqrnn.circuits import PauliString
from tnqrnn.circuits.gates import PAULIS
from tnqrnn.contraction import Geometry, contract, search_plan

Strings = tuple[PauliString, ...]


@dataclass
class Options:
    """What to measure.

    Attributes:
        qubits: n.
        bonds: chi.
        distances: d.
        repeats: calls of which the fastest counts.
    """

    qubits: tuple[int, ...] = (20, 50)
    bonds: tuple[int, ...] = (8, 16)
    distances: tuple[int, ...] = (2, 4, 8)
    repeats: int = 7


def whole_chain(string: PauliString, layout: Layout) -> mps_readout._Span:
    """The span of a string that is carried from end to end."""
    return mps_readout._Span(layout.n_cores - 2, True, True)


def by_transfer(strings: Strings, state: MPSState) -> jax.Array:
    """As ``tq.MPS`` reads them."""
    return mps_readout.pauli_expectations(strings, state)


def by_whole_transfer(strings: Strings, state: MPSState) -> jax.Array:
    """Every string from end to end."""
    with mock.patch.object(mps_readout._Span, "of", staticmethod(whole_chain)):
        return mps_readout.pauli_expectations(strings, state)


@functools.cache
def span_network(length: int, chi: int) -> Geometry:
    """An environment, so many cores, their conjugates, and an operator at each end."""
    bond = lambda side, k: (side, "bond", k)  # noqa: E731
    inputs: list[tuple[Any, ...]] = [(bond("ket", 0), bond("bra", 0))]
    for k in range(length):
        end = k in (0, length - 1)
        out = ("out", k) if end else ("through", k)
        inputs.append((bond("ket", k), ("through", k), bond("ket", k + 1)))
        after = bond("ket" if k == length - 1 else "bra", k + 1)  # traced at the end
        inputs.append((bond("bra", k), out, after))
        if end:
            inputs.append((out, ("through", k)))
    sizes = {leg: chi if leg[1] == "bond" else 2 for one in inputs for leg in one}
    return Geometry.of(inputs, (), sizes)


def by_plan(strings: Strings, state: MPSState) -> jax.Array:
    """Strings of inner cores, all of one span, as networks with one plan."""
    layout = state.layout
    environments = mps_readout.pass_over(state).environments
    sites = np.array([[layout.site(qubit) for qubit, _ in one] for one in strings])
    (length,) = {int(high - low + 1) for low, high in sites}
    plan = plan_of(length, state.centre.shape[-1])
    operators = [
        jnp.asarray(np.stack([PAULIS[one[k][1]] for one in strings]), state.rest.dtype)
        for k in (0, 1)
    ]
    arrays = [environments[sites[:, 0] - 1]]
    for k in range(length):
        core = state.rest[sites[:, 0] - 1 + k]
        arrays += [core, core.conj()]
        if k in (0, length - 1):
            arrays.append(operators[k > 0])
    weight = jnp.sum(jnp.abs(state.centre) ** 2)
    return jax.vmap(functools.partial(contract, plan))(tuple(arrays)).real / weight


@functools.cache
def plan_of(length: int, chi: int):
    """The plan of a span, searched for before any time is taken."""
    return search_plan(span_network(length, chi))


def overlap_by_plan(state: MPSState) -> jax.Array:
    """<a|a> as one network."""
    arrays = [state.centre, *state.rest]
    plan = overlap_plan(len(arrays), state.centre.shape[-1])
    return contract(plan, arrays + [array.conj() for array in arrays]).real


@functools.cache
def overlap_plan(n_cores: int, chi: int):
    """The plan of an overlap of two chains with open outer bonds in common."""
    inputs = [
        tuple(
            (side if 0 < b < n_cores else "both", "bond", b) if b is not None else k
            for b in (k, None, k + 1)
        )
        for side in ("ket", "bra")
        for k in range(n_cores)
    ]
    sizes = {leg: chi if isinstance(leg, tuple) else 2 for one in inputs for leg in one}
    return search_plan(Geometry.of(inputs, (), sizes))


def seconds(
    read: Callable[[MPSState], jax.Array], state: MPSState, repeats: int
) -> tuple[float, float, float, np.ndarray]:
    """To compile value and gradient, of a value, of a gradient; and the value."""

    def loss(parts: tuple[jax.Array, jax.Array]) -> jax.Array:
        moved = MPSState(*parts, state.truncation, state.n_qubits)
        return jnp.sum(jnp.sin(read(moved)))

    parts = (state.centre, state.rest)
    start = time.perf_counter()
    value = jax.jit(loss).lower(parts).compile()
    gradient = jax.jit(jax.grad(loss)).lower(parts).compile()
    compiling = time.perf_counter() - start
    fast, fast_gradient = (
        least_seconds(each, (parts,), repeats) for each in (value, gradient)
    )
    return compiling, fast, fast_gradient, np.asarray(read(state))


def report(label: str, ways: dict, state: MPSState, repeats: int) -> None:
    """One line a way, and an error if they differ."""
    found = {}
    for name, read in ways.items():
        *times, found[name] = seconds(read, state, repeats)
        print(
            f"{label:28}{name:8}{times[0]:10.2f}{1e3 * times[1]:11.3f}"
            f"{1e3 * times[2]:14.3f}",
            flush=True,
        )
    first, *others = found.values()
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-5)


def main(options: Options) -> None:
    """Measures on one core and prints a table."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(f"{'':28}{'way':8}{'compile, s':>10}{'value, ms':>11}{'gradient, ms':>14}")
    for n in options.qubits:
        ansatz = tq.hardware_efficient(n)
        angles = jax.random.uniform(jax.random.key(0), (ansatz.n_params,))
        for chi in options.bonds:
            backend = tq.MPS(chi)
            state = backend.init(n)
            for _ in range(4):
                state = backend.evolve(ansatz, angles, state)
            assert isinstance(state, MPSState), "a bond that truncates"
            inner = range(state.layout.first + 1, state.layout.last)
            for distance in options.distances:
                strings = tuple(
                    ((i, "Z"), (i + distance, "Z"))
                    for i in inner
                    if i + distance in inner
                )
                if not strings:
                    continue
                ways = {
                    name: functools.partial(way, strings)
                    for name, way in (
                        ("whole", by_whole_transfer),
                        ("spans", by_transfer),
                        ("plan", by_plan),
                    )
                }
                plan_of(distance + 1, chi)
                label = f"n={n} chi={chi} d={distance}, {len(strings)} strings"
                report(label, ways, state, options.repeats)
            overlap_plan(state.layout.n_cores, chi)
            overlaps = {
                "spans": lambda state: mps_readout.overlap(state, state).real,
                "plan": overlap_by_plan,
            }
            report(f"n={n} chi={chi} overlap", overlaps, state, options.repeats)


if __name__ == "__main__":
    main(tyro.cli(Options))
