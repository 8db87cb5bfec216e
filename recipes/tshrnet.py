"""The training of TSHRNet, as its authors' code has it: Adam on a sum of mean squared errors.

Their code divides by 10 every 10 epochs a learning rate that the optimiser never reads; `--lr_decay intended`
applies it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recipes.optimisers import build_optimiser
from recipes.options import weights_of
from recipes.recipe import TrainedNetwork
from recipes.schedules import LearningRates
from recipes.scores import Values, has_highlight, psnr_per_image, restoration_values
from recipes.tshrnet_terms import TSHRNET_TERMS, TSHRNetOptions

DECAY, DECAY_EPOCHS = 0.1, 10


@dataclass(frozen=True)
class Estimate:
    """What the terms are functions of: the outputs (B, 3, H, W) of the U-Nets in [-1, 1], by name, and the
    layers of the data set in [0, 1]."""

    stages: dict[str, Tensor]
    layers: dict[str, Any]

    def squared_error(self, stage: str, layer: str) -> Tensor:
        return F.mse_loss(self.stages[stage], 2 * self.layers[layer] - 1)


class TSHRNetRecipe:
    """Squared errors of all outputs (recipes/tshrnet_terms.py). See recipes/recipe.py for its parts."""

    selection = ("gain", "max")

    @staticmethod
    def layers(options: TSHRNetOptions, network: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What training and validation need beyond input and diffuse: all, whatever the weights, since
        `validate` computes the whole loss."""
        needs = (layer for term in TSHRNET_TERMS[network] for layer in term.needs)
        layers = tuple(dict.fromkeys(needs))
        return layers, layers

    def __init__(self, model: nn.Module, options: TSHRNetOptions):
        self.options = options
        self.terms = TSHRNET_TERMS[model.spec.name]
        self.weights = weights_of(self.terms, options)
        self.training_layers, self.validation_layers = self.layers(options, model.spec.name)
        self.networks = {"model": TrainedNetwork(model)}
        self.frozen: dict[str, TrainedNetwork] = {}
        self.optimisers = {"generator": build_optimiser(model.parameters(), options.lr_g, options)}
        self.rates = LearningRates(options.lr_schedule, options.warmup_steps)

    def phases(self, batch: dict[str, Any]) -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]:
        terms = self._terms(Estimate(self.networks["model"].wrapped(batch["input"]).stages, batch))
        loss = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        logged = {name: term.detach() for name, term in terms.items()} | {"loss": loss.detach()}
        yield "generator", loss, logged

    def _terms(self, estimate: Estimate) -> dict[str, Tensor]:
        return {term.name: term.function(estimate) for term in self.terms if self.weights[term.name]}

    def set_learning_rates(self, step: float, total: float) -> None:
        rate = self.options.lr_g * self.rates.factor(step, total)
        if self.options.lr_decay == "intended":
            # A run of --max_steps counts as --epochs epochs, too.
            epoch = step * self.options.epochs // total
            rate *= DECAY ** (epoch // DECAY_EPOCHS)
        for group in self.optimisers["generator"].param_groups:
            group["lr"] = rate

    def validate(self, batch: dict[str, Any], model: nn.Module) -> dict[str, Values]:
        """`restoration_values` of d_tc against D_tc; psnr_diffuse, of d against D over pictures with
        highlights; loss, over all. The background counts too, which the authors' tests on SSHR (and
        evaluate.py's) blacken by the object mask."""
        stages = model(batch["input"]).stages
        corrected, refined = (stages["tone_corrected"] + 1) / 2, (stages["refined_diffuse"] + 1) / 2
        highlight = has_highlight(batch["input"], batch["diffuse"])
        loss = torch.zeros(len(corrected), device=corrected.device)
        for i in range(len(loss)):
            one = Estimate(
                {name: stage[i : i + 1] for name, stage in stages.items()},
                {layer: batch[layer][i : i + 1] for layer in ("diffuse", *self.validation_layers)},
            )
            loss[i] = sum(self.weights[name] * term for name, term in self._terms(one).items())
        values = restoration_values(corrected, batch["input"], batch["tone_corrected"], highlight)
        return values | {
            "psnr_diffuse": (psnr_per_image(refined, batch["diffuse"]), highlight),
            "loss": loss,
        }

    def after_validation(self, values: dict[str, float]) -> None:
        self.rates.watch(values["loss"])

    def pictures(self, batch: dict[str, Any], model: nn.Module) -> dict[str, Tensor]:
        stages = model(batch["input"]).stages
        columns = {name: (stage.clamp(-1, 1) + 1) / 2 for name, stage in stages.items()}
        targets = {
            "ground truth": batch["diffuse"],
            "tone-corrected ground truth": batch["tone_corrected"],
        }
        return {"input": batch["input"]} | columns | targets

    def state_dict(self) -> dict[str, Any]:
        return {"rates": self.rates.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rates.load_state_dict(state["rates"])
