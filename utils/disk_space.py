"""Files that could not be written, explained: how much room they take and how much there is."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from utils.errors import UserError, WriteError


@contextlib.contextmanager
def room_for(path: Path, size: int, *, errors: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turns whatever stops the file `path` of about `size` bytes from being written into a WriteError.

    errors  what a library raises at a full disk, beside OSError and UserError
    """
    expected: tuple[type[Exception], ...] = (UserError, OSError, *errors)
    try:
        yield
    except expected as error:
        folder = next(folder for folder in path.absolute().parents if folder.exists())
        free = shutil.disk_usage(folder).free
        raise WriteError(
            f"cannot write {path}, which takes {size / 2**20:,.1f} MiB where {free / 2**20:,.1f} MiB are "
            f"free ({error}); the previous file is untouched: make room, and give the same command again"
        ) from error
