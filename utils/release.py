"""The release of this software, which pyproject.toml reads too."""

import platform
from importlib import metadata

VERSION = "0.2.0"


def version_line() -> str:
    """What --version prints: "dehighlight 0.2.0, torch 2.11.0, Python 3.11.2"."""
    try:
        torch = metadata.version("torch")
    except metadata.PackageNotFoundError:
        torch = "is missing"
    return f"dehighlight {VERSION}, torch {torch}, Python {platform.python_version()}"
