"""Why training of a quantum recurrent network collapses, and what prevents it.

    python benchmarks/collapse.py train --rate 1e-2 --limit None --seeds 0 1 2
    python benchmarks/collapse.py trace --rate 1e-2 --limit None
    python benchmarks/collapse.py table
    python benchmarks/collapse.py draw

Row-wise MNIST (28 steps of 28 pixels in [-1, 1]) or digits, two layers of gates.
``train`` appends one line of JSON a run to --out and passes over runs that are there;
with 6 qubits and 20,000 images a run takes a minute of one core. ``trace`` looks at
every tenth step of a run: loss, norm of the gradient, angles, variance of readouts.
"""

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

import tnqrnn as tq
from tnqrnn.model.base import with_fields
from tnqrnn.tasks.objectives import shuffled_rows
from tnqrnn.training.update_limit import UPDATE_LIMIT, limit_updates

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "training"
CHANCE = 0.3  # accuracies below are those of a run that does not learn
EVERY = 10  # steps between two lines of a trace
INK = {"no limit": "#c44e52", "limit": "#4c72b0"}


@dataclass(frozen=True)
class Run:
    """What one training run is.

    Attributes:
        task: mnist, or digits.
        n_qubits: n.
        images: number of training images of MNIST.
        hidden: units of the controller.
        rate: of Adam, after the warm-up.
        warmup: epochs.
        epochs: passes over the images.
        batch: B.
        limit: ``update_limit`` of ``tq.fit``.
        feedback: largest norm of dL/dz_t of a sample in units of 1/B, longer ones are
            shortened as they come back through the controller; none for no such bound.
        readout: factor on the readouts.
    """

    task: Literal["mnist", "digits"] = "mnist"
    n_qubits: int = 6
    images: int = 20_000
    hidden: int = 128
    rate: float = 3e-3
    warmup: int = 0
    epochs: int = 4
    batch: int = 64
    limit: float | None = UPDATE_LIMIT
    feedback: float | None = None
    readout: Literal["unit", "haar", "learned"] | float = "unit"


@dataclass(frozen=True)
class Train(Run):
    """Trains with each seed and appends to --out."""

    seeds: tuple[int, ...] = tuple(range(10))
    data_dir: Path | None = None
    out: Path = RESULTS / "runs.jsonl"


@dataclass(frozen=True)
class Trace(Run):
    """Looks inside the first steps of one run and appends to --out."""

    seed: int = 0
    steps: int = 700
    data_dir: Path | None = None
    out: Path = RESULTS / "trace.jsonl"


@dataclass(frozen=True)
class Table:
    """Prints accuracies over seeds, a line a kind of run."""

    runs: Path = RESULTS / "runs.jsonl"


@dataclass(frozen=True)
class Draw:
    """Draws the accuracy of every seed against the rate into --out.

    Attributes:
        runs: what ``train`` wrote.
        copy: the same of another program.
        out: the figure.
    """

    runs: Path = RESULTS / "runs.jsonl"
    copy: Path = RESULTS / "copy.jsonl"
    out: Path = RESULTS / "collapse.png"


def main(command: Train | Trace | Table | Draw) -> None:
    """Does what the command line asked for."""
    if isinstance(command, Draw):
        draw(command)
    elif isinstance(command, Table):
        table(command)
    else:
        run = Run(**{name: getattr(command, name) for name in Run.__dataclass_fields__})
        task = task_of(run, command.data_dir)
        command.out.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(command, Trace):
            append(command.out, trace(run, task, command.seed, command.steps))
            return
        for seed in command.seeds:
            label = asdict(run) | {"seed": seed}
            if label not in [record["run"] for record in records(command.out)]:
                append(command.out, [{"run": label} | train(run, task, seed)])


def task_of(run: Run, folder: Path | None) -> tq.Task:
    """The data, of which validation images alone are scored."""
    if run.task == "digits":
        return tq.load_task("digits")
    return tq.load_task("mnist", data_dir=folder, n_train=run.images)


def model_of(run: Run, task: tq.Task, seed: int) -> tq.SequenceClassifier:
    """The model at its start."""
    keys = jax.random.split(jax.random.key(seed))
    cell = tq.QRNNCell(
        task.input_size,
        tq.hardware_efficient(run.n_qubits),
        controller=tq.Controller(hidden=(run.hidden,)),
        readout=run.readout,
        key=keys[0],
    )
    if run.feedback is not None:
        network = Shortened(cell.network, run.feedback / run.batch)
        cell = with_fields(cell, network=network)
    return tq.SequenceClassifier(cell, task.n_classes, key=keys[1])


class Shortened(eqx.Module):
    """A controller through which no dL/dz longer than ``bound`` comes back."""

    network: Any
    bound: float = eqx.field(static=True)

    def __call__(self, x: jax.Array, z: jax.Array, **options: Any) -> jax.Array:
        """Angles, as the network gives them."""
        return self.network(x, shortened(z, self.bound), **options)


@jax.custom_vjp
def shortened(z: jax.Array, bound: float) -> jax.Array:
    """Z itself; its cotangent is cut to the norm ``bound``."""
    return z


def _pull_back(bound: float, dz: jax.Array) -> tuple[jax.Array, None]:
    norm = jnp.maximum(jnp.linalg.norm(dz), jnp.finfo(dz.dtype).tiny)
    return dz * jnp.minimum(1, bound / norm), None


shortened.defvjp(lambda z, bound: (z, bound), _pull_back)


def train(run: Run, task: tq.Task, seed: int) -> dict[str, Any]:
    """Loss, accuracies and largest gradient norm of each epoch, and the best's test."""
    fitted = tq.fit(
        model_of(run, task, seed),
        task,
        epochs=run.epochs,
        batch_size=run.batch,
        learning_rate=run.rate,
        warmup_epochs=run.warmup,
        update_limit=run.limit,
        seed=seed,
        progress=False,
    )
    names = ("train_loss", "valid_accuracy", "gradient_norm_max")
    results = {name: [round(x, 4) for x in fitted.history[name]] for name in names}
    test = tq.evaluate(fitted.model, task.test)["accuracy"]
    return results | {"test_accuracy": round(test, 4)}


def trace(run: Run, task: tq.Task, seed: int, n_steps: int) -> Iterator[dict[str, Any]]:
    """The run of :func:`train`, step by step, as far as ``n_steps``."""
    model = model_of(run, task, seed)
    per_epoch = len(task.train) // run.batch
    n_warmup = run.warmup * per_epoch
    schedule = optax.join_schedules(
        [
            optax.linear_schedule(0, run.rate, max(n_warmup, 1)),
            optax.cosine_decay_schedule(run.rate, run.epochs * per_epoch - n_warmup),
        ],
        [n_warmup],
    )
    limit = [] if run.limit is None else [limit_updates(run.limit)]
    optimizer = optax.chain(optax.clip_by_global_norm(1), optax.adam(schedule), *limit)
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
        output = params.cell.network.layers[-1].weight
        seen = {
            "loss": loss,
            "gradient_norm": optax.tree.norm(grads),
            "output_weights_rms": jnp.sqrt(jnp.mean(output**2)),
            "angles_rms": jnp.sqrt(jnp.mean(angles**2)),
            "angles_max": jnp.max(jnp.abs(angles)),
            "readout_variance": jnp.mean(jnp.var(zs[:, -1], axis=0)),
        }
        return optax.apply_updates(params, updates), state, seen

    label = asdict(run) | {"seed": seed}
    for number in range(n_steps):
        epoch, k = divmod(number, per_epoch)
        rows = shuffled_rows(len(task.train), run.batch, seed=seed, epoch=epoch + 1)[k]
        batch = jnp.asarray(task.train.inputs[rows]), task.train.targets[rows]
        params, state, seen = step(params, state, *batch)
        if number % EVERY == 0:
            values = {name: float(f"{value:.4g}") for name, value in seen.items()}
            yield {"run": label, "step": number} | values


def table(command: Table) -> None:
    """Seeds, and lowest, mean and highest accuracy after the last epoch."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for record in records(command.runs):
        kind = record["run"] | record.get("other", {})
        kinds.setdefault(json.dumps(kind | {"seed": None}), []).append(record)
    for kind, group in kinds.items():
        last = np.array([record["valid_accuracy"][-1] for record in group])
        test = [
            record["test_accuracy"] for record in group if "test_accuracy" in record
        ]
        print(kind)
        print(
            f"  {len(last)} seeds, {np.sum(last < CHANCE)} at chance: {last.min():.4f} "
            f"{last.mean():.4f} {last.max():.4f}, test {np.mean(test):.4f}"
        )


def draw(command: Draw) -> None:
    """A point a seed, a column a rate and kind of update."""
    figure, axis = plt.subplots(figsize=(6, 3.6), layout="tight")
    varied = {"rate", "limit", "warmup", "seed"}
    base = {name: value for name, value in asdict(Run()).items() if name not in varied}
    for path, origin in ((command.runs, ""), (command.copy, ", copy")):
        for (kind, colour), shift in zip(INK.items(), (0.93, 1.07), strict=True):
            chosen = [
                record
                for record in records(path)
                if (record["run"]["limit"] is None) == (kind == "no limit")
                and "other" not in record
                and base.items() <= record["run"].items()
            ]
            rates = np.array([record["run"]["rate"] for record in chosen])
            seeds = np.array([record["run"]["seed"] for record in chosen])
            place = rates * shift * 1.012**seeds  # seeds side by side
            last = [record["valid_accuracy"][-1] for record in chosen]
            fill = "none" if origin else colour
            label = kind + origin
            axis.scatter(place, last, s=25, ec=colour, fc=fill, alpha=0.7, label=label)
    axis.axhline(0.1, color="grey", lw=1, ls="--")
    axis.set_xscale("log")
    ticks = [3e-3, 1e-2, 2e-2, 4e-2]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set(xlabel="rate of Adam", ylabel="validation accuracy", ylim=(0, 1))
    axis.legend(loc="center left")
    figure.savefig(command.out, dpi=150)


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file, none if there is no file."""
    if path.exists():
        yield from map(json.loads, path.read_text().splitlines())


def append(path: Path, new: Iterator[dict[str, Any]] | list) -> None:
    """Writes each record as soon as it is there."""
    for record in new:
        with path.open("a") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    name = tyro.conf.subcommand
    main(
        tyro.cli(
            Annotated[Train, name("train")]
            | Annotated[Trace, name("trace")]
            | Annotated[Table, name("table")]
            | Annotated[Draw, name("draw")],
            description=__doc__,
        )
    )
