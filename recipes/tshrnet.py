"""The training of TSHRNet: Adam on a sum of mean squared errors, taken between values in [-1, 1].

SSHR wiring  L = |a - A|^2 + |s - S|^2 + lambda_residue |r - R|^2 + |d - D|^2 + |d_tc - D_tc|^2
mix wiring   L = |d0 - D|^2            + lambda_residue |r - R|^2 + |d - D|^2 + |d_tc - D_tc|^2

Capitals are the albedo, shading, residue, diffuse and tone-corrected pictures of the data set. The authors
suggest lambda_residue = 0.01 where clean albedo and shading are wanted: the wiring's r = I - a s and the
stored residue do not quite agree. Their code divides a learning rate by 10 every 10 epochs that the
optimiser never reads; `--lr_decay intended` applies it.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recipes.optimisers import build_optimiser
from recipes.schedules import LearningRates
from recipes.values import psnr_per_image

MODELS = ("tshrnet",)

DEFAULTS = {
    "batch_size": 16,
    "optimizer": "adam",
    "betas": [0.5, 0.999],
    "weight_decay": 0.0,
    "lr_schedule": "constant",
    "lr_decay": "released",
    "seed": 1,
    "size": 256,
    "flips": False,
}

DECAY, DECAY_EPOCHS = 0.1, 10

TARGETS = {
    "tshrnet": {
        "albedo": "albedo",
        "shading": "shading",
        "residue": "specular",
        "refined_diffuse": "diffuse",
        "tone_corrected": "tone_corrected",
    },
    "tshrnet-mix": {
        "coarse_diffuse": "diffuse",
        "residue": "specular",
        "refined_diffuse": "diffuse",
        "tone_corrected": "tone_corrected",
    },
}
"""Network -> {stage: the sample key that it should equal}."""


class Recipe:
    """See the module's docstring, and recipes/__init__.py for the protocol."""

    selection = ("psnr", "max")

    def __init__(self, model: nn.Module, options: Any):
        self.options = options
        self.targets = TARGETS[model.spec.name]
        self.required_keys = tuple(sorted(set(self.targets.values()) - {"diffuse"}))
        self.weights = dict.fromkeys(self.targets, 1.0) | {"residue": options.lambda_residue}
        self.networks: dict[str, nn.Module] = {"model": model}
        self.optimisers = {"generator": build_optimiser(model.parameters(), options.lr_g, options)}
        self.rates = LearningRates(options.lr_schedule, options.warmup_steps)

    def phases(self, batch: dict[str, Any]) -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]:
        stages = self.networks["model"](batch["input"]).stages
        terms = {stage: F.mse_loss(stages[stage], 2 * batch[key] - 1) for stage, key in self.targets.items()}
        loss = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        yield (
            "generator",
            loss,
            {name: term.detach() for name, term in terms.items()} | {"loss": loss.detach()},
        )

    def set_learning_rates(self, step: int, total: int) -> None:
        rate = self.options.lr_g * self.rates.factor(step, total)
        if self.options.lr_decay == "intended":
            # A run of --max_steps counts as --epochs epochs, too.
            epoch = step * self.options.epochs // total
            rate *= DECAY ** (epoch // DECAY_EPOCHS)
        for group in self.optimisers["generator"].param_groups:
            group["lr"] = rate

    def validate(self, batch: dict[str, Any], model: nn.Module) -> dict[str, Tensor]:
        """PSNR of d_tc against D_tc, of d against D, of the input against D_tc; the background counts too,
        which the authors' tests on SSHR (and evaluate.py's) blacken by the object mask."""
        stages = model(batch["input"]).stages
        corrected, refined = (stages["tone_corrected"] + 1) / 2, (stages["refined_diffuse"] + 1) / 2
        loss = torch.zeros(len(corrected), device=corrected.device)
        for stage, key in self.targets.items():
            error = (stages[stage] - (2 * batch[key] - 1)).square().mean(dim=(1, 2, 3))
            loss = loss + self.weights[stage] * error
        return {
            "psnr": psnr_per_image(corrected, batch["tone_corrected"]),
            "psnr_diffuse": psnr_per_image(refined, batch["diffuse"]),
            "psnr_input": psnr_per_image(batch["input"], batch["tone_corrected"]),
            "loss": loss,
        }

    def after_validation(self, values: dict[str, float]) -> None:
        self.rates.watch(values["loss"])

    def pictures(self, batch: dict[str, Any], model: nn.Module) -> dict[str, Tensor]:
        stages = model(batch["input"]).stages
        columns = {name: (stage.clamp(-1, 1) + 1) / 2 for name, stage in stages.items()}
        truth = {"truth": batch["diffuse"], "tone-corrected truth": batch["tone_corrected"]}
        return {"input": batch["input"]} | columns | truth

    def state_dict(self) -> dict[str, Any]:
        return {"rates": self.rates.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rates.load_state_dict(state["rates"])
