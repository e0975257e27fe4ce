"""Cells, controllers, heads, switching the backend, saving and loading."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import EXACT

import tnqrnn as tq

KEYS = jax.random.split(jax.random.key(0))
ACTIVATIONS = ("linear", "relu", "gelu", "glu", "tanh")


def make_model(backend=None, kind=tq.SequenceClassifier, **options):
    ansatz = tq.hardware_efficient(3)
    cell = tq.QRNNCell(4, ansatz, backend=backend, key=KEYS[0], **options)
    return kind(cell, 5, key=KEYS[1])


def n_parameters(module):
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(module, eqx.is_array)))


@pytest.mark.parametrize("hidden", [(), (7,), (7, 6)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_controllers_of_every_kind_and_size(activation, hidden):
    controller = tq.Controller(activation, hidden, embedding_size=2)
    model = make_model(controller=controller)
    n_angles, sizes = model.cell.ansatz.n_params, [2 + 9, *hidden]
    double = 2 if activation == "glu" else 1
    expected = 4 * 2 + 2 + n_angles * (sizes[-1] + 1)
    expected += sum(double * b * (a + 1) for a, b in zip(sizes, hidden, strict=False))
    assert n_parameters(model.cell) == expected
    xs = jax.random.normal(KEYS[0], (2, 6, 4), "float32")
    logits = model(xs)
    assert logits.shape == (2, 5) and logits.dtype == "float32"
    angles = jax.vmap(lambda x: model.cell.angles(x, jnp.zeros(9, "float32")))
    xs = xs[0] * 5
    bend = angles(xs) + angles(-xs) - 2 * angles(jnp.zeros_like(xs))
    nonlinear = float(jnp.abs(bend).max()) > 1e-5
    assert nonlinear == (activation != "linear" and hidden != ())


def test_a_small_start_is_near_the_identity():
    near = make_model(controller=tq.Controller(init_scale=0.1)).cell
    far = make_model(controller=tq.Controller(init_scale=1.0)).cell
    x, z = jnp.ones(4, "float32"), jnp.ones(9, "float32")
    ratio = jnp.linalg.norm(near.angles(x, z)) / jnp.linalg.norm(far.angles(x, z))
    np.testing.assert_allclose(ratio, 0.1, rtol=1e-5)


@pytest.mark.parametrize(
    ("readout", "factor"), [("unit", 1), ("haar", 3), ("learned", 1), (0.25, 0.25)]
)
def test_scaling_acts_on_what_controller_and_head_receive(readout, factor):
    cell = make_model(readout=readout).cell
    z = jnp.arange(9.0, dtype="float32")
    np.testing.assert_allclose(cell.features(z), factor * z, rtol=1e-6)
    _, readouts = cell(cell.init(), jnp.ones(4, "float32"))
    assert np.abs(readouts).max() <= 1 + EXACT["complex64"]
    assert (cell.gain is not None) == (readout == "learned")


def test_switching_the_backend_keeps_the_parameters():
    model = make_model()
    xs = jax.random.normal(KEYS[0], (2, 6, 4), "float32")
    other = model.with_backend(tq.MPS(2))
    same = model.with_backend(tq.MPS(8))
    for switched in (other, same):
        assert switched.cell.backend != model.cell.backend
        kept = [eqx.filter(m, eqx.is_array) for m in (model, switched)]
        pairs = zip(*map(jax.tree.leaves, kept), strict=True)
        assert all((a == b).all() for a, b in pairs)
    np.testing.assert_allclose(same(xs), model(xs), atol=EXACT["complex64"])
    assert eqx.tree_equal(same.with_backend(tq.Statevector()), model)


def test_weights_follow_the_precision_of_the_backend():
    model = make_model().with_backend(tq.Statevector("complex128"))
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_array))}
    assert dtypes == {jnp.dtype("float64")}
    xs = np.ones((6, 4), np.float32)
    assert model(xs).dtype == "float64"


def test_a_model_keeps_its_gradient_mode():
    cell = make_model().cell
    model = tq.SequenceClassifier(cell, 5, gradient="reversible", key=KEYS[1])
    xs = np.ones((6, 4), np.float32)
    assert model(xs).shape == (5,)
    assert model.with_backend(tq.MPS(2))(xs).shape == (5,)  # 3 qubits: it suffices
    switched = model.with_backend(tq.MPS(1))
    with pytest.raises(ValueError, match="got 'reversible'"):
        switched(xs)
    assert switched(xs, gradient="store").shape == (5,)
    with pytest.raises(ValueError, match="gradient must be one of .*'adjoint'"):
        tq.SequenceClassifier(cell, 5, gradient="adjoint", key=KEYS[1])


def test_another_start_may_be_given():
    cell = make_model().cell
    state = cell.backend.from_statevector(np.eye(8)[7])
    carry = cell.init(state)
    np.testing.assert_allclose(carry.readouts[2::3], -np.ones(3), atol=1e-6)


def test_a_labeler_gives_logits_at_every_step():
    model = make_model(kind=tq.SequenceLabeler)
    xs = jax.random.normal(KEYS[0], (2, 6, 4), "float32")
    assert model(xs).shape == (2, 6, 5) and model(xs[0]).shape == (6, 5)
    classifier = eqx.tree_at(
        lambda m: (m.cell, m.head), make_model(), (model.cell, model.head)
    )
    np.testing.assert_allclose(model(xs)[:, -1], classifier(xs), atol=1e-6)
    np.testing.assert_allclose(model(xs)[1], model(xs[1]), atol=1e-6)


CELLS = {
    "default": lambda: tq.QRNNCell(4, tq.hardware_efficient(3), key=KEYS[0]),
    "options": lambda: tq.QRNNCell(
        4,
        tq.Ansatz(3, [("h", 0), ("rxx", (2, 0), 1), ("ry", 1, 0)]),
        observables=["X0 Z2", "I"],
        controller=tq.Controller("glu", (6, 5), embedding_size=2, init_scale=0.5),
        readout="learned",
        feedback=False,
        backend=tq.MPS(3, cutoff=1e-4, dtype="complex128"),
        key=KEYS[0],
    ),
    "rnn": lambda: tq.cells.RNN(4, 6, key=KEYS[0]),
    "lstm": lambda: tq.cells.LSTM(4, 6, key=KEYS[0]),
    "lstm-float64": lambda: tq.cells.LSTM(4, 6, dtype="float64", key=KEYS[0]),
    "gru": lambda: tq.cells.GRU(4, 6, key=KEYS[0]),
}


@pytest.mark.parametrize("kind", [tq.SequenceClassifier, tq.SequenceLabeler])
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_a_model_is_saved_and_loaded_bit_for_bit(cell, kind, tmp_path):
    model = kind(cell(), 5, gradient="checkpoint", key=KEYS[1])
    loaded = tq.load(tq.save(model, tmp_path / "model.npz"))
    assert eqx.tree_equal(loaded, model)
    xs = np.ones((6, 4), np.float32)
    np.testing.assert_array_equal(loaded(xs), model(xs))


def test_a_damaged_model_file_is_refused(tmp_path):
    path = tq.save(make_model(), tmp_path / "model.npz")
    whole = path.read_bytes()
    for damaged in (whole[:-100], whole[: len(whole) // 2], b"", b"text"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="model file written by .*model.npz"):
            tq.load(path)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    path.write_bytes(flipped)
    with pytest.raises(ValueError, match="model file written by"):
        tq.load(path)
    with pytest.raises(FileNotFoundError):
        tq.load(tmp_path / "absent.npz")


def test_an_array_is_no_model_file(tmp_path):
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(ValueError, match="path must be a model file written by tnqrnn"):
        tq.load(tmp_path / "array.npy")


@pytest.mark.parametrize("backend", [tq.Statevector(), tq.MPS(2), tq.MPS(1)])
def test_amplitudes_nearly_of_norm_1_are_made_so(backend):
    amplitudes = np.zeros(8, complex)
    amplitudes[0] = 1.00009
    state = backend.from_statevector(amplitudes)
    np.testing.assert_allclose(backend.expectation(["Z0", "I"], state), 1, atol=1e-6)


def test_a_model_of_another_format_is_refused(tmp_path):
    path = tmp_path / "model.npz"
    np.savez(path, header=np.frombuffer(b'{"format": "other 7"}', np.uint8))
    with pytest.raises(ValueError, match="of format 'other 7'"):
        tq.load(path)


def test_a_model_file_without_its_description_is_refused(tmp_path):
    path = tmp_path / "model.npz"
    header = b'{"format": "tnqrnn model 1", "model": "classifier"}'
    np.savez(path, header=np.frombuffer(header, np.uint8))
    with pytest.raises(ValueError, match="whole header, got .* misplaces 'fields'"):
        tq.load(path)
    header = b'{"format": "tnqrnn model 2"}'
    np.savez(path, header=np.frombuffer(header, np.uint8))
    with pytest.raises(ValueError, match="whole header, got .*'description'"):
        tq.load(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"controller": "swish"}, "activation must be one of .*'swish'"),
        ({"readout": "big"}, "readout must be one of .*'big'"),
        ({"readout": np.nan}, "readout must be a finite number"),
        ({"readout": 10**400}, "readout must be a finite number, got 1000"),
        ({"readout": 1e39}, "readout must be finite in float32, got 1e\\+39"),
        ({"observables": ["Z3"]}, "act on qubits 0 to 2"),
        ({"feedback": "no"}, "feedback must be True or False, got 'no'"),
        ({"backend": tq.MPS}, "backend must be an instance of .*, got the class MPS"),
        ({"controller": 32}, "controller must be an instance of Controller, got int"),
    ],
)
def test_bad_cells_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_model(**options)


def test_numbers_of_numpy_are_saved_as_python_s(tmp_path):
    controller = tq.Controller(embedding_size=np.int64(4), init_scale=np.float32(0.5))
    backend = tq.Network(memory_limit=np.int64(10**6))
    ansatz = tq.hardware_efficient(2, n_layers=1)
    quantum = tq.QRNNCell(
        *(np.int64(3), ansatz),
        controller=controller,
        feedback=np.bool_(True),
        backend=backend,
        key=KEYS[0],
    )
    for cell in (quantum, tq.cells.RNN(np.int64(3), np.int64(5), key=KEYS[0])):
        model = tq.SequenceClassifier(cell, np.int64(2), key=KEYS[1])
        assert eqx.tree_equal(tq.load(tq.save(model, tmp_path / "model.npz")), model)


def test_what_cannot_be_saved_is_refused(tmp_path):
    model = make_model()
    with pytest.raises(FileNotFoundError, match="path must be in a folder that exists"):
        tq.save(model, tmp_path / "none" / "model.npz")
    with pytest.raises(ValueError, match="model must be an instance of Module, got"):
        tq.save(model.cell.ansatz, tmp_path / "model.npz")


def test_the_haar_scale_is_finite_or_refused():
    options = {"readout": "haar", "observables": ["Z0"], "key": KEYS[0]}
    largest = tq.QRNNCell(1, tq.Ansatz(255, [("h", 0)]), backend=tq.MPS(1), **options)
    assert np.isfinite(largest.features(jnp.ones(1, "float32"))).all()
    with pytest.raises(ValueError, match="another than 'haar' from 256 qubits on"):
        tq.QRNNCell(1, tq.Ansatz(256, [("h", 0)]), backend=tq.MPS(1), **options)
    double = tq.MPS(1, dtype="complex128")
    larger = tq.QRNNCell(1, tq.Ansatz(1100, [("h", 0)]), backend=double, **options)
    assert np.isfinite(larger.features(jnp.ones(1))).all()
    with pytest.raises(ValueError, match="got 1100 qubits"):
        larger.with_backend(tq.MPS(1))


def test_other_bad_arguments_are_refused():
    ansatz = tq.hardware_efficient(2)
    with pytest.raises(ValueError, match="input_size must be an integer >= 1, got 0"):
        tq.QRNNCell(0, ansatz, key=KEYS[0])
    with pytest.raises(ValueError, match="hidden must be an integer >= 1, got 0"):
        tq.Controller(hidden=(0,))
    with pytest.raises(ValueError, match="embedding_size must be an integer >= 1"):
        tq.Controller(embedding_size=0)
    cell = tq.QRNNCell(4, ansatz, key=KEYS[0])
    with pytest.raises(ValueError, match="n_classes must be an integer >= 2, got 1"):
        tq.SequenceClassifier(cell, 1, key=KEYS[0])
    with pytest.raises(ValueError, match=r"x must be of shape \(4,\), got \(3,\)"):
        cell(cell.init(), np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="backend"):
        tq.cells.LSTM(4, 3, key=KEYS[0]).with_backend(tq.Statevector())
