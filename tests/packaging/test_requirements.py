"""What is imported is declared, and what is declared is imported."""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = {"tests"} | {path.parent.name for path in ROOT.glob("*/*.py")}
OURS |= {path.stem for path in ROOT.glob("*.py")}
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
TOOLS |= {"pytest-xdist"}
"""Run as commands, or imported by tests where they are there."""
BY_TORCH = {"tensorboard", "onnx", "onnxscript"}
"""Imported by torch when it writes logs or ONNX files."""


def declared(*patterns: str) -> set[str]:
    files = [file for pattern in patterns for file in ROOT.glob(pattern)]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return {re.split(r"[\[<>=~! ]", line)[0] for line in lines if line and line[0] not in "#-"}


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
    undeclared = imported() - declared("requirements*.txt")
    assert not undeclared


def test_what_is_declared_is_imported() -> None:
    unused = declared("requirements*.txt") - imported() - TOOLS - BY_TORCH
    assert not unused


def test_tested_versions_are_pinned() -> None:
    unpinned = declared("requirements*.txt") - declared("constraints.txt")
    assert not unpinned
