"""Prices of gradients: memory, time, and what is refused before it is compiled."""

import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tnqrnn as tq
from tnqrnn import pricing
from tnqrnn.pricing import fits, median_seconds, price, program_bytes, refusal


def make_cell(n_qubits=3, backend=None, **options):
    return tq.QRNNCell(
        2,
        tq.hardware_efficient(n_qubits),
        backend=backend or tq.Statevector(),
        key=jax.random.key(0),
        **options,
    )


@pytest.fixture
def memory(monkeypatch):
    """Sets the bytes of memory that the machine has."""

    def set_to(n_bytes):
        for module in (pricing, tq.checks):
            monkeypatch.setattr(
                module, "memory_limit", lambda host=False: ("this machine", n_bytes)
            )

    return set_to


@pytest.fixture
def gru():
    """A cell whose program compiles soon; its carry is 4 numbers of 4 bytes."""
    return tq.cells.KINDS["gru"](5, 4, key=jax.random.key(0))


def test_the_whole_of_a_cheap_gradient_is_measured():
    cell = make_cell()
    cost = price(cell, batch_size=3, n_steps=2)
    assert cost.timed_steps == 2 and fits(cost)
    assert 0 < cost.seconds < 10 and 0 < cost.compile_seconds < 100
    params, static = eqx.partition(cell, eqx.is_inexact_array)

    def loss(params, xs):
        readouts = tq.unroll(eqx.combine(params, static), xs).readouts
        return jnp.mean(jnp.sin(readouts))

    xs = np.ones((3, 2, 2), "float32")
    program = jax.jit(jax.value_and_grad(loss)).lower(params, xs).compile()
    sizes = program.memory_analysis()
    assert cost.bytes == (
        sizes.argument_size_in_bytes
        + sizes.output_size_in_bytes
        + sizes.temp_size_in_bytes
    )
    assert cost.bytes == program_bytes(cell, batch_size=3, n_steps=2)


def test_bytes_hold_the_states_and_what_a_gradient_mode_stores():
    cell = make_cell(10)
    n_bytes = program_bytes(cell, batch_size=8, n_steps=4)
    assert n_bytes > 8 * 2**10 * 8
    model = tq.SequenceClassifier(cell, 3, gradient="store", key=jax.random.key(1))
    assert program_bytes(model, batch_size=8, n_steps=4) > 3 * n_bytes


def test_a_dear_gradient_is_timed_by_two_steps(monkeypatch, gru):
    timed = []

    def two_seconds(program, arguments, *, at_least):
        timed.append(arguments[1].shape)
        return 2.0

    monkeypatch.setattr(pricing, "median_seconds", two_seconds)
    carry = sum(leaf.nbytes for leaf in jax.tree.leaves(gru.init()))
    monkeypatch.setattr(pricing, "CHEAP", 3 * 9 * carry)
    dear = price(gru, batch_size=3, n_steps=10)
    assert (dear.seconds, dear.timed_steps) == (10.0, 2)
    cheap = price(gru, batch_size=3, n_steps=9)
    assert (cheap.seconds, cheap.timed_steps) == (2.0, 9)
    assert timed == [(3, 2, 5), (3, 9, 5)]
    monkeypatch.setattr(pricing, "CHEAP", 0)
    assert price(gru, batch_size=3, n_steps=1).timed_steps == 1
    grows = make_cell(2, tq.Network())  # its later steps cost more
    assert price(grows, batch_size=1, n_steps=3).timed_steps == 3


def test_a_model_is_priced_by_its_own_loss_and_inputs(gru):
    model = tq.SequenceClassifier(gru, 3, key=jax.random.key(1))
    assert price(model, batch_size=2, n_steps=3).timed_steps == 3
    shapes = []

    def loss(model, xs):
        shapes.append((xs.shape, xs.dtype))
        return jnp.mean(model(jax.nn.one_hot(xs, 5)))

    tokens = jax.ShapeDtypeStruct((), jnp.int32)
    cost = price(model, batch_size=2, n_steps=3, loss=loss, step_input=tokens)
    assert cost.seconds > 0 and shapes == [((2, 3), jnp.int32)]


def test_a_program_that_does_not_fit_is_not_run(memory, monkeypatch, gru):
    n_bytes = program_bytes(gru, batch_size=4, n_steps=3)
    memory(pricing.PROCESS_BYTES + n_bytes)
    assert fits(n_bytes) and not fits(n_bytes + 1)
    assert price(gru, batch_size=4, n_steps=3).seconds > 0
    memory(pricing.PROCESS_BYTES + n_bytes - 1)
    monkeypatch.setattr(pricing, "median_seconds", None)
    cost = price(gru, batch_size=4, n_steps=3)
    assert np.isnan(cost.seconds) and cost.timed_steps == 0
    assert cost.bytes == n_bytes and not fits(cost)


@pytest.mark.parametrize(
    ("backend", "batch_size", "message"),
    [
        (tq.Statevector(), 1, "n_qubits=60: a statevector must fit into"),
        (tq.MPS(2**20), 1, "max_bond=1048576: a state of 60 qubits must fit into"),
        (tq.MPS(4), 2**40, "batch_size=1099511627776: the states must fit into"),
    ],
)
def test_states_that_cannot_be_held_are_refused_before_compiling(
    backend, batch_size, message, monkeypatch
):
    monkeypatch.setattr(pricing, "_lower", None)
    cell = make_cell(60, backend)
    for function in (price, program_bytes):
        with pytest.raises(MemoryError, match=message):
            function(cell, batch_size=batch_size, n_steps=2)
    model = tq.SequenceClassifier(cell, 2, key=jax.random.key(0))
    assert refusal(model, batch_size=batch_size).startswith(message)
    assert refusal(make_cell(60, tq.MPS(4)), batch_size=8) is None


@pytest.mark.parametrize(
    ("model", "sizes", "message"),
    [
        (make_cell, (0, 2), "batch_size must be an integer >= 1, got 0"),
        (make_cell, (2, 1.5), "n_steps must be an integer >= 1, got 1.5"),
        (
            lambda: eqx.nn.Linear(2, 2, key=jax.random.key(0)),
            (2, 2),
            "model must be a cell or have one, got Linear",
        ),
    ],
)
def test_bad_arguments_of_a_price(model, sizes, message):
    batch_size, n_steps = sizes
    with pytest.raises(ValueError, match=message):
        price(model(), batch_size=batch_size, n_steps=n_steps)


def test_a_first_call_is_not_timed():
    calls = []

    def program(sleep):
        calls.append(time.sleep(sleep if calls else 3 * sleep))
        return 0.0

    seconds = median_seconds(program, (0.3,), at_least=1)
    assert 0.3 <= seconds < 0.9 and len(calls) == 3
