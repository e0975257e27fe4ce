"""Text as token ids, a character or a word each.

The vocabulary comes from the training part alone.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tnqrnn.checks import check_int
from tnqrnn.tasks.base import Task

PADDING, UNKNOWN = "<pad>", "<unk>"
"""What fills up a batch, and any word that the vocabulary does not have."""


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


def word_vocabulary(
    sentences: Iterable[Sequence[str]], *, min_count: int = 1, marks: Sequence[str] = ()
) -> tuple[str, ...]:
    """The words of a training part, the frequent ones first.

    Args:
        sentences: the words of each.
        min_count: how often a word must occur.
        marks: what comes before all words, in this order, whether it occurs or not.

    Returns:
        the marks, then the words by their number, of equal ones the alphabetically
        first.

    >>> word_vocabulary([["a", "cat"], ["the", "cat"]], marks=["<unk>"])
    ('<unk>', 'cat', 'a', 'the')
    """
    counts = Counter(word for words in sentences for word in words)
    kept = [word for word in counts if counts[word] >= min_count and word not in marks]
    return (*marks, *sorted(kept, key=lambda word: (-counts[word], word)))


def word_ids(
    part: str,
    sentences: Sequence[Sequence[str]],
    vocabulary: Sequence[str],
    *,
    n_steps: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Sentences as token ids, filled up with the id of padding, 0.

    Args:
        part: what messages call them.
        sentences: the words of each.
        vocabulary: with :data:`UNKNOWN`, the token of every word it does not have.
        n_steps: T.

    Returns:
        ids, int32 of shape (N, T), and lengths, int32 of shape (N,).

    Raises:
        ValueError: a sentence without words, or with more than ``n_steps``.

    >>> known = ["<pad>", "<unk>", "a"]
    >>> ids, lengths = word_ids("train", [["a", "cow"]], known, n_steps=3)
    >>> ids.tolist(), lengths.tolist()
    ([[2, 1, 0]], [2])
    """
    number = {word: i for i, word in enumerate(vocabulary)}
    unknown = number[UNKNOWN]
    ids = np.zeros((len(sentences), n_steps), np.int32)
    for i, words in enumerate(sentences):
        if not 1 <= len(words) <= n_steps:
            raise ValueError(
                f"{part} must have sentences of 1 to {n_steps} words, got one of "
                f"{len(words)}, number {i}."
            )
        ids[i, : len(words)] = [number.get(word, unknown) for word in words]
    return ids, np.array([len(words) for words in sentences], np.int32)


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
    return _stream_task(
        name, tokens, vocabulary, "character", window, carry, n_train, source
    )


def word_task(
    name: str,
    texts: Mapping[str, Sequence[str]],
    *,
    window: int,
    carry: bool,
    n_train: int | None,
    source: str,
) -> Task:
    """The next word of each of three texts.

    Args:
        name: what messages and records call the task.
        texts: the words of ``train``, ``valid`` and ``test``.
        window: W, steps between two truncations of the gradient.
        carry: whether a window starts where the one before it ended.
        n_train: train on the first so many words; ``None`` for all. The vocabulary is
            that of the whole training part in either case.
        source: where the text comes from.

    Raises:
        ValueError: an option outside its range, or a word that train lacks where train
            has no :data:`UNKNOWN` either.
    """
    vocabulary = word_vocabulary([texts["train"]])
    number = {word: i for i, word in enumerate(vocabulary)}
    tokens = {}
    for part, words in texts.items():
        unseen = sorted(set(words) - set(number))
        if unseen and UNKNOWN not in number:
            raise ValueError(
                f"{part} must be made of words that train has, got {unseen[0]!r}."
            )
        ids = (number.get(word, number.get(UNKNOWN, 0)) for word in words)
        tokens[part] = np.fromiter(ids, np.int32, len(words))
    return _stream_task(
        name, tokens, vocabulary, "word", window, carry, n_train, source
    )


def _stream_task(
    name: str,
    tokens: Mapping[str, np.ndarray],
    vocabulary: tuple[str, ...],
    unit: str,
    window: int,
    carry: bool,
    n_train: int | None,
    source: str,
) -> Task:
    if n_train is not None:
        check_int("n_train", n_train, minimum=1, maximum=len(tokens["train"]))
    task = Task.from_stream(
        tokens["train"][:n_train],
        tokens["valid"],
        tokens["test"],
        n_tokens=len(vocabulary),
        window=window,
        unit=unit,
        carry=carry,
        name=name,
        source=source,
        vocabulary=vocabulary,
    )
    return replace(task, options={"window": window, "carry": carry, "n_train": n_train})
