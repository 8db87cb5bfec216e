"""Files that are either whole or absent: written beside their place, then renamed over it."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from utils.errors import UserError, reason


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary path in the folder of `path`; renames it to `path` when the block succeeds.

    The temporary name keeps the suffix, since image libraries choose the format by it. On any
    exception (KeyboardInterrupt included) the temporary file is removed and `path` is untouched.
    Parent folders are made. Raises UserError where the folder cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {path.parent}: {reason(error)}") from error
    # A short name: `path.name` may already be as long as the file system allows.
    temporary = path.parent / f".tmp-{secrets.token_hex(6)}{path.suffix[-16:]}"
    try:
        mode = _ordinary_mode(temporary)
        yield temporary
        _flush_to_disk(temporary)
        # Some libraries make files that only their owner may read; results are ordinary files.
        temporary.chmod(mode)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {reason(error)}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Writes `content` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike, content: str) -> None:
    """Writes `content` to `path` atomically, as UTF-8."""
    write_bytes(path, content.encode("utf-8"))


def _flush_to_disk(path: Path) -> None:
    # Without fsync a power cut after the rename can leave an empty file under the final name.
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _ordinary_mode(temporary: Path) -> int:
    """The mode that the process's mask gives a new file; asking for the mask itself would change it."""
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
        os.unlink(temporary)
