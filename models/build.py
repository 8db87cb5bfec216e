"""The one table of networks and their hyper-parameters.

model = build_model("aha-lite")              # forward: image (B, 3, H, W) in [0, 1] -> Separation
model = build_model("aha", bounded=True)     # any hyper-parameter of the table can be changed
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from models.aha import AHANet, use_released_names
from models.aha_module import AHAModule, BilinearUpsample, ConvUpsample
from models.aha_pretrained import PretrainedAHANet
from models.coarse import CoarseNet
from models.discriminator import Discriminator
from models.gated_conv import preserve_signal
from models.refine import AttentionRefineNet, FigureRefineNet
from models.trunks import EfficientNetLite, resnet34_stages, small_stages
from models.tshrnet import TSHRNet, TSHRNetMix
from models.unet import MULTIPLE as UNET_MULTIPLE


@dataclass(frozen=True)
class ModelSpec:
    """What a network is and what its callers must know.

    name, hyperparameters  enough to build it again
    multiple               sides are padded to multiples of this inside forward
    tile                   side in pixels up to which a picture goes in whole
    tiles_at_once          tiles side by side that keep a process under 4 GB (aha-lite: 2 GB) on the CPU
    working_size           longer side in pixels to which larger pictures are reduced for the network
                           (restoration/working_scale.py); None: it sees them at full size
    brightest              value in [0, 1] to which the brightest parts of darker pictures are raised for the
                           network (restoration/working_scale.py); 0: it sees them as they are
    copies                 of a picture in test-time augmentation by default
                           (restoration/separator.py)
    composes               True where diffuse = (1 - A) I + A N, so that A = 0 leaves a pixel untouched
    recipe                 of recipes/presets.py that trains it when none is asked for: "corrected" fits any
                           network, "tshrnet" needs that network's stages
    bf16                   False where that costs accuracy on real pictures (docs/RESULTS.md):
                           precision "auto" is fp32 then
    """

    name: str
    hyperparameters: dict
    multiple: int
    tile: int
    tiles_at_once: int = 2
    composes: bool = True
    working_size: int | None = None
    copies: int = 1
    brightest: float = 0.0
    bf16: bool = True
    recipe: str = "corrected"


@dataclass(frozen=True)
class Entry:
    """A row of MODELS: `build` makes the network from the hyper-parameters of `spec`, by name."""

    build: Callable[..., nn.Module]
    spec: ModelSpec


def _released_aha(widths, dilations, bounded, achromatic, trunk_channels) -> AHANet:
    upsample = (BilinearUpsample(3, 4, 2), BilinearUpsample(3, 4, 2), BilinearUpsample(3, 16, 8))
    highlight = AHAModule(resnet34_stages(), trunk_channels, upsample, bounded=bounded)
    coarse, refine = CoarseNet(widths, dilations), AttentionRefineNet(widths, dilations)
    model = AHANet(highlight, coarse, refine, multiple=MULTIPLE, achromatic=achromatic)
    use_released_names(model)
    return model


def _figure_aha(
    widths, dilations, bounded, trunk, trunk_channels, stem, residual, sharpen, **light
) -> AHANet:
    if trunk == "resnet34":
        stages, finest = resnet34_stages(), 8
    elif trunk == "small":
        stages, finest = small_stages(trunk_channels), 4
    else:
        raise ValueError(f"no trunk {trunk!r}: there are 'resnet34' and 'small'")
    upsample = (ConvUpsample(3, 2), ConvUpsample(3, 2), ConvUpsample(3, finest))
    highlight = AHAModule(stages, trunk_channels, upsample, bounded=bounded, sharpen=sharpen)
    coarse = CoarseNet(widths, dilations, stem=stem, residual=residual)
    refine = FigureRefineNet(widths, dilations, stem=stem, residual=residual)
    if trunk == "small":
        # The paper's networks start as PyTorch draws them; ours is free to start better.
        preserve_signal(coarse)
        preserve_signal(refine)
    return AHANet(highlight, coarse, refine, multiple=MULTIPLE, **light)


def _pretrained_aha(trunk, widths, **light) -> PretrainedAHANet:
    if trunk not in EFFICIENTNETS:
        raise ValueError(f"no trunk {trunk!r}: there are {', '.join(map(repr, EFFICIENTNETS))}")
    return PretrainedAHANet(EfficientNetLite(*EFFICIENTNETS[trunk]), widths, **light)


EFFICIENTNETS = {
    "efficientnet-lite0": (1.0, 1.0),
    "efficientnet-lite1": (1.0, 1.1),
    "efficientnet-lite2": (1.1, 1.2),
}
"""Multipliers of width and depth."""

MULTIPLE = 32  # the deepest stride of ResNet-34; a multiple of the attention's 8x8 cells too

MODELS: dict[str, Entry] = {
    # The authors' code: attention in the refine network, unbounded map.
    "aha": Entry(
        _released_aha,
        ModelSpec(
            "aha",
            {
                "widths": (48, 96, 192),
                "dilations": (2, 4, 8, 16),
                "bounded": False,
                "achromatic": False,
                "trunk_channels": (128, 256, 512),
            },
            multiple=MULTIPLE,
            tile=448,
        ),
    ),
    # The paper's figure: skips instead of attention, convolutions after each enlargement of the map.
    "aha-figure": Entry(
        _figure_aha,
        ModelSpec(
            "aha-figure",
            {
                "widths": (48, 96, 192),
                "dilations": (2, 4, 8, 16),
                "bounded": False,
                "achromatic": False,
                "trunk": "resnet34",
                "trunk_channels": (128, 256, 512),
                "stem": 5,
                "residual": False,
                "sharpen": 0,
                "shoulder": 0.0,
                "surroundings": False,
            },
            multiple=MULTIPLE,
            tile=512,
        ),
    ),
    # The figure made small. Widths: eight channels at full resolution, where memory traffic and not
    # arithmetic is what a CPU waits for; most of the capacity at a quarter, where it is cheap, in pairs of
    # convolutions that add to their input, which learn twice as fast. The light is white, the map bounded.
    "aha-lite": Entry(
        _figure_aha,
        ModelSpec(
            "aha-lite",
            {
                "widths": (8, 16, 48),
                "dilations": (2, 4, 8, 16),
                "bounded": True,
                "achromatic": True,
                "trunk": "small",
                "trunk_channels": (32, 64, 128),
                "stem": 3,
                "residual": True,
                "sharpen": 8,
                "shoulder": 0.2,
                "surroundings": True,
            },
            multiple=MULTIPLE,
            tile=768,
            # The objects of its training scenes are as large as those of a photograph of this size.
            working_size=256,
            # Test-time augmentation by the mirror image costs little at that size and spares painted things.
            copies=2,
            # Chosen on generated scenes; only pictures that are darker than any of SHIQ's are changed.
            brightest=0.7,
            bf16=False,
        ),
    ),
    # The paper's idea on a trunk that has seen the world: map, coarse and refine are heads of its features.
    "aha-lite0": Entry(
        _pretrained_aha,
        ModelSpec(
            "aha-lite0",
            {
                "trunk": "efficientnet-lite0",
                "widths": (16, 16, 48, 64, 96, 128),
                "shoulder": 0.2,
                "surroundings": True,
            },
            multiple=MULTIPLE,
            tile=768,
            working_size=256,
            copies=2,
            brightest=0.7,
            bf16=False,
        ),
    ),
    # The authors' code; "output" is the stage given as the result ("tone_corrected" or "diffuse").
    "tshrnet": Entry(
        TSHRNet,
        ModelSpec(
            "tshrnet",
            {"width": 64, "output": "tone_corrected"},
            multiple=UNET_MULTIPLE,
            tile=1024,
            composes=False,
            recipe="tshrnet",
        ),
    ),
    "tshrnet-mix": Entry(
        TSHRNetMix,
        ModelSpec(
            "tshrnet-mix",
            {"width": 64, "output": "tone_corrected"},
            multiple=UNET_MULTIPLE,
            tile=1024,
            composes=False,
            recipe="tshrnet",
        ),
    ),
}


def named_lists(values: dict) -> dict:
    """Hyper-parameters with tuples as lists, which files cannot tell apart."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def build_model(name: str, **hyperparameters) -> nn.Module:
    """A network of the table with random weights, in training mode; `.spec` describes it (ModelSpec).

    Raises ValueError for an unknown name or hyper-parameter.
    """
    if name not in MODELS:
        raise ValueError(f"no network {name!r}: there are {', '.join(MODELS)}")
    entry = MODELS[name]
    unknown = hyperparameters.keys() - entry.spec.hyperparameters.keys()
    if unknown:
        known = ", ".join(entry.spec.hyperparameters)
        raise ValueError(f"{name} has no hyper-parameter {sorted(unknown)[0]!r}: there are {known}")
    chosen = entry.spec.hyperparameters | hyperparameters
    model = entry.build(**chosen)
    model.spec = replace(entry.spec, hyperparameters=chosen)
    return model


def build_discriminator(
    widths: tuple[int, int, int, int, int] = (48, 96, 192, 192, 192), normalised_output: bool = True
) -> Discriminator:
    """The AHA networks' adversary with random weights."""
    return Discriminator(widths, normalised_output)
