"""``tnqrnn doctor``: what this machine is, what it can hold, what a gradient costs."""

from typing import Literal, NamedTuple

import jax
import psutil

from tnqrnn.records import provenance
from tnqrnn.study import usable_cores, use_one_thread
from tnqrnn.study.costs import (
    Configuration,
    CostModel,
    crossing,
    is_measured,
    load_model,
    predict_bytes,
    predict_seconds,
)
from tnqrnn.study.probes import Probes, measure_probes

WRONG_JAX = ("0.10.2", "0.11.0")
"""Versions that are excluded: the first computes wrongly on CPU (jax-ml/jax#39103)."""

PROCESS_BYTES = 2**29
"""What Python, JAX and its compiler take beside a gradient."""

WORTHWHILE = 2
"""How many times faster an MPS must be to be recommended in place of exact states."""


class Price(NamedTuple):
    """What a configuration costs, and why it is refused, if it is."""

    configuration: Configuration
    seconds: float
    n_bytes: float
    refusal: str | None


def doctor(
    *,
    n_qubits: int | None = None,
    max_bond: int | None = None,
    n_steps: int = 16,
    batch: int = 8,
    dtype: Literal["complex64", "complex128"] = "complex64",
) -> int:
    """Says what this machine is and can hold, and prices a gradient before it runs.

    Args:
        n_qubits: number of qubits of the gradient to price; without it none is priced.
        max_bond: bond dimension of an MPS to compare with exact states.
        n_steps: sequence length T.
        batch: batch size B.
        dtype: complex type of the amplitudes.

    Returns:
        1 if all that was asked for is refused, else 0.

    Raises:
        ValueError: a number out of range, or a bond without a number of qubits.
    """
    if n_qubits is None and max_bond is not None:
        raise ValueError(f"n_qubits must be given with max_bond={max_bond}, got None.")
    wanted = [None] if max_bond is None else [None, max_bond]
    n = 1 if n_qubits is None else n_qubits
    sizes = [Configuration(n, chi, n_steps, batch, dtype) for chi in wanted]
    cores = usable_cores()
    use_one_thread()  # before JAX starts
    _print_machine(cores)
    model, memory = load_model(), psutil.virtual_memory().total
    holds = largest_statevector(model, memory, n_steps, batch, dtype)
    shape = f"T = {n_steps}, batch {batch}, {dtype}"
    _line("can hold", f"a Statevector of up to {holds} qubits for a gradient, {shape}")
    if n_qubits is None:
        return 0
    probes = measure_probes()
    print(f"\nOne gradient of {n_qubits} qubits, {shape}, one thread")
    _print_probes(probes, model)
    model = model.scaled(probes)
    prices = [price(model, size, memory) for size in sizes]
    for one in prices:
        _print_price(one, model)
    if max_bond is not None and not sizes[-1].is_dense:
        start = crossing(model, max_bond)
        _line("crossing", f"{_label(sizes[-1])} is faster from n = {start:.1f} on")
    _line("take", recommend(prices))
    return 0 if any(one.refusal is None for one in prices) else 1


def largest_statevector(
    model: CostModel, memory: int, n_steps: int, batch: int, dtype: str
) -> int:
    """The most qubits whose gradient on exact states fits into ``memory`` bytes."""
    n_qubits = 0
    while True:
        size = Configuration(n_qubits + 1, None, n_steps, batch, dtype)
        if PROCESS_BYTES + predict_bytes(model, size) > memory:
            return n_qubits
        n_qubits += 1


def price(model: CostModel, configuration: Configuration, memory: int) -> Price:
    """Predicts the cost of a gradient, or says why it is refused.

    Args:
        model: scaled to this machine.
        configuration: an MPS that is held as a vector is refused.
        memory: bytes.
    """
    if configuration.is_dense:
        rule = "max_bond >= 2**(n_qubits // 2) truncates nothing: it is a Statevector"
        return Price(configuration, 0.0, 0.0, rule)
    seconds = predict_seconds(model, configuration)
    n_bytes = predict_bytes(model, configuration)
    refusal = None
    if PROCESS_BYTES + n_bytes > memory:
        needs = f"needs about {_size(PROCESS_BYTES + n_bytes)}"
        refusal = f"{needs}, and this machine has {_size(memory)}"
    return Price(configuration, seconds, n_bytes, refusal)


def recommend(prices: list[Price]) -> str:
    """Which of one or two priced representations to take, and why.

    Args:
        prices: of exact states and, if asked for, of an MPS.
    """
    exact, *others = prices
    mps = next((one for one in others if one.refusal is None), None)
    if exact.refusal and not others:
        return "an MPS, which --max-bond prices: exact states do not fit"
    if exact.refusal and mps is None:
        return "nothing of this: fewer qubits, a smaller bond, T or batch"
    if mps is None:
        return "Statevector: exact"
    gain = exact.seconds / mps.seconds
    if exact.refusal:
        return f"{_label(mps.configuration)}: exact states do not fit"
    if gain < WORTHWHILE:
        return f"Statevector: exact, and the MPS takes {1 / gain:.2g} times as long"
    return f"{_label(mps.configuration)}: {gain:.2g} times faster, if its error allows"


def _print_machine(cores: int) -> None:
    made, memory = provenance(), psutil.virtual_memory()
    advice = ", which computes wrongly: install another" * (made["jax"] in WRONG_JAX)
    devices = ", ".join(f"{one} ({one.device_kind})" for one in jax.devices())
    free = f"{_size(memory.available)} of it available"
    _line("tnqrnn", f"{made['tnqrnn']}, Python {made['python']}")
    _line("processor", f"{made['processor']}, {cores} cores usable")
    _line("memory", f"{_size(memory.total)}, {free}")
    _line("JAX", f"{made['jax']}{advice}; 64-bit mode {'on' if made['x64'] else 'off'}")
    _line("devices", devices)


def _print_probes(probes: Probes, model: CostModel) -> None:
    ratios = (probes.product / model.probes.product, probes.split / model.probes.split)
    _line(
        "measured",
        f"100 matrix products {1e3 * probes.product:.2f} ms, 8 splits "
        f"{1e3 * probes.split:.2f} ms;",
    )
    _line("", f"{ratios[0]:.2f} and {ratios[1]:.2f} times the time of the machine")
    _line("", f"of the model, {model.origin['processor']}")


def _print_price(price: Price, model: CostModel) -> None:
    configuration, seconds, n_bytes, refusal = price
    if refusal:
        _line(_label(configuration), f"refused: {refusal}")
        return
    trust = f"within {model.seconds[configuration.kind].largest_residual:.0%}"
    if not is_measured(model, configuration):
        ranges = model.ranges[configuration.kind]
        trust = "extrapolated from " + ", ".join(
            f"{name} {low} to {high}" for name, (low, high) in ranges.items()
        )
    _line(_label(configuration), f"{seconds:.2g} s, {_size(n_bytes)} ({trust})")


def _line(title: str, text: str) -> None:
    print(f"{title:16}{text}")


def _label(configuration: Configuration) -> str:
    chi = configuration.max_bond
    return "Statevector" if chi is None else f"MPS({chi})"


def _size(n_bytes: float) -> str:
    """Bytes in words, ``23.4 GiB``."""
    for unit, exponent in (("GiB", 30), ("MiB", 20)):
        if n_bytes >= 2**exponent:
            return f"{n_bytes / 2**exponent:.3g} {unit}"
    return f"{n_bytes / 2**10:.3g} KiB"
