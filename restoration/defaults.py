"""How each network is applied to pictures where its user does not say otherwise."""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from torch import nn

from weights.backends import OnnxNetwork


@dataclass(frozen=True)
class InferenceDefaults:
    """Defaults of `HighlightRemover` for one network."""

    tile: int = 512
    """side in pixels up to which a picture goes in whole"""
    tiles_at_once: int = 2
    """tiles side by side that keep a process under 4 GB (aha-lite: 2 GB) on the CPU"""
    working_size: int = 0
    """longer side in pixels to which larger pictures are reduced (working_scale.py); 0: none"""
    tta_copies: int = 1
    """copies of a picture in test-time augmentation (separator.py)"""
    target_brightness: float = 0.0
    """value in [0, 1] to which the brightest parts of darker pictures are raised for the network
    (working_scale.py); 0: it sees them as they are"""
    bf16: bool = True
    """False where that costs accuracy on real pictures (docs/RESULTS.md): precision "auto" is fp32 then"""


# Working size: the objects of the training scenes are as large as those of a photograph of this size, at
# which augmentation by the mirror image costs little and spares painted things. The brightness was chosen on
# generated scenes: only pictures that are darker than any of SHIQ's are changed.
_LITE = InferenceDefaults(tile=768, working_size=256, tta_copies=2, target_brightness=0.7, bf16=False)

DEFAULTS = {
    "aha": InferenceDefaults(tile=448),
    "aha-lite": _LITE,
    "aha-lite0": _LITE,
    "tshrnet": InferenceDefaults(tile=1024),
    "tshrnet-mix": InferenceDefaults(tile=1024),
}
"""By the name of a network; others have those of the class."""


@runtime_checkable
class HasDefaults(Protocol):
    """A network that brings defaults of its own."""

    defaults: InferenceDefaults


def defaults_of(network: nn.Module) -> InferenceDefaults:
    """The network's own defaults, or those of its name."""
    if isinstance(network, HasDefaults):
        return network.defaults
    defaults = DEFAULTS.get(network.spec.name, InferenceDefaults())
    if isinstance(network, OnnxNetwork) and network.side is not None:
        return replace(defaults, tile=network.side)  # it takes no other size
    return defaults
