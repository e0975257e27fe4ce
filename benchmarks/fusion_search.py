"""The greedy grouping of gates into blocks against contraction trees by cotengra.

    python benchmarks/fusion_search.py --n-qubits 14

One step of a circuit applied to a dense state is a tensor network: the state and one
tensor a gate. A contraction tree that multiplies gates with each other before they meet
the state is a fusion into blocks. Prints, for the library's blocks and for trees found
under several objectives, how often the state is passed over, and the multiplications in
units of the state's size (building the blocks included for cotengra, which is small).
"""

from dataclasses import dataclass

import cotengra
import tyro

import tnqrnn as tq
from tnqrnn.backends.statevector import fuse_for

OBJECTIVES = ("flops", "combo-16", "combo-64", "write")


@dataclass
class Options:
    """What to search.

    Attributes:
        n_qubits: number of qubits.
        topologies: of the entanglers.
        seconds: for each search.
    """

    n_qubits: int = 14
    topologies: tuple[str, ...] = ("chain", "brickwork", "ring")
    seconds: float = 20.0


def network(ansatz: tq.Ansatz) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """The state's and the gates' indices, and those that stay open."""
    moves = [0] * ansatz.n_qubits

    def now(qubits: tuple[int, ...]) -> tuple[str, ...]:
        return tuple(f"{qubit}.{moves[qubit]}" for qubit in qubits)

    every = tuple(range(ansatz.n_qubits))
    tensors = [now(every)]
    for gate in ansatz.gates:
        before = now(gate.qubits)
        for qubit in gate.qubits:
            moves[qubit] += 1
        tensors.append(now(gate.qubits) + before)
    return tensors, now(every)


def main(options: Options) -> None:
    """Prints a table."""
    size = 2**options.n_qubits
    print(f"{'':12}{'':10}{'passes':>8}{'products':>10}")
    for topology in options.topologies:
        ansatz = tq.hardware_efficient(options.n_qubits, topology=topology)
        blocks = fuse_for(ansatz)
        work = sum(2 ** len(block.qubits) for block in blocks)
        print(f"{topology:12}{'greedy':10}{len(blocks):>8}{work:>10}")
        tensors, result = network(ansatz)
        sides = {index: 2 for tensor in tensors for index in tensor}
        for objective in OBJECTIVES:
            search = cotengra.HyperOptimizer(
                methods=["greedy"],
                minimize=objective,
                max_time=options.seconds,
                max_repeats=10_000,
                parallel=False,
                seed=0,
            )
            tree = search.search(tensors, result, sides)
            passes = sum(tree.get_size(node) >= size for node, *_ in tree.traverse())
            work = tree.contraction_cost() / size
            print(f"{topology:12}{objective:10}{passes:>8}{work:>10.1f}", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options))
