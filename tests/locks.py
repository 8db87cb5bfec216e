"""Another process that works in a folder."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = """
import sys, time; from pathlib import Path; from utils.folder_lock import locked
with locked(Path(sys.argv[1])): print("held", flush=True); time.sleep(600)
"""


@contextmanager
def holder_of(folder: Path) -> Iterator[subprocess.Popen]:
    """A process that holds the folder's lock, and is killed at the end."""
    words = [sys.executable, "-c", PROGRAM, str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]) as holder:
        try:
            assert holder.stdout and holder.stdout.readline() == b"held\n"  # noqa: PT018
            yield holder
        finally:
            holder.kill()
