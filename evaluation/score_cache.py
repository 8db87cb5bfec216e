"""Scores kept on disk, so that a second run goes on where the first stopped.

Under OUT/PROTOCOL/METHOD/ lies rows.jsonl, a line per finished picture. A line is taken again only when
everything that could change it is the same: the method, the content of its weights, the code and the
libraries, the settings, and the size and time of the picture files.
"""

import ast
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from importlib import metadata
from pathlib import Path

from evaluation.adapters import Method
from evaluation.rows import Row, method_folder, result_path, stamp
from evaluation.scored_methods import ScoredMethod
from evaluation.scored_pairs import Pair
from evaluation.settings import Settings
from utils.errors import WriteError, reason

ROOT = Path(__file__).resolve().parent.parent
ENTRY = "evaluation.runner"
LIBRARIES = ("numpy", "opencv-python-headless", "scikit-image", "scipy", "torch", "torchvision", "pillow")


class ScoreCache:
    """Finished rows on disk, one file per method. Not for two processes at a time."""

    def __init__(self, out: Path, settings: Settings, fresh: bool = False):
        self._out, self._settings, self._fresh = out, settings, fresh
        self._weights: dict[str, str | None] = {}

    def finished(self, spec: str, method: Method, pairs: Sequence[Pair]) -> dict[str, Row]:
        """Rows of `spec` by the pair's name, of the pairs whose scores are still right."""
        path = self._file(spec)
        if self._fresh:
            path.unlink(missing_ok=True)
        kept = _read_rows(path)
        finished = {}
        for pair in pairs:
            row = kept.get(self._key(spec, method, pair))
            if row and (row.kept is None or row.kept == stamp(self.result_file(spec, method, pair))):
                finished[pair.name] = row
        return finished

    def keep(self, spec: str, method: Method, pair: Pair, row: Row) -> None:
        """Appends the row of `pair`; not a failed one, which is tried again. Raises WriteError."""
        if row.error is not None:
            return
        path = self._file(spec)
        # The leading line break keeps this line whole behind one that a kill cut short.
        line = "\n" + json.dumps({"key": self._key(spec, method, pair), "row": row.to_json()})
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise WriteError(f"cannot write {path}: {reason(error)}") from error

    def result_file(self, spec: str, method: Method, pair: Pair) -> Path:
        """The picture that a method made of `pair`: its own file, or the one of another program."""
        given = method.files(pair).get("result")
        return given or result_path(self._out, self._settings.protocol, spec, pair.name)

    def _file(self, spec: str) -> Path:
        return method_folder(self._out, self._settings.protocol, spec) / "rows.jsonl"

    def _key(self, spec: str, method: Method, pair: Pair) -> str:
        """Changes with everything that can change a score; of a file that is missing, the absence."""
        if spec not in self._weights:
            self._weights[spec] = ScoredMethod.parse(spec).weights_hash()
        files = pair.files | method.files(pair)
        stamps = [[key, str(path), *stamp(path)] for key, path in sorted(files.items())]
        facts = [
            *(spec, self._weights[spec], source_hash(), asdict(self._settings)),
            *(pair.compared_layer, pair.linear, pair.encode, stamps),
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def _read_rows(path: Path) -> dict[str, Row]:
    """Rows by key. Lines that are no rows are passed over: a kill can cut the last one short."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    rows = {}
    for line in lines:
        try:
            record = json.loads(line)
            rows[record["key"]] = Row.from_json(record["row"])
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return rows


@cache
def source_hash(root: Path = ROOT) -> str:
    """Hash of all our source files that scoring can run, and of the versions of the libraries it uses.

    Which files these are is read from the import statements, those inside functions included, starting at
    `ENTRY`: a module that scoring begins to import is part of the hash from then on.
    """
    digest = hashlib.sha256()
    for file in source_files(root):
        digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    for library in LIBRARIES:
        digest.update(f"{library} {_version(library)}\n".encode())
    return digest.hexdigest()[:12]


def source_files(root: Path = ROOT) -> list[Path]:
    """Our modules that `ENTRY` imports, directly or through others, itself included."""
    found: set[Path] = set()
    waiting = [ENTRY]
    while waiting:
        for file in _files_of(root, waiting.pop()):
            if file not in found:
                found.add(file)
                waiting += _imported(file)
    return sorted(found)


def _files_of(root: Path, module: str) -> list[Path]:
    """The file of a module and those of the packages around it; none where it is not ours."""
    parts = module.split(".")
    packages = [root.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)]
    return [file for file in (*packages, root.joinpath(*parts).with_suffix(".py")) if file.is_file()]


def _imported(file: Path) -> list[str]:
    """Names of modules that a file may import; `from a import b` names a and, in case b is one, a.b."""
    names = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "absent"
