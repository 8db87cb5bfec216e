"""The training of the AHA networks; `released` and `corrected` are two sets of its options (presets.py).

It trains any network of models/build.py: the result of one without coarse and refine stages counts as both.

A step, in the order of the authors' code:

    G       D_hat_coarse, D_hat_refined, A = G(I)
    D       L_D = mean relu(1 + Disc(D_hat_refined, A)) + mean relu(1 - Disc(D, A)), both detached; D's step
    G       L_G = sum of the terms of recipes/aha_terms.py, the adversarial one by the new D; G's step
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from losses import adversarial, content
from losses.perceptual import PerceptualLoss
from losses.ssim import ssim_per_image
from models import Separation, build_discriminator
from recipes.aha_terms import AHA_TERMS, AHAOptions
from recipes.optimisers import build_optimiser
from recipes.options import layers_of, weights_of
from recipes.recipe import TrainedNetwork
from recipes.schedules import LearningRates
from recipes.scores import Values, has_highlight, restoration_values
from utils.errors import UserError

SELECTIONS = {"gain": ("gain", "max"), "psnr": ("psnr", "max"), "coarse_loss": ("coarse_loss", "min")}


@dataclass(frozen=True)
class Estimate:
    """What the terms of L_G are functions of: the network's result for a batch, and what they need beside.

    layers  of the batch: "input", "diffuse", ..., (B, C, H, W) in [0, 1]
    """

    layers: dict[str, Any]
    result: Separation
    options: AHAOptions
    perceptual: nn.Module | None = None
    discriminator: nn.Module | None = None

    @property
    def target(self) -> Tensor:
        return self.layers["diffuse"]

    @property
    def coarse(self) -> Tensor:
        return coarse_estimate(self.result)

    @property
    def refined(self) -> Tensor:
        return self.result.diffuse

    @property
    def coarse_network(self) -> Tensor:
        """N_coarse, the coarse network's output before it is composed with the input."""
        return self.stage("coarse")

    @property
    def refine_network(self) -> Tensor:
        """N_refined, likewise."""
        return self.stage("refined")

    @property
    def specular(self) -> Tensor:
        return self.result.specular

    @property
    def highlight(self) -> Tensor:
        return self.result.highlight

    def stage(self, name: str) -> Tensor:
        """Raises UserError where the network does not return that stage."""
        if name not in self.result.stages:
            raise UserError(
                f"a loss with a weight needs the stage {name!r}, which the network does not return: set "
                "`lambda_direct` and `lambda_cross_entropy` to 0"
            )
        return self.result.stages[name]

    @property
    def for_ssim(self) -> Tensor:
        return {"coarse": self.coarse, "refined": self.refined}[self.options.ssim_on]

    def log_error(self, where: Tensor | None) -> Tensor:
        """L_log of both estimates over the pixels of `where` (B, 1, H, W), None: all."""
        return content.log_error(self.coarse, self.refined, self.target, self.options.log_floor, where)

    def adversarial(self) -> Tensor:
        """L_gan. The discriminator is the bare one, its parameters frozen meanwhile, so that no process
        waits for their gradients."""
        self.discriminator.requires_grad_(False)
        if self.options.gan_term == "released":
            score = self.discriminator(self.refined.detach(), self.highlight)
            term = adversarial.generator_released(score)
        else:
            term = adversarial.generator_corrected(self.discriminator(self.refined, self.highlight))
        self.discriminator.requires_grad_(True)
        return term


class AHARecipe:
    """Content, SSIM, perceptual, adversarial and dichromatic terms. See recipes/recipe.py for its parts."""

    @staticmethod
    def layers(options: AHAOptions, network: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What training and validation of a network of that name need beyond input and diffuse."""
        return layers_of(AHA_TERMS, options), ()

    def __init__(self, model: nn.Module, options: AHAOptions):
        self.options, self.model = options, model
        self.weights = weights_of(AHA_TERMS, options)
        self.training_layers, self.validation_layers = self.layers(options, model.spec.name)
        self.selection = SELECTIONS[options.select_by]
        if options.redraw_attention:
            # Drawn anew at every forward, so nothing is to be learned.
            _attention_projection(model).requires_grad_(False)
        self.networks = {"model": TrainedNetwork(model)}
        self.optimisers = {"generator": _optimiser_of(model, options)}
        self.discriminator = None
        if self.weights["gan"]:
            normalised = options.discriminator_output == "normalised"
            self.discriminator = build_discriminator(normalised_output=normalised)
            self.networks["discriminator"] = TrainedNetwork(self.discriminator)
            parameters = self.discriminator.parameters()
            self.optimisers["discriminator"] = build_optimiser(parameters, options.lr_d, options)
        self.frozen = {}
        if self.weights["perceptual"]:
            self.frozen["perceptual"] = TrainedNetwork(PerceptualLoss(options.perceptual_weights))
        self.rates = LearningRates(options.lr_schedule, options.warmup_steps)

    def phases(self, batch: dict[str, Any]) -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]:
        result = self._separate(self.networks["model"].wrapped, batch["input"])
        if self.discriminator is not None:
            score, highlight = self.networks["discriminator"].wrapped, result.highlight.detach()
            # Each forward moves the spectral norms a step: the estimate comes first, as released.
            fake = score(result.diffuse.detach(), highlight)
            loss = adversarial.discriminator_hinge(score(batch["diffuse"], highlight), fake)
            yield "discriminator", loss, {"discriminator": loss.detach()}
        terms = self.generator_terms(batch, result)
        loss = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        logged = {name: term.detach() for name, term in terms.items()} | {"loss": loss.detach()}
        yield "generator", loss, logged

    def generator_terms(self, batch: dict[str, Any], result: Separation) -> dict[str, Tensor]:
        """The unweighted terms of L_G whose weight is not zero."""
        perceptual = self.frozen["perceptual"].wrapped if self.frozen else None
        estimate = Estimate(batch, result, self.options, perceptual, self.discriminator)
        return {term.name: term.function(estimate) for term in AHA_TERMS if self.weights[term.name]}

    def _separate(self, model: nn.Module, image: Tensor) -> Separation:
        if self.options.redraw_attention:
            with torch.no_grad():
                _attention_projection(getattr(model, "module", model)).reset_parameters()
        return model(image)

    def set_learning_rates(self, step: float, total: float) -> None:
        factor = self.rates.factor(step, total)
        bases = {"generator": self.options.lr_g, "discriminator": self.options.lr_d}
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = bases[name] * group.get("relative", 1.0) * factor

    def validate(self, batch: dict[str, Any], model: nn.Module) -> dict[str, Values]:
        """Beside `restoration_values`: ssim over pictures with highlights; over all pictures loss, the
        content loss, weighted where it has a weight, and what the authors' validation computes, unweighted:
        coarse_loss = MSE + L1 of the coarse estimate, and loss_plus_ssim, that plus its SSIM."""
        image, target = batch["input"], batch["diffuse"]
        result = self._separate(model, image)
        coarse, highlight = coarse_estimate(result), has_highlight(image, target)
        coarse_loss = _per_image((coarse - target).square()) + _per_image((coarse - target).abs())
        both = _per_image((coarse - target).abs()) + _per_image((result.diffuse - target).abs())
        return restoration_values(result.diffuse, image, target, highlight) | {
            "ssim": (ssim_per_image(result.diffuse.clamp(0, 1), target), highlight),
            "loss": (self.weights["content"] or 1) * both,
            "coarse_loss": coarse_loss,
            "loss_plus_ssim": coarse_loss + ssim_per_image(coarse, target),
        }

    def after_validation(self, values: dict[str, float]) -> None:
        self.rates.watch(values[self.options.plateau_metric])

    def pictures(self, batch: dict[str, Any], model: nn.Module) -> dict[str, Tensor]:
        result = self._separate(model, batch["input"])
        columns = {
            "input": batch["input"],
            "highlight map": result.highlight.expand(-1, 3, -1, -1),
            "coarse": coarse_estimate(result),
            "refined": result.diffuse,
            "ground truth": batch["diffuse"],
        }
        return {name: column.clamp(0, 1) for name, column in columns.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"rates": self.rates.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rates.load_state_dict(state["rates"])


def _optimiser_of(model: nn.Module, options: AHAOptions) -> torch.optim.Optimizer:
    trunk = getattr(model, "trunk", None)
    if trunk is None or options.lr_trunk is None:
        return build_optimiser(model.parameters(), options.lr_g, options)
    trunk.requires_grad_(options.lr_trunk > 0)
    rest = [weight for name, weight in model.named_parameters() if not name.startswith("trunk.")]
    return build_optimiser(rest, options.lr_g, options, trunk.parameters())


def coarse_estimate(result: Separation) -> Tensor:
    """D_hat_coarse, (B, 3, H, W); of a network with one estimate that one."""
    return result.stages.get("coarse_diffuse", result.diffuse)


def _per_image(x: Tensor) -> Tensor:
    return x.mean(dim=(1, 2, 3))


def _attention_projection(model: nn.Module) -> nn.Module:
    try:
        return model.refine.attention_projection
    except AttributeError as error:
        raise UserError(
            f"`redraw_attention`: {model.spec.name} has no contextual attention; leave the option out"
        ) from error
