"""torch.hub's entry points, from a local folder."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import hubconf

ROOT = Path(__file__).resolve().parents[1]


def hub(entry, **options):
    return torch.hub.load(str(ROOT), entry, source="local", **options)


def test_the_entry_points_are_what_they_should_be():
    """torch.hub lists every public callable of the file."""
    names = {name for name, value in vars(hubconf).items() if callable(value) and not name.startswith("_")}
    assert names == {"highlight_remover", "aha_lite", "aha", "aha_figure", "tshrnet"}
    assert all(importlib.util.find_spec(package) for package in hubconf.dependencies)


def test_the_dependencies_are_all_that_is_imported():
    code = "import hubconf, sys; hubconf.highlight_remover(device='cpu'); "
    code += "print('\\n'.join(str(getattr(m, '__file__', '')) for m in list(sys.modules.values())))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = [Path(line) for line in done.stdout.splitlines()]
    ours = [path for path in loaded if path.is_relative_to(ROOT) and ".venv" not in path.parts]
    assert ROOT / "utils" / "image_decoding.py" in ours
    imported = set()
    for path in ours:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:  # at the top of a file alone
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.split(".")[0])
    others = {name for name in imported if not (ROOT / name).exists() and not (ROOT / f"{name}.py").exists()}
    assert others - sys.stdlib_module_names <= set(hubconf.dependencies)


def test_a_remover_and_its_network():
    network = hub("aha_lite")
    assert network.spec.name == "aha-lite"
    assert not network.training
    picture = np.full((40, 50, 3), 90, np.uint8)
    restored = hub("highlight_remover", device="cpu")(picture)
    assert restored.diffuse.shape == picture.shape
    assert restored.diffuse.dtype == np.uint8


def test_random_weights_and_hyper_parameters():
    assert hub("tshrnet", mix=True, width=2).spec.name == "tshrnet-mix"
    assert hub("aha_lite", pretrained=False, widths=(4, 4, 8)).spec.hyperparameters["widths"] == (4, 4, 8)
    with pytest.raises(ValueError, match="leave widths out"):
        hub("aha_lite", widths=(4, 4, 8))
