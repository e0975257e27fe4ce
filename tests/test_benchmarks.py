"""The peers of the benchmark: the engine against a simulator that goes gate by gate."""

import sys
from pathlib import Path

import numpy as np
import pytest
from tolerances import GRADIENT

TOPOLOGIES = ("chain", "ring", "brickwork", "all_to_all")
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("dtype", GRADIENT)
@pytest.mark.parametrize(("n_qubits", "topology"), [(4, "ring"), (6, "chain")])
def test_our_gradient_is_that_of_straightforward_jax(
    dtype, n_qubits, topology, monkeypatch, promotion_as_usual
):
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    import gradient_peers
    import gradient_problem

    problem = gradient_problem.make(n_qubits, 4, 3, dtype, topology)
    with promotion_as_usual():
        results = [
            gradient_peers.PEERS[name](problem, dtype)[0]()
            for name in ("jax", "jax-checkpoint", "tnqrnn")
        ]
    (loss, grads), *others = results
    assert all(np.linalg.norm(grad) > 1e-3 for grad in grads)
    for other_loss, other_grads in others:
        np.testing.assert_allclose(other_loss, loss, rtol=GRADIENT[dtype])
        for actual, expected in zip(other_grads, grads, strict=True):
            error = np.linalg.norm(actual - expected) / np.linalg.norm(expected)
            assert error < GRADIENT[dtype]


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_every_gate_of_the_problem_is_that_of_the_ansatz(topology, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    import gradient_problem

    import tnqrnn as tq

    ansatz = tq.hardware_efficient(5, topology=topology)
    gates = [(gate.name, gate.qubits, gate.angle) for gate in ansatz.gates]
    assert gradient_problem.gates(5, topology) == gates
