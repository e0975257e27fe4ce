"""Tasks by name."""

import subprocess
import sys

import pytest

from tnqrnn.tasks import LOADERS, load_task


def test_an_unknown_task_lists_the_known_ones():
    message = (
        r"name must be one of \['copying', 'digits', 'mnist', 'mr', 'pmnist', "
        r"'ptb-char', 'ptb-word', 'sst2', 'tinyshakespeare-char'\], got 'imagenet'"
    )
    with pytest.raises(ValueError, match=message):
        load_task("imagenet")


@pytest.mark.parametrize("name", sorted(LOADERS))
def test_an_unknown_option_lists_the_known_ones(name):
    with pytest.raises(
        ValueError, match=rf"option of task '{name}' must be one of .*'x"
    ):
        load_task(name, x=1)


def test_the_folder_of_data_goes_to_tasks_that_have_one(monkeypatch, tmp_path):
    def load(*, data_dir, size=1):
        return data_dir, size

    monkeypatch.setitem(LOADERS, "downloaded", load)
    assert load_task("downloaded", tmp_path, size=2) == (tmp_path, 2)
    assert load_task("downloaded") == (None, 1)


def test_importing_tasks_does_not_import_scikit_learn():
    code = "import sys, tnqrnn.tasks; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
