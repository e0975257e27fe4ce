"""What small roll-outs gave at commit fa3416f: how it is computed, and how written.

One row of the file is one configuration: a cell or model, a gradient mode, inputs. Its
numbers are readouts, logits, what truncation lost, the final state, and the gradient of
a fixed loss by every parameter and by the inputs, all in complex128.

Public names alone are used, so that rows outlive the code below them. The first command
adds the rows that the file lacks, the second writes one anew::

    python tests/recorded/recording.py --write
    python tests/recorded/recording.py --write "mps-1 store"
"""

import argparse
import functools
import os
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import tnqrnn as tq

jax.config.update("jax_enable_x64", True)  # backends below are made at import

FILE = Path(__file__).with_name("fa3416f.npz")
DTYPE = "complex128"

TOLERANCE = 1e-10
"""Largest error of an array, relative to its largest entry or to 1."""

ROUNDING, MOVED = 1e-13, 1e-11
"""Weights changed by the first, relatively, may move no array by more than the second:
rows that amplify rounding would fail after changes that are right."""

LEAST_LOST = 1e-3
"""Infidelity that a row with bonds too narrow has at least."""

LARGEST_VECTOR = 2**10
"""Amplitudes; a longer final state is not recorded."""

INPUT_SIZE, N_CLASSES = 2, 3

Numbers = dict[str, np.ndarray]


@dataclass(frozen=True)
class Configuration:
    """One row.

    Attributes:
        make: builds the cell or model; its initial weights are not used.
        gradient: mode of the roll-out.
        shape: (B, T), or (T,) for a single sequence.
        start: ``"zero"`` for the first carry of the cell, ``"state"`` for a given one,
            ``"cut"`` for two roll-outs, the carry of the first step passed on.
        truncates: whether bonds are too narrow for the state.
    """

    make: Callable[[], eqx.Module]
    gradient: str
    shape: tuple[int, ...] = (2, 3)
    start: str = "zero"
    truncates: bool = False


def _key() -> jax.Array:
    return jax.random.key(0)


def _cell(
    backend: tq.AbstractBackend, circuit: tq.Ansatz, controller: Any = (), **options
) -> tq.QRNNCell:
    """A cell with a small controller: one hidden layer of 3 unless it says otherwise.

    ``controller`` holds the arguments of ``tq.Controller`` that differ.
    """
    controller = tq.Controller(**{"hidden": (3,), **dict(controller)})
    return tq.QRNNCell(
        INPUT_SIZE,
        circuit,
        controller=controller,
        backend=backend,
        key=_key(),
        **options,
    )


# Single-qubit gates of every kind, pairs far apart and in both orders, an angle shared.
BY_HAND = tq.Ansatz(
    4,
    [
        ("h", 0), ("ry", 1, 0), ("t", 2), ("rx", 3, 1), ("crz", (3, 0), 2), ("s", 1),
        ("rz", 0, 3), ("y", 2), ("ry", 2, 0), ("tdg", 1), ("rxx", (0, 2), 4), ("x", 3),
        ("swap", (1, 2)), ("sdg", 3), ("rz", 3, 5), ("z", 0),
    ],
)  # fmt: skip

SEVERAL_SITES = ["Z0", "X0 Y3", "Z1 Y2 X3", "I", "X0 X1 X2 X3", "Y2"]
ENTANGLERS = ("crx", "cry", "crz", "rxx", "ryy", "rzz", "cz", "cnot")


def _configurations() -> dict[str, Configuration]:
    table: dict[str, Configuration] = {}

    def add(name: str, make: Callable[[], eqx.Module], *modes: str, **options) -> None:
        for mode in modes:
            row = f"{name} {mode}"
            assert row not in table, row
            table[row] = Configuration(make, mode, **options)

    def quantum(name, backend, circuit, *modes, controller=(), row=(), **options):
        make = lambda: _cell(backend, circuit, controller, **options)  # noqa: E731
        add(name, make, *modes, **dict(row))

    layers = tq.hardware_efficient
    exact = tq.Statevector(DTYPE)
    network = tq.Network(DTYPE)

    def mps(max_bond: int, cutoff: float = 0.0) -> tq.MPS:
        return tq.MPS(max_bond, cutoff, DTYPE)

    # Exact states.
    every = ("reversible", "checkpoint", "store")
    for topology, modes in (
        ("chain", every),
        ("ring", every[:1]),
        ("brickwork", every[1:2]),
        ("all_to_all", every[2:]),
    ):
        quantum(f"exact {topology}", exact, layers(4, 1, topology=topology), *modes)
    for i, entangler in enumerate(ENTANGLERS):
        circuit = layers(3, 1 + i % 3, entangler=entangler)
        quantum(f"exact {entangler}", exact, circuit, every[i % 3])
    circuit = layers(3, 2, ("rz", "rx", "ry"), "rzz", "ring")
    quantum("exact three-rotations", exact, circuit, "reversible")
    for observables in ("z", "xyz+zz"):
        options = {"observables": observables}
        quantum(f"exact {observables}", exact, layers(3, 1), "reversible", **options)
    options = {"observables": SEVERAL_SITES}
    quantum("exact several-sites", exact, layers(4, 1), *every[:2], **options)
    for readout in ("haar", "learned", 0.7):
        options = {"readout": readout}
        quantum(
            f"exact readout-{readout}", exact, layers(3, 1), "reversible", **options
        )
    quantum("exact open", exact, layers(3, 1), *every[:2], feedback=False)
    for activation in ("linear", "relu", "tanh", "glu"):
        controller = {"activation": activation}
        name = f"exact {activation}"
        quantum(name, exact, layers(2, 1), "reversible", controller=controller)
    for name, controller in (
        ("affine", {"hidden": ()}),
        ("two-hidden", {"hidden": (4, 3)}),
        ("embedding", {"embedding_size": 3}),
    ):
        quantum(
            f"exact {name}", exact, layers(2, 1), "reversible", controller=controller
        )
    quantum("exact by-hand", exact, BY_HAND, *every[::2])
    quantum("exact one-qubit", exact, layers(1), *every[:2])
    quantum("exact single", exact, layers(3, 1), "reversible", row={"shape": (5,)})
    for start in ("state", "cut"):
        quantum(f"exact {start}", exact, layers(3, 1), *every[:2], row={"start": start})

    # Bonds that suffice: held as a vector, and as a product of matrices.
    both = ("checkpoint", "store")
    quantum("mps vector", mps(2), layers(3, 1), "checkpoint")
    quantum("mps one-qubit", mps(1), layers(1), "checkpoint")
    circuit = layers(6, 1, entangler="cz", topology="brickwork")
    quantum("mps wide", mps(5), circuit, "store", row={"shape": (2, 2)})

    # Bonds that truncate.
    lossy = {"truncates": True}
    longer = lossy | {"shape": (2, 5)}
    for i, (n_qubits, topology) in enumerate(
        ((5, "chain"), (4, "ring"), (6, "brickwork"), (4, "all_to_all"))
    ):
        circuit = layers(n_qubits, 1, entangler="rxx", topology=topology)
        quantum(f"mps-2 {topology}", mps(2), circuit, both[i % 2], row=longer)
    for i, entangler in enumerate(("ryy", "rzz", "cz", "cnot")):
        circuit = layers(4, 1 + i % 3, entangler=entangler)
        quantum(f"mps-2 {entangler}", mps(2), circuit, both[i % 2], row=longer)
    strong = layers(4, 1, entangler="rxx")
    quantum("mps-1", mps(1), layers(4, 1), "store", row=lossy)
    quantum("mps-5", mps(5), layers(6, 2, entangler="cnot"), "store", row=longer)
    quantum("mps-3 cutoff", mps(3, 0.2), layers(4), "checkpoint", row=lossy)
    quantum("mps-2 by-hand", mps(2), BY_HAND, "checkpoint", row=lossy)
    options = {"observables": SEVERAL_SITES, "readout": "learned"}
    quantum("mps-2 several-sites", mps(2), strong, "store", row=longer, **options)
    options = {"observables": "xyz+zz", "feedback": False}
    quantum("mps-2 xyz+zz open", mps(2), strong, "checkpoint", row=longer, **options)
    quantum("mps-2 state", mps(2), strong, "store", row=lossy | {"start": "state"})
    quantum("mps-2 cut", mps(2), strong, "checkpoint", row=longer | {"start": "cut"})

    # The history as a network; its program grows with T.
    short = {"shape": (2, 2)}
    quantum("network chain", network, layers(3), *both, row=short)
    for i, topology in enumerate(("ring", "brickwork", "all_to_all")):
        circuit = layers(4, 1, topology=topology)
        quantum(f"network {topology}", network, circuit, both[i % 2], row=short)
    quantum("network by-hand", network, BY_HAND, "store", row=short)
    options = {"observables": SEVERAL_SITES, "feedback": False}
    quantum("network several-sites", network, layers(4), "store", row=short, **options)
    quantum("network one-qubit", network, layers(1), "store", row=short)
    quantum("network cut", network, layers(3, 1), "store", row=short | {"start": "cut"})
    # So many qubits that readouts come from light cones and no vector is made.
    options = {"observables": ["Z0", "X8 Y9", "Z17"]}
    many = layers(18, 1, "ry", "cz")
    quantum("network cones", network, many, "store", row={"shape": (1, 1)}, **options)

    # Classical cells, and the heads.
    def classical(kind: str) -> tq.AbstractCell:
        options = {"dtype": "float64", "key": _key()}
        return getattr(tq.cells, kind)(INPUT_SIZE, 4, **options)

    for kind in ("RNN", "GRU", "LSTM"):
        make = functools.partial(classical, kind)
        add(kind, make, *both, shape=(2, 5))
    add("LSTM cut", make, "store", shape=(2, 5), start="cut")

    circuit = layers(4, 1)
    for name, cell, mode in (
        ("exact", lambda: _cell(exact, circuit, readout="haar"), "reversible"),
        ("mps-2", lambda: _cell(mps(2), circuit), "checkpoint"),
        ("network", lambda: _cell(network, circuit), "store"),
        ("GRU", lambda: classical("GRU"), "store"),
    ):
        for head in (tq.SequenceClassifier, tq.SequenceLabeler):
            make = lambda head=head, cell=cell: head(  # noqa: E731
                cell(), N_CLASSES, key=_key()
            )
            add(f"{head.__name__} {name}", make, mode, shape=(2, 2))
    return table


CONFIGURATIONS = _configurations()


def _draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal numbers that depend on a name and a shape alone."""
    return np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape)


def _path(path: Any) -> str:
    """Where a leaf was at fa3416f; a leaf that moves is to be mapped back here."""
    return jax.tree_util.keystr(path)


def with_fixed_weights(module: eqx.Module) -> eqx.Module:
    """The module with weights that no change of its ``__init__`` can alter.

    Each inexact leaf is drawn by NumPy from a seed that is the checksum of its path, so
    that a new leaf, another order of fields or another use of keys moves none of the
    others. Biases are 0.3 to 1 in size, so that angles are: at smaller ones bonds would
    hardly be truncated, and a bond's rank would be close to one that rises.
    """

    def fixed(path, leaf):
        if not eqx.is_inexact_array(leaf):
            return leaf
        draw = _draw(_path(path), leaf.shape)
        if leaf.ndim == 1:
            values = np.copysign(0.3 + 0.7 * np.abs(np.tanh(draw)), draw)
        else:
            values = 0.7 * draw / np.sqrt(leaf.shape[-1])
        return jnp.asarray(values, leaf.dtype)

    return jax.tree_util.tree_map_with_path(fixed, module)


def _first_carry(cell: tq.AbstractCell, batch: int) -> Any:
    """Carries of given states, for a quantum cell."""
    size = 2**cell.ansatz.n_qubits
    parts = _draw("start", (2, batch, size))
    amplitudes = parts[0] + 1j * parts[1]
    amplitudes /= np.linalg.norm(amplitudes, axis=-1, keepdims=True)
    start = lambda a: cell.init(cell.backend.from_statevector(a))  # noqa: E731
    return jax.vmap(start)(jnp.asarray(amplitudes))


def _outputs(
    module: Any, xs: jax.Array, gradient: str, start: str
) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """What a loss may depend on, by name, and what truncation lost."""
    if not isinstance(module, tq.AbstractCell):
        return {"logits": module(xs, gradient=gradient)}, {}
    carry = _first_carry(module, len(xs)) if start == "state" else None
    readouts = []
    for part in (xs[:, :1], xs[:, 1:]) if start == "cut" else (xs,):
        rollout = tq.unroll(module, part, carry=carry, gradient=gradient)
        carry = rollout.carry
        readouts.append(rollout.readouts)
    outputs = {"readouts": jnp.concatenate(readouts, axis=-2)}
    if not isinstance(module, tq.QRNNCell):
        return outputs | {"carry": jnp.stack(jax.tree.leaves(carry))}, {}
    outputs["last"] = carry.readouts
    if 2**module.ansatz.n_qubits <= LARGEST_VECTOR:
        vector = module.backend.to_statevector
        vectors = jax.vmap(vector) if xs.ndim == 3 else vector
        outputs["state"] = vectors(carry.state)
    lost = rollout.truncation._asdict()
    return outputs, {f"truncation {name}": value for name, value in lost.items()}


@eqx.filter_jit
def _numbers(
    module: eqx.Module, xs: jax.Array, gradient: str, start: str
) -> dict[str, jax.Array]:
    def loss(both):
        module, xs = both
        outputs, lost = _outputs(module, xs, gradient, start)
        total = jnp.zeros((), xs.dtype)
        for name, values in outputs.items():
            weights = _draw(name, (2, *values.shape)) / np.sqrt(values.size)
            total += jnp.sum(jnp.asarray(weights[0]) * values.real)
            if jnp.iscomplexobj(values):
                total += jnp.sum(jnp.asarray(weights[1]) * values.imag)
        return total, outputs | lost

    _, pull_back, outputs = eqx.filter_vjp(loss, (module, xs), has_aux=True)
    ((to_module, to_xs),) = pull_back(jnp.ones((), xs.dtype))
    leaves = jax.tree_util.tree_leaves_with_path(to_module)
    by_parameter = {f"gradient {_path(path)}": leaf for path, leaf in leaves}
    return outputs | by_parameter | {"gradient inputs": to_xs}


def compute(configuration: Configuration, change: float = 0.0) -> Numbers:
    """The numbers of one row, by name.

    Args:
        configuration: the row.
        change: relative change of each weight, of random sign.
    """
    module = with_fixed_weights(configuration.make())
    leaves, tree = jax.tree.flatten(module)
    for i, leaf in enumerate(leaves):
        if change and eqx.is_inexact_array(leaf):
            signs = np.sign(_draw(f"change {i}", leaf.shape))
            leaves[i] = leaf * jnp.asarray(1 + change * signs)
    xs = jnp.asarray(_draw("inputs", (*configuration.shape, INPUT_SIZE)))
    module = jax.tree.unflatten(tree, leaves)
    numbers = _numbers(module, xs, configuration.gradient, configuration.start)
    return {name: np.asarray(values) for name, values in numbers.items()}


def error(actual: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference of two arrays of one shape, relative to the larger or to 1."""
    scale = max(1.0, np.max(np.abs(expected), initial=0.0))
    return float(np.max(np.abs(actual - expected), initial=0.0) / scale)


def infidelity(numbers: Numbers) -> float:
    """The least, over the batch, of ``1 - exp(log_fidelity)`` after the last step."""
    last = numbers["truncation log_fidelity"][..., -1]
    return float(np.min(-np.expm1(last)))


def read() -> dict[str, Numbers]:
    """The rows of the file; in it each is a scalar with one field an array."""
    with np.load(FILE, allow_pickle=False) as rows:
        return {
            name: {field: row[field] for field in row.dtype.names}
            for name, row in rows.items()
        }


def _packed(numbers: Numbers) -> np.ndarray:
    fields = [(name, value.dtype, value.shape) for name, value in numbers.items()]
    row = np.zeros((), fields)
    for name, value in numbers.items():
        row[name] = value
    return row


def main() -> None:
    """Computes rows, says what rounding does to them, and writes them if told."""
    parser = argparse.ArgumentParser(description="Recorded roll-outs.")
    parser.add_argument("rows", nargs="*", help="names; those not yet in the file")
    parser.add_argument("--write", action="store_true", help=f"into {FILE.name}")
    arguments = parser.parse_args()
    os.environ["TNQRNN_PLANS"] = tempfile.mkdtemp()
    recorded = read() if FILE.exists() else {}
    computed = {}
    for name in arguments.rows or [n for n in CONFIGURATIONS if n not in recorded]:
        configuration = CONFIGURATIONS[name]
        began = time.process_time()
        numbers = compute(configuration)
        seconds = time.process_time() - began
        changed = compute(configuration, ROUNDING)
        moved = max(error(changed[key], value) for key, value in numbers.items())
        lost = infidelity(numbers) if configuration.truncates else 0.0
        print(f"{name:40} moved {moved:.0e}, lost {lost:.0e}, {seconds:4.1f} s")
        if moved > MOVED or configuration.truncates and lost < LEAST_LOST:
            raise SystemExit(f"not fit to be recorded: {name}")
        computed[name] = numbers
    if arguments.write:
        rows = recorded | computed
        packed = {name: _packed(rows[name]) for name in CONFIGURATIONS}
        np.savez_compressed(FILE, **packed)
        print(f"{len(packed)} rows, {FILE.stat().st_size / 1e3:.0f} kB: {FILE.name}")


if __name__ == "__main__":
    main()
