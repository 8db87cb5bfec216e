"""torch.hub: the networks and a ready remover, without a clone of the repository.

remover = torch.hub.load("OWNER/REPOSITORY", "highlight_remover")       # aha-lite, with its weights
diffuse = remover(picture).diffuse                                      # (H, W, 3) uint8 in, uint8 out
network = torch.hub.load("OWNER/REPOSITORY", "aha", weights="Nature.mdl")
network = torch.hub.load(".", "aha_lite", source="local")               # in a checkout
"""

import sys as _sys
from importlib import import_module as _import_module
from pathlib import Path as _Path  # every public callable is an entry point

dependencies = ["torch", "torchvision", "numpy", "scipy", "cv2", "skimage", "safetensors", "PIL", "tifffile"]

_SHIPPED = _Path(__file__).resolve().parent / "savedmodel" / "aha-lite.safetensors"


def highlight_remover(weights: str | None = None, device: str = "cpu", **options):
    """A `restoration.HighlightRemover`: a picture in, its diffuse layer and highlight map out.

    weights  a file or folder with a network's weights; None: those of aha-lite in the repository
    options  of HighlightRemover: precision, strength, ...
    """
    return _ours("restoration").HighlightRemover.from_pretrained(
        weights or _SHIPPED, device=device, **options
    )


def aha_lite(pretrained: bool = True, weights: str | None = None, **hyperparameters):
    """The small network of this project: image (B, 3, H, W) in [0, 1] -> `models.Separation`.

    pretrained       with the weights in the repository; False: random ones, with any `hyperparameters`
    weights          a weight file instead
    """
    return _network("aha-lite", weights or (_SHIPPED if pretrained else None), hyperparameters)


def aha(weights: str | None = None, **hyperparameters):
    """The released AHA network (Hu, Huang, Wang, ICASSP 2024).

    weights  the authors' Nature.mdl, or a file of train.py; None: random ones
    """
    return _network("aha", weights, hyperparameters)


def aha_figure(weights: str | None = None, **hyperparameters):
    """The AHA network as the paper's figure has it; `weights`: a file of train.py; None: random."""
    return _network("aha-figure", weights, hyperparameters)


def tshrnet(weights: str | None = None, mix: bool = False, **hyperparameters):
    """TSHRNet (Fu et al., ICCV 2023); `weights`: the folder with the authors' four files; None: random.

    mix  the wiring for data without albedo and shading
    """
    return _network("tshrnet-mix" if mix else "tshrnet", weights, hyperparameters)


def _network(name: str, weights, hyperparameters: dict):
    if weights is None:
        return _ours("models").build_model(name, **hyperparameters)
    if hyperparameters:
        raise ValueError(f"the weights say what the network is like: leave {', '.join(hyperparameters)} out")
    return _ours("weights").load_model(weights, name)


def _ours(package: str):
    """A package of the repository under a private name: the user may have one of that name."""
    folder = str(_Path(__file__).resolve().parent / "hub")
    if folder not in _sys.path:
        _sys.path.append(folder)
    return _import_module(f"_dehighlight.{package}")
