"""A method by name: the input itself, a classical method, or a network with its weights."""

from pathlib import Path

import numpy as np
from torch import nn

from models import MODELS
from restoration.remover import HighlightRemover
from utils.errors import UserError
from weights.model_files import load_model

DEFAULT_WEIGHTS = Path(__file__).resolve().parent.parent / "savedmodel" / "aha-lite.safetensors"


def load_method(spec: str, *, output: str | None = None, **remover_options) -> HighlightRemover:
    """A remover for "input" (nothing removed), a classical method ("shen2013", ...), a network with its
    weights ("aha:PATH") or weights alone (PATH). PATH@1, @2 and @4 are networks with as many `views`.

    output           "diffuse" or "tone_corrected": which stage of TSHRNet is the result
    remover_options  of HighlightRemover

    Raises UserError for an unknown name, missing weights, weights of another network.
    """
    spec, views = split_views(spec)
    if views is not None:
        remover_options["views"] = views
    if spec == "input":
        return HighlightRemover(np.copy, **remover_options)
    # Only now: the classical methods bring scipy and others along.
    from classical import METHODS

    if spec in METHODS:
        return HighlightRemover(METHODS[spec], **remover_options)
    name, separator, path = spec.partition(":")
    if separator and name in MODELS:
        network = load_model(path, name)
    elif spec in MODELS:
        raise UserError(f"{spec} is a network and needs weights: write {spec}:PATH_OF_ITS_WEIGHTS")
    elif Path(spec).exists():
        network = load_model(spec)
    else:
        raise UserError(
            f"no method and no weight file {spec!r}: there are input, {', '.join(METHODS)}, and with "
            f"weights (NAME:PATH) {', '.join(MODELS)}"
        )
    if output is not None:
        _choose_output(network, output)
    return HighlightRemover(network, **remover_options)


def split_views(spec: str) -> tuple[str, int | None]:
    """("PATH", 4) of "PATH@4"; (spec, None) of others, and of files whose names end so."""
    path, _, views = spec.rpartition("@")
    if not (path and views.isdigit()) or Path(spec).exists():
        return spec, None
    return path, int(views)


def default_weights() -> str:
    """The weights that come with the project. Raises UserError where they do not."""
    if not DEFAULT_WEIGHTS.exists():
        raise UserError(
            f"no weights: {DEFAULT_WEIGHTS} is not there; name a file with --infer_model, or a classical "
            "method with --method, such as --method shen2013"
        )
    return str(DEFAULT_WEIGHTS)


def _choose_output(network: nn.Module, output: str) -> None:
    if not hasattr(network, "output"):
        raise UserError(f"--output is for TSHRNet; {network.spec.name} has one result only")
    network.output = output
