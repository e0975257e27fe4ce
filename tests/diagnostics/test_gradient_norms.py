"""Gradient norms by time step against a loop written out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import EXACT, GRADIENT

import tnqrnn as tq
from tnqrnn.diagnostics import gradient_norms

TOLERANCE = EXACT["complex128"]
N_SAMPLES, N_STEPS, N_FEATURES, N_CLASSES = 3, 4, 2, 5


def batch(labels=False):
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(N_SAMPLES, N_STEPS, N_FEATURES))
    shape = (N_SAMPLES, N_STEPS) if labels else (N_SAMPLES,)
    return xs, rng.integers(0, N_CLASSES, size=shape)


def quantum_model(kind=tq.SequenceClassifier, **options):
    keys = jax.random.split(jax.random.key(1))
    ansatz = tq.hardware_efficient(3, n_layers=1)
    controller = tq.Controller(hidden=(6,), init_scale=1.0)
    options.setdefault("backend", tq.Statevector("complex128"))
    cell = tq.QRNNCell(
        N_FEATURES,
        ansatz,
        controller=controller,
        key=keys[0],
        **options,
    )
    return kind(cell, N_CLASSES, key=keys[1])


def written_out(model, x, target, offsets):
    """The loss of one sample, step by step, with offsets (T, P) added to the angles."""
    cell = model.cell
    state = cell.init().state
    losses = []
    for t in range(len(x)):
        angles = cell.angles(x[t], cell.read(state)) + offsets[t]
        state = cell.backend.evolve(cell.ansatz, angles, state)
        logits = model.head(cell.features(cell.read(state)))
        losses.append(jax.nn.logsumexp(logits) - logits)
    if target.ndim == 0:
        return losses[-1][target]
    return jnp.mean(
        jnp.stack([loss[c] for loss, c in zip(losses, target, strict=True)])
    )


def expected(model, xs, targets):
    zero = jnp.zeros((N_STEPS, model.cell.ansatz.n_params))
    by = jax.jit(jax.grad(lambda x, c, o: written_out(model, x, c, o), (0, 2)))
    pairs = [by(jnp.asarray(x), c, zero) for x, c in zip(xs, targets, strict=True)]
    norms = [[np.linalg.norm(part, axis=1) for part in pair] for pair in pairs]
    return np.mean(norms, axis=0)


@pytest.mark.parametrize("options", [{}, {"feedback": False}, {"readout": "learned"}])
def test_norms_equal_those_of_a_written_out_loop(options):
    model = quantum_model(**options)
    found = gradient_norms(model, *batch())
    inputs, angles = expected(model, *batch())
    np.testing.assert_allclose(found.inputs, inputs, atol=TOLERANCE)
    np.testing.assert_allclose(found.angles, angles, atol=TOLERANCE)
    assert np.min(angles) > 1e-4


def test_labels_at_every_step():
    model = quantum_model(tq.SequenceLabeler)
    found = gradient_norms(model, *batch(labels=True))
    inputs, angles = expected(model, *batch(labels=True))
    np.testing.assert_allclose(found.inputs, inputs, atol=TOLERANCE)
    np.testing.assert_allclose(found.angles, angles, atol=TOLERANCE)


def test_every_gradient_mode_gives_the_same():
    model = quantum_model()
    modes = model.cell.gradients
    assert set(modes) == {"reversible", "checkpoint", "store"}
    first, *others = [gradient_norms(model, *batch(), gradient=mode) for mode in modes]
    for other in others:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=TOLERANCE),
                     first, other)  # fmt: skip


def test_representations_agree_where_nothing_is_truncated():
    exact = gradient_norms(quantum_model(), *batch())
    model = quantum_model(backend=tq.MPS(2, dtype="complex128"))
    for a, b in zip(exact, gradient_norms(model, *batch()), strict=True):
        np.testing.assert_allclose(a, b, rtol=GRADIENT["complex128"])


def test_a_classical_cell_has_no_angles():
    keys = jax.random.split(jax.random.key(1))
    cell = tq.cells.LSTM(N_FEATURES, 4, dtype="float64", key=keys[0])
    model = tq.SequenceClassifier(cell, N_CLASSES, key=keys[1])
    xs, targets = batch()
    found = gradient_norms(model, xs, targets)

    def loss(x, target):
        return jax.nn.logsumexp(model(x)) - model(x)[target]

    by = jax.jit(jax.grad(loss))
    by_x = [by(jnp.asarray(x), c) for x, c in zip(xs, targets, strict=True)]
    inputs = np.mean([np.linalg.norm(part, axis=1) for part in by_x], axis=0)
    np.testing.assert_allclose(found.inputs, inputs, atol=TOLERANCE)
    assert found.angles is None


def test_the_parameter_norm_is_that_of_the_mean_loss():
    model = quantum_model()
    xs, targets = batch()

    def loss(head):
        logits = jax.vmap(head)(model.cell.features(zs[:, -1]))
        logs = jax.nn.log_softmax(logits)
        return -jnp.mean(logs[jnp.arange(N_SAMPLES), targets])

    # Without the head's weights nothing reaches the cell: the head's gradient is all.
    zs = tq.unroll(model.cell, xs).readouts
    blind = jax.tree.map(jnp.zeros_like, model.head)
    object.__setattr__(model, "head", blind)
    by_head = jax.grad(loss)(blind)
    norm = np.sqrt(sum(np.sum(leaf**2) for leaf in jax.tree.leaves(by_head)))
    found = gradient_norms(model, xs, targets)
    np.testing.assert_allclose(found.parameters, norm, atol=TOLERANCE)
    np.testing.assert_array_equal(found.angles, np.zeros(N_STEPS))


def test_another_loss_is_taken():
    model = quantum_model()
    xs, targets = batch()
    one = gradient_norms(model, xs, targets, loss=lambda logits, _: logits[:, 0])
    two = gradient_norms(model, xs, targets, loss=lambda logits, _: 2 * logits[:, 0])
    np.testing.assert_allclose(2 * one.angles, two.angles, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("xs", "targets", "message"),
    [
        (np.zeros((3, 4, 7)), np.zeros(3, int), r"xs must be of shape \(B, T, 2\)"),
        (np.zeros((4, 2)), np.zeros(3, int), r"xs must be of shape"),
        (np.zeros((3, 4, 2)), np.zeros(2, int), r"targets must be of shape \(3,\)"),
        (np.zeros((3, 4, 2)), np.zeros((3, 5), int), r"targets must be of .*\(3, 4\)"),
        (np.full((3, 4, 2), np.nan), np.zeros(3, int), "xs must be finite"),
        (np.zeros((3, 4, 2)), np.array([0, 7, 0]), r"targets must be in \[0, .*to 7"),
        (np.zeros((3, 4, 2)), np.array([0, -1, 0]), r"targets must be in \[0, .*-1 to"),
        (np.zeros((3, 4, 2)), np.zeros(3), "targets must be integers, got float64"),
    ],
)
def test_bad_input_is_refused(xs, targets, message):
    with pytest.raises(ValueError, match=message):
        gradient_norms(quantum_model(), xs, targets)


def test_a_circuit_without_angles_has_no_gradient_by_them():
    cell = tq.QRNNCell(2, tq.Ansatz(2, [("h", 0)]), key=jax.random.key(0))
    model = tq.SequenceClassifier(cell, 3, key=jax.random.key(1))
    norms = gradient_norms(model, np.ones((2, 3, 2)), np.zeros(2, int))
    assert norms.angles is None and (norms.inputs == 0).all() and norms.parameters > 0


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="gradient must be"):
        gradient_norms(quantum_model(), *batch(), gradient="backwards")
