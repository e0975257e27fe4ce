"""One gradient of `gradient_problem.py` on an MPS by each library.

    python benchmarks/mps_peers.py NAME N_QUBITS N_STEPS BATCH MAX_BOND SECONDS
    python benchmarks/mps_peers.py NAME N_QUBITS N_STEPS BATCH MAX_BOND check

The first prints a line of JSON: seconds until the first gradient of which compiling,
median seconds of a later one, peak memory of the process, whether every entry of the
gradient is finite; in complex64. The second compares the derivative in one direction
with central differences, in complex128, see :func:`check`. `mps_step.py` calls both.

The peers carry a state's tensors, orthogonality centre on qubit 0, through a
`jax.lax.scan`. Bonds grow over the first steps, up to ``MAX_BOND``, so these stand
before the scan; zeros that fill the bonds from the start would spare their compilation,
but quimb's gradient is NaN then. The rotations of a qubit are multiplied into the
entangler after them, which leaves n - 1 gates a layer.
"""

import fcntl
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from gradient_peers import (
    compiled,
    cross_entropy,
    lock,
    peak_bytes,
    repeated,
    tnqrnn_loss,
)
from gradient_problem import LAYERS, Problem, make

Step = Callable[[list[Any], Any], tuple[list[Any], Any]]
"""Moves the tensors of one state by gates of shape (LAYERS, n - 1, 4, 4): the tensors
after it and the density matrix of each qubit, (n, 2, 2), of trace 1."""

PAULIS = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
THREADS = "64"
"""Of the peers' pools, on the one core. LAPACK calls of jaxlib wait in a thread of the
pool for others of it: with one thread TensorCircuit-NG's gradient never returns."""
DIFFERENCE = 1e-5
"""Step of central differences along a direction of standard normal entries."""


def tnqrnn(problem: Problem, max_bond: int, dtype: str) -> Callable:
    """This library, with the gradient mode it chooses itself."""
    import tnqrnn as tq

    return tnqrnn_loss(problem, tq.MPS(max_bond, dtype=dtype))


def statevector(problem: Problem, max_bond: int, dtype: str) -> Callable:
    """This library's exact states, which have no ``max_bond``."""
    import tnqrnn as tq

    return tnqrnn_loss(problem, tq.Statevector(dtype))


def quimb(problem: Problem, max_bond: int, dtype: str) -> Callable:
    """`CircuitMPS` on JAX arrays; readouts in one sweep of the centre."""
    import jax.numpy as jnp
    import quimb.tensor as qtn

    n = problem.n_qubits

    def step(tensors: list[Any], gates: Any) -> tuple[list[Any], Any]:
        circuit = qtn.CircuitMPS(
            psi0=qtn.MatrixProductState(tensors, shape="lpr"),
            max_bond=max_bond,
            cutoff=0.0,
            gate_opts={"info": {"cur_orthog": (0, 0)}},
        )
        for layer in gates:
            for q, gate in enumerate(layer):
                circuit.apply_gate_raw(gate, (q, q + 1))
        psi, info = circuit.psi, circuit.gate_opts["info"]
        states = [
            psi.partial_trace_to_dense_canonical(q, info=info)
            for q in reversed(range(n))
        ]
        psi.permute_arrays("lpr")
        return list(psi.arrays), jnp.stack(states[::-1])

    start = qtn.MPS_computational_state("0" * n, dtype=dtype)
    start.permute_arrays("lpr")
    return _rolled(problem, dtype, list(start.arrays), step)


def tensorcircuit(problem: Problem, max_bond: int, dtype: str) -> Callable:
    """`MPSCircuit` of TensorCircuit-NG on JAX; readouts in one sweep of the centre."""
    import jax.numpy as jnp
    import tensorcircuit as tc

    tc.set_backend("jax")
    tc.set_dtype(dtype)
    n = problem.n_qubits

    def step(tensors: list[Any], gates: Any) -> tuple[list[Any], Any]:
        circuit = tc.MPSCircuit(
            n,
            tensors=list(tensors),
            center_position=0,
            split={"max_singular_values": max_bond},
        )
        for layer in gates:
            for q, gate in enumerate(layer):
                circuit.apply_adjacent_double_gate(
                    tc.gates.Gate(gate.reshape(2, 2, 2, 2)),
                    q,
                    q + 1,
                    center_position=q + 1,
                )
        states = [circuit.reduced_density_matrix([q]) for q in reversed(range(n))]
        rho = jnp.stack(states[::-1])
        norms = jnp.trace(rho, axis1=1, axis2=2)
        return circuit.get_tensors(), rho / norms[:, None, None]

    zero = np.array([1, 0], dtype).reshape(1, 2, 1)
    return _rolled(problem, dtype, [zero] * n, step)


PEERS = {
    "tnqrnn": tnqrnn,
    "statevector": statevector,
    "quimb": quimb,
    "tensorcircuit": tensorcircuit,
}


def _rolled(problem: Problem, dtype: str, start: list[Any], step: Step) -> Callable:
    """The loss of a step that takes one state and its gates, by vmap and scan."""
    import jax
    import jax.numpy as jnp

    n = problem.n_qubits

    def loss(weights: dict, xs: jax.Array, targets: jax.Array) -> jax.Array:
        def one(carry: tuple, x: jax.Array) -> tuple[tuple, None]:
            tensors, z = carry
            hidden = x @ weights["w1x"] + z @ weights["w1z"] + weights["b1"]
            angles = jnp.tanh(hidden) @ weights["w2"] + weights["b2"]
            return jax.vmap(move)(tensors, angles), None

        def move(tensors: list[Any], angles: jax.Array) -> tuple[list[Any], jax.Array]:
            moved, rho = step(tensors, _gates(angles, n, dtype))
            moved[0] = moved[0] / jnp.linalg.norm(moved[0])
            z = jnp.einsum("pab,qba->qp", PAULIS.astype(dtype), rho)
            return moved, z.real.ravel()

        batch = len(xs)
        tensors = [jnp.broadcast_to(each, (batch, *each.shape)) for each in start]
        z = jnp.tile(jnp.array([0, 0, 1], xs.dtype), (batch, n))
        carry, steps = (tensors, z), jnp.swapaxes(xs, 0, 1)
        while len(steps) and _grows(one, carry, steps[0]):
            carry, _ = one(carry, steps[0])
            steps = steps[1:]
        (_, z), _ = jax.lax.scan(one, carry, steps)
        return cross_entropy(z, weights, targets)

    return loss


def _grows(one: Callable, carry: tuple, x: Any) -> bool:
    """Whether a step changes the shapes of the tensors."""
    import jax

    after, _ = jax.eval_shape(one, carry, x)
    return [each.shape for each in carry[0]] != [each.shape for each in after[0]]


def _gates(angles: Any, n: int, dtype: str) -> Any:
    """The matrices of one step, (LAYERS, n - 1, 4, 4), from its angles."""
    import jax.numpy as jnp

    def rotation(axis: int, angle: Any) -> Any:
        half = (angle / 2).astype(dtype)[..., None, None]
        return jnp.cos(half) * np.eye(2) - 1j * jnp.sin(half) * PAULIS[axis]

    ry, rz, crx = jnp.split(angles.reshape(LAYERS, -1), [n, 2 * n], axis=1)
    singles = rotation(2, rz) @ rotation(1, ry)
    left = jnp.broadcast_to(jnp.eye(2, dtype=dtype), (LAYERS, n - 1, 2, 2))
    left = left.at[:, 0].set(singles[:, 0])
    both = jnp.einsum("lqab,lqcd->lqacbd", left, singles[:, 1:])
    controlled = jnp.broadcast_to(jnp.eye(4, dtype=dtype), (LAYERS, n - 1, 4, 4))
    controlled = controlled.at[..., 2:, 2:].set(rotation(0, crx))
    return controlled @ both.reshape(LAYERS, n - 1, 4, 4)


def measure(name: str, problem: Problem, max_bond: int, budget: float) -> dict:
    """Times of the first and of later gradients, memory, and whether all is finite."""
    import jax

    loss = PEERS[name](problem, max_bond, "complex64")
    program, arguments, compiling = compiled(loss, problem)

    def step() -> tuple[Any, dict]:
        return jax.block_until_ready(program(*arguments))

    lock(fcntl.LOCK_EX)
    start = time.perf_counter()
    loss_value, gradient = step()
    first = compiling + time.perf_counter() - start
    times = repeated(step, budget)
    return {
        "loss": float(loss_value),
        "first": first,
        "compile": compiling,
        "seconds": statistics.median(times),
        "calls": len(times),
        "peak_bytes": peak_bytes(name),
        "device": jax.devices()[0].device_kind,
        "finite": _finite(gradient),
    }


def check(name: str, problem: Problem, max_bond: int) -> dict[str, dict]:
    """Loss, derivative in one direction, central difference and whether all is finite.

    At two points: the problem's weights, and these with an output layer of zeros, where
    all angles are 0 and the state is a product state throughout.
    """
    loss = PEERS[name](problem, max_bond, "complex128")
    program, (weights, *data), _ = compiled(loss, problem)
    rng = np.random.default_rng(1)
    direction = {key: rng.normal(size=each.shape) for key, each in weights.items()}
    silent = {key: 0 * weights[key] for key in ("w2", "b2")}
    results = {}
    for point, here in {"random": weights, "product": {**weights, **silent}}.items():
        value, gradient = program(here, *data)
        ends = [
            float(program(_moved(here, direction, sign * DIFFERENCE), *data)[0])
            for sign in (1, -1)
        ]
        along = (np.vdot(gradient[key], direction[key]) for key in direction)
        results[point] = {
            "loss": float(value),
            "derivative": float(sum(along)),
            "difference": (ends[0] - ends[1]) / (2 * DIFFERENCE),
            "finite": _finite(gradient),
        }
    return results


def _moved(weights: dict, direction: dict, by: float) -> dict:
    return {key: each + by * direction[key] for key, each in weights.items()}


def _finite(gradient: dict) -> bool:
    return all(bool(np.isfinite(each).all()) for each in gradient.values())


def main() -> None:
    """Measures or checks what the command line names."""
    import jax

    name, *sizes, task = sys.argv[1:]
    if name in ("quimb", "tensorcircuit"):
        os.environ["PJRT_NPROC"] = THREADS
    n_qubits, n_steps, batch, max_bond = map(int, sizes)
    dtype = "complex128" if task == "check" else "complex64"
    jax.config.update("jax_enable_x64", task == "check")
    problem = make(n_qubits, n_steps, batch, dtype)
    if task == "check":
        print(json.dumps(check(name, problem, max_bond)))
    else:
        print(json.dumps(measure(name, problem, max_bond, float(task))))


if __name__ == "__main__":
    main()
