"""Builds the wheel: one package `dehighlight`, made of a checkout's packages and scripts.

Names like `utils` or `data` would clash in a user's site-packages. They are copied under `dehighlight/`, and
in the copies every import of ours gets that prefix: `from utils.errors import run` becomes
`from dehighlight.utils.errors import run`.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

sys.path.append(str(Path(__file__).with_name("hub")))
from renamed_imports import PACKAGES, SCRIPTS, prefixed

NAME = "dehighlight"
DATA = ("savedmodel",)


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
        file.write_text(prefixed(file.read_text(encoding="utf-8"), str(file), NAME), encoding="utf-8")
    (target / "__main__.py").write_text(f"from {NAME} import main\n\nmain()\n", encoding="utf-8")
    (target / "py.typed").touch()
