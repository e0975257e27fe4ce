"""Penn Treebank: newspaper text, to predict character by character or word by word."""

import os

from tnqrnn.tasks.base import Task
from tnqrnn.tasks.download import read_data
from tnqrnn.tasks.text import character_task, word_task

END = "<eos>"
"""The token that stands after each line, where tokens are words."""


def load_ptb_characters(
    *,
    data_dir: str | os.PathLike | None = None,
    window: int = 100,
    carry: bool = True,
    n_train: int | None = None,
) -> Task:
    r"""The next character of the Wall Street Journal, one stream a split.

    Lower-cased text of 10,000 different words, made from ``ptb.train.txt``,
    ``ptb.valid.txt`` and ``ptb.test.txt``: of each line, the spaces at both ends are
    taken off, those inside are kept, and an end mark follows. The vocabulary, of the
    training part alone, is 49 characters and the end mark, which it writes ``"\n"``;
    5,017,482 tokens for training, 393,042 for validation, 442,423 for the test.

    Args:
        data_dir: the first place to look for the folder ``ptb``
            (:mod:`tnqrnn.tasks.download` says where else).
        window: W, steps between two truncations of the gradient.
        carry: whether a window starts where the one before it ended. A QRNN learns
            better without (docs/sharp_bits, "A state carried through a stream").
        n_train: train on the first so many characters; ``None`` for all. The vocabulary
            is the same.

    Raises:
        ValueError: an option outside its range; or a file is missing or altered and
            cannot be had, see :func:`~tnqrnn.tasks.download.read_data`.

    Source: [marcus1993], the files of [mikolov2011]. The published files of characters,
    ``ptb.char.*.txt``, are not needed.
    """
    texts = {
        part: "".join(f"{line.strip()}\n" for line in lines)
        for part, lines in _lines(data_dir).items()
    }
    return character_task(
        "ptb-char",
        texts,
        window=window,
        carry=carry,
        n_train=n_train,
        source="marcus1993, in the files of mikolov2011",
    )


def load_ptb_words(
    *,
    data_dir: str | os.PathLike | None = None,
    window: int = 35,
    carry: bool = True,
    n_train: int | None = None,
) -> Task:
    """The next word of the Wall Street Journal, one stream a split.

    The words of ``ptb.train.txt``, ``ptb.valid.txt`` and ``ptb.test.txt``, with the end
    mark ``<eos>`` after each line. The vocabulary, of the training part alone, is its
    10,000 different tokens, the most frequent first; 929,589 tokens for training,
    73,760 for validation, 82,430 for the test.

    Args:
        data_dir: the first place to look for the folder ``ptb``
            (:mod:`tnqrnn.tasks.download` says where else).
        window: W, steps between two truncations of the gradient.
        carry: whether a window starts where the one before it ended. A QRNN learns
            better without (docs/sharp_bits, "A state carried through a stream").
        n_train: train on the first so many words; ``None`` for all. The vocabulary is
            the same.

    Raises:
        ValueError: an option outside its range; or a file is missing or altered and
            cannot be had, see :func:`~tnqrnn.tasks.download.read_data`.

    Source: [marcus1993], the files of [mikolov2011]; windows of 35 as in
    [zaremba2014].
    """
    texts = {
        part: [word for line in lines for word in (*line.split(), END)]
        for part, lines in _lines(data_dir).items()
    }
    return word_task(
        "ptb-word",
        texts,
        window=window,
        carry=carry,
        n_train=n_train,
        source="marcus1993, in the files of mikolov2011",
    )


def _lines(data_dir: str | os.PathLike | None) -> dict[str, list[str]]:
    files = read_data("ptb", data_dir)
    return {
        part: files[f"ptb.{part}.txt"].decode().removesuffix("\n").split("\n")
        for part in ("train", "valid", "test")
    }
