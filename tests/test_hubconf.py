"""torch.hub's entry points, from a local folder."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

import hubconf

ROOT = Path(__file__).resolve().parents[1]


OWN = "raise RuntimeError('the user has a module of this name')\n"
USERS = """
import sys, torch
import data, utils  # the user's
assert 'mine' in (utils.NAME, data.NAME)
remover = torch.hub.load({root!r}, "highlight_remover", source="local")
network = torch.hub.load({root!r}, "tshrnet", source="local", width=2)
remover("a.tif")
torch.hub.load({root!r}, "highlight_remover", "shen2013", source="local")("a.tif")
assert utils.NAME == "mine" and sys.modules["utils"] is utils
print(sorted(name for name in sys.modules if name.split(".")[0] in ("models", "restoration", "weights")))
"""


def test_beside_modules_of_the_users_own(tmp_path):
    """Also where they are read only later, in a helper process that decodes a picture, for example."""
    (tmp_path / "utils.py").write_text("NAME = 'mine'\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "__init__.py").write_text("NAME = 'mine'\n")
    for name in ("models", "classical", "weights", "restoration"):
        (tmp_path / f"{name}.py").write_text(OWN)
    tifffile.imwrite(tmp_path / "a.tif", np.full((40, 50, 3), 90, np.uint8), compression="zlib")
    (tmp_path / "main.py").write_text(USERS.format(root=str(ROOT)))
    done = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


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
    folders = (ROOT, ROOT / "hub")
    files = {path.stem for folder in folders for path in folder.iterdir()}
    others = imported - files
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
