"""The built wheel: one import name, whole, usable from a folder that has a `utils.py` of its own."""

import email
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hatch_build import prefixed
from utils.image_files import read_picture, write_rgb

ROOT = Path(__file__).parents[2]


def hatch(source, target, folder):
    """Builds "wheel" or "sdist" of the tree `source` into `folder`."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(build, cwd=source, check=True, capture_output=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with what `pip install --no-deps` puts into site-packages."""
    folder = tmp_path_factory.mktemp("wheel")
    hatch(ROOT, "wheel", folder)
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    zipfile.ZipFile(wheel).extractall(target)
    return target


@pytest.fixture
def python(site, tmp_path):
    """Runs Python with the installed package in a folder of a user's own; returns stdout."""
    (tmp_path / "utils.py").write_text("raise RuntimeError('the user has a module of this name')\n")
    (tmp_path / "data.py").write_text("raise RuntimeError('and of this')\n")

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={
                "PYTHONPATH": str(site),
                "OMP_NUM_THREADS": "1",
                "HOME": str(tmp_path),
                "PATH": os.environ["PATH"],  # gradio's pydub cannot be imported without
            },
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_there_is_one_top_level_name(site):
    names = sorted(path.name for path in site.iterdir())
    assert names[0] == "dehighlight"
    assert [name.endswith(".dist-info") for name in names] == [False, True]
    entry_points = next(site.glob("*.dist-info")) / "entry_points.txt"
    assert "dehighlight = dehighlight:main" in entry_points.read_text()
    assert (site / "dehighlight" / "py.typed").is_file()
    assert (site / "dehighlight" / "savedmodel" / "aha-lite.safetensors").is_file()


def test_only_what_running_needs_is_required(site):
    metadata = (next(site.glob("*.dist-info")) / "METADATA").read_text()
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    plain = [line for line in required if "extra ==" not in line]
    assert any("safetensors" in line for line in plain)
    assert not any(name in line for line in plain for name in ("pytest", "tensorboard", "ruff", "mypy"))
    assert any("tensorboard" in line and "train" in line for line in required)


def test_extras_are_what_people_ask_for(site):
    metadata = email.message_from_string((next(site.glob("*.dist-info")) / "METADATA").read_text())
    extras = {"train", "demo", "video", "heic", "hub", "onnx", "docs", "dev"}
    assert set(metadata.get_all("Provides-Extra")) == extras
    for extra in extras:
        of_it = [line for line in metadata.get_all("Requires-Dist") if f"extra == '{extra}'" in line]
        assert of_it


@pytest.mark.slow
def test_the_source_archive_gives_the_same_wheel(site, tmp_path):
    """`pip install .` of what `python -m build` writes."""
    hatch(ROOT, "sdist", tmp_path)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(tmp_path, filter="data")
    (source,) = (path for path in tmp_path.iterdir() if path.is_dir())
    hatch(source, "wheel", tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    (record,) = site.glob("*.dist-info/RECORD")
    with zipfile.ZipFile(wheel) as files:
        assert files.read(record.relative_to(site).as_posix()).decode() == record.read_text()


def test_every_module_can_be_imported(python):
    out = python(
        "-c",
        "import importlib, pkgutil, sys, dehighlight\n"
        "names = [module.name for module in pkgutil.walk_packages(dehighlight.__path__, 'dehighlight.')]\n"
        "for name in names:\n"
        "    try:\n"
        "        if '__main__' not in name: importlib.import_module(name)\n"
        "    except ModuleNotFoundError as error:\n"
        "        if error.name != 'gradio': raise\n"
        "print(len(names), [name for name in sys.modules if name.split('.')[0] in ('models', 'training')])",
    )
    count, others = out.split(maxsplit=1)
    assert int(count) > 80
    assert others.strip() == "[]"


@pytest.mark.slow
def test_the_import_name_and_the_command_agree(python, tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    write_rgb(tmp_path / "in" / "a.png", picture)
    python(
        "-c",
        "import numpy as np, dehighlight\n"
        "from dehighlight import HighlightRemover, UserError\n"
        "remover = HighlightRemover.from_pretrained('aha-lite')\n"
        "assert isinstance(remover, HighlightRemover)\n"
        "from dehighlight.utils.image_files import read_picture\n"
        "np.save('result.npy', remover(read_picture('in/a.png').pixels).diffuse)",
    )
    python("-m", "dehighlight", "infer", "--input_dir", "in", "--output_dir", "out")
    written = read_picture(tmp_path / "out" / "a-removed.png").pixels
    assert np.array_equal(written, np.load(tmp_path / "result.npy"))


@pytest.mark.slow
def test_help_names_the_installed_commands(python):
    assert "usage: dehighlight COMMAND" in python("-m", "dehighlight", "--help")
    text = python("-m", "dehighlight", "train", "--help")
    assert "dehighlight train" in text
    assert "train.py" not in text
    errors = "import dehighlight.utils.errors as e; print(e.named_commands("
    texts = "'python infer.py; torchrun --nproc 2 train.py --x; python -m data.check'))"
    wanted = "dehighlight infer; torchrun --nproc 2 -m dehighlight train --x; "
    wanted += "python -m dehighlight.data.check"
    assert python("-c", errors + texts).strip() == wanted


@pytest.mark.slow
def test_a_training_run_starts(python):
    options = ["--model", "aha-lite", "--lambda_gan", "0", "--lambda_perceptual", "0", "--size", "32"]
    assert "aha-lite" in python("-m", "dehighlight", "train", "--dry_run", *options)


def test_imports_get_the_prefix():
    source = (
        "from utils.errors import UserError  # utils\nfrom models import build_model as b\n"
        "import numpy\nimport weights.average as average\n"
    )
    assert prefixed(source, "f.py") == (
        "from dehighlight.utils.errors import UserError  # utils\n"
        "from dehighlight.models import build_model as b\n"
        "import numpy\nimport dehighlight.weights.average as average\n"
    )
    with pytest.raises(ValueError, match=r"f\.py, line 1: tools\.scoreboard is not installed"):
        prefixed("from tools.scoreboard import run\n", "f.py")
    with pytest.raises(ValueError, match="write `from PACKAGE import NAME`"):
        prefixed("import utils.errors\n", "f.py")


def test_the_old_import_name_warns_in_a_checkout_only(site):
    assert not (site / "specular.py").exists()
    assert not (site / "specular").exists()
    code = "from specular import HighlightRemover; print(HighlightRemover.__name__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "HighlightRemover"
    assert "`specular` is called `dehighlight` now" in done.stderr
