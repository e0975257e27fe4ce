"""``tnqrnn train``: its options, what it writes, refuses, and goes on from."""

import functools
import json

import jax
import pytest
from data_files import expect, write

import tnqrnn as tq
from tnqrnn import specs
from tnqrnn.commands.cli import main
from tnqrnn.commands.train import command as train_command
from tnqrnn.commands.train.options import described, options
from tnqrnn.records import read_json
from tnqrnn.tasks.registry import LOADERS

SMALL = ("--n-qubits", "2", "--n-layers", "1", "--controller-hidden", "4", "--epochs=2")
DIGITS = ("train", "digits", *SMALL, "--batch-size", "200", "--no-progress")
FILES = {"run.json", "model.npz", "scores.json", "loss.png", "best.ckpt", "last.ckpt"}


def files(folder):
    return {path.name for path in folder.iterdir() if path.name != ".lock"}


@pytest.fixture
def text(monkeypatch, tmp_path):
    """A folder with a tiny text, as --data-dir."""
    play = "".join("to be or not"[i % 12] for i in range(2_000)).encode()
    expect(monkeypatch, "tinyshakespeare", {"input.txt": play})
    write(tmp_path / "data" / "tinyshakespeare", {"input.txt": play})
    return str(tmp_path / "data")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run on the digits."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    assert main([*DIGITS, "--directory", str(folder)]) == 0
    return folder


def test_every_option_is_in_the_help(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["train", "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for name in [*options(), "match_parameters", "seeds", "config", "data_dir"]:
        assert f"--{name.replace('_', '-')}" in shown
    assert all(task in shown for task in LOADERS)


def test_every_field_of_a_run_is_an_option_or_left_out():
    paths = [option.path for option in options().values()]
    assert len(set(paths)) == len(paths)
    left_out = set(specs.fields_of(specs.Run)) - set(paths)
    assert left_out == {
        *("task.name", "task.options", "model.kind", "model.n_outputs"),
        *("model.embedding", "model.options", "model.cell.context_size"),
        *("model.cell.circuit.gates", "model.cell.backend.options"),
        "model.cell.options",
    }


@pytest.mark.parametrize(
    ("name", "words", "value"),
    [
        ("n_qubits", "4", 4),
        ("learning_rate", "1e-2", 0.01),
        ("update_limit", "none", None),
        ("update_limit", "auto", "auto"),
        ("clip_norm", "None", None),
        ("controller_hidden", "128", (128,)),
        ("controller_hidden", "128,64", (128, 64)),
        ("controller_hidden", "none", ()),
        ("rotations", "rx,rz", ("rx", "rz")),
        ("observables", "xyz+zz", "xyz+zz"),
        ("observables", "X0 Y3,Z1", ("X0 Y3", "Z1")),
        ("readout", "0.5", 0.5),
        ("feedback", "false", False),
        ("by", "pixel", "pixel"),
        ("scale", "0,1", (0, 1)),
        ("task_seed", "3", 3),
        ("seed", "5", 5),
    ],
)
def test_words_become_values_of_the_description(name, words, value):
    given = {"n_qubits": "2", name: words}
    path = options()[name].path
    run = described("digits", given)
    if path.startswith("task.options."):
        assert run.task.options == {path.removeprefix("task.options."): value}
    else:
        assert specs.fields_of(run)[path].value == value


def test_without_options_a_run_has_the_defaults():
    run = described("digits", {"n_qubits": "3"})
    cell = specs.Cell(circuit=specs.Circuit(3))
    assert run == specs.Run(specs.Task("digits"), specs.Model(None, cell))
    changed = described("", {"epochs": "3", "max_bond": "4", "backend": "mps"}, run)
    assert changed.training.epochs == 3 and changed.model.cell.circuit.n_qubits == 3
    assert changed.model.cell.backend == specs.Backend("mps", max_bond=4)
    with_options = specs.replace(run, {"task.options": {"by": "pixel"}})
    assert described("digits", {}, with_options) == with_options
    assert described("mnist", {}, with_options).task == specs.Task("mnist")


def test_a_run_leaves_model_scores_and_figures(trained, capsys):
    assert files(trained) == FILES | {"valid_accuracy.png"}
    run = specs.from_json((trained / "run.json").read_text())
    assert run.model.cell.circuit == specs.Circuit(2, 1)
    assert (run.training.epochs, run.training.batch_size, run.seed) == (2, 200, 0)
    scores = read_json(trained / "scores.json")
    model = tq.load(trained / "model.npz")
    task = tq.load_task("digits")
    assert scores["test"] == tq.evaluate(model, task.test, batch_size=200)
    assert specs.from_dict(scores["run"]) == run
    cell = tq.cells.parameter_count(model.cell)
    assert scores["cell_parameters"] == cell == (8 + 6 + 1) * 4 + (4 + 1) * 5
    assert scores["parameters"] == cell + (6 + 1) * 10
    assert scores["epochs"] == len(scores["history"]["train_loss"]) == 2
    assert scores["seconds_per_step"] > 0 and scores["made_with"]["jax"]
    model, task, arguments = tq.build(run)
    again = tq.fit(model, task, progress=False, **arguments)
    assert again.history["train_loss"] == scores["history"]["train_loss"]


def test_a_finished_run_is_shown_again(trained, capsys, monkeypatch):
    monkeypatch.setattr(train_command, "fit", None)  # is not called
    assert main([*DIGITS, "--directory", str(trained)]) == 0
    shown = capsys.readouterr().out
    accuracy = read_json(trained / "scores.json")["test"]["accuracy"]
    assert "test accuracy" in shown and f"{accuracy:.5g}" in shown
    assert str(trained) in shown


def test_a_run_begins_with_another_ones_description(trained, tmp_path, capsys):
    config = ("--config", str(trained / "run.json"))
    other = ("--epochs", "1", "--directory", str(tmp_path / "new"), "--no-progress")
    assert main(["train", *config, *other]) == 0
    run = specs.from_json((tmp_path / "new" / "run.json").read_text())
    first = specs.from_json((trained / "run.json").read_text())
    assert run == specs.replace(first, {"training.epochs": 1})


def test_seeds_of_a_language_model_of_matched_size(text, tmp_path, capsys):
    folder = tmp_path / "out"
    words = ("train", "tinyshakespeare-char", "--data-dir", text, "--window", "20")
    words += (*SMALL, "--batch-size", "5", "--no-progress", "--directory", str(folder))
    assert main([*words, "--cell", "gru", "--match-parameters", "--seeds", "2"]) == 0
    assert files(folder) == {
        *("seed-0", "seed-1", "scores.json", "loss.png", "valid_bits_per_character.png")
    }
    results = read_json(folder / "scores.json")["runs"]
    for seed, result in enumerate(results):
        run = specs.from_json((folder / f"seed-{seed}" / "run.json").read_text())
        assert run.seed == result["seed"] == seed
        assert run.task.options == {"window": 20}
        assert result == read_json(folder / f"seed-{seed}" / "scores.json")
    quantum = tq.QRNNCell(
        32,
        tq.hardware_efficient(2, 1),
        controller=tq.Controller(hidden=(4,)),
        key=jax.random.key(0),
    )
    sizes = {"input_size": 32, "n_params": tq.cells.parameter_count(quantum)}
    hidden_size = tq.cells.match_parameters("gru", **sizes)
    assert run.model.cell == specs.Cell("gru", 32, hidden_size=hidden_size)
    losses = [result["history"]["train_loss"] for result in results]
    assert losses[0] != losses[1]
    table = capsys.readouterr().out
    assert "test bits per character" in table and "mean" in table and "±" in table
    assert main([*words, "--cell", "gru", "--match-parameters"]) == 2
    assert "which holds several runs" in capsys.readouterr().err


def test_after_ctrl_c_the_same_command_goes_on(tmp_path, capsys, monkeypatch):
    def ctrl_c(progress):
        if progress.step >= 6:
            raise KeyboardInterrupt

    folder = tmp_path / "run"
    words = [*DIGITS, "--directory", str(folder)]
    fit = train_command.fit
    stopped = functools.partial(fit, callbacks=[ctrl_c])
    with monkeypatch.context() as patch:
        patch.setattr(train_command, "fit", stopped)
        assert main(words) == 130
    said = capsys.readouterr().err
    assert (
        said.count("\n") == 1
        and f"{folder / 'last.ckpt'} holds" in said
        and "goes on from there" in said
    )
    assert {"run.json", "last.ckpt"} <= files(folder)
    assert "model.npz" not in files(folder)
    assert main(words) == 0
    assert files(folder) == FILES | {"valid_accuracy.png"}


def test_another_run_in_the_folder_is_refused(trained, capsys):
    before = {path: path.read_bytes() for path in trained.iterdir()}
    words = ("--directory", str(trained))
    for more, said in (
        (("--seed", "1"), "seed = 0, where 1 is asked for"),
        (("--topology", "ring"), "topology = 'chain', where 'ring' is asked for"),
        (("--seeds", "2"), "which holds one run"),
    ):
        assert main([*DIGITS, *words, *more]) == 2
        error = capsys.readouterr().err
        assert error.startswith("tnqrnn: directory must be of this") and said in error
    assert {path: path.read_bytes() for path in trained.iterdir()} == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], r"task must be one of ['copying', "),
        (["digit"], "name must be one of ['copying', "),
        (["digits"], "n_qubits must be given for a QRNN, got none."),
        (["digits", "--n-qubits", "four"], "model.cell.circuit.n_qubits must be"),
        (["digits", *SMALL, "--epochs", "0"], "training.epochs must be an integer >="),
        (
            ["digits", *SMALL, "--warmup-epochs", "2"],
            "warmup_epochs must be an",
        ),
        (
            ["digits", *SMALL, "--batch-size", "5000"],
            "batch_size must be an",
        ),
        (["digits", *SMALL, "--schedule", "fast"], "schedule must be one of"),
        (["digits", *SMALL, "--update-limit", "big"], "update_limit must be a finite"),
        (
            ["digits", *SMALL, "--topology", "star"],
            "model.cell.circuit.topology must",
        ),
        (["digits", *SMALL, "--n-qubits", "70"], "n_qubits=70: a statevector must fit"),
        (["digits", *SMALL, "--window", "3"], "option of task 'digits' must be one of"),
        (["digits", *SMALL, "--by", "block"], "by must be one of"),
        (
            ["digits", *SMALL, "--max-bond", "3"],
            "model.cell.backend.max_bond must",
        ),
        (["digits", *SMALL, "--cell", "gru"], "model.cell.circuit must be left alone"),
        (["digits", *SMALL, "--match-parameters"], "cell must be classical for match_"),
        (
            ["digits", *SMALL, "--cell=gru", "--hidden-size=3", "--match-parameters"],
            "hidden_size must be left out with match_parameters, got 3",
        ),
        (["digits", "--cell", "gru", "--match-parameters"], "n_qubits must be given"),
        (["digits", *SMALL, "--seeds", "0"], "seeds must be an integer >= 1, got 0"),
        (["digits", *SMALL, "--seeds=2", "--seed=1"], "seed must be left out with see"),
        (["--config", "nowhere.json"], "config must be a file that can be read"),
        (["--config", "words.json"], "words.json must describe a run: text must be J"),
        (["--config", "task.json"], "task.json must describe a run, got a Task"),
    ],
)
def test_a_bad_option_is_one_line_and_nothing_is_written(
    words, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.json").write_text("words")
    (tmp_path / "task.json").write_text(specs.to_json(specs.Task("digits")))
    before = files(tmp_path)
    assert main(["train", *words, "--no-progress"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"tnqrnn: {message}")
    assert captured.err.count("\n") == 1
    assert files(tmp_path) == before


def test_the_default_folder_says_task_cell_size_and_seed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("train", "digits", "--cell", "rnn", "--hidden-size", "3", "--epochs", "1")
    assert main([*words, "--seed", "4", "--batch-size", "600", "--no-progress"]) == 0
    assert FILES <= files(tmp_path / "runs" / "digits-rnn-3" / "seed-4")
    run = json.loads((tmp_path / "runs/digits-rnn-3/seed-4/run.json").read_text())
    assert run["seed"] == 4 and run["model"]["cell"]["circuit"] is None
