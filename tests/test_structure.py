"""The packages' order: imports point one way."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEVELS = (
    ("utils", "models"),
    ("classical", "losses", "data", "synthetic", "weights"),
    ("recipes", "restoration"),
    ("training", "evaluation"),
    ("tools", "webui"),
)
LEVEL = {package: level for level, packages in enumerate(LEVELS) for package in packages}


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(package: str) -> dict[str, str]:
    """Package of ours that `package` imports, anywhere in its files -> a file that does."""
    found = {}
    for file in files(package):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module or ""]
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                continue
            for module in modules:
                root = module.partition(".")[0]
                if root in LEVEL and root != package:
                    found[root] = file.relative_to(ROOT).as_posix()
    return found


@pytest.mark.parametrize("package", LEVEL)
def test_no_import_points_upward(package: str) -> None:
    upward = {name: file for name, file in imports(package).items() if LEVEL[name] > LEVEL[package]}
    assert not upward


@pytest.mark.parametrize("package", LEVELS[0])
def test_the_lowest_packages_import_nothing_of_ours(package: str) -> None:
    assert not imports(package)


def test_packages_of_one_level_do_not_import_in_circles() -> None:
    graph = {package: set(imports(package)) for package in LEVEL}
    while graph:
        free = [package for package, needed in graph.items() if not needed & graph.keys()]
        assert free, f"a circle among {sorted(graph)}"
        for package in free:
            del graph[package]


@pytest.mark.parametrize("package", sorted(LEVEL.keys() - {"restoration", "webui", "tools"}))
def test_errors_name_parameters_and_not_options(package: str) -> None:
    """`crop`, which utils/errors.py turns into --crop; an option stands in commands to be given only."""
    errors = [
        (file.relative_to(ROOT).as_posix(), node)
        for file in files(package)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("UserError", "WriteError")
    ]
    texts = [
        (file, part.value.partition("python -m")[0])
        for file, error in errors
        for part in ast.walk(error)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]
    assert not [(file, text) for file, text in texts if re.search(r"(?<![\w-])--\w", text)]


def test_every_bound_of_a_comparison_says_what_makes_it_hold() -> None:
    """A number has a comment near it; a name stands in tests/tolerances.py."""
    bare = re.compile(r"\b(?:atol|rtol|rel|abs|rel_tol|abs_tol)=(?!0\b[^.])\d")
    silent = []
    for file in files("tests"):
        lines = file.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            if bare.search(line) and "#" not in "".join(lines[max(number - 2, 0) : number + 3]):
                silent.append(f"{file.relative_to(ROOT)}:{number + 1}")
    assert not silent
