"""A lock on a folder: two processes that would write the same files cannot both hold it."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from utils.errors import UserError, WriteError, reason

NAME = "run.lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the lock on `folder`, which is made where it is missing, and removed again if nothing came of it.

    The system frees the lock with the process, however that ends; worker processes, which can outlive a
    killed parent, do not inherit it. Raises UserError where another process holds it, and WriteError where
    the folder cannot be written to.
    """
    path = folder / NAME
    lock = FileLock(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout as error:
        raise UserError(
            f"{folder} is in use by {_holder(path)}: wait for its end, or choose another folder"
        ) from error
    except OSError as error:
        raise WriteError(f"cannot write to {folder}: {reason(error)}") from error
    try:
        with contextlib.suppress(OSError):  # Windows lets nobody write to a locked file
            path.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        _remove_unused(folder)
        lock.release()
        if os.name == "nt":  # where an open file cannot be removed, neither this one before nor another's now
            _remove_unused(folder)


def _holder(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")[:200].strip() or "another process"
    return "another process"


def _remove_unused(folder: Path) -> None:
    with contextlib.suppress(OSError):
        if os.listdir(folder) == [NAME]:
            (folder / NAME).unlink()
            folder.rmdir()
