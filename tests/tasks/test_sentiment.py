"""Sentences of movie reviews: splits, folds, vocabularies, encodings."""

import numpy as np
import pytest
from data_files import REAL, expect, needs_real_files, tiny_mr, tiny_sst2, write

import tnqrnn as tq
from tnqrnn.tasks import load_task
from tnqrnn.tasks.text import word_ids, word_vocabulary


@pytest.fixture
def folder(monkeypatch, tmp_path):
    for name, contents in {"mr": tiny_mr(), "sst2": tiny_sst2()}.items():
        expect(monkeypatch, name, contents)
        write(tmp_path / name, contents)
    return tmp_path


def sentences_of(task, part):
    split = task.splits[part]
    return [
        " ".join(task.vocabulary[token] for token in row[:length])
        for row, length in zip(split.inputs, split.lengths, strict=True)
    ]


def test_mr_is_split_by_position_both_classes_by_turns(folder):
    task = load_task("mr", folder)
    assert (task.kind, task.n_classes, task.input_size) == ("classify", 2, None)
    assert sentences_of(task, "train")[:3] == [
        "bad film 0",
        "good film 0",
        "bad film 1\u2026",
    ]
    assert sentences_of(task, "valid") == ["bad film <unk>", "good film <unk>"] * 2
    for part, size in (("train", 32), ("valid", 4), ("test", 4)):
        split = task.splits[part]
        assert len(split) == size
        np.testing.assert_array_equal(split.targets, np.arange(size) % 2)
    assert task.vocabulary[:3] == ("<pad>", "<unk>", "film")
    assert task.n_tokens == len(task.vocabulary) == 3 + 2 + 16


def test_every_sentence_of_mr_is_tested_in_one_fold_and_trained_on_in_eight(folder):
    held = {"train": [], "valid": [], "test": []}
    for fold in range(10):
        task = load_task("mr", folder, fold=fold)
        sizes = {part: len(split) for part, split in task.splits.items()}
        assert sizes == {"train": 32, "valid": 4, "test": 4}
        assert np.bincount(task.test.targets).tolist() == [2, 2]
        for part in held:
            held[part] += rows_of(task, part, fold)
    for part, times in {"train": 8, "valid": 1, "test": 1}.items():
        assert sorted(held[part]) == sorted([*range(40)] * times)
    again = load_task("mr", folder, fold=3)
    for part, split in load_task("mr", folder, fold=3).splits.items():
        np.testing.assert_array_equal(split.inputs, again.splits[part].inputs)


def rows_of(task, part, fold):
    """The lines, those of the positive file from 20 on, by the rule of docs/data.md."""
    rng, rows = np.random.default_rng(0), []
    for first in (0, 20):
        folds = np.array_split(first + rng.permutation(20), 10)
        chosen = {"test": [fold], "valid": [(fold + 1) % 10]}
        rest = [k for k in range(10) if k not in (fold, (fold + 1) % 10)]
        rows.append(np.concatenate([folds[k] for k in chosen.get(part, rest)]))
    expected = [row for pair in zip(*rows, strict=True) for row in pair]
    known = {word for text in sentences_of(task, "train") for word in text.split()}
    for row, text in zip(expected, sentences_of(task, part), strict=True):
        number = f"{row % 20}{chr(0x2026) * int(row % 20 == 1)}"
        word = "good" if row >= 20 else "bad"
        assert text == f"{word} film {number if number in known else '<unk>'}"
    return expected


def test_bytes_of_cp1252_are_read_as_such(folder):
    (words,) = {s for s in sentences_of(load_task("sst2", folder), "test")}
    assert words == "a \u00e9 film"
    mr = load_task("mr", folder)
    assert "\u2026" in "".join(mr.vocabulary)  # the byte 0x85, no end of a line


def test_sst2_keeps_its_parts(folder):
    task = load_task("sst2", folder)
    assert sentences_of(task, "train") == ["a good \u00e9 film", "a bad film", "good"]
    assert task.train.targets.tolist() == [1, 0, 1]
    assert task.train.lengths.tolist() == [4, 3, 1]
    assert sentences_of(task, "valid") == ["a <unk> film"]
    assert load_task("sst2", folder, n_train=1).vocabulary[2:] == tuple(
        sorted(["a", "good", "\u00e9", "film"])
    )
    assert "bad" not in load_task("sst2", folder, min_count=2).vocabulary


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": 10}, r"fold must be an integer in \[0, 9\], got 10"),
        ({"fold": True}, r"fold must be an integer in \[0, 9\], got True"),
        ({"min_count": 0}, "min_count must be an integer >= 1, got 0"),
        ({"n_train": 33}, r"n_train must be an integer in \[1, 32\], got 33"),
    ],
)
def test_an_option_out_of_range_is_refused(folder, options, message):
    with pytest.raises(ValueError, match=message):
        load_task("mr", folder, **options)


@pytest.mark.parametrize("sentence", [[], ["a"] * 4])
def test_an_empty_or_too_long_sentence_is_named(sentence):
    vocabulary = word_vocabulary([["a"]], marks=("<pad>", "<unk>"))
    with pytest.raises(
        ValueError, match=r"valid must have .* 1 to 3 words, .* number 1"
    ):
        word_ids("valid", [["a"], sentence], vocabulary, n_steps=3)


def test_a_small_qrnn_learns_a_word_that_decides(folder):
    import jax

    task = load_task("mr", folder)
    cell = tq.QRNNCell(4, tq.hardware_efficient(2), key=jax.random.key(0))
    model = tq.SequenceClassifier(
        cell, 2, embedding=(task.n_tokens, 4), key=jax.random.key(1)
    )
    fitted = tq.fit(
        model,
        task,
        epochs=40,
        batch_size=16,
        learning_rate=0.03,
        update_limit=None,
        progress=False,
    )
    assert tq.evaluate(fitted.model, task.test)["accuracy"] == 1.0


@needs_real_files
def test_the_real_mr():
    task = load_task("mr", REAL)
    sizes = {part: len(split) for part, split in task.splits.items()}
    assert sizes == {"train": 8_530, "valid": 1_066, "test": 1_066}
    lengths = np.concatenate([split.lengths for split in task.splits.values()])
    assert (lengths.sum(), lengths.min(), lengths.max()) == (224_067, 1, 59)
    for split in task.splits.values():
        assert np.bincount(split.targets).tolist() == [len(split) // 2] * 2
    folds = load_task("mr", REAL, fold=0)
    assert sum(len(split) for split in folds.splits.values()) == 10_662


@needs_real_files
def test_the_real_sst2():
    task = load_task("sst2", REAL)
    sizes = {part: len(split) for part, split in task.splits.items()}
    assert sizes == {"train": 6_920, "valid": 872, "test": 1_821}
    counts = {"train": [3_310, 3_610], "valid": [428, 444], "test": [912, 909]}
    for part, split in task.splits.items():
        assert np.bincount(split.targets).tolist() == counts[part]


@needs_real_files
def test_the_real_words_of_the_penn_treebank():
    task = load_task("ptb-word", REAL)
    sizes = {part: len(split) for part, split in task.splits.items()}
    assert sizes == {"train": 929_589, "valid": 73_760, "test": 82_430}
    assert task.n_tokens == 10_000 and task.objective.unit == "word"
    assert task.vocabulary[:3] == ("the", "<unk>", "<eos>")
