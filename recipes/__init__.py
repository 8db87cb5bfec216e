"""How a network is trained: its losses, optimisers, learning rates, and what "better" means.

The protocol. A recipe is built as `Recipe(model, options)` from a network and the options of the command
line (`training.options.TrainOptions`, resolved: no field that the recipe reads is None), and has

    networks         {"model": the network trained, averaged, evaluated, saved; "discriminator": ...}.
                     The loop moves them to the device and may put wrappers of several processes in their
                     place (`recipe.networks[name] = wrapped`), so a forward that is backpropagated goes
                     through `self.networks[name]`; keep a bare reference for anything else.
    optimisers       {name: torch.optim.Optimizer}. The loop steps, clips and saves them.
    required_keys    sample keys that the losses need beyond "input" and "diffuse"; a data set without them
                     is refused before training.
    selection        ("name of a validation value", "max" | "min"): which checkpoint is the best one.

    phases(batch)    yields (optimiser name, loss, terms), in turn. The loop backpropagates `loss` (a scalar
                     Tensor) and steps that optimiser before it asks for the next phase: a GAN yields
                     "generator", then "discriminator". `terms` (dict of detached scalars) are logged under
                     their names. `batch`: dict of tensors (B,C,H,W) in [0, 1] on the device, plus "name":
                     list of str.
    set_learning_rates(step, total)   called before optimiser step `step` (0-based) of `total`.
    validate(batch, model)            dict of per-picture values (B,) for one batch of validation.
    after_validation(values)          called with the means of a whole validation, under the same names.
    pictures(batch, model)            {column name: (B,3,H,W) in [0, 1]} for the picture grids.
    state_dict(), load_state_dict(s)  what is neither in the networks nor in the optimisers (plateau
                                      counters); plain containers and tensors only.

`validate` and `pictures` run without gradients; `model` is the network to be judged (the averaged one, where
averaging is on). A recipe draws random numbers from torch's default generator only; the loop seeds it from
(seed, step), so that a resumed run draws the same ones. Losses are means over samples and pixels, so that
the mean over processes is the mean over the joint batch.

`DEFAULTS` of a recipe's module: values for options left at None on the command line (a function is called
for its value); `resolve` fills them in.
"""

import importlib
from collections.abc import Iterator
from typing import Any, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from utils.errors import UserError

RECIPES = {
    "corrected": "recipes.corrected",
    "released": "recipes.released",
    "tshrnet": "recipes.tshrnet",
}
"""Recipe name -> module with `DEFAULTS: dict[str, Any]`, `MODELS: tuple[str, ...]` (prefixes), `Recipe`."""


class Recipe(Protocol):
    """See the module's docstring."""

    networks: dict[str, nn.Module]
    optimisers: dict[str, Optimizer]
    required_keys: tuple[str, ...]
    selection: tuple[str, str]

    def phases(self, batch: dict[str, Any]) -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]: ...
    def set_learning_rates(self, step: int, total: int) -> None: ...
    def validate(self, batch: dict[str, Any], model: nn.Module) -> dict[str, Tensor]: ...
    def after_validation(self, values: dict[str, float]) -> None: ...
    def pictures(self, batch: dict[str, Any], model: nn.Module) -> dict[str, Tensor]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


COMMON_DEFAULTS = {
    "batch_size": 3,
    "flips": True,
    "optimizer": "adamw",
    "betas": [0.9, 0.999],
    "weight_decay": 0.002,
    "lr_schedule": "plateau",
    "seed": 0,
    "resume_state": "everything",
    "selection_split": "validation",
    "shuffle": "every_epoch",
    "val_size": 0,
    "validation_flips": False,
    "validation_mode": "eval",
    "ema_decay": 0.0,
    "authors_checkpoint": False,
}
"""What the loop and any recipe need, where neither the command line nor the recipe's DEFAULTS say it."""


def default_recipe(model_name: str) -> str:
    """The recipe that trains `model_name` when none is asked for."""
    return "tshrnet" if model_name.startswith("tshrnet") else "corrected"


def resolve(options: Any) -> Any:
    """Fills the fields of `options` that are None with the recipe's DEFAULTS, in place; returns `options`.

    Raises UserError for an unknown recipe and for a recipe that does not train `options.model`.
    """
    options.recipe = options.recipe or default_recipe(options.model)
    module = _module(options.recipe)
    if not options.model.startswith(module.MODELS):
        raise UserError(
            f"--recipe {options.recipe} does not train --model {options.model}; "
            f"leave --recipe out to take the one that does ({default_recipe(options.model)})"
        )
    for name, value in (COMMON_DEFAULTS | module.DEFAULTS).items():
        if getattr(options, name) is None:
            setattr(options, name, value() if callable(value) else value)
    return options


def build_recipe(model: nn.Module, options: Any) -> Recipe:
    """The recipe `options.recipe` around `model`; `options` as returned by `resolve`."""
    return _module(options.recipe).Recipe(model, options)


def _module(name: str):
    if name not in RECIPES:
        raise UserError(f"--recipe {name} is not known; choose one of {', '.join(RECIPES)}")
    return importlib.import_module(RECIPES[name].replace("recipes", __name__))
