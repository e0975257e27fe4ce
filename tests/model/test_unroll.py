"""The loop over time: gradient modes, batching, cutting, memory, refusals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references
from jax.flatten_util import ravel_pytree
from tolerances import (
    EXACT,
    FINITE_DIFFERENCE,
    GRADIENT,
    REVERSIBLE_CLOSED,
    REVERSIBLE_OPEN,
)

import tnqrnn as tq
from tnqrnn.backends.statevector import backend as statevector

dtypes = pytest.mark.parametrize("dtype", EXACT)
BACKENDS = {
    "statevector": lambda dtype: tq.Statevector(dtype),
    "mps": lambda dtype: tq.MPS(2, dtype=dtype),
}
backends = pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)


def make_cell(backend, *, n_qubits=4, angle_scale=1.0, **options):
    """A cell whose angles are of order ``angle_scale``: each step scrambles."""
    return tq.QRNNCell(
        3,
        tq.hardware_efficient(n_qubits),
        controller=tq.Controller("tanh", (16,), init_scale=3 * angle_scale),
        backend=backend,
        key=jax.random.key(1),
        **options,
    )


def make_inputs(dtype, *shape):
    return jax.random.normal(jax.random.key(2), shape, jnp.finfo(dtype).dtype)


@eqx.filter_jit
@eqx.filter_grad
def gradient_of_loss(both, mode):
    cell, xs = both
    rollout = tq.unroll(cell, xs, gradient=mode)
    z = rollout.readouts
    last = jnp.sum(jnp.sin(cell.backend.norm(rollout.carry.state) + z[-1]))
    return last + jnp.mean(z**2)


def flat(tree):
    leaves = jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))
    return np.concatenate([np.asarray(leaf).ravel() for leaf in leaves])


def relative_error(actual, expected):
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


@dtypes
@pytest.mark.parametrize("feedback", [True, False], ids=["closed", "open"])
def test_gradient_modes_agree(dtype, feedback):
    cell = make_cell(tq.Statevector(dtype), feedback=feedback, n_qubits=5)
    xs = make_inputs(dtype, 32 if feedback else 256, 3)
    tolerance = (REVERSIBLE_CLOSED if feedback else REVERSIBLE_OPEN)[dtype]
    expected, *others = [
        flat(gradient_of_loss((cell, xs), mode))
        for mode in ("store", "checkpoint", "reversible")
    ]
    assert np.linalg.norm(expected) > 0.1
    for actual in others:
        assert relative_error(actual, expected) < tolerance


@pytest.mark.parametrize(
    ("readout", "observables"),
    [
        ("unit", "xyz+zz"),
        ("haar", ["X0 Z3", "I", "Y1"]),
        ("learned", "xyz+zz"),
        ("learned", ["X0 Z3", "I", "Y1"]),
        (0.5, "xyz"),
    ],
)
def test_reversible_gradients_reach_every_parameter(readout, observables):
    cell = make_cell(
        tq.Statevector("complex128"), readout=readout, observables=observables
    )
    xs = make_inputs("complex128", 6, 3)
    grads = [gradient_of_loss((cell, xs), mode) for mode in ("store", "reversible")]
    assert relative_error(flat(grads[1]), flat(grads[0])) < 1e-12
    for leaf in jax.tree.leaves(eqx.filter(grads[1], eqx.is_inexact_array)):
        assert np.abs(leaf).max() > 0


def test_reversible_gradients_reach_the_start():
    cell = make_cell(tq.Statevector("complex128"))
    xs = make_inputs("complex128", 5, 3)
    other = tq.hardware_efficient(4, n_layers=1)

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(angles, mode):
        state = cell.backend.evolve(other, angles, cell.backend.init(4))
        rollout = tq.unroll(cell, xs, carry=cell.init(state), gradient=mode)
        return jnp.sum(rollout.readouts[2:] ** 3) + rollout.carry.readouts[0]

    angles = make_inputs("complex128", other.n_params)
    expected, actual = (gradient(angles, mode) for mode in ("store", "reversible"))
    assert relative_error(actual, expected) < 1e-12


@backends
def test_gradient_against_central_differences(backend, rng):
    cell = make_cell(backend("complex128"))
    xs = make_inputs("complex128", 6, 3)
    params, static = eqx.partition(cell, eqx.is_inexact_array)
    start, unflatten = ravel_pytree(params)

    @jax.jit
    def loss(vector):
        rollout = tq.unroll(eqx.combine(unflatten(vector), static), xs)
        return jnp.sum(jnp.sin(rollout.readouts))

    direction = rng.normal(size=start.shape)
    expected = references.central_difference(loss, np.asarray(start), direction)
    actual = float(jax.jit(jax.grad(loss))(start) @ direction)
    assert abs(actual - expected) <= FINITE_DIFFERENCE * abs(expected)


@dtypes
@pytest.mark.parametrize("n_qubits", [1, 2, 3, 6, 7, 8])
def test_a_sufficient_bond_dimension_is_exact_in_closed_loop(dtype, n_qubits):
    """With small weights, and with all angles the same special one: a bias alone."""
    free = make_cell(tq.Statevector(dtype), n_qubits=n_qubits, angle_scale=0.3)
    layer = lambda cell: (cell.network.layers[-1].weight, cell.network.layers[-1].bias)  # noqa: E731
    weight, bias = layer(free)
    cells = {"free": free}
    for angle in (0.0, np.pi / 2, np.pi):
        special = (jnp.zeros_like(weight), jnp.full_like(bias, angle))
        cells[f"all angles {angle:.2f}"] = eqx.tree_at(layer, free, special)
    xs = make_inputs(dtype, 2, 8, 3)
    for what, cell in cells.items():
        mps = cell.with_backend(tq.MPS(2 ** (n_qubits // 2), dtype=dtype))
        values = [tq.unroll(c, xs).readouts for c in (cell, mps)]
        np.testing.assert_allclose(values[1], values[0], atol=EXACT[dtype])
        exact, actual = (flat(gradient_of_loss((c, xs), "auto")) for c in (cell, mps))
        scale = np.linalg.norm(exact)
        if what != "free":  # it may vanish there
            scale = max(scale, 1.0)
        assert np.linalg.norm(actual - exact) < GRADIENT[dtype] * scale, what


def test_a_sufficient_bond_has_the_gradients_of_exact_states():
    cell = make_cell(tq.Statevector("complex128"), n_qubits=5)
    mps = cell.with_backend(tq.MPS(4, dtype="complex128"))
    assert mps.backend == tq.MPS(4, dtype="complex128")  # as asked for
    assert mps.engine == cell.backend and mps.gradients == cell.gradients
    xs = make_inputs("complex128", 6, 3)
    for mode in cell.gradients:
        values, exact = (flat(gradient_of_loss((c, xs), mode)) for c in (mps, cell))
        np.testing.assert_array_equal(values, exact)
    truncating = cell.with_backend(tq.MPS(3, dtype="complex128"))
    assert truncating.engine == truncating.backend


@backends
def test_a_batch_is_a_loop(backend):
    cell = make_cell(backend("complex128"))
    xs = make_inputs("complex128", 3, 5, 3)
    batch = tq.unroll(cell, xs)
    loop = [tq.unroll(cell, x) for x in xs]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *loop)
    mapped = jax.vmap(lambda x: tq.unroll(cell, x))(xs)
    assert batch.readouts.shape == (3, 5, 12)
    assert batch.truncation.log_fidelity.shape == (3, 5)
    assert batch.truncation.discarded_weight.shape == (3, 5, 3)
    for other in (stacked, mapped):
        assert eqx.tree_equal(batch, other, rtol=0, atol=EXACT["complex128"])


@pytest.mark.parametrize("mode", ["reversible", "store"])
def test_the_gradient_of_a_batch_is_the_sum_of_its_samples(mode):
    cell = make_cell(tq.Statevector("complex128"))
    xs = make_inputs("complex128", 3, 5, 3)
    gradient = eqx.filter_jit(
        eqx.filter_grad(
            lambda c, xs: jnp.sum(tq.unroll(c, xs, gradient=mode).readouts ** 2)
        )
    )
    loop = sum(flat(gradient(cell, x)) for x in xs)
    mapped = jax.vmap(gradient, in_axes=(None, 0))(cell, xs)
    summed = flat(jax.tree.map(lambda leaf: leaf.sum(0), mapped))
    for actual in (flat(gradient(cell, xs)), summed):
        assert relative_error(actual, loop) < 1e-12


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_samples_moved_one_after_another_give_the_same(at_once, monkeypatch):
    """Large states are moved in groups that divide the batch; here small ones are."""
    cell = make_cell(tq.Statevector("complex128"))
    xs = make_inputs("complex128", 4, 5, 3)

    def value_and_gradient():
        jax.clear_caches()  # the constant is no argument of the compiled programs
        rollout = tq.unroll(cell, xs)
        return rollout, flat(gradient_of_loss((cell, xs), "reversible"))

    together = value_and_gradient()
    monkeypatch.setattr(statevector, "AMPLITUDES_AT_ONCE", at_once * 2**4)
    state = jax.vmap(lambda _: cell.init())(xs).state
    assert cell.backend.samples_at_once(state) == at_once
    apart = value_and_gradient()
    assert eqx.tree_equal(apart, together, rtol=0, atol=EXACT["complex128"])
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert cell.backend.samples_at_once(state) == 4


@backends
def test_the_loop_is_the_cell_step_by_step(backend):
    cell = make_cell(backend("complex128"))
    xs = make_inputs("complex128", 4, 3)
    carry, zs = cell.init(), []
    for x in xs:
        carry, z = cell(carry, x)
        zs.append(z)
    rollout = tq.unroll(cell, xs)
    expected = (jnp.stack(zs), carry)
    actual = (rollout.readouts, rollout.carry)
    assert eqx.tree_equal(actual, expected, rtol=0, atol=EXACT["complex128"])


@backends
@pytest.mark.parametrize("cut", [1, 3, 5])
def test_a_sequence_cut_in_two_is_the_whole(backend, cut):
    """Truncation totals go on, too; over random circuits in test_properties.py."""
    cell = make_cell(backend("complex128"))
    xs = make_inputs("complex128", 6, 3)
    whole = tq.unroll(cell, xs)
    first = tq.unroll(cell, xs[:cut])
    second = tq.unroll(cell, xs[cut:], carry=first.carry)
    joined = jnp.concatenate([first.readouts, second.readouts])
    np.testing.assert_allclose(joined, whole.readouts, atol=1e-12)
    assert eqx.tree_equal(second.carry, whole.carry, rtol=0, atol=1e-12)


def test_without_feedback_the_controller_sees_x_alone():
    cell = make_cell(tq.Statevector(), feedback=False)
    assert cell.network.layers[0].in_features == 3
    assert make_cell(tq.Statevector()).network.layers[0].in_features == 3 + 12


def test_reversible_memory_does_not_grow_with_the_sequence():
    """XLA's own analysis; a state at n=12 takes 32 KiB."""
    n_qubits, state = 12, 2**12 * 8
    cell = make_cell(tq.Statevector(), n_qubits=n_qubits)

    def temporary(n_steps):
        params, static = eqx.partition(cell, eqx.is_inexact_array)

        def loss(params, xs):
            rollout = tq.unroll(eqx.combine(params, static), xs, gradient="reversible")
            return jnp.sum(rollout.readouts[-1])

        xs = jax.ShapeDtypeStruct((n_steps, 3), "float32")
        program = jax.jit(jax.grad(loss)).lower(params, xs).compile()
        return program.memory_analysis().temp_size_in_bytes

    growth = (temporary(512) - temporary(16)) / (512 - 16)
    assert growth < 0.1 * state


def test_a_batch_too_large_for_memory_is_refused():
    cell = make_cell(tq.Statevector(), n_qubits=22)
    xs = jax.ShapeDtypeStruct((4096, 2, 3), "float32")
    with pytest.raises(MemoryError, match="a batch of 4096 states must fit"):
        jax.eval_shape(lambda xs: tq.unroll(cell, xs), xs)


def test_a_carry_that_is_not_the_cell_s_is_refused():
    def make(n_qubits, backend=None):
        return tq.QRNNCell(
            2,
            tq.hardware_efficient(n_qubits, n_layers=1),
            observables=["Z0", "X1"],
            backend=backend,
            key=jax.random.key(0),
        )

    cell, xs = make(2), np.ones((3, 2), "float32")
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf] * 2), cell.init())
    chi_3 = make(8, tq.MPS(3)).init()
    cases = [
        (cell, xs, cell.init(tq.Statevector().init(3))),
        (cell, xs, batch),
        (cell, np.stack([xs] * 2), cell.init()),
        (cell, np.stack([xs] * 3), batch),
        (cell, xs, cell.init().state),
        (cell, xs, "carry"),
        (make(8, tq.MPS(2)), xs, chi_3),
        (make(2, tq.Network(search="never")), xs, cell.init().state),
    ]
    for cell, xs, carry in cases:
        with pytest.raises(ValueError, match=r"carry must be like the cell's init\(\)"):
            tq.unroll(cell, xs, carry=carry)


def test_bad_sequences_are_refused():
    cell = make_cell(tq.Statevector())
    good = np.zeros((4, 3), np.float32)
    for shape in [(4,), (4, 2), (0, 3), (2, 0, 3), (0, 4, 3), (1, 2, 4, 3)]:
        with pytest.raises(ValueError, match=r"xs must be of shape \(T, 3\) or"):
            tq.unroll(cell, np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match="xs must be finite, got 1 NaN or infinite"):
        tq.unroll(cell, np.where(np.arange(12).reshape(4, 3) == 5, np.nan, good))
    with pytest.raises(ValueError, match="xs must be finite, got 12 NaN or infinite"):
        tq.unroll(cell, np.full((4, 3), 1e300))
    with pytest.raises(ValueError, match="xs must be finite, got 12 NaN or infinite"):
        tq.unroll(cell, jnp.full((4, 3), jnp.nan, jnp.bfloat16))
    with pytest.raises(ValueError, match="xs must be real numbers, got complex128"):
        tq.unroll(cell, np.zeros((4, 3), complex))
    with pytest.raises(ValueError, match="cell must be an instance of AbstractCell"):
        tq.unroll(tq.SequenceClassifier(cell, 2, key=jax.random.key(0)), good)
    with pytest.raises(ValueError, match="gradient must be one of .*got 'adjoint'"):
        tq.unroll(cell, good, gradient="adjoint")
    with pytest.raises(ValueError, match="'checkpoint', 'store'.* got 'reversible'"):
        tq.unroll(cell.with_backend(tq.MPS(2)), good, gradient="reversible")
