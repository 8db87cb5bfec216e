"""Removing specular highlights from pictures: the import name and the command `dehighlight`.

    from dehighlight import HighlightRemover
    dehighlight infer --input_dir photos --output_dir clean

In a checkout `python dehighlight.py infer ...` and `python infer.py ...` are the same; in the installed
package this file is `dehighlight/__init__.py` and everything else lies inside it (hatch_build.py).
"""

import runpy
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from classical import METHODS
    from models.build import build_model
    from restoration import HighlightRemover, Restored
    from utils.errors import UserError
    from weights import load_model, save_model

__all__ = [
    "METHODS",
    "HighlightRemover",
    "Restored",
    "UserError",
    "build_model",
    "load_model",
    "save_model",
]

# Where the other packages are: inside the installed package, beside this file in a checkout.
_INSIDE = f"{__name__}." if "__path__" in globals() else ""
_MODULES = {  # public name -> its module; torch is imported only when one of them is asked for
    "METHODS": "classical",
    "HighlightRemover": "restoration",
    "Restored": "restoration",
    "UserError": "utils.errors",
    "build_model": "models.build",
    "load_model": "weights",
    "save_model": "weights",
}
COMMANDS = {  # command -> (module, what it does)
    "infer": ("infer", "remove highlights from pictures"),
    "train": ("train", "train a network"),
    "evaluate": ("evaluate", "score methods on pairs of pictures"),
    "demo": ("demo", "remove highlights in a browser"),
    "export": ("export", "write a network as ONNX or TorchScript"),
    "check": ("data.check", "verify a data set"),
    "lists": ("data.lists", "write TSHRNet's list files"),
    "tone-correct": ("data.tone_correction", "make TSHRNet's tone-corrected targets"),
    "synthetic": ("synthetic", "render training scenes"),
    "average": ("weights.average", "average checkpoints into one weight file"),
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_INSIDE + _MODULES[name]), name)


def main() -> None:
    """Runs `dehighlight COMMAND OPTIONS`; exits with the command's exit code."""
    command, *options = sys.argv[1:] or ["--help"]
    if command in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        print("usage: dehighlight COMMAND [options]; dehighlight COMMAND --help lists the options\n")
        print("\n".join(f"  {name:{width}}  {purpose}" for name, (_, purpose) in COMMANDS.items()))
        sys.exit(0)
    if command not in COMMANDS:
        print(f"error: no command {command!r}; choose one of {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    sys.argv = [f"dehighlight {command}", *options]
    runpy.run_module(_INSIDE + COMMANDS[command][0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
