"""A run's folder: what was asked, with which code and libraries."""

import functools
import platform
import shlex
import subprocess
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from utils.atomic import write_text

LIBRARIES = ("torch", "torchvision", "numpy", "accelerate", "opencv-python-headless", "pillow", "safetensors")


@functools.cache
def describe_code() -> dict[str, Any]:
    """Command, git commit (with "-dirty" where files differ from it), Python and library versions."""
    return {
        "command": shlex.join(sys.argv),
        "commit": git_commit(),
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
    }


def git_commit() -> str:
    """The commit of the code that runs, "unknown" outside a git checkout."""
    here = Path(__file__).resolve().parent
    try:
        commit = _git(here, "rev-parse", "HEAD")
        return f"{commit}-dirty" if _git(here, "status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *words], check=True, capture_output=True, text=True
    ).stdout.strip()


def write_configuration(folder: Path, options: Any) -> None:
    """Writes config.yaml (every option resolved; `train.py --config` takes it again) and code.yaml."""
    write_text(folder / "config.yaml", yaml.safe_dump(asdict(options), sort_keys=False, allow_unicode=True))
    write_text(folder / "code.yaml", yaml.safe_dump(describe_code(), sort_keys=False, allow_unicode=True))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"
