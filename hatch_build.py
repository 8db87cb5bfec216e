"""Builds the wheel: one package `dehighlight`, made of a checkout's packages and scripts.

Names like `utils` or `data` would clash in a user's site-packages. They are copied under `dehighlight/`, and
in the copies every import of ours gets that prefix: `from utils.errors import run` becomes
`from dehighlight.utils.errors import run`.
"""

import ast
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

NAME = "dehighlight"
PACKAGES = (
    "classical", "data", "evaluation", "losses", "models", "recipes", "restoration", "synthetic", "training",
    "utils", "webui", "weights",
)  # fmt: skip
SCRIPTS = ("infer", "train", "evaluate", "export", "demo")
DATA = ("savedmodel",)
LEFT_OUT = ("benchmark", "tests", "tools")
"""Ours too, but not installed; nothing that is may import them."""


class Requirements(MetadataHookInterface):
    """Dependencies from requirements.txt."""

    def update(self, metadata: dict[str, Any]) -> None:
        lines = Path(self.root, "requirements.txt").read_text(encoding="utf-8").splitlines()
        metadata["dependencies"] = [line for line in lines if line and not line.startswith("#")]


class OnePackage(BuildHookInterface):
    """Puts everything into the package `dehighlight`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":  # the checkout itself is on the path then
            return
        self.folder = Path(tempfile.mkdtemp())
        write_package(Path(self.root), self.folder / NAME)
        build_data["force_include"][str(self.folder / NAME)] = NAME

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            shutil.rmtree(self.folder)


def write_package(root: Path, target: Path) -> None:
    """Writes the package `dehighlight` of the checkout `root` into `target`."""
    hidden = shutil.ignore_patterns("__pycache__", "*.py[cod]")
    for name in (*PACKAGES, *DATA):
        shutil.copytree(root / name, target / name, ignore=hidden)
    for name in SCRIPTS:
        if (root / f"{name}.py").is_file():
            shutil.copyfile(root / f"{name}.py", target / f"{name}.py")
    shutil.copyfile(root / f"{NAME}.py", target / "__init__.py")
    for file in target.rglob("*.py"):
        file.write_text(prefixed(file.read_text(encoding="utf-8"), str(file)), encoding="utf-8")
    (target / "__main__.py").write_text(f"from {NAME} import main\n\nmain()\n", encoding="utf-8")
    (target / "py.typed").touch()


def prefixed(source: str, file: str) -> str:
    """`source` with the prefix `dehighlight` at its imports of ours.

    Raises ValueError at an import that cannot be rewritten so, or of something that is not installed.
    """
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source, file)):
        if isinstance(node, ast.ImportFrom) and not node.level:
            modules, bound = [node.module or ""], True
        elif isinstance(node, ast.Import):
            modules, bound = [alias.name for alias in node.names], bool(node.names[0].asname)
        else:
            continue
        roots = {module.partition(".")[0] for module in modules}
        if roots & set(LEFT_OUT):
            raise ValueError(f"{file}, line {node.lineno}: {modules[0]} is not installed")
        if not roots & {*PACKAGES, *SCRIPTS}:
            continue
        if len(modules) > 1 or not bound:
            raise ValueError(f"{file}, line {node.lineno}: write `from PACKAGE import NAME`")
        line = lines[node.lineno - 1]
        start = line.index(modules[0], node.col_offset)
        lines[node.lineno - 1] = f"{line[:start]}{NAME}.{line[start:]}"
    return "".join(lines)
