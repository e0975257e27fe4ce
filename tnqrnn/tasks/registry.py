"""Tasks by name."""

import inspect
import os
from collections.abc import Callable
from typing import Any

from tnqrnn.checks import check_choice
from tnqrnn.tasks.base import Task
from tnqrnn.tasks.copying import load_copying
from tnqrnn.tasks.digits import load_digits

LOADERS: dict[str, Callable[..., Task]] = {
    "copying": load_copying,
    "digits": load_digits,
}


def load_task(
    name: str, data_dir: str | os.PathLike | None = None, **options: Any
) -> Task:
    """Loads a task by name.

    Args:
        name: ``"digits"`` (:func:`~tnqrnn.tasks.digits.load_digits`: real images that
            come with scikit-learn) or ``"copying"``
            (:func:`~tnqrnn.tasks.copying.load_copying`: drawn from a seed).
        data_dir: the folder of downloaded data, for tasks that have any; these two have
            none.
        **options: the loader's own options.

    Raises:
        ValueError: an unknown name, an unknown option, or a value out of range; the
            message lists what is known.

    >>> task = load_task("copying", delay=5, n_symbols=3, n_train=16)
    >>> task.train.inputs.shape, task.kind, round(task.baseline, 4)
    ((16, 11, 10), 'label', 0.5671)
    """
    loader = LOADERS[check_choice("name", name, LOADERS)]
    known = inspect.signature(loader).parameters
    for option in options:
        check_choice(f"option of task {name!r}", option, set(known) - {"data_dir"})
    if "data_dir" in known:
        options["data_dir"] = data_dir
    return loader(**options)
