"""The peers of the benchmarks: both engines against others on the same problem."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from tolerances import FINITE_DIFFERENCE, GRADIENT

TOPOLOGIES = ("chain", "ring", "brickwork", "all_to_all")
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize(
    ("n_qubits", "topology", "dtype"),
    [(4, "ring", "complex128"), (6, "chain", "complex64")],
)
def test_our_gradient_is_that_of_straightforward_jax(
    n_qubits, topology, dtype, monkeypatch, promotion_as_usual
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


@pytest.fixture
def benchmarks_importable(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])


@pytest.mark.slow
def test_quimb_truncates_the_same_problem(benchmarks_importable, promotion_as_usual):
    import gradient_peers
    import gradient_problem
    import mps_peers

    problem = gradient_problem.make(4, 3, 2, "complex128")
    loss_of = {
        name: mps_peers.PEERS[name](problem, 2, "complex128")
        for name in ("tnqrnn", "statevector", "quimb")
    }
    with promotion_as_usual():
        program, arguments, _ = gradient_peers.compiled(loss_of["tnqrnn"], problem)
        loss, grads = program(*arguments)
        program, arguments, _ = gradient_peers.compiled(loss_of["quimb"], problem)
        other_loss, other_grads = program(*arguments)
        exact = loss_of["statevector"](*arguments)
    assert abs(loss - exact) > 1e-4  # something is truncated
    np.testing.assert_allclose(other_loss, loss, rtol=GRADIENT["complex128"])
    for name, expected in grads.items():
        error = np.linalg.norm(other_grads[name] - expected)
        assert error < GRADIENT["complex128"] * np.linalg.norm(expected)


def test_the_check_of_an_mps_gradient(benchmarks_importable, promotion_as_usual):
    import gradient_problem
    import mps_peers
    import mps_step

    problem = gradient_problem.make(4, 2, 2, "complex128")
    with promotion_as_usual():
        points = mps_peers.check("tnqrnn", problem, max_bond=2)
    assert points["random"]["loss"] != points["product"]["loss"]
    for point in points.values():
        assert abs(point["difference"]) > 1e-3
        assert mps_step.error_of(point) < FINITE_DIFFERENCE
        wrong = point | {"derivative": 1.01 * point["derivative"]}
        np.testing.assert_allclose(mps_step.error_of(wrong), 0.01, rtol=1e-2)
        assert np.isnan(mps_step.error_of(point | {"finite": False}))


def test_the_table_of_the_mps_step(
    benchmarks_importable, monkeypatch, tmp_path, capsys
):
    import gradient_step
    import mps_step

    calls = []

    def run(name, size, task, options):
        calls.append((name, size.n_qubits, task))
        if task == "check":
            point = {"loss": 2.0, "derivative": 1.0, "difference": 1.0, "finite": True}
            broken = point | {"derivative": None, "finite": name != "quimb"}
            return {"random": point, "product": broken if name == "quimb" else point}
        if name == "quimb" and size.n_qubits == 10:
            raise gradient_step.Failed("more than 600 s")
        seconds = 1.0 if name == "tnqrnn" else 3.0
        measured = {
            "first": 9.0,
            "seconds": seconds,
            "peak_bytes": 2**20,
            "device": "x",
        }
        return measured | {"finite": name == "tnqrnn"}

    monkeypatch.setattr(mps_step, "run", run)
    options = mps_step.Options(
        qubits=(8, 10, 12), steps=(4,), peers=("quimb",), rounds=2, large=(30,),
        large_bonds=(16, 32), out=tmp_path,
    )  # fmt: skip
    mps_step.main(options)
    table = capsys.readouterr().out.partition("== all")[2]
    rows = [line.split() for line in table.splitlines()]
    assert [
        "tnqrnn",
        "9.0",
        "1.0000",
        "1.00",
        "1",
        "yes",
        "yes",
        "0e+00",
        "yes",
        "0e+00",
        "2",
    ] in rows
    assert [
        "quimb",
        "9.0",
        "3.0000",
        "3.00",
        "1",
        "no",
        "yes",
        "0e+00",
        "no",
        "nan",
        "2",
    ] in rows
    assert ["quimb", "more", "than", "600", "s"] in rows
    assert ["quimb", "left", "out", "at", "fewer", "qubits"] in rows
    assert "n=30 T=16 B=4 chi=32" in table
    assert (tmp_path / "mps_step.png").stat().st_size > 10_000

    measured = [call for call in calls if call[2] != "check"]
    turns = ["tnqrnn", "quimb", "tnqrnn", "quimb"]
    assert [name for name, n, _ in measured if n == 8] == turns
    assert [name for name, n, _ in measured if n == 10] == ["tnqrnn", "quimb", "tnqrnn"]
    calls.clear()
    mps_step.main(options)
    assert not calls  # all of it, failures included, was kept
    mps_step.main(dataclasses.replace(options, qubits=(), peers=()))
    assert not calls

    monkeypatch.setattr(gradient_step, "processor_name", lambda: "another")
    with pytest.raises(SystemExit, match="out must hold results of another, got"):
        mps_step.main(options)


def test_a_run_of_the_collapse_is_kept_once(
    benchmarks_importable, monkeypatch, tmp_path, capsys
):
    import collapse

    out = tmp_path / "runs.jsonl"
    options = {"task": "digits", "n_qubits": 2, "hidden": 4, "epochs": 1, "batch": 32}
    for limit in (0.02, None, 0.02):
        collapse.main(collapse.Train(**options, limit=limit, seeds=(0,), out=out))
    limited, free = collapse.records(out)
    assert (limited["run"]["limit"], free["run"]["limit"]) == (0.02, None)
    assert limited["train_loss"] != free["train_loss"]
    collapse.main(collapse.Table(out))
    table = capsys.readouterr().out
    assert f"1 seeds, 1 at chance: {free['valid_accuracy'][-1]:.4f}" in table

    trace = tmp_path / "trace.jsonl"
    monkeypatch.setattr(collapse, "EVERY", 1)
    collapse.main(collapse.Trace(**options, limit=None, steps=2, out=trace))
    first, second = collapse.records(trace)
    assert first["output_weights_rms"] < 0.1 < first["gradient_norm"]
    assert second["angles_rms"] != first["angles_rms"]


def test_a_cotangent_is_shortened_to_the_bound(benchmarks_importable):
    import collapse
    import jax
    import jax.numpy as jnp

    def cotangent(bound):
        return jax.grad(lambda z: 3 * z[0] + 4 * collapse.shortened(z, bound)[1])(
            jnp.ones(2)
        )

    np.testing.assert_allclose(cotangent(1.0), [3, 1], rtol=1e-6)
    np.testing.assert_allclose(cotangent(5.0), [3, 4], rtol=1e-6)
