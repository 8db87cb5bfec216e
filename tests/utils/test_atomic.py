"""Files are whole or absent."""

import pytest

from utils.atomic import atomic_path, write_text
from utils.errors import UserError


def test_writes_and_leaves_no_temporary(tmp_path):
    write_text(tmp_path / "deep" / "er" / "é x.txt", "content")
    assert [p.name for p in (tmp_path / "deep" / "er").iterdir()] == ["é x.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failure_keeps_the_old_file(tmp_path, error):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(error), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise error
    assert (target.read_text(), len(list(tmp_path.iterdir()))) == ("old", 1)


def test_long_names_fit_and_an_unwritable_folder_is_a_user_error(tmp_path):
    target = tmp_path / ("n" * 251 + ".png")
    write_text(target, "x")
    assert target.read_text() == "x"
    with pytest.raises(UserError, match=r"nnn\.png"):
        write_text(target / "a.txt", "x")


def test_ordinary_permissions(tmp_path):
    (tmp_path / "plain").write_text("x")
    with atomic_path(tmp_path / "a") as temporary:
        temporary.touch(0o600)
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_mask_of_the_process_is_never_changed(tmp_path, monkeypatch):
    """Between a change of it and the change back, other threads would write files of other permissions."""
    monkeypatch.setattr("os.umask", lambda mask: pytest.fail("the process's mask was changed"))
    write_text(tmp_path / "a.txt", "x")
