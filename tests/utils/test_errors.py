"""How a command ends, and what a warning looks like to its user."""

import importlib
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import pytest

from utils.errors import UserError, reason, run


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("no such file"), 2, "error: no such file\n"),
        (UserError("`crop`: pass `size=[8, 24]`"), 2, "error: --crop: pass --size [8, 24]\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_errors_become_a_line_and_a_code(capsys, error, code, line):
    def main() -> int:
        raise error

    assert run(main) == code
    assert capsys.readouterr().err == line


def test_packages_for_training_are_named_with_the_pip_line(capsys, monkeypatch):
    def main() -> int:
        import accelerate

        return bool(accelerate)

    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert run(main) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: accelerate and perhaps others are missing: pip install ")
    project = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text())["project"]
    needed = [line.partition(">")[0] for line in project["optional-dependencies"]["train"]]
    assert sorted(said.split("pip install ")[1].split()) == sorted(needed)
    with pytest.raises(ModuleNotFoundError):
        run(lambda: importlib.import_module("utils.no_such_module"))


COMMANDS = [
    "infer.py",
    "train.py",
    "evaluate.py",
    "demo.py",
    "export.py",
    "benchmark.py",
    "dehighlight.py infer",
]
COMMANDS += [
    "-m data.check",
    "-m data.lists",
    "-m data.tone_correction",
    "-m synthetic",
]
COMMANDS += [
    "-m weights.average a.pt b.safetensors",
    "-m tools.scoreboard",
    "-m tools.scene_scores",
    "-m tools.classical_methods",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_without_the_virtual_environment_is_a_sentence(command):
    """A Python that has none of the packages."""
    root = Path(__file__).parents[2]
    words = [sys.executable, "-S", *command.split()]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True)
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: the package ")
    assert ".venv/bin/python" in line
    assert done.returncode in (1, 2)


def test_other_errors_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 // 0)


def test_warnings_for_users_are_one_line():
    def main() -> int:
        texts = [
            warnings.formatwarning("old file", category, "weights/x.py", 3)
            for category in (UserWarning, DeprecationWarning)
        ]
        assert texts[0] == "warning: old file\n"
        assert texts[1].startswith("weights/x.py:3: DeprecationWarning: old file")
        return 0

    usual = warnings.formatwarning
    assert run(main) == 0
    assert warnings.formatwarning is usual


def test_the_reason_of_a_failed_operation():
    assert reason(OSError(28, "No space left on device")) == "No space left on device"
    assert (reason(OSError("short read")), reason(OSError())) == ("short read", "OSError")
