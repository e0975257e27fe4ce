"""Why training of a quantum recurrent network collapses, and what prevents it.

    python benchmarks/collapse.py train DATA --remedy limit --rate 1e-2 --seeds 0 1 2
    python benchmarks/collapse.py trace DATA --rate 1e-2 --seed 0
    python benchmarks/collapse.py draw

Row-wise MNIST (28 steps of 28 pixels in [-1, 1]), two layers, a controller of 128
units, batches of 64. DATA holds the two training files as they were published, gzipped.
``train`` appends one line of JSON a run to --out and passes over runs that are there;
with 6 qubits and 20,000 images a run takes a minute of one core. ``trace`` looks at
every tenth step of a run: loss, norm of the gradient, angles, variance of readouts.
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
import tyro
from tnqrnn.training.batches import shuffled_rows

import tnqrnn as tq
from tnqrnn.model.base import with_fields
from tnqrnn.training.update_limit import limit_updates

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "training"
BATCH, PIXELS, CLASSES, VALID = 64, 28, 10, 5000
EVERY = 10  # steps between two lines of a trace
INK = {"none": "#c44e52", "limit": "#4c72b0", "feedback": "#dd8452"}


@dataclass(frozen=True)
class Run:
    """What one training run is.

    Attributes:
        n_qubits: n.
        images: number of training images.
        rate: of Adam, after the warm-up.
        warmup: epochs.
        epochs: passes over the images.
        remedy: none; updates limited relative to their arrays; or dL/dz_t of each
            sample, as it comes back through the controller, shortened.
        constant: rho of the limit; of the feedback, the largest norm of dL/dz_t in
            units of 1/BATCH.
        readout: factor on the readouts.
    """

    n_qubits: int = 6
    images: int = 20_000
    rate: float = 1e-2
    warmup: int = 1
    epochs: int = 4
    remedy: Literal["none", "limit", "feedback"] = "none"
    constant: float = 0.02
    readout: Literal["unit", "haar", "learned"] = "unit"


@dataclass(frozen=True)
class Train(Run):
    """Trains with each seed and appends to --out."""

    data: tyro.conf.Positional[Path] = Path()
    seeds: tuple[int, ...] = tuple(range(10))
    out: Path = RESULTS / "runs.jsonl"


@dataclass(frozen=True)
class Trace(Run):
    """Looks inside the first steps of one run and appends to --out."""

    data: tyro.conf.Positional[Path] = Path()
    seed: int = 0
    steps: int = 700
    out: Path = RESULTS / "trace.jsonl"


@dataclass(frozen=True)
class Draw:
    """Draws the traces into --out."""

    traces: Path = RESULTS / "trace.jsonl"
    out: Path = RESULTS / "collapse.png"


def main(command: Train | Trace | Draw) -> None:
    """Does what the command line asked for."""
    if isinstance(command, Draw):
        draw(command)
        return
    run = Run(**{name: getattr(command, name) for name in Run.__dataclass_fields__})
    task = mnist(command.data, run.images)
    command.out.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(command, Trace):
        append(command.out, trace(run, task, command.seed, command.steps))
        return
    for seed in command.seeds:
        label = asdict(run) | {"seed": seed}
        if label not in [line["run"] for line in lines(command.out)]:
            append(command.out, [{"run": label} | train(run, task, seed)])


def mnist(folder: Path, n_images: int) -> tq.Task:
    """The first images of one fixed shuffle, and its last 5,000 for validation."""

    def read(name: str, offset: int, shape: tuple[int, ...]) -> np.ndarray:
        content = gzip.decompress((folder / name).read_bytes())
        return np.frombuffer(content, np.uint8, offset=offset).reshape(shape)

    images = read("train-images-idx3-ubyte.gz", 16, (-1, PIXELS, PIXELS))
    labels = read("train-labels-idx1-ubyte.gz", 8, (-1,)).astype(int)
    order = np.random.default_rng(0).permutation(len(labels))
    train, valid = (
        (images[rows].astype(np.float32) / 127.5 - 1, labels[rows])
        for rows in (order[:n_images], order[-VALID:])
    )
    return tq.Task.from_arrays(train, valid, valid)


def model_of(run: Run, seed: int) -> tq.SequenceClassifier:
    """The model at its start."""
    keys = jax.random.split(jax.random.key(seed))
    circuit = tq.hardware_efficient(run.n_qubits)
    controller = tq.Controller(hidden=(128,))
    cell = tq.QRNNCell(
        PIXELS, circuit, controller=controller, readout=run.readout, key=keys[0]
    )
    if run.remedy == "feedback":
        cell = with_fields(cell, network=Shortened(cell.network, run.constant / BATCH))
    return tq.SequenceClassifier(cell, CLASSES, key=keys[1])


class Shortened(eqx.Module):
    """A controller through which no dL/dz longer than ``bound`` comes back."""

    network: Any
    bound: float = eqx.field(static=True)

    def __call__(self, x: jax.Array, z: jax.Array) -> jax.Array:
        """Angles, as the network gives them."""
        return self.network(x, shortened(z, self.bound))


@jax.custom_vjp
def shortened(z: jax.Array, bound: float) -> jax.Array:
    """Z itself; its cotangent is cut to the norm ``bound``."""
    return z


def _pull_back(bound: float, dz: jax.Array) -> tuple[jax.Array, None]:
    norm = jnp.maximum(jnp.linalg.norm(dz), jnp.finfo(dz.dtype).tiny)
    return dz * jnp.minimum(1, bound / norm), None


shortened.defvjp(lambda z, bound: (z, bound), _pull_back)


def optimizer_of(run: Run, n_steps: int) -> optax.GradientTransformation:
    """Adam with the schedule of ``tq.fit``, and the limit if it is the remedy."""
    n_warmup = run.warmup * n_steps
    schedule = optax.join_schedules(
        [
            optax.linear_schedule(0, run.rate, max(n_warmup, 1)),
            optax.cosine_decay_schedule(run.rate, run.epochs * n_steps - n_warmup),
        ],
        [n_warmup],
    )
    limit = [limit_updates(run.constant)] if run.remedy == "limit" else []
    return optax.chain(optax.adam(schedule), *limit)


def train(run: Run, task: tq.Task, seed: int) -> dict[str, Any]:
    """Loss, accuracy and largest gradient norm of each epoch."""
    n_steps = len(task.train) // BATCH
    fitted = tq.fit(
        model_of(run, seed),
        task,
        epochs=run.epochs,
        batch_size=BATCH,
        optimizer=optimizer_of(run, n_steps),
        seed=seed,
        progress=False,
    )
    names = ("train_loss", "valid_accuracy", "gradient_norm_max")
    return {name: [round(x, 4) for x in fitted.history[name]] for name in names}


def trace(run: Run, task: tq.Task, seed: int, n_steps: int) -> Iterator[dict[str, Any]]:
    """The run of :func:`train`, step by step, as far as ``n_steps``."""
    model = model_of(run, seed)
    per_epoch = len(task.train) // BATCH
    optimizer = optax.chain(optax.clip_by_global_norm(1), optimizer_of(run, per_epoch))
    params, static = eqx.partition(model, eqx.is_inexact_array)
    state = optimizer.init(params)

    def loss_of(params: Any, xs: jax.Array, ys: jax.Array) -> tuple[jax.Array, Any]:
        logits, rollout = eqx.combine(params, static).rollout(xs)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, ys)
        return losses.mean(), rollout.readouts

    @jax.jit
    def step(params: Any, state: Any, xs: jax.Array, ys: jax.Array) -> tuple:
        grad = jax.value_and_grad(loss_of, has_aux=True)
        (loss, zs), grads = grad(params, xs, ys)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimizer.update(grads, state, params)
        cell = eqx.combine(params, static).cell
        angles = jax.vmap(jax.vmap(cell.angles))(xs[:, 1:], zs[:, :-1])
        seen = {
            "loss": loss,
            "gradient_norm": optax.tree.norm(grads),
            "angles_rms": jnp.sqrt(jnp.mean(angles**2)),
            "angles_max": jnp.max(jnp.abs(angles)),
            "readout_variance": jnp.mean(jnp.var(zs[:, -1], axis=0)),
        }
        return optax.apply_updates(params, updates), state, seen

    label = asdict(run) | {"seed": seed}
    for number in range(n_steps):
        epoch, k = divmod(number, per_epoch)
        rows = shuffled_rows(len(task.train), BATCH, seed=seed, epoch=epoch + 1)[k]
        batch = jnp.asarray(task.train.inputs[rows]), task.train.targets[rows]
        params, state, seen = step(params, state, *batch)
        if number % EVERY == 0:
            values = {name: float(f"{value:.4g}") for name, value in seen.items()}
            yield {"run": label, "step": number} | values


def draw(command: Draw) -> None:
    """Four quantities against the step, a line a remedy."""
    titles = {
        "loss": "loss of the batch (nats)",
        "gradient_norm": "norm of the gradient",
        "angles_rms": "r.m.s. of the angles (rad)",
        "readout_variance": "variance of the readouts over samples",
    }
    records = list(lines(command.traces))
    figure, axes = plt.subplots(2, 2, figsize=(9, 6), sharex=True, layout="tight")
    for axis, (name, title) in zip(axes.flat, titles.items(), strict=True):
        for remedy in dict.fromkeys(record["run"]["remedy"] for record in records):
            points = [r for r in records if r["run"]["remedy"] == remedy]
            steps, values = zip(*((r["step"], r[name]) for r in points), strict=True)
            axis.plot(steps, values, color=INK[remedy], label=remedy)
        axis.set_title(title, fontsize=10)
        axis.set_yscale("linear" if name == "loss" else "log")
    n_qubits = records[0]["run"]["n_qubits"]
    axes[1, 1].axhline(1 / (2**n_qubits + 1), color="grey", lw=1, ls="--")
    axes[0, 0].axhline(np.log(CLASSES), color="grey", lw=1, ls="--")
    axes[0, 0].legend(title="remedy")
    for axis in axes[1]:
        axis.set_xlabel("step")
    figure.savefig(command.out, dpi=150)


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file, none if there is no file."""
    if path.exists():
        yield from map(json.loads, path.read_text().splitlines())


def append(path: Path, records: Iterator[dict[str, Any]] | list) -> None:
    """Writes each record as soon as it is there."""
    for record in records:
        with path.open("a") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    name = tyro.conf.subcommand
    main(
        tyro.cli(
            Annotated[Train, name("train")]
            | Annotated[Trace, name("trace")]
            | Annotated[Draw, name("draw")],
            description=__doc__,
        )
    )
