"""Tasks by name."""

import inspect
import os
from collections.abc import Callable
from typing import Any

from tnqrnn.checks import check_choice
from tnqrnn.tasks.base import Task
from tnqrnn.tasks.copying import load_copying
from tnqrnn.tasks.digits import load_digits
from tnqrnn.tasks.mnist import load_mnist, load_permuted_mnist
from tnqrnn.tasks.ptb import load_ptb_characters, load_ptb_words
from tnqrnn.tasks.sentiment import load_mr, load_sst2
from tnqrnn.tasks.tinyshakespeare import load_tinyshakespeare_characters

LOADERS: dict[str, Callable[..., Task]] = {
    "copying": load_copying,
    "digits": load_digits,
    "mnist": load_mnist,
    "mr": load_mr,
    "pmnist": load_permuted_mnist,
    "ptb-char": load_ptb_characters,
    "ptb-word": load_ptb_words,
    "sst2": load_sst2,
    "tinyshakespeare-char": load_tinyshakespeare_characters,
}


def load_task(
    name: str, data_dir: str | os.PathLike | None = None, **options: Any
) -> Task:
    """Loads a task by name.

    Without data files:

    - ``"copying"``: symbols to recall after a pause, drawn from a seed
      (:func:`~tnqrnn.tasks.copying.load_copying`).
    - ``"digits"``: images of 8 x 8 pixels that come with scikit-learn
      (:func:`~tnqrnn.tasks.digits.load_digits`).

    From a folder of data files, looked for in ``data_dir``, in ``$TNQRNN_DATA`` and in
    the user's cache, and downloaded if none has it (:mod:`tnqrnn.tasks.download`):

    - ``"mnist"``: images of 28 x 28 pixels, folder ``mnist``
      (:func:`~tnqrnn.tasks.mnist.load_mnist`).
    - ``"mr"`` and ``"sst2"``: sentences of movie reviews, negative or positive, folders
      ``mr`` and ``sst2`` (:func:`~tnqrnn.tasks.sentiment.load_mr`,
      :func:`~tnqrnn.tasks.sentiment.load_sst2`).
    - ``"pmnist"``: the images of ``mnist`` with the pixels in one fixed random order
      (:func:`~tnqrnn.tasks.mnist.load_permuted_mnist`).
    - ``"ptb-char"``: characters of newspaper text, folder ``ptb``
      (:func:`~tnqrnn.tasks.ptb.load_ptb_characters`).
    - ``"ptb-word"``: words of the same (:func:`~tnqrnn.tasks.ptb.load_ptb_words`).
    - ``"tinyshakespeare-char"``: characters of plays, folder ``tinyshakespeare``
      (:func:`~tnqrnn.tasks.tinyshakespeare.load_tinyshakespeare_characters`).

    Args:
        name: one of these.
        data_dir: the first place to look for a task's folder; tasks without data files
            do not look at it.
        **options: the loader's own options.

    Raises:
        ValueError: an unknown name, an unknown option, or a value out of range, the
            message lists what is known; or a data file is missing or altered.

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
