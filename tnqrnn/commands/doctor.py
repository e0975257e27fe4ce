"""``tnqrnn doctor``: what this machine is, what it can hold, what a gradient costs."""

import math
from typing import Literal

import jax
import numpy as np
import psutil

from tnqrnn import pricing
from tnqrnn.backends import MPS, Statevector
from tnqrnn.checks import check_int, memory_limit
from tnqrnn.circuits import hardware_efficient
from tnqrnn.model import Controller, QRNNCell
from tnqrnn.records import provenance, usable_cores

WRONG_JAX = ("0.10.2", "0.11.0")
"""Versions that are excluded: the first computes wrongly on CPU (jax-ml/jax#39103)."""

HEADINGS = ("representation", "gradient, s", "memory", "compile, s", "")


def doctor(
    *,
    n_qubits: int | None = None,
    max_bond: tuple[int, ...] = (),
    n_layers: int = 2,
    topology: Literal["chain", "ring", "brickwork", "all_to_all"] = "chain",
    entangler: Literal[
        "crx", "cry", "crz", "rxx", "ryy", "rzz", "cz", "cnot", "heisenberg"
    ] = "crx",
    n_steps: int = 16,
    batch: int = 8,
    input_size: int = 16,
    hidden: int = 64,
    dtype: Literal["complex64", "complex128"] = "complex64",
) -> int:
    """Says what this machine is and can hold, and prices a gradient before it runs.

    Programs are compiled as they would be run, and a gradient, or two steps of a long
    or large one, is timed. ``tnqrnn.pricing.price`` does this for any model.

    Args:
        n_qubits: number of qubits of the gradient to price; without it none is priced.
        max_bond: bond dimensions of the MPS to price beside exact states.
        n_layers: layers of the circuit.
        topology: of the circuit.
        entangler: two-qubit gate of the circuit.
        n_steps: sequence length T.
        batch: batch size B.
        input_size: features of a step.
        hidden: units of the controller's hidden layer.
        dtype: complex type of the amplitudes.

    Returns:
        1 if all that was asked for is refused, else 0.

    Raises:
        ValueError: a number out of range, or a bond without a number of qubits.
    """
    if n_qubits is None and max_bond:
        raise ValueError(f"n_qubits must be given with max_bond={max_bond}, got None.")
    check_int("batch", batch, minimum=1)
    check_int("n_steps", n_steps, minimum=1)
    check_int("hidden", hidden, minimum=1)
    jax.config.update("jax_enable_x64", dtype == "complex128")

    ansatz = (
        None
        if n_qubits is None
        else hardware_efficient(
            n_qubits, n_layers, topology=topology, entangler=entangler
        )
    )
    _print_machine()
    shape = f"T = {n_steps}, batch {batch}, {dtype}"
    holds = largest_statevector(batch, n_steps, dtype)
    _line("can hold", f"a gradient of exact states of up to {holds} qubits, {shape}")
    if ansatz is None:
        return 0
    backends = {"Statevector": Statevector(dtype)} | {
        f"MPS({chi})": MPS(chi, dtype=dtype) for chi in max_bond
    }
    circuit = f"{n_layers} layers, {entangler} {topology}"
    print(f"\nOne gradient: {ansatz.n_qubits} qubits, {circuit}, {shape}\n")
    _row(*HEADINGS)
    controller = Controller(hidden=(hidden,))
    fitting = [
        _print_price(
            name,
            QRNNCell(
                input_size,
                ansatz,
                controller=controller,
                backend=backend,
                key=jax.random.key(0),
            ),
            batch,
            n_steps,
        )
        for name, backend in backends.items()
    ]
    return 0 if any(fitting) else 1


def largest_statevector(batch: int, n_steps: int, dtype: str) -> int:
    """The most qubits whose gradient on exact states fits into memory.

    Args:
        batch: batch size B.
        n_steps: sequence length T.
        dtype: complex type of the amplitudes.
    """
    # The states alone, B 2^n amplitudes, fill at most half the memory at this n. Beyond
    # 28 qubits XLA would need wider indices.
    half = memory_limit()[1] / 2
    itemsize = np.dtype(dtype).itemsize
    n_qubits = min(28, math.floor(math.log2(half / (itemsize * batch))))
    if n_qubits < 1:
        return 0
    # One layer of a chain, which compiles fast: two layers of all_to_all take 0.5% more
    # memory at 26 qubits.
    cell = QRNNCell(
        1,
        hardware_efficient(n_qubits, n_layers=1),
        backend=Statevector(dtype),
        key=jax.random.key(0),
    )
    n_bytes = pricing.program_bytes(cell, batch_size=batch, n_steps=n_steps)
    # So many states outweigh all else: bytes double with each qubit.
    while pricing.fits(2 * n_bytes):
        n_qubits, n_bytes = n_qubits + 1, 2 * n_bytes
    while n_qubits > 0 and not pricing.fits(n_bytes):
        n_qubits, n_bytes = n_qubits - 1, n_bytes // 2
    return n_qubits


def _print_price(name: str, cell: QRNNCell, batch: int, n_steps: int) -> bool:
    """Prints one row and says whether the gradient fits."""
    try:
        cost = pricing.price(cell, batch_size=batch, n_steps=n_steps)
    except MemoryError as error:
        print(f"{name:15} refused: {error}")
        return False
    if not pricing.fits(cost):
        owner, total = memory_limit()
        needs = _size(cost.bytes + pricing.PROCESS_BYTES)
        print(f"{name:15} refused: needs about {needs}, and {owner} has {_size(total)}")
        return False
    timed = cost.timed_steps
    _row(
        name,
        f"{cost.seconds:.3g}",
        _size(cost.bytes),
        f"{cost.compile_seconds:.1f}",
        "measured" if timed == n_steps else f"{n_steps} / {timed} times {timed} steps",
    )
    return True


def _print_machine() -> None:
    made, memory = provenance(), psutil.virtual_memory()
    advice = ", which computes wrongly: install another" * (made["jax"] in WRONG_JAX)
    devices = ", ".join(f"{one} ({one.device_kind})" for one in jax.devices())
    free = f"{_size(memory.available)} of it available"
    _line("tnqrnn", f"{made['tnqrnn']}, Python {made['python']}")
    _line("processor", f"{made['processor']}, {usable_cores()} cores usable")
    _line("memory", f"{_size(memory.total)}, {free}")
    _line("JAX", f"{made['jax']}{advice}; 64-bit mode {'on' if made['x64'] else 'off'}")
    _line("devices", devices)


def _line(title: str, text: str) -> None:
    print(f"{title:16}{text}", flush=True)


def _row(*cells: str) -> None:
    widths = (15, 12, 10, 11, 0)
    print(" ".join(f"{c:{w}}" for c, w in zip(cells, widths, strict=True)).rstrip(),
          flush=True)  # fmt: skip


def _size(n_bytes: float) -> str:
    """Bytes in words, ``23.4 GiB``."""
    for unit, exponent in (("GiB", 30), ("MiB", 20)):
        if n_bytes >= 2**exponent:
            return f"{n_bytes / 2**exponent:.3g} {unit}"
    return f"{n_bytes / 2**10:.3g} KiB"
