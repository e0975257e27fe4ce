"""Circuits: numbering, matrices against Kronecker products, drawing, refusals."""

import dataclasses

import numpy as np
import pytest
import references
from tolerances import EXACT

import tnqrnn as tq
from tnqrnn.circuits import ENTANGLERS, GATES, TOPOLOGIES
from tnqrnn.testing import pool


def as_tuples(ansatz):
    return [dataclasses.astuple(gate) for gate in ansatz.gates]


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("ansatz", pool(5), ids=lambda a: f"{a.n_qubits}q")
def test_unitary_is_the_kronecker_product(ansatz, dtype, rng):
    angles = rng.uniform(-np.pi, np.pi, ansatz.n_params)
    expected = references.unitary(ansatz.n_qubits, as_tuples(ansatz), angles)
    actual = ansatz.unitary(angles, dtype)
    assert actual.dtype == dtype
    np.testing.assert_allclose(actual, expected, atol=EXACT[dtype])


@pytest.mark.parametrize("name", GATES)
def test_every_gate_in_both_orders_of_its_qubits(name, rng):
    spec = GATES[name]
    for qubits in [(0,), (2,)] if spec.n_qubits == 1 else [(0, 2), (2, 0), (1, 0)]:
        ansatz = tq.Ansatz(3, [(name, qubits, 0 if spec.has_angle else None)])
        angles = rng.normal(size=ansatz.n_params)
        expected = references.unitary(3, as_tuples(ansatz), angles)
        actual = ansatz.unitary(angles, "complex128")
        np.testing.assert_allclose(actual, expected, atol=EXACT["complex128"])


def test_default_layer_is_numbered_in_the_order_the_gates_act():
    ansatz = tq.hardware_efficient(3, n_layers=2)
    names = "ry ry ry rz rz rz crx crx".split() * 2
    qubits = [(0,), (1,), (2,), (0,), (1,), (2,), (0, 1), (1, 2)] * 2
    assert [gate.name for gate in ansatz.gates] == names
    assert [gate.qubits for gate in ansatz.gates] == qubits
    assert [gate.angle for gate in ansatz.gates] == list(range(16))
    assert ansatz.n_params == 16


@pytest.mark.parametrize(
    ("topology", "pairs"),
    [
        ("chain", [(0, 1), (1, 2), (2, 3)]),
        ("ring", [(0, 1), (1, 2), (2, 3), (3, 0)]),
        ("brickwork", [(0, 1), (2, 3), (1, 2)]),
        ("all_to_all", [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]),
    ],
)
def test_pairs_of_a_topology(topology, pairs):
    ansatz = tq.hardware_efficient(4, n_layers=1, topology=topology)
    assert [g.qubits for g in ansatz.gates if len(g.qubits) == 2] == pairs


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_one_qubit_has_no_entangler_and_two_have_one(topology):
    assert tq.hardware_efficient(1, topology=topology).n_params == 4
    pairs = tq.hardware_efficient(2, n_layers=1, topology=topology).gates[4:]
    assert [gate.qubits for gate in pairs] == [(0, 1)]


@pytest.mark.parametrize("entangler", ENTANGLERS)
def test_fixed_entanglers_take_no_angle(entangler):
    ansatz = tq.hardware_efficient(4, n_layers=1, entangler=entangler)
    angles_a_pair = {"cz": 0, "cnot": 0, "heisenberg": 3}.get(entangler, 1)
    assert ansatz.n_params == 8 + 3 * angles_a_pair


def test_a_heisenberg_pair_can_swap(rng):
    ansatz = tq.hardware_efficient(2, 1, (), "heisenberg")
    matrix = ansatz.unitary([np.pi / 2] * 3, "complex128")
    swap = np.eye(4)[[0, 2, 1, 3]]
    np.testing.assert_allclose(matrix * np.exp(0.25j * np.pi), swap, atol=1e-15)
    names = [
        gate.name for gate in tq.hardware_efficient(3, 1, "ry", "heisenberg").gates
    ]
    assert names == ["ry"] * 3 + ["rxx", "ryy", "rzz"] * 2


def test_circuits_are_compared_and_hashed_by_value():
    one, other = tq.hardware_efficient(5), tq.hardware_efficient(5)
    assert one == other and hash(one) == hash(other) and one is not other
    assert one != tq.hardware_efficient(5, topology="ring")


def test_gates_may_share_an_angle():
    ansatz = tq.Ansatz(2, [("ry", 0, 0), ("ry", 1, 0)])
    assert ansatz.n_params == 1
    half = np.sqrt(0.5)
    state = ansatz.unitary([np.pi / 2], "complex128")[:, 0]
    np.testing.assert_allclose(state, [half**2] * 4, atol=1e-15)


def test_a_drawing_shows_long_gates_and_their_angles():
    text = tq.hardware_efficient(3, n_layers=1, topology="ring").draw()
    lines = text.splitlines()
    assert len(lines) == 3 and len({len(line) for line in lines}) == 1
    assert lines[0].endswith("[crx 8]-") and "|" in lines[1] and "[rz 5]" in lines[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_qubits": 0}, "n_qubits must be an integer >= 1, got 0"),
        ({"n_qubits": 2.5}, "n_qubits must be an integer >= 1, got 2.5"),
        ({"n_qubits": True}, "n_qubits must be an integer >= 1, got True"),
        ({"n_qubits": 2, "n_layers": 0}, "n_layers must be an integer >= 1, got 0"),
        ({"n_qubits": 2, "entangler": "cxx"}, "entangler must be one of .*'cxx'"),
        ({"n_qubits": 2, "topology": "star"}, "topology must be one of .*'star'"),
        ({"n_qubits": 2, "rotations": ["h"]}, "rotations must be one of .*'h'"),
        ({"n_qubits": 2, "rotations": "h"}, "rotations must be one of .*'h'"),
    ],
)
def test_bad_layers_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        tq.hardware_efficient(**arguments)


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (("foo", 0), "gates: name must be one of"),
        (("ry", 0), "gates: angle index of ry must be an integer >= 0, got None"),
        (("h", 0, 0), "gates: h must have no angle, got 0"),
        (("cz", (0, 0)), "gates: cz must act on 2 different qubits"),
        (("cz", (0,)), "gates: cz must act on 2 different qubits"),
        (("cz", (0, 2)), r"gates: qubit must be an integer in \[0, 1\], got 2"),
        (
            ("ry", 0, 0, 5),
            r"gates must hold \(name, qubits\) or .*, got \('ry', 0, 0, 5",
        ),
        (("h",), r"gates must hold .*, got \('h',\)"),
        (("ry", 0, 1), r"every angle index from 0 up without a gap, got \[1\]"),
    ],
)
def test_bad_gates_are_refused(gate, message):
    with pytest.raises(ValueError, match=message):
        tq.Ansatz(2, [gate])


def test_arguments_may_come_from_numpy_and_iterators():
    plain = tq.Ansatz(2, [("h", 0), ("ry", 1, 0)])
    assert tq.Ansatz(2, [("h", np.int64(0)), ("ry", np.int32(1), np.int64(0))]) == plain
    once = tq.hardware_efficient(3, rotations=iter(["ry", "rz"]))
    assert once == tq.hardware_efficient(3)


def test_bad_angles_and_sizes_are_refused():
    ansatz = tq.hardware_efficient(2)
    with pytest.raises(ValueError, match="angles must be real numbers, got complex128"):
        ansatz.unitary(np.zeros(10) * 1j)
    with pytest.raises(ValueError, match="angles must be finite, got 10 NaN"):
        tq.Statevector().evolve(ansatz, np.full(10, np.nan), tq.Statevector().init(2))
    with pytest.raises(ValueError, match=r"angles must be of shape \(10,\).*\(9,\)"):
        ansatz.unitary(np.zeros(9))
    with pytest.raises(ValueError, match="dtype must be one of"):
        ansatz.unitary(np.zeros(10), "float32")
    large = tq.hardware_efficient(30, n_layers=1)
    with pytest.raises(MemoryError, match="n_qubits=30: a unitary must fit"):
        large.unitary(np.zeros(large.n_params))
