"""What every backend promises, run over every backend.

A new backend joins by one line in ``BACKENDS``. Those in ``EXACT_ONLY`` hold any state
of up to six qubits without loss; the others may truncate. A state that grows is moved
by a loop where others are scanned.
"""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references
from jaxprs import equations
from tolerances import EXACT, FINITE_DIFFERENCE, GRADIENT

import tnqrnn as tq
from tnqrnn import testing
from tnqrnn.circuits import TOPOLOGIES

EXACT_ONLY = {
    "statevector": lambda dtype: tq.Statevector(dtype),
    "mps-8": lambda dtype: tq.MPS(8, dtype=dtype),
    "mps-11": lambda dtype: tq.MPS(11, dtype=dtype),
    "network": lambda dtype: tq.Network(dtype=dtype),
}
BACKENDS = EXACT_ONLY | {
    "mps-1": lambda dtype: tq.MPS(1, dtype=dtype),
    "mps-2": lambda dtype: tq.MPS(2, dtype=dtype),
    "mps-3": lambda dtype: tq.MPS(3, dtype=dtype),
    "mps-4-cutoff": lambda dtype: tq.MPS(4, cutoff=1e-3, dtype=dtype),
}
exact = pytest.mark.parametrize("make", EXACT_ONLY.values(), ids=EXACT_ONLY)
every = pytest.mark.parametrize("make", BACKENDS.values(), ids=BACKENDS)
dtypes = pytest.mark.parametrize(
    "dtype", [pytest.param("complex64", marks=pytest.mark.as_users), "complex128"]
)
SIZES = (1, 2, 3, 6)
STRINGS = ["X0", "I", "Z0 Y2", "X0 Y1 Z2 X3 Y4 Z5", "Z5", "Y1 X5"]


def random_state(n_qubits, rng):
    psi = rng.normal(size=(2**n_qubits, 2)) @ np.array([1, 1j])
    return psi / np.linalg.norm(psi)


def evolved(backend, ansatz, state, all_angles):
    """The state after a circuit at several sets of angles, one after another."""
    if backend.grows:
        for angles in all_angles:
            state = backend.evolve(ansatz, angles, state)
        return state
    return jax.lax.scan(
        lambda state, angles: (backend.evolve(ansatz, angles, state), None),
        state,
        all_angles,
    )[0]


def strings_for(n_qubits):
    return [s for s in STRINGS if all(int(w[1:] or 0) < n_qubits for w in s.split())]


@pytest.mark.parametrize("name", ["statevector", "mps-3", "mps-4-cutoff", "network"])
@pytest.mark.parametrize("topology", ["chain", "all_to_all"])
def test_products_are_computed_in_full_precision(name, topology):
    backend = BACKENDS[name]("complex64")
    ansatz = tq.hardware_efficient(5, topology=topology)

    @jax.value_and_grad
    def loss(cell):
        carry = tq.unroll(cell, jnp.ones((2, 2, 3))).carry
        last = jax.tree.map(lambda leaf: leaf[0], carry.state)
        strings = jnp.sum(backend.expectation(strings_for(5), last))
        entropy = jnp.sum(backend.entropies(last)) if backend.has_entropy else 0
        matrix = jnp.sum(backend.reduced_density_matrix((0, 3), last).real)
        overlap = backend.overlap(last, last).real
        return strings + entropy + matrix + overlap

    cell = tq.QRNNCell(
        3,
        ansatz,
        controller=tq.Controller("glu", (4,), embedding_size=2),
        backend=backend,
        key=jax.random.key(0),
    )
    program = jax.make_jaxpr(loss)(cell)
    found = [e for e in equations(program.jaxpr) if e.primitive.name == "dot_general"]
    assert len(found) > 10
    lesser = [
        e for e in found if e.params["precision"] != (jax.lax.Precision.HIGHEST,) * 2
    ]
    assert not lesser, "\n".join(str(e.source_info.traceback) for e in lesser[:3])


@every
@dtypes
@pytest.mark.parametrize("n_qubits", SIZES)
def test_the_start_is_all_zeros(make, dtype, n_qubits):
    backend = make(dtype)
    state = backend.init(n_qubits)
    assert backend.n_qubits(state) == n_qubits
    psi = backend.to_statevector(state)
    assert psi.shape == (2**n_qubits,) and psi.dtype == dtype
    np.testing.assert_array_equal(psi, np.eye(2**n_qubits)[0])
    z = backend.expectation("z", state)
    assert z.dtype == jnp.finfo(dtype).dtype
    np.testing.assert_allclose(z, np.ones(n_qubits), atol=EXACT[dtype])


@exact
@dtypes
@pytest.mark.parametrize(
    ("n_qubits", "topology"),
    [(1, "chain"), (2, "chain"), (3, "ring"), *((6, name) for name in TOPOLOGIES)],
)
def test_evolution_and_readouts_against_kronecker_products(
    make, dtype, n_qubits, topology, rng
):
    backend = make(dtype)
    ansatz = tq.hardware_efficient(n_qubits, topology=topology)
    angles = rng.uniform(-np.pi, np.pi, ansatz.n_params)
    gates = [(g.name, g.qubits, g.angle) for g in ansatz.gates]
    psi = references.unitary(n_qubits, gates, angles)[:, 0]
    state = testing.evolve(backend, ansatz, angles)
    np.testing.assert_allclose(backend.to_statevector(state), psi, atol=EXACT[dtype])
    for observables in ("xyz", "xyz+zz", strings_for(n_qubits)):
        expected = [
            references.expectation(psi, string)
            for string in tq.parse_observables(observables, n_qubits)
        ]
        actual = testing.read(backend, state, observables)
        np.testing.assert_allclose(actual, expected, atol=EXACT[dtype])


@exact
@dtypes
@pytest.mark.parametrize("n_qubits", SIZES)
def test_a_given_state_is_held_as_it_is(make, dtype, n_qubits, rng):
    backend = make(dtype)
    psi, phi = random_state(n_qubits, rng), random_state(n_qubits, rng)
    a, b = backend.from_statevector(psi), backend.from_statevector(phi)
    atol = EXACT[dtype]
    np.testing.assert_allclose(backend.to_statevector(a), psi, atol=atol)
    np.testing.assert_allclose(backend.norm(a), 1, atol=atol)
    np.testing.assert_allclose(backend.overlap(a, b), np.vdot(psi, phi), atol=atol)
    for cut in range(1, n_qubits if backend.has_entropy else 1):
        expected = references.entropy(psi, cut)
        np.testing.assert_allclose(backend.entropy(a, cut), expected, atol=20 * atol)


@every
@pytest.mark.parametrize("qubits", [(0,), (2, 4), (5, 1, 0), (3, 0, 5, 2)])
def test_reduced_density_matrices(make, qubits, rng):
    """Those of the state that is held, truncated or not."""
    backend = make("complex128")
    ansatz = tq.hardware_efficient(6)
    angles = rng.uniform(-np.pi, np.pi, ansatz.n_params)
    state = testing.evolve(backend, ansatz, angles)
    psi = np.asarray(backend.to_statevector(state)).reshape((2,) * 6)
    others = [qubit for qubit in range(6) if qubit not in qubits]
    rows = psi.transpose(*qubits, *others).reshape(2 ** len(qubits), -1)
    density = jax.jit(lambda s: backend.reduced_density_matrix(qubits, s))(state)
    assert density.dtype == "complex128"
    np.testing.assert_allclose(density, rows @ rows.conj().T, atol=1e-10)


@exact
@dtypes
def test_exact_states_report_no_loss(make, dtype, rng):
    backend = make(dtype)
    ansatz = tq.hardware_efficient(6)
    angles = rng.uniform(-np.pi, np.pi, ansatz.n_params)
    lost = backend.truncation(testing.evolve(backend, ansatz, angles))
    assert lost.log_fidelity.shape == lost.readout_bound.shape == ()
    assert lost.discarded_weight.shape == (5,)
    for array in lost:
        np.testing.assert_array_equal(array, 0)


@exact
@dtypes
@pytest.mark.parametrize("n_qubits", [1, 3, 6])
def test_gradient_against_the_parameter_shift_rule(make, dtype, n_qubits, rng):
    backend = make(dtype)
    ansatz = tq.hardware_efficient(n_qubits, n_layers=1)
    weights = rng.normal(size=3 * n_qubits)

    def loss(angles):
        state = backend.evolve(ansatz, angles, backend.init(n_qubits))
        values = backend.expectation("xyz", state)
        return values @ jnp.asarray(weights, values.dtype)

    angles = rng.uniform(-np.pi, np.pi, ansatz.n_params)
    at_angles = jnp.asarray(angles, jnp.finfo(dtype).dtype)
    exact = tq.Statevector("complex128")
    value = jax.jit(
        lambda a: (
            exact.expectation("xyz", exact.evolve(ansatz, a, exact.init(n_qubits)))
            @ weights
        )
    )
    expected = references.parameter_shift(value, angles)
    actual = np.asarray(jax.jit(jax.grad(loss))(at_angles))
    error = np.linalg.norm(actual - expected) / np.linalg.norm(expected)
    assert error < GRADIENT[dtype]


GHZ = np.zeros(64)
GHZ[[0, -1]] = np.sqrt(0.5)
BELL_PAIR = np.array([1, 0, 0, 1]) / np.sqrt(2)
BELL_PAIRS = np.kron(BELL_PAIR, np.kron(BELL_PAIR, BELL_PAIR))
PRODUCT = np.eye(64)[0]


@every
@dtypes
def test_gradient_is_finite_at_special_angles_and_states(make, dtype):
    """Where Schmidt values vanish or coincide, a careless gradient is NaN."""
    backend = make(dtype)
    ansatz = tq.hardware_efficient(6)

    @jax.jit
    @jax.value_and_grad
    def loss(angles, start):
        twice = jnp.stack([angles, angles])
        state = evolved(backend, ansatz, backend.from_statevector(start), twice)
        return jnp.sum(backend.expectation("xyz+zz", state)) + backend.norm(state)

    for start in (PRODUCT, GHZ, BELL_PAIRS):
        for angle in (0.0, np.pi / 2, np.pi, 1e-9):
            angles = jnp.full(ansatz.n_params, angle, jnp.finfo(dtype).dtype)
            value, gradient = loss(angles, jnp.asarray(start, dtype))
            assert np.isfinite(value) and np.isfinite(gradient).all(), angle


@pytest.mark.as_users
@pytest.mark.parametrize(
    ("name", "topology"),
    [
        *((name, "chain") for name in BACKENDS),
        *(("mps-3", topology) for topology in TOPOLOGIES[1:]),
    ],
)
def test_gradient_is_that_of_the_backend_s_own_value(name, topology, rng):
    """Against central differences of the same, possibly truncated, loss."""
    backend = BACKENDS[name]("complex128")
    ansatz = tq.hardware_efficient(6, topology=topology)
    weights = jnp.asarray(rng.normal(size=18))

    @jax.jit
    def loss(angles):
        state = evolved(backend, ansatz, backend.init(6), angles.reshape(2, -1))
        return backend.expectation("xyz", state) @ weights

    angles = rng.uniform(-1, 1, 2 * ansatz.n_params)
    direction = rng.normal(size=angles.shape)
    expected = references.central_difference(loss, angles, direction)
    actual = float(jax.jit(jax.grad(loss))(jnp.asarray(angles)) @ direction)
    assert abs(actual - expected) <= FINITE_DIFFERENCE * abs(expected)


@every
def test_a_batch_is_a_loop_and_jit_is_eager(make, rng):
    backend = make("complex128")
    ansatz = tq.hardware_efficient(5)
    angles = jnp.asarray(rng.uniform(-1, 1, (3, ansatz.n_params)))

    def read(angles):
        state = backend.evolve(ansatz, angles, backend.init(5))
        return backend.expectation("xyz", state), backend.truncation(state)

    loop = [read(one) for one in angles]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *loop)
    for batch in (jax.vmap(read)(angles), jax.jit(jax.vmap(read))(angles)):
        assert eqx.tree_equal(batch, stacked, rtol=0, atol=EXACT["complex128"])


@exact
def test_what_an_accelerator_runs_gives_the_same(make, rng, monkeypatch):
    """Value and gradient, by the algorithms that are fast on an accelerator."""
    backend = make("complex128")
    ansatz = tq.hardware_efficient(6, topology="ring")
    angles = jnp.asarray(rng.uniform(-np.pi, np.pi, 2 * ansatz.n_params))
    weights = rng.normal(size=18 + 5)

    def computed():
        jax.clear_caches()  # the algorithms are no argument of compiled programs

        @jax.jit
        @jax.value_and_grad
        def loss(angles):
            state = evolved(backend, ansatz, backend.init(6), angles.reshape(2, -1))
            return backend.expectation("xyz+zz", state) @ weights

        return loss(angles)

    usual = computed()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    actual = computed()
    jax.clear_caches()
    assert eqx.tree_equal(actual, usual, rtol=0, atol=EXACT["complex128"])


@pytest.mark.parametrize(
    "make", [make for make in BACKENDS.values() if not make("complex64").grows]
)
def test_a_state_keeps_its_structure(make):
    """Otherwise it could not be carried by a scan; one that grows is not."""
    backend = make("complex64")
    ansatz = tq.hardware_efficient(6)
    state = backend.init(6)
    moved = jax.eval_shape(
        lambda s: backend.evolve(ansatz, jnp.zeros(ansatz.n_params, "float32"), s),
        state,
    )
    spec = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)  # noqa: E731
    assert spec(moved) == spec(jax.eval_shape(lambda: state))
    assert jax.tree.structure(moved) == jax.tree.structure(state)


def test_backends_are_compared_and_hashed_by_value():
    made = [make(dtype) for make in BACKENDS.values() for dtype in EXACT]
    again = [make(dtype) for make in BACKENDS.values() for dtype in EXACT]
    assert made == again and len(set(made + again)) == len(made)
    assert all(a != b for a, b in itertools.combinations(made, 2))


@every
def test_bad_input_is_refused(make):
    backend = make("complex64")
    for n_qubits in (0, -1, 1.0, True):
        with pytest.raises(ValueError, match="n_qubits must be an integer >= 1"):
            backend.init(n_qubits)
    state, ansatz = backend.init(3), tq.hardware_efficient(3)
    with pytest.raises(ValueError, match=r"angles must be of shape \(16,\).*\(15,\)"):
        backend.evolve(ansatz, np.zeros(15, np.float32), state)
    with pytest.raises(ValueError, match=r"angles must be of shape \(16,\).*\(2, 16\)"):
        backend.evolve(ansatz, np.zeros((2, 16), np.float32), state)
    with pytest.raises(ValueError, match="the state's 3 qubits, got a circuit on 2"):
        backend.evolve(tq.hardware_efficient(2), np.zeros(10, np.float32), state)
    with pytest.raises(ValueError, match="act on qubits 0 to 2, got 'Z3'"):
        backend.expectation(["Z3"], state)
    for cut in (0, 3) if backend.has_entropy else ():
        with pytest.raises(ValueError, match=r"cut must be an integer in \[1, 2\]"):
            backend.entropy(state, cut)
    for qubits in ((), (0, 0), (0, 1, 2, 3, 4)):
        with pytest.raises(ValueError, match="qubits must be|qubits: qubit must be"):
            backend.reduced_density_matrix(qubits, state)
    with pytest.raises(ValueError, match="must have the 3 qubits of a"):
        backend.overlap(state, backend.init(2))
    with pytest.raises(ValueError, match=r"amplitudes must be of shape \(2\*\*n,\)"):
        backend.from_statevector(np.ones(3))
    with pytest.raises(ValueError, match="amplitudes must have norm 1"):
        backend.from_statevector(np.ones(4))
    with pytest.raises(ValueError, match="amplitudes must be finite, got 1 NaN"):
        backend.from_statevector(np.array([1, np.nan]))
    with pytest.raises(ValueError, match="dtype must be one of"):
        make("float32")


@every
def test_another_backend_s_state_is_refused(make):
    backend, ansatz = make("complex64"), tq.hardware_efficient(6)
    angles = np.zeros(ansatz.n_params, np.float32)
    for name in ("statevector", "mps-2", "mps-3", "network"):
        state = BACKENDS[name]("complex64").init(6)
        if eqx.tree_equal(state, backend.init(6)):
            continue  # they hold states alike
        for use in (
            lambda state: backend.evolve(ansatz, angles, state),
            lambda state: backend.expectation("z", state),
            lambda state: backend.reduced_density_matrix([0], state),
            lambda state: backend.overlap(backend.init(6), state),
            backend.norm,
            backend.n_qubits,
            backend.truncation,
            backend.to_statevector,
            *([backend.entropies] if backend.has_entropy else []),
        ):
            with pytest.raises(ValueError, match=r"state must be made by \w+\("):
                use(state)


def test_a_state_too_large_is_refused_before_it_is_made():
    with pytest.raises(MemoryError, match="n_qubits=50: a statevector must fit"):
        tq.Statevector().init(50)
    with pytest.raises(MemoryError, match="got a request for about"):
        tq.MPS(2**40).init(60)


def test_complex128_needs_the_64_bit_mode():
    with jax.enable_x64(False), pytest.raises(ValueError, match="jax_enable_x64"):
        tq.Statevector("complex128")
