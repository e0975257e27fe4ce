"""Copying memory: recall ten symbols after a long pause.

With ``delay`` = 5, ``n_symbols`` = 3, symbols ``a b c``, blank ``.``, delimiter ``:``::

    step     0  1  2  3  4  5  6  7  8  9 10
    input    b  a  c  .  .  .  .  :  .  .  .
    target   .  .  .  .  .  .  .  .  b  a  c
"""

import math

import numpy as np

from tnqrnn.checks import check_choice, check_int, check_memory
from tnqrnn.tasks.base import Task
from tnqrnn.tasks.splits import Split


def load_copying(
    *,
    delay: int = 100,
    n_symbols: int = 10,
    alphabet_size: int = 8,
    count: str = "all",
    n_train: int = 10_000,
    n_valid: int = 1_000,
    n_test: int = 1_000,
    seed: int = 0,
) -> Task:
    """The copying memory task, one class at each of T = delay + 2 * n_symbols steps.

    Symbols are drawn uniformly with replacement. Inputs are one-hot over the symbols,
    then the blank, then the delimiter (F = alphabet_size + 2); the delimiter comes
    ``delay`` steps after the last symbol. Targets are the symbols and the blank
    (C = alphabet_size + 1): the delimiter is never one.

    ``task.baseline`` is the mean cross entropy in nats of a model without memory, which
    knows the step and nothing else: n_symbols * ln(alphabet_size) / T, at the defaults
    10 ln 8 / 120 = 0.1733.

    Args:
        delay: steps from the last symbol to the delimiter, at least 1.
        n_symbols: symbols to remember.
        alphabet_size: number of different symbols, at least 2.
        count: the steps that loss and accuracy count: ``"all"`` as in the published
            protocol (then a memoryless model has a high accuracy, from the blanks), or
            ``"recall"``, the last ``n_symbols`` alone, by a mask (the baseline is then
            ln(alphabet_size)).
        n_train: sequences for training.
        n_valid: sequences for validation.
        n_test: sequences for the test.
        seed: of the draw; one seed is one task, whatever seed a model uses.

    Raises:
        ValueError: an option outside its range.
        MemoryError: the sequences would not fit into this machine's memory.

    Source: [hochreiter1997]; in this form [arjovsky2016], section 4.1.
    """
    check_int("delay", delay, minimum=1)
    check_int("n_symbols", n_symbols, minimum=1)
    check_int("alphabet_size", alphabet_size, minimum=2)
    check_choice("count", count, ("all", "recall"))
    check_int("seed", seed, minimum=0)
    options = {
        "delay": delay,
        "n_symbols": n_symbols,
        "alphabet_size": alphabet_size,
        "count": count,
        "n_train": n_train,
        "n_valid": n_valid,
        "n_test": n_test,
        "seed": seed,
    }
    sizes = {"train": n_train, "valid": n_valid, "test": n_test}
    n_steps = delay + 2 * n_symbols
    for name, size in sizes.items():
        n_values = check_int(f"n_{name}", size, minimum=1) * n_steps
        n_bytes = 4 * n_values * (alphabet_size + 2)
        check_memory(f"n_{name} sequences of {n_steps} steps", n_bytes, host=True)
    rng = np.random.default_rng(seed)
    counted = n_symbols if count == "recall" else n_steps
    splits = {}
    for name, size in sizes.items():
        symbols = rng.integers(alphabet_size, size=(size, n_symbols))
        inputs, targets = _sequences(symbols, delay, alphabet_size)
        mask = np.zeros(targets.shape, np.float32)
        mask[:, -counted:] = 1
        splits[name] = Split(inputs, targets, mask if count == "recall" else None)
    return Task(
        name="copying",
        train=splits["train"],
        valid=splits["valid"],
        test=splits["test"],
        n_classes=alphabet_size + 1,
        options=options,
        source="arjovsky2016, section 4.1",
        baseline=n_symbols * math.log(alphabet_size) / counted,
    )


def _sequences(
    symbols: np.ndarray, delay: int, alphabet_size: int
) -> tuple[np.ndarray, np.ndarray]:
    size, n_symbols = symbols.shape
    blank, delimiter = alphabet_size, alphabet_size + 1
    tokens = np.full((size, delay + 2 * n_symbols), blank)
    targets = tokens.copy()
    tokens[:, :n_symbols] = symbols
    tokens[:, n_symbols + delay - 1] = delimiter
    targets[:, -n_symbols:] = symbols
    return np.eye(alphabet_size + 2, dtype=np.float32)[tokens], targets
