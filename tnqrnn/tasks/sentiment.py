"""Sentiment of sentences from movie reviews: MR, and the binary SST-2."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tnqrnn.checks import check_int
from tnqrnn.tasks.base import Task
from tnqrnn.tasks.download import read_data
from tnqrnn.tasks.text import PADDING, UNKNOWN, word_ids, word_vocabulary

N_FOLDS = 10

Sentences = tuple[list[list[str]], np.ndarray]
"""Words of each sentence, and its class, 0 negative and 1 positive."""


def load_mr(
    *,
    data_dir: str | os.PathLike | None = None,
    fold: int | None = None,
    min_count: int = 1,
    n_train: int | None = None,
) -> Task:
    """Whether a sentence of a movie review is negative (0) or positive (1).

    5,331 sentences of each class, lower-cased, words and punctuation between spaces;
    1 to 59 of them a sentence. The files are read as cp1252, which they are, line ends
    at line feeds alone.

    There is no official split. By position, of each class the first 80% are for
    training, the next 533 for validation and the last 533 for the test: 8,530, 1,066
    and 1,066. By ``fold``, each class is shuffled by ``numpy.random.default_rng(0)``,
    negative ones first, and cut into ten folds; number ``fold`` is for the test, the
    next one (fold 0 after fold 9) for validation, the others for training.

    Args:
        data_dir: the first place to look for the folder ``mr``
            (:mod:`tnqrnn.tasks.download` says where else).
        fold: 0 to 9, one fold of a ten-fold cross-validation; ``None`` for the split by
            position.
        min_count: words that the training part has less often are unknown.
        n_train: train on so many sentences, those of both classes by turns. The
            vocabulary is theirs.

    Raises:
        ValueError: an option outside its range; or a file is missing or altered and
            cannot be had, see :func:`~tnqrnn.tasks.download.read_data`.

    Source: [pang2005]; the split by position is that of Hugging Face's
    ``rotten_tomatoes``.
    """
    if fold is not None:
        check_int("fold", fold, minimum=0, maximum=N_FOLDS - 1)
    files = read_data("mr", data_dir)
    rng = np.random.default_rng(0)
    parts: dict[str, list[list[list[str]]]] = {"train": [], "valid": [], "test": []}
    for end in ("neg", "pos"):
        lines = files[f"rt-polarity.{end}"].decode("cp1252").removesuffix("\n")
        sentences = [line.split() for line in lines.split("\n")]
        n = len(sentences)
        rows = _by_position(n) if fold is None else _by_fold(rng.permutation(n), fold)
        for part, chosen in rows.items():
            parts[part].append([sentences[row] for row in chosen])
    return _task(
        "mr",
        {part: _by_turns(*classes) for part, classes in parts.items()},
        min_count=min_count,
        n_train=n_train,
        options={"fold": fold},
        source="pang2005",
    )


def load_sst2(
    *,
    data_dir: str | os.PathLike | None = None,
    min_count: int = 1,
    n_train: int | None = None,
) -> Task:
    """Whether a sentence of a movie review is negative (0) or positive (1).

    The published parts of the Stanford Sentiment Treebank, whole sentences without the
    neutral ones: 6,920 for training, 872 for validation, 1,821 for the test. It is
    built on the sentences of ``mr``: what was trained on one must not be tested on the
    other.

    Args:
        data_dir: the first place to look for the folder ``sst2``
            (:mod:`tnqrnn.tasks.download` says where else).
        min_count: words that the training part has less often are unknown.
        n_train: train on the first so many sentences. The vocabulary is theirs.

    Raises:
        ValueError: an option outside its range; or a file is missing or altered and
            cannot be had, see :func:`~tnqrnn.tasks.download.read_data`.

    Source: [socher2013], in the files of [kim2014].
    """
    files = read_data("sst2", data_dir)
    parts = {}
    for part, name in (("train", "train"), ("valid", "dev"), ("test", "test")):
        text = files[f"stsa.binary.{name}"].decode().removesuffix("\n")
        classes, sentences = [], []
        for line in text.split("\n"):
            label, _, sentence = line.partition(" ")
            classes.append(int(label))
            sentences.append(sentence.split())
        parts[part] = sentences, np.array(classes, np.int32)
    return _task(
        "sst2",
        parts,
        min_count=min_count,
        n_train=n_train,
        options={},
        source="socher2013, in the files of kim2014",
    )


def _by_position(n_lines: int) -> dict[str, np.ndarray]:
    n_train = round(0.8 * n_lines)
    n_valid = (n_lines - n_train) // 2
    rows = np.split(np.arange(n_lines), [n_train, n_train + n_valid])
    return dict(zip(("train", "valid", "test"), rows, strict=True))


def _by_fold(order: np.ndarray, fold: int) -> dict[str, np.ndarray]:
    folds = np.array_split(order, N_FOLDS)
    test, valid = fold, (fold + 1) % N_FOLDS
    rest = [rows for k, rows in enumerate(folds) if k not in (test, valid)]
    return {"train": np.concatenate(rest), "valid": folds[valid], "test": folds[test]}


def _by_turns(negative: list[list[str]], positive: list[list[str]]) -> Sentences:
    """A negative sentence, a positive one, and so on: the first few have both."""
    sentences = [
        words for pair in zip(negative, positive, strict=True) for words in pair
    ]
    return sentences, np.tile(np.array([0, 1], np.int32), len(negative))


def _task(
    name: str,
    parts: Mapping[str, Sentences],
    *,
    min_count: int,
    n_train: int | None,
    options: Mapping[str, Any],
    source: str,
) -> Task:
    """Sentences as token ids, filled up with padding behind their lengths."""
    check_int("min_count", min_count, minimum=1)
    sentences, classes = parts["train"]
    if n_train is not None:
        check_int("n_train", n_train, minimum=1, maximum=len(sentences))
    parts = {**parts, "train": (sentences[:n_train], classes[:n_train])}
    vocabulary = word_vocabulary(
        parts["train"][0], min_count=min_count, marks=(PADDING, UNKNOWN)
    )
    longest = max(len(words) for sentences, _ in parts.values() for words in sentences)
    splits: dict[str, Any] = {}
    for part, (sentences, classes) in parts.items():
        ids, lengths = word_ids(part, sentences, vocabulary, n_steps=longest)
        splits[part] = {"inputs": ids, "targets": classes, "lengths": lengths}
    task = Task.from_arrays(**splits, n_classes=2, n_tokens=len(vocabulary), name=name)
    return replace(
        task,
        options={**options, "min_count": min_count, "n_train": n_train},
        source=source,
        vocabulary=vocabulary,
    )
