"""Options: switches, lists, YAML files, and errors in one sentence."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from utils.cli import parse, run
from utils.errors import UserError
from utils.release import VERSION


@dataclass
class _Options:
    """Options of the test."""

    folder: str
    """where the pictures lie, 100%"""
    names: list[str] = field(default_factory=lambda: ["a"])
    """which"""
    save: bool = False
    """a switch"""
    tile: int | None = None
    """side"""


def _parse(*argv):
    return parse(_Options, argv, prog="test", description="test")


def test_defaults_and_types():
    assert _parse("--folder", "x") == _Options("x", ["a"], False, None)
    given = _parse("--folder", "x", "--names", "u", "v", "--save", "--tile", "3")
    assert given == _Options("x", ["u", "v"], True, 3)
    assert _parse("--folder", "x", "--save", "false").save is False


def test_config_file(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("folder: y\nsave: true\n")
    assert _parse("--config", str(path), "--tile", "5") == _Options("y", ["a"], True, 5)
    path.write_text("folder: y\nunknown_key: 1\n")
    with pytest.raises(SystemExit) as caught:
        _parse("--config", str(path))
    assert caught.value.code == 2


@pytest.mark.parametrize(
    "argv", [["--folder"], ["--folder", "x", "--tile", "z"], ["--folder", "x", "--nope", "1"]]
)
def test_wrong_options_exit_2(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        _parse(*argv)
    assert caught.value.code == 2
    assert "error" in capsys.readouterr().err


def test_help_shows_field_docstrings(capsys):
    with pytest.raises(SystemExit):
        _parse("--help")
    assert "where the pictures lie, 100%" in capsys.readouterr().out


def test_run_codes(capsys):
    def bad():
        raise UserError("no such folder: x")

    def interrupted():
        raise KeyboardInterrupt

    assert run(lambda: 0) == 0
    assert run(bad) == 2
    assert capsys.readouterr().err == "error: no such folder: x\n"
    assert run(interrupted) == 130


def test_switches_and_lists_may_be_left_out():
    @dataclass
    class Undecided:
        flips: bool | None = None
        betas: list[float] | None = None

    def parsed(*argv):
        return parse(Undecided, argv, prog="x", description="")

    assert parsed() == Undecided(None, None)
    assert parsed("--flips", "--betas", "0.5", "0.9") == Undecided(True, [0.5, 0.9])
    assert parsed("--no_flips") == parsed("--flips", "false") == Undecided(False, None)


@dataclass
class _Words:
    """Options of other kinds."""

    input_dir: str = field(default="here", metadata={"flags": ["-i"]})
    """where"""
    stage: Literal["first", "second"] | None = None
    """which"""
    rates: list[float] = field(default_factory=lambda: [0.5])
    """how fast"""
    save: bool = True
    """a switch"""
    steps: int = 1
    """how many"""


def _words(*argv):
    return parse(_Words, argv, prog="test", description="test")


def test_hyphens_and_short_names():
    assert _words("--input-dir", "a").input_dir == _words("--input-dir=a").input_dir == "a"
    assert _words("-i", "a").input_dir == "a"
    assert _words("--input_dir", "a--b").input_dir == "a--b"
    assert _words("--no-save").save is False
    assert _words("--steps", "3").steps == 3


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--inputdir", "x"], "there is no option --inputdir; did you mean --input_dir?"),
        (["--xyzzy=1"], "there is no option --xyzzy; --help lists all options"),
        (["--stage", "third"], "--stage takes first or second, not third"),
        (["--rates", "fast"], "--rates takes one or more, each a number"),
        (["--save", "maybe"], "--save takes true or false, not maybe"),
    ],
)
def test_errors_are_one_line_in_words(argv, words, capsys):
    with pytest.raises(SystemExit) as caught:
        _words(*argv)
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert words in said
    assert said.count("\n") == 1


def test_help_shows_choices_and_no_types(capsys):
    with pytest.raises(SystemExit):
        _words("--help")
    said = capsys.readouterr().out
    assert "--stage {first,second}" in said
    assert "-i INPUT_DIR" in said
    assert "how fast (default: 0.5)" in said
    assert not any(word in said for word in ("Literal", "type:", "null", "None", "True", "yes", "old"))


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_ctrl_c_while_importing_is_one_line(tmp_path):
    """The code runs inside an import, and whatever is being imported catches every exception."""
    (tmp_path / "slow.py").write_text(
        "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\nexcept BaseException:\n    pass\n"
    )
    code = "from utils.signals import ended_at_once\nwith ended_at_once():\n    import slow"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), str(tmp_path)])},
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_interruptible_by_three_signals():
    from utils.signals import STOPPING, interruptible

    for number in STOPPING:
        before = signal.getsignal(number)
        if before is signal.SIG_IGN:
            continue
        with pytest.raises(KeyboardInterrupt), interruptible():
            signal.raise_signal(number)
        assert signal.getsignal(number) is before


@pytest.mark.parametrize("command", ["infer.py", "train.py", "dehighlight.py", "-m synthetic"])
def test_version(command):
    root = Path(__file__).parents[2]
    words = [sys.executable, *command.split(), "--version"]
    said = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"dehighlight {VERSION}, torch ")
    for file in ("CITATION.cff", "CHANGELOG.md"):
        assert VERSION in (root / file).read_text(encoding="utf-8")
