"""Tiny data files in the formats of the real ones, and where the real ones may lie."""

import gzip
import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tnqrnn.tasks.download import DATA_SETS, DataFile, DataSet, Mirror

REAL = Path(__file__).parents[2] / "shared" / "data"

needs_real_files = pytest.mark.skipif(
    not REAL.is_dir(), reason="the real data files are not at ../shared/data"
)


def idx(array: np.ndarray) -> bytes:
    """A .gz file of images (N, 28, 28) or of labels (N,), as MNIST has them."""
    magic = {3: 2051, 1: 2049}[array.ndim]
    header = struct.pack(f">{1 + array.ndim}I", magic, *array.shape)
    # The time in the header is 0, so that the same array is the same file.
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


def tiny_mnist(n_images: int = 24, n_test: int = 5) -> dict[str, bytes]:
    """The four files, of random pixels; image i has pixel 0 and label known by i."""
    rng = np.random.default_rng(5)
    files = {}
    for part, size in (("train", n_images), ("t10k", n_test)):
        images = rng.integers(256, size=(size, 28, 28))
        images[:, 0, 0] = np.arange(size)
        files[f"{part}-images-idx3-ubyte.gz"] = idx(images)
        files[f"{part}-labels-idx1-ubyte.gz"] = idx(np.arange(size) % 10)
    return files


def tiny_ptb() -> dict[str, bytes]:
    """The three files, with the spaces that the real ones have around their lines."""
    return {
        "ptb.train.txt": b" the <unk> N \n the cat \n",
        "ptb.valid.txt": b" a cat \n",
        "ptb.test.txt": b" the hen \n",
    }


def tiny_mr(n: int = 20) -> dict[str, bytes]:
    """The two files, of n sentences a class; one word is of bytes that cp1252 has."""
    files = {}
    for end, word in (("neg", "bad"), ("pos", "good")):
        lines = [f"{word} film {i}{chr(0x2026) * (i == 1)} \n" for i in range(n)]
        files[f"rt-polarity.{end}"] = "".join(lines).encode("cp1252")
    return files


def tiny_sst2() -> dict[str, bytes]:
    """The three files, in UTF-8."""
    return {
        "stsa.binary.train": "1 a good \u00e9 film\n0 a bad film\n1 good\n".encode(),
        "stsa.binary.dev": b"0 a dull film\n",
        "stsa.binary.test": "1 a \u00e9 film\n".encode(),
    }


def expect(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    files: Mapping[str, bytes],
    *urls: str,
) -> None:
    """Has these files be the right ones of a data set, and these its mirrors."""
    data_files = {
        file_name: DataFile(len(content), hashlib.sha256(content).hexdigest())
        for file_name, content in files.items()
    }
    mirrors = tuple(Mirror(url, None) for url in urls)
    monkeypatch.setitem(DATA_SETS, name, DataSet(data_files, mirrors))


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Writes the files into a new folder, and returns the folder."""
    folder.mkdir(parents=True)
    for file_name, content in files.items():
        (folder / file_name).write_bytes(content)
    return folder
