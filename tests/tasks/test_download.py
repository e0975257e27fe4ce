"""Data files: the order of places, checksums, and downloads from a local server."""

import contextlib
import http.server
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from data_files import REAL, expect, needs_real_files, write

from tnqrnn.tasks import load_task
from tnqrnn.tasks.download import DATA_SETS, cache_folder, read_data

FILES = {"one.txt": b"0123456789" * 500, "two.txt": b"abcdefghij" * 500}


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path) -> Path:
    """No place has data, the cache is a new folder, and no proxy is asked."""
    monkeypatch.delenv("TNQRNN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    if cache_folder() != tmp_path / "cache" / "tnqrnn" / "data":
        pytest.skip("the user's cache of this system is not set by XDG_CACHE_HOME")
    return cache_folder()


class Server(http.server.ThreadingHTTPServer):
    """Gives files by path, short or altered ones for some, and counts requests."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes], stall_at: str | None = None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.stall_at = files, stall_at
        self.requests: list[str] = []
        self.stalled, self.release = threading.Event(), threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        self.server.requests.append(name)
        if name not in self.server.files:
            return self.send_error(404)
        content = self.server.files[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(FILES[name])))
        self.end_headers()
        if name == self.server.stall_at:
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.server.stalled.set()
            self.server.release.wait(60)
            with contextlib.suppress(ConnectionError):  # who asked may be gone
                self.wfile.write(content[len(content) // 2 :])
        else:
            self.wfile.write(content)

    def log_message(self, *args) -> None:
        """Says nothing."""


@contextlib.contextmanager
def serving(files: dict[str, bytes], stall_at: str | None = None):
    with Server(files, stall_at) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.release.set()
            server.shutdown()
            thread.join()


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


def test_the_first_place_that_has_the_folder_is_read(monkeypatch, tmp_path, cache):
    expect(monkeypatch, "abc", FILES)
    environment = tmp_path / "environment"
    monkeypatch.setenv("TNQRNN_DATA", str(environment))
    given = tmp_path / "given"
    altered = FILES | {"one.txt": b"altered"}
    # Each place in turn is right, and those after it are wrong: they are not looked at.
    for place in (cache, environment, given):
        write(place / "abc", FILES)
        assert read_data("abc", str(given)) == FILES
        (place / "abc" / "one.txt").write_bytes(altered["one.txt"])
    with pytest.raises(ValueError, match=re.escape(str(given))):
        read_data("abc", given)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (None, r"no file that can be read \(No such file"),
        (FILES["two.txt"][:-1], "[0-9a-f]{64} of 4,999 bytes"),
        (b"z" + FILES["two.txt"][1:], "[0-9a-f]{64} of 5,000 bytes"),
        (b"", "[0-9a-f]{64} of 0 bytes"),
    ],
    ids=["missing", "short", "altered", "empty"],
)
def test_a_wrong_file_is_an_error_though_another_place_has_it(
    monkeypatch, tmp_path, cache, content, got
):
    with serving(FILES) as server:
        expect(monkeypatch, "abc", FILES, server.url)
        write(cache / "abc", FILES)
        folder = write(tmp_path / "abc", FILES)
        (folder / "two.txt").unlink()
        if content is not None:
            (folder / "two.txt").write_bytes(content)
        wanted = DATA_SETS["abc"].files["two.txt"].sha256
        message = (
            f"{re.escape(str(folder / 'two.txt'))} must have the SHA-256 {wanted} of "
            f"5,000 bytes, got {got}.* {server.url}two.txt"
        )
        with pytest.raises(ValueError, match=message):
            read_data("abc", tmp_path)
        assert server.requests == []


def test_a_folder_in_place_of_a_file_is_an_error(monkeypatch, tmp_path):
    expect(monkeypatch, "abc", FILES)
    folder = write(tmp_path / "abc", {"two.txt": FILES["two.txt"]})
    (folder / "one.txt").mkdir()
    with pytest.raises(ValueError, match=r"one.txt must have .* no file that can be"):
        read_data("abc", tmp_path)


def test_a_place_may_start_with_the_home_folder(monkeypatch, tmp_path):
    expect(monkeypatch, "abc", FILES)
    write(tmp_path / "mine" / "abc", FILES)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_data("abc", "~/mine") == FILES


def test_a_data_dir_that_is_no_path_is_refused():
    with pytest.raises(ValueError, match="data_dir must be the path of a folder"):
        load_task("mnist", 3)


def test_a_download_goes_to_the_cache_once(monkeypatch, tmp_path, cache):
    with serving(FILES) as server:
        expect(monkeypatch, "abc", FILES, server.url)
        assert read_data("abc", tmp_path / "nothing") == FILES
        assert server.requests == ["one.txt", "two.txt"]
        assert leftovers(cache) == ["abc", "one.txt", "two.txt"]
        assert read_data("abc") == FILES
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "404"),
        (FILES["two.txt"][:-1], "IncompleteRead|1 more expected"),
        (b"z" + FILES["two.txt"][1:], "does not match the known hash: .* but got"),
    ],
    ids=["404", "short", "altered"],
)
def test_a_wrong_download_is_one_error_and_leaves_nothing(
    monkeypatch, tmp_path, cache, content, reason
):
    files = {"one.txt": FILES["one.txt"]}
    if content is not None:
        files["two.txt"] = content
    with serving(files) as server:
        expect(monkeypatch, "abc", FILES, server.url)
        monkeypatch.setenv("TNQRNN_DATA", str(tmp_path / "environment"))
        with pytest.raises(ValueError, match=reason) as caught:
            read_data("abc", tmp_path / "given")
    message = str(caught.value)
    for place in (tmp_path / "given", tmp_path / "environment", cache):
        assert str(place) in message
    assert DATA_SETS["abc"].files["two.txt"].sha256 in message
    assert f"{server.url}two.txt" in message
    assert leftovers(cache) == []


def test_the_next_mirror_is_asked(monkeypatch, cache):
    with serving({"one.txt": FILES["one.txt"]}) as first, serving(FILES) as second:
        expect(monkeypatch, "abc", FILES, first.url, second.url)
        assert read_data("abc") == FILES
        assert first.requests == ["one.txt", "two.txt"]
        assert second.requests == ["two.txt"]


def test_a_server_that_is_away_is_an_error(monkeypatch, cache):
    with serving(FILES) as server:
        url = server.url
    expect(monkeypatch, "abc", FILES, url)
    message = r"data_dir \(not set\), TNQRNN_DATA \(not set\), .*: one of these must"
    with pytest.raises(ValueError, match=message):
        read_data("abc")
    assert leftovers(cache) == []


def test_a_cache_that_cannot_be_made_is_the_same_error(monkeypatch, cache):
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    expect(monkeypatch, "abc", FILES, "http://127.0.0.1:9/")
    with pytest.raises(ValueError, match="must have a folder abc, got none.*exists"):
        read_data("abc")


CHILD = """
import sys
from tnqrnn.tasks.download import DATA_SETS, DataFile, DataSet, Mirror, read_data
files = {name: DataFile(5000, sha256) for name, sha256 in zip(%r, sys.argv[2:])}
DATA_SETS["abc"] = DataSet(files, (Mirror(sys.argv[1], None),))
read_data("abc")
"""


def child(url: str) -> subprocess.Popen:
    sums = [DATA_SETS["abc"].files[name].sha256 for name in FILES]
    command = [sys.executable, "-c", CHILD % list(FILES), url, *sums]
    return subprocess.Popen(command, env=os.environ, stderr=subprocess.PIPE)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_killed_download_leaves_nothing_that_passes_for_a_file(
    monkeypatch, cache, name
):
    with serving(FILES, stall_at=name) as server:
        expect(monkeypatch, "abc", FILES, server.url)
        process = child(server.url)
        assert server.stalled.wait(120)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert leftovers(cache), "the download had begun"
        assert not (cache / "abc").exists()
        server.stall_at = None
        assert read_data("abc") == FILES


def test_two_downloads_at_once_end_with_one_folder(monkeypatch, cache):
    with serving(FILES, stall_at="two.txt") as server:
        expect(monkeypatch, "abc", FILES, server.url)
        process = child(server.url)
        assert server.stalled.wait(120)
        server.stall_at = None
        assert read_data("abc") == FILES  # while the other waits for its second half
        server.release.set()
        _, errors = process.communicate()
        assert process.returncode == 0, errors.decode()
        assert len(server.requests) == 4
    assert leftovers(cache) == ["abc", "one.txt", "two.txt"]
    assert read_data("abc") == FILES


def test_the_table_of_data_sets_is_well_formed():
    for name, data_set in DATA_SETS.items():
        assert data_set.files and data_set.mirrors, name
        for mirror in data_set.mirrors:
            assert mirror.url.startswith("https://") and mirror.url.endswith("/")
            assert mirror.tried is None or re.fullmatch(
                r"\d{4}-\d\d-\d\d", mirror.tried
            )
        for file in data_set.files.values():
            assert re.fullmatch("[0-9a-f]{64}", file.sha256) and file.n_bytes > 0


def test_the_page_lists_the_files_and_mirrors_of_the_table():
    rows = {
        f"| `{name}/{file_name}` | {file.n_bytes:,} | `{file.sha256}` |"
        for name, data_set in DATA_SETS.items()
        for file_name, file in data_set.files.items()
    } | {
        f"| `{name}/` | {mirror.url} |"
        for name, data_set in DATA_SETS.items()
        for mirror in data_set.mirrors
    }
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    lines = page.split("## Files, checksums, addresses")[1].split("## Terms")[0]
    assert {line for line in lines.splitlines() if line.startswith("| `")} == rows


@needs_real_files
@pytest.mark.parametrize("name", sorted(DATA_SETS))
def test_the_real_files_have_their_checksums(name):
    listed = {}
    for line in (REAL / "SHA256SUMS").read_text().splitlines():
        sha256, path = line.split()
        listed[path] = sha256
    for file_name, content in read_data(name, REAL).items():
        assert DATA_SETS[name].files[file_name].n_bytes == len(content)
        assert listed[f"{name}/{file_name}"] == DATA_SETS[name].files[file_name].sha256
