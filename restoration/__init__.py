"""From a picture to a picture: a separation method applied at the picture's own resolution and depth."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from restoration.composition import Restored
    from restoration.methods import MethodSpec
    from restoration.remover import HighlightRemover

_HOMES = {"HighlightRemover": "remover", "MethodSpec": "methods", "Restored": "composition"}

__all__ = ["HighlightRemover", "MethodSpec", "Restored"]


def __getattr__(name: str) -> object:
    # Imported when first used: infer.py checks its options and paths before torch is imported.
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
