"""Files that are either whole or absent: written beside their place, then renamed over it."""

import contextlib
import errno
import os
import platform
import re
import secrets
import stat
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from utils.errors import UserError, WriteError, reason

_HOST = f"{zlib.crc32(platform.node().encode()):08x}"
_LEFTOVER = re.compile(rf"\.tmp-{_HOST}-(\d+)-[0-9a-f]{{12}}(\..*)?")


@contextmanager
def atomic_path(path: str | os.PathLike, size: int | None = None) -> Iterator[Path]:
    """Yields a temporary path in the folder of `path`; renames it to `path` when the block succeeds.

    The temporary name keeps the suffix, since image libraries choose the format by it. On any
    exception (KeyboardInterrupt included) the temporary file is removed and `path` is untouched.
    Parent folders are made. Raises UserError where they cannot be, and WriteError where the file cannot be
    written; on a full disk it says that `size` bytes are needed, where given. A process that is killed
    leaves the temporary file, which names it, for `remove_leftovers`.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {path.parent}: {reason(error)}") from error
    # A short name: `path.name` may already be as long as the file system allows.
    temporary = path.parent / f".tmp-{_HOST}-{os.getpid()}-{secrets.token_hex(6)}{path.suffix[-16:]}"
    try:
        mode = _ordinary_mode(temporary)
        yield temporary
        _flush_to_disk(temporary)
        # Some libraries make files that only their owner may read; results are ordinary files.
        temporary.chmod(mode)
        _replace(temporary, path)
    except OSError as error:
        needed = ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) and size is not None:
            needed = f"; this file needs {size / 1e6:.3g} MB"
        raise WriteError(f"cannot write {path}: {reason(error)}{needed}") from error
    finally:
        with contextlib.suppress(OSError):  # its folder may be gone
            temporary.unlink()


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Writes `content` to `path` atomically."""
    with atomic_path(path, len(content)) as temporary:
        temporary.write_bytes(content)


def remove_leftovers(folder: str | os.PathLike[str]) -> int:
    """Removes the temporary files of killed processes of this machine from a folder; returns how many."""
    removed = 0
    with contextlib.suppress(OSError):
        for entry in os.scandir(os.fspath(folder)):
            match = _LEFTOVER.fullmatch(entry.name)
            if match and not _runs(int(match[1])):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)
                    removed += 1
    return removed


def write_text(path: str | os.PathLike, content: str) -> None:
    """Writes `content` to `path` atomically, as UTF-8."""
    write_bytes(path, content.encode("utf-8"))


def _runs(process: int) -> bool:
    """True for another process that runs; an own file from before this start is that of a killed one."""
    if process == os.getpid():
        return False
    if sys.platform == "win32":  # where os.kill(process, 0) would send it a Ctrl-C
        return _runs_on_windows(process)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to somebody else
        return True
    return True


def _runs_on_windows(process: int) -> bool:
    import ctypes

    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined, unused-ignore]
    handle = kernel.OpenProcess(0x1000, False, process)  # PROCESS_QUERY_LIMITED_INFORMATION
    if not handle:
        return kernel.GetLastError() == 5  # ERROR_ACCESS_DENIED: it belongs to somebody else
    code = ctypes.c_ulong()
    kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return code.value == 259  # STILL_ACTIVE


def _replace(temporary: Path, path: Path) -> None:
    """os.replace. Windows refuses it while another program, mostly a virus scanner, has `path` open: up to a
    second is waited for that to end."""
    for _ in range(20 if os.name == "nt" else 0):
        try:
            os.replace(temporary, path)
            return
        except PermissionError:
            time.sleep(0.05)
    os.replace(temporary, path)


def _flush_to_disk(path: Path) -> None:
    # Without fsync a power cut after the rename can leave an empty file under the final name.
    with open(path, "r+b") as file:  # Windows flushes only what is open for writing
        os.fsync(file.fileno())


def _ordinary_mode(temporary: Path) -> int:
    """The mode that the process's mask gives a new file; asking for the mask itself would change it."""
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
        os.unlink(temporary)
