"""Our packages inside a package of another name, so that a user's own `utils.py` or `data/` is no matter."""

import ast

PACKAGES = (
    "classical", "data", "evaluation", "losses", "models", "recipes", "restoration", "synthetic", "training",
    "utils", "webui", "weights",
)  # fmt: skip
SCRIPTS = ("infer", "train", "evaluate", "export", "demo")
LEFT_OUT = ("benchmark", "tests", "tools")
"""Ours too, but not installed; nothing that is may import them."""


def prefixed(source: str, file: str, name: str) -> str:
    """`source` with the prefix `name` at its imports of ours.

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
        lines[node.lineno - 1] = f"{line[:start]}{name}.{line[start:]}"
    return "".join(lines)
