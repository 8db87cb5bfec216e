"""Weight files: ours (.safetensors), the authors' (.mdl, .pth, MindSpore's .ckpt), backbones, averages."""

from typing import TYPE_CHECKING

from utils.errors import explain_missing_packages

if TYPE_CHECKING:
    from weights.model_files import load_model, save_model

explain_missing_packages()

__all__ = ["load_model", "save_model"]


def __getattr__(name: str) -> object:
    # Imported when first used: --help of `weights.average` does not wait for torch.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from weights import model_files

    return getattr(model_files, name)
