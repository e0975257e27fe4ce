"""Time a sample takes, by batch size and number of processor cores.

    python benchmarks/batch_scaling.py
    python benchmarks/batch_scaling.py --qubits 14 --batches 8 64 --cores 1 2

One gradient of the problem of `gradient_step.py` by this library, every measurement in
a process of its own that may use so many cores; configurations take turns. Prints
milliseconds a sample and the ratio to the first batch on one core; writes JSON and
`batch_scaling.png` to `--out`.
"""

import itertools
import json
import statistics
from dataclasses import dataclass
from pathlib import Path

import gradient_step
import matplotlib.pyplot as plt
import tyro

from tnqrnn.records import processor_name


@dataclass
class Options:
    """What to measure.

    Attributes:
        qubits: numbers of qubits.
        batches: samples a gradient.
        cores: processor cores.
        n_steps: sequence length.
        rounds: processes of each configuration, taking turns.
        seconds: time of repeated calls in a process.
        out: folder of the results; finished measurements there are kept.
    """

    qubits: tuple[int, ...] = (4, 6, 8, 10, 12, 14)
    batches: tuple[int, ...] = (8, 64)
    cores: tuple[int, ...] = (1, 2)
    n_steps: int = 16
    rounds: int = 3
    seconds: float = 2.0
    out: Path = Path("runs/batch_scaling")


def measure(options: Options) -> dict[str, list[float]]:
    """Seconds a gradient, by configuration, one number a process."""
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for n_qubits, i in itertools.product(options.qubits, range(options.rounds)):
        for batch, cores in itertools.product(options.batches, options.cores):
            finished = results.setdefault(key_of(n_qubits, batch, cores, options), [])
            if len(finished) > i:
                continue
            took = gradient_step.run(
                *(gradient_step.OURS, n_qubits, "chain", options.n_steps, batch),
                *("complex64", options.seconds),
                options=gradient_step.Processes(cores=cores),
            )
            finished.append(took["seconds"])
            gradient_step.write(file, results)
    return results


def key_of(n_qubits: int, batch: int, cores: int, options: Options) -> str:
    """What the processes of one configuration are filed under."""
    return f"n={n_qubits} T={options.n_steps} B={batch} cores={cores}"


def main(options: Options) -> None:
    """Measures, prints and draws."""
    results = measure(options)
    configurations = list(itertools.product(options.batches, options.cores))
    heads = [f"B={batch}, {cores} core(s)" for batch, cores in configurations]
    print("milliseconds a sample, and times the first column")
    print("n".rjust(4) + "".join(head.rjust(22) for head in heads))
    figure, axes = plt.subplots(figsize=(5, 3.6))
    lines: dict[tuple[int, int], list[float]] = {each: [] for each in configurations}
    for n_qubits in options.qubits:
        row = f"{n_qubits:>4}"
        for batch, cores in configurations:
            times = results[key_of(n_qubits, batch, cores, options)]
            lines[batch, cores].append(1e3 * statistics.median(times) / batch)
            ratio = lines[batch, cores][-1] / lines[configurations[0]][-1]
            row += f"{lines[batch, cores][-1]:>15.4f}{ratio:>7.2f}"
        print(row)
    for (each, values), head in zip(lines.items(), heads, strict=True):
        style = ("-", "--")[each[1] > 1]
        axes.plot(options.qubits, values, f"o{style}", markersize=4, label=head)
    axes.set(yscale="log", xlabel="qubits", ylabel="ms a sample and gradient")
    axes.set_title(f"{options.n_steps} steps, {processor_name()}", fontsize=9)
    axes.legend(frameon=False, fontsize=8)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    path = options.out / "batch_scaling.png"
    figure.savefig(path, dpi=150)
    print(path)


if __name__ == "__main__":
    main(tyro.cli(Options))
