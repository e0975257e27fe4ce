"""What one gradient of a model costs on this machine, before a batch of it exists.

The model's own program is lowered for a batch that has a shape and no entries, and
compiled. XLA then says how much memory the program needs, and a run says how long it
takes:

    seconds(T) = measured                  where T steps are cheap,
                 T / 2 * seconds(2)        else: time grows with the number of steps.

So a price holds for any circuit, cell, backend, dtype and device, and for the threads
that JAX was given. Another program on the machine makes it too high.
"""

import math
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from tnqrnn.checks import check_int, check_memory, memory_limit
from tnqrnn.model import AbstractCell, unroll
from tnqrnn.model.base import parameter_dtype

PROCESS_BYTES = 2**29
"""What Python, JAX and its compiler take beside a gradient."""

SHORT = 2
"""Steps of the roll-out that is timed in place of a dear one."""

CHEAP = 2**24
"""Bytes of the states of all samples and steps up to which the whole gradient is timed.

A gradient takes 10 to 100 ns for each of them on one core (two layers on a chain), so
2 seconds at most.
"""

Loss = Callable[[Any, jax.Array], jax.Array]


class Price(NamedTuple):
    """What one gradient costs.

    Attributes:
        seconds: of loss and gradient, compilation not included; NaN if the program
            does not fit.
        bytes: of the program: arguments, results and all that it holds at once.
        compile_seconds: of tracing and compiling it (less if JAX's compilation cache
            has it).
        timed_steps: the number of steps that were timed: T, or 2 if the rest is
            extrapolated.
    """

    seconds: float
    bytes: int
    compile_seconds: float
    timed_steps: int


def price(
    model: eqx.Module,
    *,
    batch_size: int,
    n_steps: int,
    loss: Loss | None = None,
    step_input: jax.ShapeDtypeStruct | None = None,
) -> Price:
    """Compiles and times one gradient of a model by its parameters.

    Args:
        model: a cell, or a model with cells in it; its gradient mode is its own.
        batch_size: B >= 1.
        n_steps: T >= 1.
        loss: ``loss(model, xs)`` gives a real number. By default the mean sine of all
            readouts of a cell, or of all that a model gives, so that every one of them
            has a cotangent of its own.
        step_input: shape and dtype of x_t of one sample; by default ``input_size``
            numbers of the parameters' dtype. Integers are drawn as zeros, other numbers
            from a normal distribution.

    Raises:
        MemoryError: the states of the batch do not fit; nothing is compiled.
        ValueError: a size below 1, or a model without a cell.

    >>> import tnqrnn as tq
    >>> cell = tq.QRNNCell(2, tq.hardware_efficient(3), key=jax.random.key(0))
    >>> cost = tq.pricing.price(cell, batch_size=4, n_steps=8)
    >>> cost.timed_steps, cost.seconds > 0, tq.pricing.fits(cost)
    (8, True, True)
    """
    state_bytes = _check_states(model, batch_size)
    n_steps = check_int("n_steps", n_steps, minimum=1)
    start = time.perf_counter()
    program = _lower(model, batch_size, n_steps, loss, step_input).compile()
    compile_seconds = time.perf_counter() - start
    n_bytes = _program_bytes(program)
    if not fits(n_bytes):
        return Price(math.nan, n_bytes, compile_seconds, 0)
    grows = any(cell.grows for cell in _cells(model))
    steps = n_steps if grows or n_steps * state_bytes <= CHEAP else min(SHORT, n_steps)
    if steps < n_steps:
        program = _lower(model, batch_size, steps, loss, step_input).compile()
    xs = _draw(_inputs(model, batch_size, steps, step_input))
    params = eqx.filter(model, eqx.is_inexact_array)
    seconds = median_seconds(program, (params, xs), at_least=1)
    return Price(seconds * n_steps / steps, n_bytes, compile_seconds, steps)


def program_bytes(
    model: eqx.Module,
    *,
    batch_size: int,
    n_steps: int,
    loss: Loss | None = None,
    step_input: jax.ShapeDtypeStruct | None = None,
) -> int:
    """Bytes of one gradient, as in `Price`, without timing it; arguments of `price`.

    Raises:
        MemoryError: the states of the batch do not fit; nothing is compiled.
        ValueError: a size below 1, or a model without a cell.
    """
    _check_states(model, batch_size)
    n_steps = check_int("n_steps", n_steps, minimum=1)
    # Memory is planned before code is made: code that is not optimised tells it as well
    # and is compiled in half of the time.
    options = {"xla_backend_optimization_level": 0}
    lowered = _lower(model, batch_size, n_steps, loss, step_input)
    return _program_bytes(lowered.compile(options))


def fits(cost: Price | int) -> bool:
    """Whether the memory that JAX computes in can hold a gradient of that price.

    Half a GiB of a machine's memory is left to Python, JAX and its compiler.

    Args:
        cost: a price, or the bytes of one.
    """
    n_bytes = cost.bytes if isinstance(cost, Price) else cost
    owner, total = memory_limit()
    return n_bytes + PROCESS_BYTES * (owner == "this machine") <= total


def refusal(model: eqx.Module, *, batch_size: int) -> str | None:
    """Why the states of a batch cannot be held in memory; ``None`` where they can.

    Nothing is compiled or allocated, so that a study can leave points out by it:
    ``Study(..., skip=lambda point: refusal(build(point), batch_size=32) is not None)``.

    Raises:
        ValueError: a size below 1, or a model without a cell.

    >>> import tnqrnn as tq
    >>> cell = tq.QRNNCell(2, tq.hardware_efficient(70), key=jax.random.key(0))
    >>> refusal(cell, batch_size=8).partition(" must")[0]
    'n_qubits=70: a statevector'
    >>> refusal(cell.with_backend(tq.MPS(4)), batch_size=8) is None
    True
    """
    try:
        _check_states(model, batch_size)
    except MemoryError as error:
        return str(error)
    return None


def median_seconds(
    program: Callable[..., Any], arguments: tuple[Any, ...], *, at_least: int = 3
) -> float:
    """Median time of calls after a first one, at least so many and half a second."""
    jax.block_until_ready(program(*arguments))
    times: list[float] = []
    while len(times) < at_least or sum(times) < 0.5:
        start = time.perf_counter()
        jax.block_until_ready(program(*arguments))
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _cells(model: eqx.Module) -> list[AbstractCell]:
    """The cells in a model, itself if it is one."""

    def is_cell(node: Any) -> bool:
        return isinstance(node, AbstractCell)

    cells = [node for node in jax.tree.leaves(model, is_leaf=is_cell) if is_cell(node)]
    if not cells:
        raise ValueError(
            f"model must be a cell or have one, got {type(model).__name__}."
        )
    return cells


def _check_states(model: eqx.Module, batch_size: int) -> int:
    """Bytes of the states of a batch, refused where they cannot fit."""
    batch_size = check_int("batch_size", batch_size, minimum=1)
    carries = [jax.eval_shape(cell.init) for cell in _cells(model)]
    sizes = [leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(carries)]
    check_memory(f"batch_size={batch_size}: the states", batch_size * sum(sizes))
    return batch_size * sum(sizes)


def _inputs(
    model: eqx.Module, batch_size: int, n_steps: int, step_input: Any
) -> jax.ShapeDtypeStruct:
    """Shape and dtype of xs: (B, T, ...)."""
    if step_input is None:
        size = _cells(model)[0].input_size
        step_input = jax.ShapeDtypeStruct((size,), parameter_dtype(model))
    shape = (batch_size, n_steps, *step_input.shape)
    return jax.ShapeDtypeStruct(shape, step_input.dtype)


def _draw(inputs: jax.ShapeDtypeStruct) -> jax.Array:
    if jnp.issubdtype(inputs.dtype, jnp.floating):
        return jax.random.normal(jax.random.key(0), inputs.shape, inputs.dtype)
    return jnp.zeros(inputs.shape, inputs.dtype)


def _lower(
    model: eqx.Module,
    batch_size: int,
    n_steps: int,
    loss: Loss | None,
    step_input: jax.ShapeDtypeStruct | None,
) -> Any:
    """Loss and gradient by the parameters, ready to be compiled."""
    params, static = eqx.partition(model, eqx.is_inexact_array)
    chosen = _mean_sine if loss is None else loss

    def value(params: Any, xs: jax.Array) -> jax.Array:
        return chosen(eqx.combine(params, static), xs)

    xs = _inputs(model, batch_size, n_steps, step_input)
    return jax.jit(jax.value_and_grad(value)).lower(params, xs)


def _mean_sine(model: Any, xs: jax.Array) -> jax.Array:
    if isinstance(model, AbstractCell):
        return jnp.mean(jnp.sin(unroll(model, xs).readouts))
    return jnp.mean(jnp.sin(model(xs)))


def _program_bytes(program: Any) -> int:
    """Memory of a compiled program, by XLA's own analysis."""
    sizes = program.memory_analysis()
    return (
        sizes.argument_size_in_bytes
        + sizes.output_size_in_bytes
        - sizes.alias_size_in_bytes  # results that are written over arguments
        + sizes.temp_size_in_bytes
    )
