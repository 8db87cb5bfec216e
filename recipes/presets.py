"""The presets of each recipe: values of options that are not given, filled in by `resolve`."""

import dataclasses
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from models import MODELS
from utils.errors import UserError


class RecipeOptions(Protocol):
    """The options that `resolve` looks at; it fills in any others that are None."""

    model: str
    recipe: str | None


Options = TypeVar("Options", bound=RecipeOptions)


@dataclass(frozen=True)
class Preset:
    """trains  `ModelSpec.recipe` of the networks that it trains
    values  option -> value, or a function of the options
    """

    trains: str
    values: dict[str, Any | Callable[[RecipeOptions], Any]]


COMMON = {
    "batch_size": 3,
    "flips": True,
    "resize": "square",
    "optimizer": "adamw",
    "betas": [0.9, 0.999],
    "weight_decay": 0.002,
    "lr_schedule": "plateau",
    "seed": 0,
    "resume_state": "everything",
    "selection_split": "validation",
    "shuffle": "every_epoch",
    "drop_last": False,
    "val_size": 0,
    "validation_flips": False,
    "ema_decay": 0.0,
    "authors_checkpoint": False,
}

CORRECTED = Preset(
    "corrected",
    COMMON
    | {
        "gan_term": "corrected",
        "discriminator_output": "plain",
        "ssim_on": "coarse",
        "redraw_attention": False,
        "plateau_metric": "loss",
        "select_by": "gain",
        "ema_decay": 0.999,
    },
)
"""The authors' training without its deviations, which docs/FIDELITY.md lists."""

RELEASED = Preset(
    "corrected",
    COMMON
    | {
        "gan_term": "released",
        "discriminator_output": "normalised",
        "ssim_on": "coarse",
        # Other networks have no attention.
        "redraw_attention": lambda options: options.model == "aha",
        "plateau_metric": "loss_plus_ssim",
        "select_by": "coarse_loss",
        "selection_split": "test",
        "val_size": 224,
        "validation_flips": True,
        "drop_last": True,
        "resume_state": "weights",
        "authors_checkpoint": True,
        "seed": lambda _: secrets.randbelow(2**31),
    },
)
"""The authors' training as their code has it; each value is an option of its own."""

TSHRNET = Preset(
    "tshrnet",
    COMMON
    | {
        "batch_size": 16,
        "size": 256,
        "resize": "short_side",
        "flips": False,
        "optimizer": "adam",
        "betas": [0.5, 0.999],
        "weight_decay": 0.0,
        "lr_schedule": "constant",
        "lr_decay": "released",
        "seed": 1,
    },
)
"""The training of TSHRNet as its authors' code has it."""

PRESETS = {"corrected": CORRECTED, "released": RELEASED, "tshrnet": TSHRNET}


def resolve(options: Options) -> Options:
    """A copy of `options` where those that are None have the values of the recipe.

    Raises UserError for an unknown network or recipe, and for one that does not train `options.model`.
    """
    if options.model not in MODELS:
        raise UserError(f"`model={options.model}` is not known; choose one of {', '.join(MODELS)}")
    own = MODELS[options.model].spec.recipe
    name = options.recipe or own
    if name not in PRESETS:
        raise UserError(f"`recipe={name}` is not known; choose one of {', '.join(PRESETS)}")
    preset = PRESETS[name]
    if preset.trains != own:
        raise UserError(
            f"`recipe={name}` does not train `model={options.model}`; "
            f"leave `recipe` out to take the one that does ({own})"
        )
    missing = {key: value for key, value in preset.values.items() if getattr(options, key) is None}
    values = {key: value(options) if callable(value) else value for key, value in missing.items()}
    return dataclasses.replace(options, recipe=name, **values)
