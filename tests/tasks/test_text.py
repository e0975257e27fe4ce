"""Text by characters: the vocabulary, Penn Treebank, Tiny Shakespeare."""

import hashlib

import numpy as np
import pytest
from data_files import REAL, expect, needs_real_files, tiny_ptb, write
from hypothesis import given
from hypothesis import strategies as st

from tnqrnn.tasks import download, load_task
from tnqrnn.tasks.text import encode_characters

PLAY = "".join("to be or not"[i % 12] for i in range(200))


def text_of(task, part: str) -> str:
    return "".join(task.vocabulary[token] for token in task.splits[part].tokens)


@pytest.fixture
def folder(monkeypatch, tmp_path):
    files = {"ptb": tiny_ptb(), "tinyshakespeare": {"input.txt": PLAY.encode()}}
    for name, contents in files.items():
        expect(monkeypatch, name, contents)
        write(tmp_path / name, contents)
    return tmp_path


@given(st.text(min_size=1), st.data())
def test_tokens_give_back_the_text(train, data):
    other = data.draw(st.text(alphabet=st.sampled_from(train)))
    tokens, vocabulary = encode_characters({"train": train, "test": other})
    assert vocabulary == tuple(sorted(set(train)))
    for part, text in (("train", train), ("test", other)):
        assert tokens[part].dtype == np.int32
        assert "".join(vocabulary[token] for token in tokens[part]) == text


@pytest.mark.parametrize("unseen", ["z", " ", "é", "\U0001f600"])
def test_a_character_that_train_does_not_have_is_refused(unseen):
    message = f"valid must be made of characters that train has, got {unseen!r}"
    with pytest.raises(ValueError, match=message):
        encode_characters({"train": "abc", "valid": f"ab{unseen}a", "test": "a"})


@pytest.mark.parametrize("texts", [{"test": "abc"}, {"train": "", "test": "abc"}])
def test_texts_without_a_train_part_are_refused(texts):
    with pytest.raises(ValueError, match="texts must have a train part"):
        encode_characters(texts)


def test_lines_of_ptb_are_stripped_and_ended(folder):
    task = load_task("ptb-char", folder, window=3)
    assert text_of(task, "train") == "the <unk> N\nthe cat\n"
    assert text_of(task, "valid") == "a cat\n"
    assert text_of(task, "test") == "the hen\n"
    assert task.vocabulary == tuple("\n <>Nacehkntu")
    assert (task.kind, task.n_tokens, task.name) == ("language", 13, "ptb-char")
    assert task.objective.unit == "character" and task.objective.window == 3
    assert task.options == {"window": 3, "carry": True, "n_train": None}


def test_a_play_is_split_by_position(folder):
    task = load_task("tinyshakespeare-char", folder, window=4)
    parts = [text_of(task, part) for part in ("train", "valid", "test")]
    assert [len(part) for part in parts] == [180, 10, 10]
    assert "".join(parts) == PLAY
    assert task.objective.unit == "character" and task.objective.window == 4


@pytest.mark.parametrize("name", ["ptb-char", "tinyshakespeare-char"])
def test_a_small_run_has_the_vocabulary_of_the_whole(folder, name):
    full = load_task(name, folder, window=3)
    small = load_task(name, folder, window=3, n_train=5)
    np.testing.assert_array_equal(small.train.tokens, full.train.tokens[:5])
    assert small.vocabulary == full.vocabulary
    assert small.n_tokens == full.n_tokens
    assert small.options == full.options | {"n_train": 5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "window must be an integer >= 1, got 0"),
        ({"window": 50}, "train: tokens must be at least 51, .* a stream of 20"),
        ({"window": 3, "n_train": 3}, "train: tokens must be at least 4"),
        ({"n_train": 0}, r"n_train must be an integer in \[1, 20\], got 0"),
        ({"n_train": 21}, r"n_train must be an integer in \[1, 20\], got 21"),
    ],
)
def test_an_option_out_of_range_is_refused(folder, options, message):
    with pytest.raises(ValueError, match=message):
        load_task("ptb-char", folder, **options)


@needs_real_files
def test_the_real_penn_treebank():
    task = load_task("ptb-char", REAL)
    sizes = {part: len(split) for part, split in task.splits.items()}
    assert sizes == {"train": 5_017_482, "valid": 393_042, "test": 442_423}
    assert len(task.vocabulary) == task.n_tokens == 50
    # 49 characters of the training lines, the space among them, and the end mark.
    letters = "abcdefghijklmnopqrstuvwxyz"
    assert "".join(task.vocabulary) == f"\n #$&'*-./0123456789<>N\\{letters}"
    lines = {"train": 42_068, "valid": 3_370, "test": 3_761}
    for part, split in task.splits.items():
        assert np.count_nonzero(split.tokens == 0) == lines[part]
        # Published sizes, 5,059k, 396k and 446k, count one character a line more.
        published = {"train": 5_059, "valid": 396, "test": 446}[part]
        assert (len(split) + lines[part]) // 1000 == published
        text = text_of(task, part)
        words = (REAL / "ptb" / f"ptb.{part}.txt").read_text().split()
        assert text.split() == words
        assert "  " not in text and " \n" not in text and "\n " not in text
    assert text_of(task, "valid").startswith("consumers may want to move their ")


def test_the_excerpt_of_the_plays_needs_no_file(tmp_path, monkeypatch):
    monkeypatch.delenv("TNQRNN_DATA", raising=False)
    monkeypatch.setattr(download, "cache_folder", lambda: tmp_path / "nothing")
    task = load_task("tinyshakespeare-char", excerpt=True)
    sizes = {part: len(split) for part, split in task.splits.items()}
    assert sizes == {"train": 179_900, "valid": 9_994, "test": 9_995}
    assert task.n_tokens == len(task.vocabulary) == 62
    assert task.options["excerpt"] is True
    assert text_of(task, "test").endswith("cherish and defend.\n\n")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="excerpt must be True or False, got 'yes'"):
        load_task("tinyshakespeare-char", excerpt="yes")


@needs_real_files
def test_the_excerpt_is_the_beginning_of_the_file():
    excerpt = load_task("tinyshakespeare-char", excerpt=True)
    whole = (REAL / "tinyshakespeare" / "input.txt").read_text()
    text = "".join(text_of(excerpt, part) for part in excerpt.splits)
    assert whole.startswith(text) and len(text) == 199_889


@needs_real_files
def test_the_real_plays():
    task = load_task("tinyshakespeare-char", REAL)
    sizes = {part: len(split) for part, split in task.splits.items()}
    assert sizes == {"train": 1_003_854, "valid": 55_770, "test": 55_770}
    assert len(task.vocabulary) == task.n_tokens == 65
    whole = "".join(text_of(task, part) for part in task.splits)
    assert whole.startswith("First Citizen:\nBefore we proceed any further")
    digest = hashlib.sha256(whole.encode()).hexdigest()
    assert digest.startswith("86c4e6aa9db7c042")
