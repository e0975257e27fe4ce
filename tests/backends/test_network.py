"""The network backend against states it could not hold and against those it could.

What it shares with the other backends is in ``test_conformance.py``.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from jax.flatten_util import ravel_pytree
from tolerances import EXACT, GRADIENT

import tnqrnn as tq
from tnqrnn import testing
from tnqrnn.backends.network import readout as network_readout
from tnqrnn.backends.network.readout import network_geometries
from tnqrnn.circuits import TOPOLOGIES
from tnqrnn.contraction import PlanNotFoundError, store
from tnqrnn.diagnostics import entanglement


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty folder in place of the user's cache of plans, and none are shipped."""
    monkeypatch.setattr(store, "shipped_folder", lambda: tmp_path / "none")
    monkeypatch.setenv(store.CACHE_VARIABLE, str(tmp_path / "plans"))
    return tmp_path / "plans"


def make_cell(n_qubits, topology, backend, **options):
    return tq.QRNNCell(
        3,
        tq.hardware_efficient(n_qubits, n_layers=1, topology=topology),
        controller=tq.Controller("tanh", (8,), init_scale=3.0),
        backend=backend,
        key=jax.random.key(1),
        **options,
    )


def make_inputs(dtype, *shape):
    return jax.random.normal(jax.random.key(2), shape, jnp.finfo(dtype).dtype)


@eqx.filter_jit
def readouts_and_gradient(cell, xs, mode="auto"):
    @eqx.filter_grad(has_aux=True)
    def loss(cell):
        readouts = tq.unroll(cell, xs, gradient=mode).readouts
        return jnp.mean(jnp.sin(3 * readouts)), readouts

    gradient, readouts = loss(cell)
    return readouts, ravel_pytree(eqx.filter(gradient, eqx.is_inexact_array))[0]


def assert_agree(cell, backend, xs, values, gradients):
    """Readouts and weight gradients of a cell on its own and on another backend."""
    readouts, gradient = readouts_and_gradient(cell, xs)
    expected, exact = readouts_and_gradient(cell.with_backend(backend), xs)
    np.testing.assert_allclose(readouts, expected, atol=values)
    assert np.linalg.norm(exact) > 1e-3
    assert np.linalg.norm(gradient - exact) < gradients * np.linalg.norm(exact)


@pytest.mark.parametrize(
    ("topology", "dtype"),
    [*((name, "complex128") for name in TOPOLOGIES), ("ring", "complex64")],
)
@pytest.mark.parametrize("small", [0, network_readout.SMALL])
def test_a_roll_out_is_that_of_exact_states(topology, dtype, small, monkeypatch):
    """By light cones and by amplitudes, which a small register would be read from."""
    monkeypatch.setattr(network_readout, "SMALL", small)
    jax.clear_caches()
    cell = make_cell(5, topology, tq.Network(dtype), observables="xyz+zz")
    xs = make_inputs(dtype, 2, 2, 3)
    assert_agree(cell, tq.Statevector(dtype), xs, EXACT[dtype], GRADIENT[dtype])


def test_light_cones_of_any_circuit(monkeypatch):
    """Pairs far apart, qubits without a gate, blocks on one qubit."""
    monkeypatch.setattr(network_readout, "SMALL", 0)
    jax.clear_caches()

    @settings(max_examples=25)
    @given(testing.circuits(max_qubits=4))
    def check(circuit):
        backends = tq.Network("complex128"), tq.Statevector("complex128")
        testing.check_backends_agree(*backends, *circuit)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_ten_qubits_and_four_steps(topology):
    cell = make_cell(10, topology, tq.Network("complex128"))
    xs = make_inputs("complex128", 4, 3)
    assert_agree(cell, tq.Statevector("complex128"), xs, 1e-10, 1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(("topology", "n_steps"), [("brickwork", 4), ("chain", 2)])
def test_light_cones_of_thirteen_qubits(topology, n_steps):
    """A register that is read by light cones whose blocks are narrow."""
    cell = make_cell(13, topology, tq.Network("complex128"))
    xs = make_inputs("complex128", n_steps, 3)
    assert_agree(cell, tq.Statevector("complex128"), xs, 1e-10, 1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("topology", ["brickwork", "chain"])
def test_forty_qubits_against_a_sufficient_mps(topology):
    cell = make_cell(40, topology, tq.Network())
    xs = make_inputs("complex64", 2, 3, 3)
    assert_agree(cell, tq.MPS(16), xs, 1e-5, 1e-4)


def test_a_hundred_qubits():
    cell = make_cell(100, "brickwork", tq.Network())
    readouts, gradient = readouts_and_gradient(cell, make_inputs("complex64", 2, 3))
    assert readouts.shape == (2, 300)
    assert np.isfinite(readouts).all() and np.abs(readouts).max() <= 1 + 1e-5
    assert np.isfinite(gradient).all() and np.linalg.norm(gradient) > 1e-3


def test_a_sequence_may_be_cut_and_checkpointed():
    cell = make_cell(4, "chain", tq.Network("complex128"))
    xs = make_inputs("complex128", 2, 3, 3)
    whole = tq.unroll(cell, xs)
    first = tq.unroll(cell, xs[:, :1])
    second = tq.unroll(cell, xs[:, 1:], carry=first.carry)
    both = jnp.concatenate([first.readouts, second.readouts], axis=1)
    np.testing.assert_allclose(both, whole.readouts, atol=1e-12)
    _, stored = readouts_and_gradient(cell, xs, "store")
    _, again = readouts_and_gradient(cell, xs, "checkpoint")
    np.testing.assert_allclose(again, stored, atol=1e-12)


def test_a_state_from_quimb_goes_on_and_comes_back(rng):
    import quimb.tensor as qtn

    mps = qtn.MPS_rand_state(7, 3, dtype="complex128", seed=1)
    network, exact = tq.Network("complex128"), tq.Statevector("complex128")
    ansatz = tq.hardware_efficient(7)
    angles = rng.uniform(-3, 3, ansatz.n_params)
    state = network.evolve(ansatz, angles, network.from_quimb(mps))
    expected = exact.evolve(ansatz, angles, exact.from_quimb(mps))
    for observables in ("xyz+zz", ["X0 Y1 Z2 X3 Y4 Z6", "I"]):
        np.testing.assert_allclose(
            network.expectation(observables, state),
            exact.expectation(observables, expected),
            atol=1e-10,
        )
    vector = exact.to_statevector(expected)
    np.testing.assert_allclose(network.to_statevector(state), vector, atol=1e-10)
    dense = state.to_quimb().to_dense([f"k{i}" for i in range(7)])
    np.testing.assert_allclose(dense.ravel(), vector, atol=1e-10)
    batch = jax.tree.map(lambda leaf: leaf[None], state)
    with pytest.raises(ValueError, match="state must be that of one sample"):
        batch.to_quimb()


def test_a_narrow_memory_limit_slices_and_changes_nothing(own_cache, monkeypatch):
    slices = []
    sliced = store.ContractionPlan.sliced

    def spy(plan, *limit):
        slices.append(sliced(plan, *limit).n_slices)
        return sliced(plan, *limit)

    monkeypatch.setattr(store.ContractionPlan, "sliced", spy)
    limited = tq.Network("complex128", memory_limit=16 * 2**4)
    monkeypatch.setattr(network_readout, "SMALL", 0)
    cell = make_cell(6, "ring", limited, observables=["Z0", "X3"])
    xs = make_inputs("complex128", 2, 3)
    assert_agree(cell, tq.Statevector("complex128"), xs, 1e-10, 1e-8)
    assert max(slices) > 1
    with pytest.raises(ValueError, match="memory_limit must be an integer >= 256"):
        tq.unroll(cell.with_backend(tq.Network("complex128", memory_limit=16)), xs)
    cell = make_cell(6, "all_to_all", limited, observables=["Z0", "X3"])
    with pytest.raises(ValueError, match="memory_limit must be so large that"):
        tq.unroll(cell, xs)


def test_a_memory_limit_takes_light_cones_a_few_at_a_time():
    backend = tq.Network("complex128")
    ansatz = tq.hardware_efficient(16, n_layers=1, topology="brickwork")
    angles = jax.random.normal(jax.random.key(0), (ansatz.n_params,))

    def total(backend, angles):
        state = backend.evolve(ansatz, angles, backend.init(16))
        return jnp.sum(jnp.sin(backend.expectation("xyz", state)))

    expected = jax.value_and_grad(total, argnums=1)(backend, angles)
    limited = tq.Network("complex128", memory_limit=2 * 16 * 2**6)
    traced = jax.make_jaxpr(total, static_argnums=0)
    assert "scan" in str(traced(limited, angles))
    assert "scan" not in str(traced(backend, angles))
    actual = jax.value_and_grad(total, argnums=1)(limited, angles)
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_a_long_register_from_quimb_is_read_by_its_tensors():
    """Not by amplitudes, of which it has too many, whether or not it was moved."""
    import quimb as qu
    import quimb.tensor as qtn

    mps = qtn.MPS_rand_state(40, 3, dtype="complex128", seed=1)
    backend = tq.Network("complex128")
    state = backend.from_quimb(mps)
    expected = [mps.local_expectation_canonical(qu.pauli(a), 7).real for a in "XYZ"]
    strings = ["X7", "Y7", "Z7"]
    np.testing.assert_allclose(backend.expectation(strings, state), expected)
    np.testing.assert_allclose(backend.norm(state), 1)


def test_an_intermediate_result_beyond_memory_is_refused(monkeypatch):
    cell = make_cell(6, "brickwork", tq.Network())
    monkeypatch.setattr("tnqrnn.checks.psutil.virtual_memory", lambda: Memory(2**8))
    with pytest.raises(MemoryError, match="the state's history: intermediate results"):
        tq.unroll(cell, make_inputs("complex64", 1, 3))


class Memory:
    def __init__(self, total):
        self.total = total


def test_a_missing_plan_is_refused_or_made_once(own_cache):
    cell = make_cell(7, "ring", tq.Network(search="never"), feedback=False)
    xs = make_inputs("complex64", 2, 3)
    with pytest.raises(PlanNotFoundError, match="or `tnqrnn plan build` before"):
        tq.unroll(cell, xs)
    assert not own_cache.exists()
    searched = tq.unroll(cell.with_backend(tq.Network()), xs).readouts
    np.testing.assert_array_equal(tq.unroll(cell, xs).readouts, searched)


def test_the_geometries_of_a_roll_out_are_those_it_contracts(own_cache):
    ansatz = tq.hardware_efficient(5, n_layers=1, topology="chain")
    named = {g.fingerprint("reverse") for g in network_geometries(ansatz, 2)}
    cell = make_cell(5, "chain", tq.Network())
    tq.unroll(cell, make_inputs("complex64", 2, 3))
    assert {path.stem for path in own_cache.glob("*.json")} == named


def test_there_is_no_entropy():
    backend = tq.Network()
    assert not backend.has_entropy
    with pytest.raises(NotImplementedError, match="entropy must be asked of"):
        backend.entropy(backend.init(3), 1)
    cell = make_cell(3, "chain", backend)
    with pytest.raises(NotImplementedError, match="cell must have a backend with"):
        entanglement(cell, make_inputs("complex64", 2, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"search": "sometimes"}, "search must be one of"),
        ({"memory_limit": 0}, "memory_limit must be an integer >= 1, got 0"),
        ({"memory_limit": 1.5}, "memory_limit must be an integer >= 1, got 1.5"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        tq.Network(**options)
