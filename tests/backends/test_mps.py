"""The MPS where bonds are really split: n > 2 log2(max_bond) + 1."""

import dataclasses
import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references
from jax.interpreters import ad
from jaxprs import equations
from numpy_mps import NumpyMPS
from plain_squares import qr_of_plain_squares
from tolerances import EXACT, FINITE_DIFFERENCE

import tnqrnn as tq
from tnqrnn.backends.mps import evolve as mps_evolve
from tnqrnn.backends.mps.plan import (
    Part,
    Stage,
    best_schedule,
    parts,
    repeats,
    stages_of,
)
from tnqrnn.backends.mps.state import Layout, MPSState
from tnqrnn.backends.mps.truncation import save_factors
from tnqrnn.backends.mps.windows import WideStage, wide_stages
from tnqrnn.circuits import GATES, TOPOLOGIES

EXACT_C128 = EXACT["complex128"]


def random_state(n_qubits, rng):
    psi = rng.normal(size=(2**n_qubits, 2)) @ np.array([1, 1j])
    return psi / np.linalg.norm(psi)


def roll_out(backend, ansatz, angles, state=None):
    """Final state and readouts (T, 3n) after one circuit a row of angles (T, P)."""

    def step(state, row):
        state = backend.evolve(ansatz, row, state)
        return state, backend.expectation("xyz", state)

    start = backend.init(ansatz.n_qubits) if state is None else state
    return jax.lax.scan(step, start, angles)


def in_order(ansatz, topology, layout):
    """A circuit as documented: (gates applied together, their bonds to truncate).

    A sweep back applies a brickwork layer's odd pairs downwards; gates that reach far
    and share their first qubit are one operator.
    """
    (part,) = parts(ansatz, layout)
    if isinstance(part.stages[0], WideStage):
        return in_windows(ansatz.gates, layout)
    single = [[gate] for gate in ansatz.gates if len(gate.qubits) == 1]
    pairs = [[gate] for gate in ansatz.gates if len(gate.qubits) == 2]
    if topology == "brickwork":
        odd = [group for group in pairs if group[0].qubits[0] % 2]
        pairs = [group for group in pairs if group not in odd] + odd[::-1]
    if topology == "all_to_all":
        by_first = itertools.groupby(pairs, lambda group: group[0].qubits[0])
        pairs = [[gate for (gate,) in groups] for _, groups in by_first]
    return [(group, None) for group in single + pairs]


def in_windows(gates, layout):
    """One wide sweep: all that three qubits allow, then their first bond truncated."""
    n, first, last = layout.n_qubits, layout.first, layout.last
    windows = [(range(first + 2), ())]
    windows += [(range(q, q + 3), [q]) for q in range(first, last - 1)]
    windows += [(range(last - 1, n), [last - 1])]
    left, result = list(gates), []
    for window, bonds in windows:
        taken, blocked = [], set()
        for gate in left:
            if set(gate.qubits) <= set(window) - blocked:
                taken.append(gate)
            else:
                blocked |= set(gate.qubits)
        left = [gate for gate in left if gate not in taken]
        result.append((taken, bonds))
    assert not left, "one sweep must do"
    return result


def apply_together(state, gates, bonds, angles):
    """Applies gates to a NumpyMPS as one matrix on all qubits between them."""
    touched = [qubit for gate in gates for qubit in gate.qubits]
    touched += [qubit for bond in bonds or () for qubit in (bond, bond + 1)]
    low, width = min(touched), max(touched) - min(touched) + 1
    local = [(g.name, [q - low for q in g.qubits], g.angle) for g in gates]
    matrix = references.unitary(width, local, angles)
    state.apply(matrix, range(low, low + width), bonds)


CIRCUITS = [*((topology, 1) for topology in TOPOLOGIES), ("chain", 2)]


@pytest.mark.parametrize("max_bond", [2, 3, 4])
@pytest.mark.parametrize(("topology", "n_layers"), CIRCUITS)
def test_truncated_evolution_against_an_independent_mps(
    topology, n_layers, max_bond, rng
):
    n_qubits = 8
    ansatz = tq.hardware_efficient(n_qubits, n_layers=n_layers, topology=topology)
    layout = Layout(n_qubits, max_bond)
    is_wide = isinstance(parts(ansatz, layout)[0].stages[0], WideStage)
    assert is_wide >= (n_layers > 1)
    n_steps = 2 if topology == "all_to_all" else 5
    angles = rng.uniform(-np.pi, np.pi, (n_steps, ansatz.n_params))
    expected = NumpyMPS(n_qubits, max_bond)
    for row in angles:
        for gates, bonds in in_order(ansatz, topology, layout):
            apply_together(expected, gates, bonds, row)
    backend = tq.MPS(max_bond, dtype="complex128")
    state, readouts = jax.jit(lambda a: roll_out(backend, ansatz, a))(angles)
    psi = expected.vector()
    np.testing.assert_allclose(backend.to_statevector(state), psi, atol=EXACT_C128)
    strings = tq.parse_observables("xyz", n_qubits)
    values = [references.expectation(psi, string) for string in strings]
    np.testing.assert_allclose(readouts[-1], values, atol=EXACT_C128)
    lost = backend.truncation(state)
    assert expected.log_fidelity < -1e-4, "the test must truncate"
    np.testing.assert_allclose(lost.log_fidelity, expected.log_fidelity, rtol=1e-8)
    np.testing.assert_allclose(lost.discarded_weight, expected.discarded, atol=1e-12)
    bound = min(2, expected.bound)
    np.testing.assert_allclose(lost.readout_bound, bound, rtol=1e-4)


def shallow(n_qubits=8):
    """Every kind of gate that reaches far; bonds need at most 4 values."""
    return tq.Ansatz(
        n_qubits,
        [
            *(("ry", q, q) for q in range(n_qubits)),
            ("swap", (7, 0)),
            ("crx", (6, 1), 8),
            ("rz", 1, 9),
            ("swap", (2, 5)),
            ("h", 4),
            ("t", 6),
            ("rzz", (5, 3), 10),
            ("rx", 5, 11),
        ],
    )


def test_a_result_that_fits_is_kept_whole_whatever_the_way_there(rng):
    ansatz, exact = shallow(), tq.Statevector("complex128")
    angles = jnp.asarray(rng.uniform(-np.pi, np.pi, (1, ansatz.n_params)))
    backend = tq.MPS(4, dtype="complex128")
    weights = jnp.asarray(rng.normal(size=24))

    def loss(backend, angles):
        state, readouts = roll_out(backend, ansatz, angles)
        psi, lost = backend.to_statevector(state), backend.truncation(state)
        return jnp.sum(readouts @ weights), (psi, lost)

    run = jax.jit(jax.value_and_grad(loss, argnums=1, has_aux=True), static_argnums=0)
    (_, (psi, lost)), gradient = run(backend, angles)
    (_, (expected, _)), expected_gradient = run(exact, angles)
    np.testing.assert_allclose(psi, expected, atol=EXACT_C128)
    np.testing.assert_allclose(gradient, expected_gradient, atol=EXACT_C128)
    assert lost.readout_bound < 1e-10


def ghz(n):
    return np.eye(2**n)[0] / np.sqrt(2) + np.eye(2**n)[-1] / np.sqrt(2)


def bell_pairs(n):
    pair, psi = np.array([1, 0, 0, 1]) / np.sqrt(2), np.ones(1)
    for _ in range(n // 2):
        psi = np.kron(psi, pair)
    return psi


def nested_bell_pairs(n):
    """Qubit i with n-1-i for the inner two pairs: Schmidt values all equal."""
    psi = np.zeros((2,) * n)
    a, b = n // 2 - 2, n // 2 - 1
    for i in (0, 1):
        for j in (0, 1):
            index = [0] * n
            index[a] = index[n - 1 - a] = i
            index[b] = index[n - 1 - b] = j
            psi[tuple(index)] = 0.5
    return psi.ravel()


SPECIAL_STATES = {
    "product": lambda n: np.eye(2**n)[0],
    "ghz": ghz,
    "bell": bell_pairs,
    "nested": nested_bell_pairs,
}
SPECIAL_ANGLES = (0.0, np.pi / 2, np.pi)


@pytest.mark.parametrize(
    ("max_bond", "dtype"), [(1, "complex64"), (4, "complex64"), (4, "complex128")]
)
def test_special_states_and_angles(max_bond, dtype):
    """Degenerate and vanishing Schmidt values: values right, gradients finite.

    The gradient itself has no value to compare with where a gap closes or a rank rises;
    that is declared in the docstring of MPS.
    """
    n_qubits = 8
    ansatz = tq.hardware_efficient(n_qubits, n_layers=1)
    backend, exact = tq.MPS(max_bond, dtype=dtype), tq.Statevector(dtype)

    @jax.jit
    def both(angles, state, psi):
        def loss(angles):
            moved, readouts = roll_out(backend, ansatz, angles, state)
            return jnp.sum(readouts), (readouts, backend.truncation(moved))

        expected = roll_out(exact, ansatz, angles, exact.from_statevector(psi))[1]
        (_, aux), gradient = jax.value_and_grad(loss, has_aux=True)(angles)
        return *aux, expected, gradient

    compared = 0
    for make in SPECIAL_STATES.values():
        psi = jnp.asarray(make(n_qubits), dtype)
        state = backend.from_statevector(psi)
        for angle in SPECIAL_ANGLES:
            angles = jnp.full((2, ansatz.n_params), angle, jnp.finfo(dtype).dtype)
            readouts, lost, expected, gradient = both(angles, state, psi)
            assert np.isfinite(gradient).all()
            assert np.isfinite(readouts).all()
            if lost.readout_bound < 1e-4:
                compared += 1
                np.testing.assert_allclose(readouts, expected, atol=20 * EXACT[dtype])
    assert compared >= (2 if max_bond == 1 else 8)


@pytest.mark.parametrize("pair", [(2, 3), (3, 4), (4, 5)])
def test_infidelity_of_a_truncation_is_the_discarded_weight(pair, rng):
    n_qubits, max_bond = 8, 4
    backend = tq.MPS(max_bond, dtype="complex128")
    before = backend.from_statevector(random_state(n_qubits, rng))
    start = backend.truncation(before)
    gate = tq.Ansatz(n_qubits, [("crx", pair, 0)])
    after = backend.evolve(gate, jnp.array([1.3]), before)
    exact = tq.Statevector("complex128")
    expected = exact.evolve(
        gate, jnp.array([1.3]), exact.from_statevector(backend.to_statevector(before))
    )
    overlap = jnp.vdot(exact.to_statevector(expected), backend.to_statevector(after))
    lost = backend.truncation(after)
    weights = lost.discarded_weight - start.discarded_weight
    weight = weights[pair[0]]
    assert weight > 1e-3, "the bond must bind"
    assert np.count_nonzero(weights) == 1
    infidelity = 1 - abs(overlap) ** 2
    assert abs(infidelity / weight - 1) < 1e-6
    gained = lost.log_fidelity - start.log_fidelity
    np.testing.assert_allclose(gained, np.log1p(-weight), rtol=1e-10)
    np.testing.assert_allclose(backend.norm(after), 1, atol=1e-12)


def test_gradient_of_the_truncated_loss(rng):
    """Against central differences of the same loss, with a bond that binds."""
    backend = tq.MPS(4, dtype="complex128")
    ansatz = tq.hardware_efficient(8, topology="ring")
    weights = jnp.asarray(rng.normal(size=24))

    def loss(angles):
        state, readouts = roll_out(backend, ansatz, angles)
        return jnp.sum(readouts @ weights), backend.truncation(state).log_fidelity

    run = jax.jit(jax.value_and_grad(loss, has_aux=True))
    angles = jnp.asarray(rng.uniform(-np.pi, np.pi, (3, ansatz.n_params)))
    direction = jnp.asarray(rng.normal(size=angles.shape))
    (_, log_fidelity), gradient = run(angles)
    assert log_fidelity < -1e-3
    expected = references.central_difference(lambda a: run(a)[0][0], angles, direction)
    actual = float(jnp.vdot(gradient, direction))
    assert abs(actual - expected) <= FINITE_DIFFERENCE * abs(expected)


def gradient_and_loss_of_fidelity(cell, xs, backend):
    """A cell's gradient on a backend as one vector, and log-fidelities at the end."""
    params, static = eqx.partition(cell.with_backend(backend), eqx.is_array)

    def loss(params):
        rollout = tq.unroll(eqx.combine(params, static), xs)
        lost = rollout.truncation.log_fidelity[..., -1]
        return jnp.mean(jnp.sin(rollout.readouts)), lost

    gradient, lost = jax.jit(jax.grad(loss, has_aux=True))(params)
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradient)]), lost


def test_tiny_schmidt_values_amplify_no_rounding(rng):
    """Near the identity hardly anything is lost, and the gradient is the exact one."""
    cell = tq.QRNNCell(8, tq.hardware_efficient(8), key=jax.random.key(0))
    xs = jnp.asarray(rng.normal(size=(8, 8)))
    backends = tq.MPS(4, dtype="complex128"), tq.Statevector("complex128")
    (actual, lost), (expected, _) = (
        gradient_and_loss_of_fidelity(cell, xs, backend) for backend in backends
    )
    assert -1e-15 < lost < 0
    error = np.linalg.norm(actual - expected) / np.linalg.norm(expected)
    assert error < 1e-11


@pytest.mark.parametrize(
    "n_qubits, max_bond, batch",
    [(10, 8, 8), pytest.param(20, 16, 64, marks=pytest.mark.long)],
)
def test_tiny_columns_leave_a_gradient_finite(
    n_qubits, max_bond, batch, rng, algorithms, monkeypatch
):
    """Null vectors are rounding times rounding: float32 has no room for squares."""
    if algorithms == "accelerator":
        monkeypatch.setattr(jnp.linalg, "qr", qr_of_plain_squares)
    cell = tq.QRNNCell(8, tq.hardware_efficient(n_qubits), key=jax.random.key(0))
    xs = jnp.asarray(rng.normal(size=(batch, 4, 8)), "float32")
    backends = tq.MPS(max_bond), tq.Statevector()
    (actual, lost), (expected, _) = (
        gradient_and_loss_of_fidelity(cell, xs, backend) for backend in backends
    )
    assert np.all(np.abs(lost) < 1e-6)
    error = np.linalg.norm(actual - expected) / np.linalg.norm(expected)
    assert error < 1e-5


@pytest.mark.parametrize("max_bond", [1, 2, 3, 4, 5, 7])
def test_reading_agrees_with_the_state_s_own_vector(max_bond, rng):
    """Every reading against the vector of the same, truncated, state."""
    n_qubits = 7
    backend, exact = tq.MPS(max_bond, dtype="complex128"), tq.Statevector("complex128")
    states = [backend.from_statevector(random_state(n_qubits, rng)) for _ in "ab"]
    assert all(isinstance(state, MPSState) for state in states)
    vectors = [exact.from_statevector(backend.to_statevector(s)) for s in states]
    strings = ["I", "X0", "Y3", "Z6", "Y2 Z3", "X0 Z1", "X5 Y6", "X0 Y1 Z2 X3 Y4 Z5 X6"]

    @functools.partial(jax.jit, static_argnums=0)
    def read(backend, a, b):
        cuts = range(1, n_qubits)
        return {
            "neighbours": backend.expectation("xyz+zz", a),
            "strings": backend.expectation([*strings, "Z1 Z5", "X0 X6", "Y4 Y0"], a),
            "one far": backend.expectation(["Z2 Y6"], a),
            "overlap": backend.overlap(a, b),
            "norm": backend.norm(a),
            "entropy": jnp.stack([backend.entropy(a, cut) for cut in cuts]),
        }

    actual, expected = read(backend, *states), read(exact, *vectors)
    for what, value in actual.items():
        np.testing.assert_allclose(value, expected[what], atol=1e-9, err_msg=what)
    np.testing.assert_allclose(actual["norm"], 1, atol=EXACT_C128)


def test_strings_over_any_part_of_a_chain(rng):
    """From their first core to their last one, with one pass for each kind of span."""
    n_qubits = 12
    backend, exact = tq.MPS(3, dtype="complex128"), tq.Statevector("complex128")
    state = backend.from_statevector(random_state(n_qubits, rng))
    vector = exact.from_statevector(backend.to_statevector(state))
    pairs = itertools.combinations(range(n_qubits), 2)
    strings = [f"{rng.choice(list('XYZ'))}{a} Y{b}" for a, b in pairs]
    for _ in range(30):
        qubits = rng.choice(n_qubits, rng.integers(3, 7), replace=False)
        strings.append(" ".join(f"{rng.choice(list('XYZ'))}{q}" for q in qubits))
    actual = jax.jit(lambda s: backend.expectation(strings, s))(state)
    np.testing.assert_allclose(actual, exact.expectation(strings, vector), atol=1e-10)


@pytest.mark.parametrize(
    ("topology", "max_bond"),
    [("chain", 1), ("chain", 3), ("brickwork", 2), ("ring", 3), ("all_to_all", 2)],
)
def test_the_readout_bound_holds(topology, max_bond, rng):
    """At the same angles, 60 circuits of each kind, every readout of every step."""
    ansatz = tq.hardware_efficient(6, n_layers=1, topology=topology)
    backend, exact = tq.MPS(max_bond, dtype="complex128"), tq.Statevector("complex128")
    scale = 10 ** rng.uniform(-1, 0.5, (60, 1, 1))
    angles = scale * rng.normal(size=(60, 3, ansatz.n_params))

    def lost_by(state, row):
        state = backend.evolve(ansatz, row, state)
        z, truncation = backend.expectation("xyz", state), backend.truncation(state)
        return state, (z, truncation.readout_bound, truncation.log_fidelity)

    @jax.jit
    @jax.vmap
    def measure(angles):
        z, bounds, logs = jax.lax.scan(lost_by, backend.init(6), angles)[1]
        return jnp.abs(z - roll_out(exact, ansatz, angles)[1]).max(-1), bounds, logs

    errors, bounds, log_fidelities = measure(angles)
    assert np.all(errors <= bounds + 1e-12)
    assert np.count_nonzero(log_fidelities[:, -1] < -1e-9) >= 30, "it must truncate"
    assert np.count_nonzero(bounds[:, -1] < 1) >= 10, "a bound of 2 says nothing"
    assert np.max(errors / np.where(bounds < 2, bounds, np.inf)) > 0.05, (
        "nor a loose one"
    )


def test_cutoff_discards_small_values_and_keeps_shapes(rng):
    ansatz = tq.hardware_efficient(6, n_layers=1)
    angles = 0.3 * jnp.asarray(rng.normal(size=(2, ansatz.n_params)))
    whole, cut = (tq.MPS(4, cutoff=c, dtype="complex128") for c in (0.0, 0.05))
    states = [roll_out(backend, ansatz, angles)[0] for backend in (whole, cut)]
    assert eqx.tree_equal(*jax.eval_shape(lambda: states))
    lost = [state.truncation.log_fidelity for state in states]
    assert lost[1] < lost[0] - 1e-5
    np.testing.assert_allclose(cut.norm(states[1]), 1, atol=1e-12)


def test_a_vector_is_held_exactly_where_the_bond_suffices():
    for n_qubits in range(1, 10):
        for max_bond in range(1, 18):
            state = jax.eval_shape(lambda n=n_qubits, c=max_bond: tq.MPS(c).init(n))
            suffices = max_bond >= 2 ** (n_qubits // 2)
            assert isinstance(state, MPSState) != suffices
            expected = tq.Statevector() if suffices else tq.MPS(max_bond)
            assert tq.MPS(max_bond).resolve(n_qubits) == expected


def random_circuit(n_qubits, n_gates, rng, near=False):
    gates, angle = [], 0
    for _ in range(n_gates):
        name = rng.choice(sorted(GATES))
        spec = GATES[name]
        qubits = tuple(int(q) for q in rng.permutation(n_qubits)[: spec.n_qubits])
        if near and spec.n_qubits == 2:
            low = int(rng.integers(n_qubits - 1))
            qubits = (low, low + 1)[:: rng.choice([-1, 1])]
        gates.append((name, qubits, angle if spec.has_angle else None))
        angle += spec.has_angle
    return tq.Ansatz(n_qubits, gates)


@pytest.mark.parametrize("near", [False, True])
@pytest.mark.parametrize("layout", [(4, 1), (6, 2), (9, 5), (12, 4)])
def test_a_plan_keeps_every_gate_in_its_qubits_order(layout, near, rng):
    for n_gates in (1, 5, 60):
        ansatz = random_circuit(layout[0], n_gates, rng, near)
        best = best_schedule(ansatz, Layout(*layout)).stages
        for stages in (best, wide(ansatz, Layout(*layout))):
            gates = list(itertools.chain(*map(gates_in_order, stages)))
            assert len(gates) == (n_gates if stages else 0)
            for qubit in range(layout[0]):
                wanted = [g for g in ansatz.gates if qubit in g.qubits and stages]
                assert [g for g in gates if qubit in g.qubits] == wanted


def gates_in_order(stage):
    if isinstance(stage, WideStage):
        blocks, far = [stage.head, *stage.right, stage.turn], ()
    else:
        blocks = [stage.head, *stage.singles, stage.tail, *stage.right, stage.turn]
        blocks, far = blocks + [*stage.left[::-1]], stage.far
    for block in (block for block in blocks if block is not None):
        assert {q for g in block.gates for q in g.qubits} <= set(block.qubits)
        yield from block.gates
    for fan in far:
        yield from fan.gates


def wide(ansatz, layout):
    """The plan in wide sweeps, nothing where there is none."""
    near = all(not stage.far for stage in stages_of(ansatz, layout))
    return wide_stages(ansatz, layout) if near and layout.n_cores >= 3 else ()


@pytest.mark.parametrize("layout", [(6, 2), (9, 5), (8, 4)])
def test_wide_sweeps_of_any_circuit_are_that_circuit(layout, rng, monkeypatch):
    """Every plan is forced to be wide: whatever it holds, amplitudes are right."""

    def forced(ansatz, layout):
        return (Part(wide(ansatz, layout), np.arange(ansatz.n_params)[None]),)

    monkeypatch.setattr(mps_evolve, "parts", forced)
    n_qubits, max_bond = layout
    for n_gates in (3, 12):
        ansatz = random_circuit(n_qubits, n_gates, rng, near=True)
        angles = rng.uniform(-np.pi, np.pi, ansatz.n_params)
        backend = tq.MPS(max_bond, dtype="complex128")
        state = backend.evolve(ansatz, angles, backend.init(n_qubits))
        lost = float(backend.truncation(state).readout_bound)
        exact = tq.Statevector("complex128")
        psi = exact.to_statevector(exact.evolve(ansatz, angles, exact.init(n_qubits)))
        difference = np.linalg.norm(backend.to_statevector(state) - psi)
        assert difference <= lost + EXACT_C128


@pytest.mark.parametrize("n_layers", [3, 4])
def test_layers_in_pairs_are_the_circuit(n_layers, rng):
    """Their rank fits: one pair and one layer that is left, then two pairs."""
    max_bond = 2**n_layers
    ansatz = tq.hardware_efficient(2 * n_layers + 4, n_layers=n_layers)
    angles = rng.uniform(-np.pi, np.pi, ansatz.n_params)
    planned = parts(ansatz, Layout(ansatz.n_qubits, max_bond))
    shape = [(type(part.stages[0]), len(part.index)) for part in planned]
    expected = {3: [(WideStage, 1), (Stage, 1)], 4: [(WideStage, 2)]}
    assert shape == expected[n_layers]
    run = jax.jit(lambda backend, a: roll_out(backend, ansatz, a)[1], static_argnums=0)
    readouts = run(tq.MPS(max_bond, dtype="complex128"), angles[None])
    expected = run(tq.Statevector("complex128"), angles[None])
    np.testing.assert_allclose(readouts, expected, atol=EXACT_C128)


@pytest.mark.parametrize(
    "ansatz, max_bond",
    [
        (tq.hardware_efficient(5, topology="brickwork"), 2),
        (tq.hardware_efficient(9, topology="brickwork"), 8),
        (tq.Ansatz(8, [("crx", (1 - i % 2, 2 - i % 2), i) for i in range(4)]), 2),
    ],
)
def test_a_wide_sweep_may_end_at_its_first_cores(ansatz, max_bond, rng):
    """Every gate then belongs to the head, and the sweep has no block of its own."""
    stages = [
        s for p in parts(ansatz, Layout(ansatz.n_qubits, max_bond)) for s in p.stages
    ]
    assert any(isinstance(stage, WideStage) and not stage.right for stage in stages)
    angles = rng.uniform(-np.pi, np.pi, (2, ansatz.n_params))
    run = jax.jit(lambda backend, a: roll_out(backend, ansatz, a), static_argnums=0)
    state, readouts = run(tq.MPS(max_bond, dtype="complex128"), angles)
    _, expected = run(tq.Statevector("complex128"), angles)
    bound = tq.MPS(max_bond, dtype="complex128").truncation(state).readout_bound
    error = np.abs(readouts[-1] - expected[-1]).max()
    assert error <= bound + EXACT_C128


def test_layers_are_paired_where_that_is_cheaper(rng):
    """Gates that reach far cost splits as well; either answer occurs."""
    layout, paired = Layout(10, 2), []
    for _ in range(40):
        layer = random_circuit(10, 12, rng)
        shift = lambda a, by=layer.n_params: None if a is None else a + by  # noqa: E731
        again = [(g.name, g.qubits, shift(g.angle)) for g in layer.gates]
        both = tq.Ansatz(10, [*layer.gates, *again])
        paired.append(len(parts(both, layout)[0].index) == 1)
        one, two = (best_schedule(each, layout).cost for each in (layer, both))
        assert paired[-1] == (two < 2 * one)
    assert 0 < sum(paired) < len(paired)


def test_repeated_layers_are_found():
    layer, index = repeats(tq.hardware_efficient(5, n_layers=3))
    assert layer == tq.hardware_efficient(5, n_layers=1)
    np.testing.assert_array_equal(index, np.arange(42).reshape(3, 14))
    gates = [("rx", 0, 0), ("cnot", (0, 1)), ("rx", 0, 0), ("cz", (0, 1))]
    shared = tq.Ansatz(2, gates)
    layer, index = repeats(shared)
    assert len(layer.gates) == 4 and index.shape == (1, 2)


def program_size(n_qubits, n_steps, topology):
    ansatz = tq.hardware_efficient(n_qubits, topology=topology)
    loss = lambda a: jnp.sum(roll_out(tq.MPS(4), ansatz, a)[1])  # noqa: E731
    angles = jax.ShapeDtypeStruct((n_steps, ansatz.n_params), "float32")
    return len(list(equations(jax.make_jaxpr(jax.grad(loss))(angles).jaxpr)))


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_the_program_does_not_grow_with_the_chain_or_time(topology):
    size = program_size(12, 4, topology)
    assert program_size(24, 4, topology) <= 1.02 * size
    if topology == "chain":
        assert program_size(12, 64, topology) == size


def test_a_long_chain_runs():
    ansatz = tq.hardware_efficient(100, n_layers=1)
    backend = tq.MPS(2)
    angles = jnp.zeros((1, ansatz.n_params), jnp.float32).at[:, :100].set(1.0)
    state, readouts = jax.jit(lambda a: roll_out(backend, ansatz, a))(angles)
    expected = np.tile([np.sin(1), 0, np.cos(1)], 100)
    np.testing.assert_allclose(readouts[0], expected, atol=1e-5)
    assert state.right_cores.shape == (97, 2, 2, 2)


def test_no_decomposition_is_differentiated_by_jax(monkeypatch, rng):
    """JAX's own rules for them divide by gaps; here they would be an error."""

    def refuse(*args, **kwargs):
        raise AssertionError("JAX differentiates a decomposition")

    names = {"svd", "eig", "eigh", "qr"}
    patched = [p for p in ad.primitive_jvps if p.name in names]
    assert {p.name for p in patched} == names
    for primitive in patched:
        monkeypatch.setitem(ad.primitive_jvps, primitive, refuse)
    with pytest.raises(AssertionError, match="JAX differentiates"):
        jax.make_jaxpr(jax.grad(lambda m: jnp.linalg.qr(m)[1].sum()))(jnp.eye(2))
    backend = tq.MPS(3)
    for ansatz in (tq.hardware_efficient(6, topology="ring"), shallow()):

        @functools.partial(jax.checkpoint, policy=save_factors)
        def loss(angles, ansatz=ansatz):
            state, readouts = roll_out(backend, ansatz, angles)
            return jnp.sum(readouts) + backend.entropy(state, 3) + backend.norm(state)

        angles = jnp.zeros((1, 2, ansatz.n_params), jnp.float32)
        jax.make_jaxpr(jax.vmap(jax.grad(loss)))(angles)


def test_both_precisions_agree(rng):
    ansatz = tq.hardware_efficient(8, topology="brickwork")
    angles = rng.uniform(-0.5, 0.5, (2, ansatz.n_params))
    values = {
        dtype: roll_out(tq.MPS(4, dtype=dtype), ansatz, jnp.asarray(angles, real))
        for dtype, real in (("complex64", "float32"), ("complex128", "float64"))
    }
    state, readouts = values["complex64"]
    assert state.centre.dtype == "complex64" and readouts.dtype == "float32"
    np.testing.assert_allclose(readouts, values["complex128"][1], atol=1e-5)


def test_options_are_checked_and_kept():
    backend = tq.MPS(4, cutoff=1e-6)
    assert dataclasses.replace(backend, max_bond=8) == tq.MPS(8, 1e-6)
    for options, message in (
        ({"max_bond": 0}, "max_bond must be an integer >= 1, got 0"),
        ({"max_bond": 2.0}, "max_bond must be an integer >= 1, got 2.0"),
        ({"max_bond": 2, "cutoff": -1.0}, "cutoff must be a finite number in"),
        ({"max_bond": 2, "dtype": "float32"}, "dtype must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            tq.MPS(**options)
    with pytest.raises(MemoryError, match="max_bond=1048576: a state of 64 qubits"):
        tq.MPS(2**20).init(64)


@pytest.mark.parametrize("mode", ["store", "checkpoint"])
@pytest.mark.parametrize("outer", [jax.jacfwd, jax.jacrev])
@pytest.mark.parametrize("inner", [jax.jacfwd, jax.grad])
def test_a_second_derivative_is_refused_by_name(mode, outer, inner):
    ansatz = tq.hardware_efficient(5, 1)
    cell = tq.QRNNCell(1, ansatz, backend=tq.MPS(3), key=jax.random.key(0))

    def loss(xs):
        return jnp.sum(tq.unroll(cell, xs, gradient=mode).readouts[..., 0])

    xs = jnp.ones((1, 2, 1))
    jax.make_jaxpr(inner(loss))(xs)  # the first one is there
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        jax.make_jaxpr(outer(inner(loss)))(xs)
