"""How a command ends, and what a warning looks like to its user."""

import warnings

import pytest

from utils.errors import UserError, reason, run


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [(UserError("no such file"), 2, "error: no such file\n"), (KeyboardInterrupt(), 130, "interrupted\n")],
)
def test_errors_become_a_line_and_a_code(capsys, error, code, line):
    def main() -> int:
        raise error

    assert run(main) == code
    assert capsys.readouterr().err == line


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
    assert reason(OSError("short read")) == "short read"
    assert reason(OSError()) == "OSError"
