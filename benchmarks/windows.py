"""How many cores a sweep of the MPS engine should hold at once.

    python benchmarks/windows.py            # 2 minutes on one core

A window of w cores takes w - 1 layers of a chain in one sweep to the right and one
back, with one truncated split a bond. Measured is the gradient of `--steps` such sweeps
over `--cores` cores with random gates on w qubits, eight samples at once, one core,
complex64: seconds, the same a layer, in units of w = 2, and a split's cost in those of
w = 2, where a bond passed without a gate costs `--passed` of them.

Then what is lost: the infidelity of two layers a sweep with exact states, and the ratio
to that of a layer a sweep, geometric mean and twice its standard error over
`--circuits` chains of 10 qubits, two layers and four steps at random angles.
"""

import functools
import os
from dataclasses import dataclass
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from engine_rate import least_seconds

import tnqrnn as tq
from tnqrnn.backends import mps_evolve, mps_plan
from tnqrnn.backends.mps_state import Layout
from tnqrnn.backends.mps_sweeps import pass_left, split_off, sweep, taken_in
from tnqrnn.backends.truncation import save_factors


@dataclass
class Options:
    """What to measure.

    Attributes:
        bonds: chi.
        windows: cores held at once; the first must be 2.
        cores: length of the chain between its dense ends.
        steps: sweeps one after another.
        batch: samples at once.
        repeats: calls of which the fastest counts.
        passed: see above; what the planner assumes.
        truncating: chi of the second table.
        circuits: angles drawn there.
    """

    bonds: tuple[int, ...] = (4, 16, 32)
    windows: tuple[int, ...] = (2, 3, 4, 5)
    cores: int = 12
    steps: int = 4
    batch: int = 8
    repeats: int = 7
    passed: float = 0.4
    truncating: tuple[int, ...] = (1, 2, 4, 8)
    circuits: int = 40


def there_and_back(
    centre: jax.Array, rest: jax.Array, gates: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One sweep with gates on w qubits; also the sum of the discarded weights."""
    held = gates.shape[-1].bit_length() - 3
    for core in rest[:held]:
        centre = taken_in(centre, core)
    everywhere = np.ones(len(gates), bool)
    centre, passed, weights = sweep(centre, rest[held:], gates, everywhere, 0.0)
    lost = jnp.sum(weights)
    for _ in range(held):
        core, centre, weight = split_off(centre, 0.0)
        passed, lost = jnp.concatenate([passed, core[None]]), lost + weight
    return *pass_left(centre, passed), lost


def seconds(window: int, chi: int, options: Options) -> float:
    """Time of one gradient by all gates."""
    cores = jnp.zeros((options.cores, chi, 2, chi), "complex64").at[:, 0, 0, 0].set(1)

    def loss(gates: jax.Array) -> jax.Array:
        @functools.partial(jax.checkpoint, policy=save_factors)
        def step(state, row):
            centre, rest, lost = there_and_back(state[0], state[1], row)
            return (centre, rest), lost + jnp.sum(jnp.abs(centre[:, 1]) ** 2)

        return jnp.sum(jax.lax.scan(step, (cores[0], cores[1:]), gates)[1])

    rng = np.random.default_rng(0)
    shape = (options.batch, options.steps, options.cores + 1 - window)
    noise = rng.normal(size=(2, *shape, 2**window, 2**window))
    gates = np.linalg.qr(np.eye(2**window) + 0.2 * (noise[0] + 1j * noise[1]))[0]
    gradient = jax.jit(jax.grad(lambda g: jnp.mean(jax.vmap(loss)(g))))
    arguments = (jnp.asarray(gates, "complex64"),)
    return least_seconds(gradient, arguments, options.repeats)


def layer_by_layer(ansatz: tq.Ansatz, layout: Layout) -> tuple[mps_plan.Part, ...]:
    """The plan without pairs of layers."""
    layer, index = mps_plan.repeats(ansatz)
    return (mps_plan.Part(mps_plan.best_schedule(layer, layout).stages, index),)


def final_states(backend: tq.AbstractBackend, angles: jax.Array) -> np.ndarray:
    """Amplitudes after the steps of each of C roll-outs, of shape (C, 2**10)."""
    ansatz = tq.hardware_efficient(10)

    def roll_out(angles: jax.Array) -> jax.Array:
        step = lambda state, row: (backend.evolve(ansatz, row, state), None)  # noqa: E731
        return backend.to_statevector(jax.lax.scan(step, backend.init(10), angles)[0])

    return np.asarray(jax.jit(jax.vmap(roll_out))(angles))


def show_losses(options: Options) -> None:
    """Prints the second table."""
    print(f"\n{'angles':>8}{'chi':>5}{'infidelity':>12}{'ratio':>16}")
    n_params = tq.hardware_efficient(10).n_params
    for scale in (1.0, np.pi):
        rng = np.random.default_rng(0)
        shape = (options.circuits, 4, n_params)
        angles = jnp.asarray(rng.uniform(-scale, scale, shape))
        exact = final_states(tq.Statevector("complex128"), angles)
        for chi in options.truncating:
            lost = []
            for parts in (mps_plan.parts, layer_by_layer):
                jax.clear_caches()
                with mock.patch.object(mps_evolve, "parts", parts):
                    found = final_states(tq.MPS(chi, dtype="complex128"), angles)
                lost.append(1 - abs(np.sum(exact.conj() * found, axis=1)) ** 2)
            logs = np.log(lost[0] / lost[1])
            mean, error = np.exp(logs.mean()), 2 * logs.std() / len(logs) ** 0.5
            row = f"{scale:8.2f}{chi:5}{np.median(lost[0]):12.1e}"
            print(f"{row}{mean:9.3f} ± {mean * error:.3f}", flush=True)


def main(options: Options) -> None:
    """Prints one line for each bond dimension and window."""
    print(f"{'chi':>5}{'window':>8}{'seconds':>10}{'a layer':>10}{'a split':>10}")
    bonds = options.cores - 1
    for chi in options.bonds:
        first = None
        for window in options.windows:
            measured = seconds(window, chi, options)
            first = first or measured
            sweeps = measured / first * bonds * (1 + options.passed)
            left = sweeps - bonds * options.passed - (window - 2)
            split = left / (options.cores + 1 - window)
            layer = measured / first / (window - 1)
            print(f"{chi:5}{window:8}{measured:10.4f}{layer:10.2f}{split:10.2f}")
    with jax.enable_x64(True):
        show_losses(options)


if __name__ == "__main__":
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    main(tyro.cli(Options))
