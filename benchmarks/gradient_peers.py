"""One gradient of `gradient_problem.py` by each library, one process a measurement.

    python benchmarks/gradient_peers.py NAME N_QUBITS TOPOLOGY N_STEPS BATCH DTYPE \
        SECONDS [OUT]

prints a line of JSON: seconds to compile, median seconds a gradient, peak memory of the
process (of the device where it is no CPU), the device. With OUT, saves loss and
gradient there. `gradient_step.py` calls it.
"""

import fcntl
import functools
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import IO, Any

import numpy as np
from gradient_problem import NAMES, Problem, einsum_of, make

Step = Callable[[], tuple[Any, list[Any]]]


def tnqrnn(problem: Problem, dtype: str) -> tuple[Step, float]:
    """This library, the gradient mode it chooses itself, on all cores it may use."""
    import tnqrnn as tq

    with tq.batch_over_devices():
        return _jitted(tnqrnn_loss(problem, tq.Statevector(dtype)), problem)


def jax_stored(problem: Problem, dtype: str) -> tuple[Step, float]:
    """Straightforward JAX: one reshape and einsum a gate, ``lax.scan`` over time."""
    return _jitted(_jax_loss(problem, dtype, checkpoint=False), problem)


def jax_checkpointed(problem: Problem, dtype: str) -> tuple[Step, float]:
    """The same with ``jax.checkpoint`` around each step."""
    return _jitted(_jax_loss(problem, dtype, checkpoint=True), problem)


def tensorcircuit(problem: Problem, dtype: str) -> tuple[Step, float]:
    """TensorCircuit-NG on JAX: one `Circuit` a step, vmap, jit."""
    import jax.numpy as jnp
    import tensorcircuit as tc

    tc.set_backend("jax")
    tc.set_dtype(dtype)
    n = problem.n_qubits

    def step(psi: Any, angles: Any) -> tuple[Any, Any]:
        circuit = tc.Circuit(n, inputs=psi)
        for name, qubits, i in problem.gates:
            getattr(circuit, name)(*qubits, theta=angles[i])
        moved = circuit.state()
        reader = tc.Circuit(n, inputs=moved)
        values = [
            reader.expectation_ps(**{axis: [q]}) for q in range(n) for axis in "xyz"
        ]
        return moved, jnp.real(jnp.stack(values))

    return _jitted(_scanned(problem, dtype, step, checkpoint=False), problem)


def pennylane(problem: Problem, dtype: str) -> tuple[Step, float]:
    """PennyLane: `default.qubit` on JAX with backpropagation, vmap, jit."""
    import jax.numpy as jnp
    import pennylane as qml

    n = problem.n_qubits
    names = {"ry": qml.RY, "rz": qml.RZ, "crx": qml.CRX}
    paulis = (qml.PauliX, qml.PauliY, qml.PauliZ)

    @qml.qnode(qml.device("default.qubit", wires=n), diff_method="backprop")
    def circuit(psi: Any, angles: Any) -> Any:
        qml.StatePrep(psi, wires=range(n), validate_norm=False)
        for name, qubits, i in problem.gates:
            names[name](angles[i], wires=qubits)
        readouts = [qml.expval(pauli(q)) for q in range(n) for pauli in paulis]
        return [*readouts, qml.state()]

    def step(psi: Any, angles: Any) -> tuple[Any, Any]:
        *values, moved = circuit(psi, angles)
        return moved.astype(dtype), jnp.stack(values).astype(angles.dtype)

    return _jitted(_scanned(problem, dtype, step, checkpoint=False), problem)


def torch(problem: Problem, dtype: str) -> tuple[Step, float]:
    """PyTorch, eager: one einsum a gate for the whole batch."""
    import torch as th

    th.set_num_threads(len(os.sched_getaffinity(0)))
    n, kind = problem.n_qubits, getattr(th, dtype)
    weights = {
        name: th.tensor(value, requires_grad=True)
        for name, value in problem.weights.items()
    }
    xs, targets = th.tensor(problem.xs), th.tensor(problem.targets)
    batch = len(xs)

    def matrix(name: str, angle: Any) -> Any:
        cos, sin = th.cos(angle / 2).to(kind), th.sin(angle / 2).to(kind)
        zero = th.zeros_like(cos)
        if name == "ry":
            rows = [cos, -sin, sin, cos]
        elif name == "rz":
            rows = [cos - 1j * sin, zero, zero, cos + 1j * sin]
        else:
            rows = [cos, -1j * sin, -1j * sin, cos]
        small = th.stack(rows, -1).reshape(batch, 2, 2)
        if name != "crx":
            return small
        eye = th.eye(2, dtype=kind).expand(batch, 2, 2)
        none = th.zeros_like(small)
        return th.cat([th.cat([eye, none], 2), th.cat([none, small], 2)], 1)

    def read(psi: Any) -> Any:
        values = []
        for q in range(n):
            pair = psi.reshape(batch, 2**q, 2, -1)
            a, b = pair[:, :, 0], pair[:, :, 1]
            cross = (a.conj() * b).sum((1, 2))
            weight = (a.abs() ** 2).sum((1, 2)) - (b.abs() ** 2).sum((1, 2))
            values += [2 * cross.real, 2 * cross.imag, weight]
        return th.stack(values, -1)

    def step() -> tuple[Any, list[Any]]:
        psi = th.zeros(batch, 2**n, dtype=kind)
        psi[:, 0] = 1
        z = read(psi)
        for t in range(xs.shape[1]):
            hidden = xs[:, t] @ weights["w1x"] + z @ weights["w1z"] + weights["b1"]
            angles = th.tanh(hidden) @ weights["w2"] + weights["b2"]
            for name, qubits, i in problem.gates:
                formula, shape, side = einsum_of(qubits, n)
                axes = formula.index(",")
                small = matrix(name, angles[:, i]).reshape(batch, *(side,) * axes)
                rows = psi.reshape(batch, *shape)
                formula = "Z" + formula.replace(",", ",Z").replace("->", "->Z")
                psi = th.einsum(formula, small, rows).reshape(batch, -1)
            z = read(psi)
        logits = z @ weights["wo"] + weights["bo"]
        loss = th.nn.functional.cross_entropy(logits, targets)
        return loss.detach(), list(
            th.autograd.grad(loss, [weights[name] for name in NAMES])
        )

    return step, 0.0


PEERS = {
    "tnqrnn": tnqrnn,
    "jax": jax_stored,
    "jax-checkpoint": jax_checkpointed,
    "tensorcircuit": tensorcircuit,
    "pennylane": pennylane,
    "torch": torch,
}


def tnqrnn_loss(problem: Problem, backend: Any) -> Callable:
    """The loss of this library on a backend, of weights, inputs and targets."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    import tnqrnn as tq

    cell = tq.QRNNCell(
        problem.xs.shape[-1],
        tq.hardware_efficient(problem.n_qubits, topology=problem.topology),
        controller=tq.Controller("tanh", (64,)),
        backend=backend,
        key=jax.random.key(0),
    )

    def loss(weights: dict, xs: jax.Array, targets: jax.Array) -> jax.Array:
        filled = eqx.tree_at(
            lambda c: [
                value
                for layer in c.network.layers
                for value in (layer.weight, layer.bias)
            ],
            cell,
            [
                jnp.concatenate([weights["w1x"], weights["w1z"]]).T,
                weights["b1"],
                weights["w2"].T,
                weights["b2"],
            ],
        )
        return cross_entropy(tq.unroll(filled, xs).readouts[:, -1], weights, targets)

    return loss


def _jax_loss(problem: Problem, dtype: str, checkpoint: bool) -> Callable:
    import jax.numpy as jnp

    n = problem.n_qubits

    def matrix(name: str, angle: Any) -> Any:
        cos, sin = jnp.cos(angle / 2).astype(dtype), jnp.sin(angle / 2).astype(dtype)
        if name == "ry":
            return jnp.stack([cos, -sin, sin, cos]).reshape(2, 2)
        if name == "rz":
            zero = jnp.zeros_like(cos)
            diagonal = [cos - 1j * sin, zero, zero, cos + 1j * sin]
            return jnp.stack(diagonal).reshape(2, 2)
        small = jnp.stack([cos, -1j * sin, -1j * sin, cos]).reshape(2, 2)
        return jnp.eye(4, dtype=dtype).at[2:, 2:].set(small)

    def step(psi: Any, angles: Any) -> tuple[Any, Any]:
        for name, qubits, i in problem.gates:
            formula, shape, side = einsum_of(qubits, n)
            small = matrix(name, angles[i]).reshape((side,) * (formula.index(",")))
            psi = jnp.einsum(formula, small, psi.reshape(shape)).reshape(-1)
        return psi, _read(psi, n)

    return _scanned(problem, dtype, step, checkpoint=checkpoint)


def _read(psi: Any, n: int) -> Any:
    import jax.numpy as jnp

    values = []
    for q in range(n):
        pair = psi.reshape(2**q, 2, -1)
        a, b = pair[:, 0], pair[:, 1]
        cross = jnp.sum(jnp.conj(a) * b)
        weight = jnp.sum(jnp.abs(a) ** 2) - jnp.sum(jnp.abs(b) ** 2)
        values += [2 * cross.real, 2 * cross.imag, weight]
    return jnp.stack(values)


def _scanned(problem: Problem, dtype: str, step: Callable, checkpoint: bool) -> Any:
    """The loss of a step that takes one state and its angles, by vmap and scan."""
    import jax
    import jax.numpy as jnp

    n, batch = problem.n_qubits, len(problem.xs)

    def loss(weights: dict, xs: jax.Array, targets: jax.Array) -> jax.Array:
        def one(carry: tuple, x: jax.Array) -> tuple[tuple, None]:
            psi, z = carry
            hidden = x @ weights["w1x"] + z @ weights["w1z"] + weights["b1"]
            angles = jnp.tanh(hidden) @ weights["w2"] + weights["b2"]
            return jax.vmap(step)(psi, angles), None

        psi = jnp.zeros((batch, 2**n), dtype).at[:, 0].set(1)
        start = (psi, jax.vmap(lambda one: _read(one, n))(psi))
        body = jax.checkpoint(one) if checkpoint else one
        (_, z), _ = jax.lax.scan(body, start, jnp.swapaxes(xs, 0, 1))
        return cross_entropy(z, weights, targets)

    return loss


def cross_entropy(z: Any, weights: dict, targets: Any) -> Any:
    """The loss of the last readouts."""
    import jax
    import jax.numpy as jnp

    logits = jnp.matmul(z, weights["wo"], precision="highest") + weights["bo"]
    logs = jax.nn.log_softmax(logits)
    return -jnp.mean(jnp.take_along_axis(logs, targets[:, None], 1))


def compiled(loss: Callable, problem: Problem) -> tuple[Any, tuple, float]:
    """The program of loss and gradient, its arguments, and the seconds it took."""
    import jax

    arguments = jax.tree.map(
        jax.numpy.asarray, (problem.weights, problem.xs, problem.targets)
    )
    lock(fcntl.LOCK_SH)
    start = time.perf_counter()
    program = jax.jit(jax.value_and_grad(loss)).lower(*arguments).compile()
    seconds = time.perf_counter() - start
    lock(fcntl.LOCK_UN)
    return program, arguments, seconds


def lock(kind: int) -> None:
    """Locks the file that `--turns` names, if any, in place of an earlier lock.

    Compiling is shared (`fcntl.LOCK_SH`), a turn to measure is not (`fcntl.LOCK_EX`). A
    turn lasts until the process ends, when its memory on a device is free for the next.
    """
    if file := _turns():
        fcntl.flock(file, kind)


@functools.cache
def _turns() -> IO[str] | None:
    path = os.environ.get("BENCHMARK_TURNS")
    return open(path, "a") if path else None


def _jitted(loss: Callable, problem: Problem) -> tuple[Step, float]:
    import jax

    program, arguments, compiling = compiled(loss, problem)

    def step() -> tuple[Any, list[Any]]:
        value, grads = jax.block_until_ready(program(*arguments))
        return value, [grads[name] for name in NAMES]

    return step, compiling


def repeated(step: Callable, budget: float) -> list[float]:
    """Seconds of each of 3 to 50 calls, within about ``budget`` seconds."""
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < 3 or (len(times) < 50 and time.perf_counter() - begun < budget):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
        if time.perf_counter() - begun > 20 * budget:
            break
    return times


def peak_bytes(name: str) -> int:
    """Largest memory so far: of an accelerator, or else of this process."""
    if name != "torch":
        import jax

        statistics_of_device = jax.devices()[0].memory_stats() or {}
        if "peak_bytes_in_use" in statistics_of_device:
            return statistics_of_device["peak_bytes_in_use"]
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Measures what the command line names."""
    name, n_qubits, topology, n_steps, batch, dtype, budget, *out = sys.argv[1:]
    if name != "torch":
        import jax

        jax.config.update("jax_enable_x64", dtype == "complex128")
    if name == "tnqrnn":
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    problem = make(int(n_qubits), int(n_steps), int(batch), dtype, topology)
    step, compiling = PEERS[name](problem, dtype)
    lock(fcntl.LOCK_EX)
    loss, grads = step()
    if out:
        flat = np.concatenate([np.asarray(grad).ravel() for grad in grads])
        np.savez(out[0], loss=np.asarray(loss), gradient=flat)
    times = repeated(step, float(budget))
    print(
        json.dumps(
            {
                "compile": compiling,
                "seconds": statistics.median(times),
                "calls": len(times),
                "peak_bytes": peak_bytes(name),
                "device": "cpu" if name == "torch" else jax.devices()[0].device_kind,
            }
        )
    )


if __name__ == "__main__":
    main()
