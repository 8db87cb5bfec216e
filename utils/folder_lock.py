"""A lock on a folder: two processes that would write the same files cannot both hold it."""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from utils.errors import UserError, WriteError, reason

NAME = "run.lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the lock on `folder`, which is made where it is missing, and removed again if nothing came of it.

    The system frees the lock with the process, however that ends. Raises UserError where another process
    holds it. A record lock, since flock's would go to worker processes, which can outlive a killed parent.
    """
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise WriteError(f"cannot write to {folder}: {reason(error)}") from error
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read(200).strip() or "another process"
            raise UserError(
                f"{folder} is in use by {holder}: wait for its end, or choose another folder"
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                if os.listdir(folder) == [NAME]:
                    path.unlink()
                    folder.rmdir()
