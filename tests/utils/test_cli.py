"""Options: switches, lists, YAML files, and errors in one sentence."""

from dataclasses import dataclass, field

import pytest

from utils.cli import parse, run
from utils.errors import UserError


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
    assert _parse("--folder", "x", "--names", "u", "v", "--save", "--tile", "3") == _Options(
        "x", ["u", "v"], True, 3
    )
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
