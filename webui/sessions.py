"""Temporary files of each open page, removed when it is closed."""

import contextlib
import itertools
import shutil
import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from webui.separation import Separated


@dataclass
class Session:
    """One open page."""

    folder: Path
    uploads: set[Path] = field(default_factory=set)
    results: dict[str, Separated] = field(default_factory=dict)
    """by download name"""
    counter: itertools.count = field(default_factory=itertools.count)

    def new_folder(self) -> Path:
        """A folder for the files of one picture."""
        return self.folder / str(next(self.counter))

    def keep(self, separated: Separated) -> str:
        """Adds a result; returns its download name, numbered where the name is taken."""
        names = itertools.chain([separated.name], (f"{separated.name} ({n})" for n in itertools.count(2)))
        name = next(name for name in names if name not in self.results)
        self.results[name] = separated
        return name

    def archive(self) -> Path:
        """A zip file of the downloads of all results, made when it is first asked for."""
        path = self.folder / "all-results.zip"
        if not path.exists():
            with zipfile.ZipFile(path, "w") as file:  # not compressed: pictures are already
                for number, separated in enumerate(self.results.values()):
                    for download in separated.downloads:
                        taken = download.name in file.namelist()
                        file.write(download, f"{number + 1}-{download.name}" if taken else download.name)
        return path

    def forget_results(self) -> None:
        """Removes the files of earlier results."""
        self.results = {}
        shutil.rmtree(self.folder, ignore_errors=True)


class Sessions:
    """The sessions of a server by their hash. Thread-safe."""

    def __init__(self, root: Path):
        self.root = root
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def of(self, hash_: str) -> Session:
        """The session of a page, begun where it is new."""
        with self._lock:
            return self._sessions.setdefault(
                hash_, Session(self.root / f"session-{len(self._sessions)}-{hash_}")
            )

    def end(self, hash_: str) -> None:
        """Removes the files of a session; uploads that another one has too (the server keeps equal files
        once) stay until that ends."""
        with self._lock:
            session = self._sessions.pop(hash_, None)
            if session is None:
                return
            shared = {path for other in self._sessions.values() for path in other.uploads}
        session.forget_results()
        for path in session.uploads - shared:
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()
