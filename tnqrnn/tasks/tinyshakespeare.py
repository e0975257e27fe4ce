"""Tiny Shakespeare: plays to predict character by character."""

import os
from dataclasses import replace
from importlib import resources

from tnqrnn.checks import check_bool
from tnqrnn.tasks.base import Task
from tnqrnn.tasks.download import read_data
from tnqrnn.tasks.text import character_task


def load_tinyshakespeare_characters(
    *,
    data_dir: str | os.PathLike | None = None,
    excerpt: bool = False,
    window: int = 100,
    carry: bool = True,
    n_train: int | None = None,
) -> Task:
    """The next character of Shakespeare's plays, one stream a split.

    The 1,115,394 characters of ``input.txt`` are split by position: the first 90% for
    training (1,003,854), the next 5% for validation (55,770), the last 5% for the test
    (55,770). The vocabulary is the 65 characters of the training part; the two others
    have no more.

    ``excerpt=True`` splits the first 199,889 of them in the same way, 179,900, 9,994
    and 9,995 characters, 62 different. They come with tnqrnn, so that no file is looked
    for.

    Args:
        data_dir: the first place to look for the folder ``tinyshakespeare``
            (:mod:`tnqrnn.tasks.download` says where else).
        excerpt: whether to take the excerpt that tnqrnn brings.
        window: W, steps between two truncations of the gradient.
        carry: whether a window starts where the one before it ended. A QRNN learns
            better without (docs/sharp_bits, "A state carried through a stream").
        n_train: train on the first so many characters; ``None`` for all. The vocabulary
            is the same.

    Raises:
        ValueError: an option outside its range; or a file is missing or altered and
            cannot be had, see :func:`~tnqrnn.tasks.download.read_data`.

    Source: [karpathy2015].
    """
    if check_bool("excerpt", excerpt):
        place = resources.files("tnqrnn.tasks") / "excerpt" / "tinyshakespeare.txt"
        text = place.read_text(encoding="ascii")
    else:
        text = read_data("tinyshakespeare", data_dir)["input.txt"].decode()
    first, second = 9 * len(text) // 10, 19 * len(text) // 20
    texts = {
        "train": text[:first],
        "valid": text[first:second],
        "test": text[second:],
    }
    task = character_task(
        "tinyshakespeare-char",
        texts,
        window=window,
        carry=carry,
        n_train=n_train,
        source="karpathy2015",
    )
    return replace(task, options={"excerpt": excerpt, **task.options})
