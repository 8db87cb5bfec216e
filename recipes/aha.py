"""The training of the AHA networks; `released` and `corrected` are two sets of its switches.

L_G = lambda_content (|D_coarse - D| + |D_refined - D|) + lambda_perceptual L_perc(D_refined, D)
      + lambda_squared (|D_coarse - D|^2 + |D_refined - D|^2)
      + lambda_log (log10 (MSE(D_coarse, D) + floor) + log10 (MSE(D_refined, D) + floor))
      + lambda_untouched (the same over the pixels with S = 0 alone)
      + lambda_highlight (the same over the highlight T alone)
      + lambda_ssim (1 - SSIM(., D)) + lambda_gan L_gan + lambda_specular |S_hat - S|
      + lambda_direct (|N_coarse - D| + |N_refined - D|) + lambda_map w |A - T| + lambda_achromatic L_grey
L_D = hinge(Disc(D, A), Disc(D_refined, A))
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from losses import (
    achromaticity,
    content,
    discriminator_hinge,
    generator_corrected,
    generator_released,
    log_error,
    map_supervision,
    specular_supervision,
    squared_error,
    ssim,
    ssim_per_image,
    untouched_pixels,
)
from losses.perceptual import PerceptualLoss
from models import Separation, build_discriminator
from recipes.optimisers import build_optimiser
from recipes.schedules import LearningRates
from recipes.values import psnr_per_image
from utils.errors import UserError


class AHARecipe:
    """Content, SSIM, perceptual, adversarial and dichromatic terms. See recipes/__init__.py."""

    def __init__(self, model: nn.Module, options: Any):
        self.options = options
        self.weights = {
            "content": options.lambda_content,
            "ssim": options.lambda_ssim,
            "perceptual": options.lambda_perceptual,
            "gan": options.lambda_gan,
            "squared": options.lambda_squared,
            "log": options.lambda_log,
            "untouched": options.lambda_untouched,
            "highlight": options.lambda_highlight,
            "specular": options.lambda_specular,
            "direct": options.lambda_direct,
            "map": options.lambda_map,
            "achromatic": options.lambda_achromatic,
        }
        needed = {"specular": "specular", "untouched": "specular", "highlight": "mask", "map": "mask"}
        self.required_keys = tuple(dict.fromkeys(key for term, key in needed.items() if self.weights[term]))
        self.selection = {"psnr": ("psnr", "max"), "coarse_loss": ("coarse_loss", "min")}[options.select_by]

        self.model = model
        self.networks: dict[str, nn.Module] = {"model": model}
        if options.redraw_attention:
            # Drawn anew at every forward, so nothing is to be learned.
            _attention_projection(model).requires_grad_(False)
        self.optimisers = {"generator": build_optimiser(model.parameters(), options.lr_g, options)}
        self.discriminator = build_discriminator() if self.weights["gan"] else None
        if self.discriminator is not None:
            self.networks["discriminator"] = self.discriminator
            self.optimisers["discriminator"] = build_optimiser(
                self.discriminator.parameters(), options.lr_d, options
            )
        self.perceptual = PerceptualLoss(options.perceptual_weights) if self.weights["perceptual"] else None
        self.rates = LearningRates(options.lr_schedule, options.warmup_steps)

    def phases(self, batch: dict[str, Any]) -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]:
        result = self._separate(self.networks["model"], batch["input"])
        terms = self.generator_terms(batch, result)
        loss = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        yield (
            "generator",
            loss,
            {name: term.detach() for name, term in terms.items()} | {"loss": loss.detach()},
        )
        if self.discriminator is not None:
            highlight = result.highlight.detach()
            score = self.networks["discriminator"]
            loss = discriminator_hinge(
                score(batch["diffuse"], highlight), score(result.diffuse.detach(), highlight)
            )
            yield "discriminator", loss, {"discriminator": loss.detach()}

    def generator_terms(self, batch: dict[str, Any], result: Separation) -> dict[str, Tensor]:
        """The unweighted terms of L_G whose weight is not zero."""
        image, truth = batch["input"], batch["diffuse"]
        coarse = result.stages["coarse_diffuse"]
        on = {"coarse": coarse, "refined": result.diffuse}[self.options.ssim_on]

        def log_of(where: Tensor | None = None) -> Tensor:
            return log_error(coarse, result.diffuse, truth, self.options.log_floor, where)

        compute = {
            "content": lambda: content(coarse, result.diffuse, truth),
            "ssim": lambda: 1 - ssim(on, truth),
            "perceptual": lambda: self._perceive(result.diffuse, truth),
            "gan": lambda: self._gan(result),
            "squared": lambda: squared_error(coarse, result.diffuse, truth),
            "log": log_of,
            "untouched": lambda: log_of(untouched_pixels(batch["specular"])),
            "highlight": lambda: log_of(batch["mask"]),
            "specular": lambda: specular_supervision(result.specular, batch["specular"]),
            "direct": lambda: content(result.stages["coarse"], result.stages["refined"], truth),
            "map": lambda: map_supervision(result.highlight, batch["mask"]),
            "achromatic": lambda: achromaticity(result.specular, image),
        }
        return {name: term() for name, term in compute.items() if self.weights[name]}

    def _separate(self, model: nn.Module, image: Tensor) -> Separation:
        if self.options.redraw_attention:
            with torch.no_grad():
                _attention_projection(getattr(model, "module", model)).reset_parameters()
        return model(image)

    def _perceive(self, estimate: Tensor, truth: Tensor) -> Tensor:
        self.perceptual.to(truth.device)
        return self.perceptual(estimate, truth)

    def _gan(self, result: Separation) -> Tensor:
        # The bare discriminator: its parameters are frozen here, so no process waits for their gradients.
        self.discriminator.requires_grad_(False)
        if self.options.gan_term == "released":
            term = generator_released(self.discriminator(result.diffuse.detach(), result.highlight))
        else:
            term = generator_corrected(self.discriminator(result.diffuse, result.highlight))
        self.discriminator.requires_grad_(True)
        return term

    def set_learning_rates(self, step: int, total: int) -> None:
        factor = self.rates.factor(step, total)
        for name, base in (("generator", self.options.lr_g), ("discriminator", self.options.lr_d)):
            if name in self.optimisers:
                for group in self.optimisers[name].param_groups:
                    group["lr"] = base * factor

    def validate(self, batch: dict[str, Any], model: nn.Module) -> dict[str, Tensor]:
        image, truth = batch["input"], batch["diffuse"]
        result = self._separate(model, image)
        coarse = result.stages["coarse_diffuse"]
        coarse_loss = _l1_per_image(coarse, truth)
        loss = self.weights["content"] * (coarse_loss + _l1_per_image(result.diffuse, truth))
        return {
            "psnr": psnr_per_image(result.diffuse, truth),
            "psnr_input": psnr_per_image(image, truth),
            "ssim": ssim_per_image(result.diffuse.clamp(0, 1), truth),
            "loss": loss,
            "loss_plus_ssim": loss + ssim_per_image(coarse, truth),
            "coarse_loss": coarse_loss,
        }

    def after_validation(self, values: dict[str, float]) -> None:
        self.rates.watch(values[self.options.plateau_metric])

    def pictures(self, batch: dict[str, Any], model: nn.Module) -> dict[str, Tensor]:
        result = self._separate(model, batch["input"])
        columns = {
            "input": batch["input"],
            "highlight map": result.highlight.expand(-1, 3, -1, -1),
            "coarse": result.stages["coarse_diffuse"],
            "refined": result.diffuse,
            "truth": batch["diffuse"],
        }
        return {name: column.clamp(0, 1) for name, column in columns.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"rates": self.rates.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rates.load_state_dict(state["rates"])


def _l1_per_image(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).abs().mean(dim=(1, 2, 3))


def _attention_projection(model: nn.Module) -> nn.Module:
    try:
        return model.refine.attention_projection
    except AttributeError as error:
        raise UserError(
            f"--redraw_attention: {model.spec.name} has no contextual attention; leave the option out"
        ) from error
