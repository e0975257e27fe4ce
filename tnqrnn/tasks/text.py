"""Text as token ids: the vocabulary comes from the training part alone."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tnqrnn.checks import check_int
from tnqrnn.tasks.base import Task


def encode_characters(
    texts: Mapping[str, str],
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """One token a character.

    The vocabulary is the set of characters of ``train``, in the order of their code
    points. A character that only another part has is an error: there is no token for
    what was never seen.

    Args:
        texts: a text for each part of a task, ``train`` among them.

    Returns:
        Token ids of each part, int32 of shape (N,), by the part's name; and the
        vocabulary, the character of each id.

    Raises:
        ValueError: ``train`` is empty, or another part has a character of its own.

    >>> tokens, vocabulary = encode_characters({"train": "to be", "test": "bet"})
    >>> vocabulary
    (' ', 'b', 'e', 'o', 't')
    >>> tokens["test"].tolist()
    [1, 2, 4]
    """
    if not texts.get("train"):
        raise ValueError("texts must have a train part of some characters, got none.")
    codes = {part: _code_points(text) for part, text in texts.items()}
    known = np.unique(codes["train"])
    tokens = {}
    for part, points in codes.items():
        ids = np.minimum(np.searchsorted(known, points), len(known) - 1)
        unseen = np.unique(points[known[ids] != points])
        if len(unseen):
            characters = ", ".join(repr(chr(point)) for point in unseen)
            raise ValueError(
                f"{part} must be made of characters that train has, got {characters}."
            )
        tokens[part] = ids.astype(np.int32)
    return tokens, tuple(chr(point) for point in known)


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def character_task(
    name: str,
    texts: Mapping[str, str],
    *,
    window: int,
    carry: bool,
    n_train: int | None,
    source: str,
) -> Task:
    """The next character of each of three texts.

    Args:
        name: what messages and records call the task.
        texts: ``train``, ``valid`` and ``test``.
        window: W, steps between two truncations of the gradient.
        carry: whether a window starts where the one before it ended.
        n_train: train on the first so many characters; ``None`` for all. The vocabulary
            is that of the whole training part in either case.
        source: where the text comes from.

    Raises:
        ValueError: an option outside its range, or a character that train lacks.
    """
    tokens, vocabulary = encode_characters(texts)
    if n_train is not None:
        check_int("n_train", n_train, minimum=1, maximum=len(tokens["train"]))
    task = Task.from_stream(
        tokens["train"][:n_train],
        tokens["valid"],
        tokens["test"],
        n_tokens=len(vocabulary),
        window=window,
        unit="character",
        carry=carry,
        name=name,
        source=source,
        vocabulary=vocabulary,
    )
    return replace(task, options={"window": window, "carry": carry, "n_train": n_train})
