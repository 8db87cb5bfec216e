"""Contradictory and unsupported options, each with the way out."""

import math

from recipes.aha_terms import AHA_TERMS
from recipes.tshrnet_terms import TSHRNET_TERMS
from training.options import TrainOptions
from training.trackers import check_trackers
from utils.errors import UserError

# Sides below leave the discriminator without a score, or with one that its norm turns into zero.
SMALLEST = {"plain": 32, "normalised": 64}
DEFAULT_SIZE = 224  # of the paper's training pictures

AT_LEAST_ONE = (
    *("batch_size", "grad_accumulation", "epochs", "log_every", "checkpoint_every", "scenes_per_epoch"),
    *("val_every", "max_steps", "latent_channels"),
)
LOSS_WEIGHTS = {term.weight for terms in (AHA_TERMS, *TSHRNET_TERMS.values()) for term in terms}
NOT_NEGATIVE = (
    *("keep_checkpoints", "early_stop", "overfit", "crop", "size", "val_size", "num_workers", "val_scenes"),
    *("checkpoint_minutes", "clip_grad", "warmup_steps", "lr_g", "lr_d", "weight_decay"),
    *("noise", "photos_share", "untouched_share", "highlight_scaling"),
    *("diffuse_gamma_jitter", "exposure_jitter", "temperature_jitter", *sorted(LOSS_WEIGHTS)),
)
BELOW_ONE = ("val_share", "ema_decay")


def training_size(size: int | None, crop: int) -> int:
    """The side to which training pictures are resized before they are cropped; 0: not at all."""
    if size is not None:
        return size
    return 0 if crop else DEFAULT_SIZE


def validate_options(options: TrainOptions) -> None:
    """Raises UserError; `options` as returned by `recipes.presets.resolve`."""
    _check_released(options)
    _check_numbers(options)
    terms = TSHRNET_TERMS.get(options.model, AHA_TERMS)
    if not any(getattr(options, term.weight) for term in terms):
        names = ", ".join(sorted({term.weight for term in terms}))
        raise UserError(f"every loss has the weight 0, so nothing would be trained; give one of {names}")
    if options.perceptual_weights == "none" and options.lambda_perceptual:
        raise UserError(
            "`perceptual_weights=none` leaves nothing to compare; pass `lambda_perceptual=0` as well"
        )
    if options.scale_jitter:
        low, high = options.scale_jitter if len(options.scale_jitter) == 2 else (0, 0)
        if not 0 < low <= high or not options.crop:
            raise UserError("`scale_jitter` takes two factors, LOW <= HIGH, and needs `crop`")
    if options.jpeg_quality:
        low, high = options.jpeg_quality if len(options.jpeg_quality) == 2 else (0, 0)
        if not 1 <= low <= high <= 100:
            raise UserError("`jpeg_quality` takes two qualities from 1 to 100, LOW <= HIGH")
    if options.photos_share >= 1 or options.untouched_share > 0.5:
        raise UserError("`photos_share` must be below 1, and `untouched_share` at most 0.5")
    if options.photos_dataroot and options.recipe == "tshrnet":
        raise UserError("`photos_dataroot`: photographs lack the layers that TSHRNet learns from")
    if options.diffuse_gamma_jitter and options.recipe == "tshrnet":
        raise UserError(
            "`diffuse_gamma_jitter` would make the diffuse layer inconsistent with albedo and shading"
        )
    if (options.train_list or options.test_list) and options.dataroot is None:
        raise UserError(
            "`train_list` and `test_list` need `dataroot`, the folder that their paths are relative to"
        )
    if options.test_list and not options.train_list:
        raise UserError("`test_list` comes with `train_list`")
    if options.authors_checkpoint and options.optimizer == "muon":
        raise UserError(
            "`authors_checkpoint` writes moments of Adam, which `optimizer=muon` does not have; leave one "
            "out (`recipe=released` asks for the first)"
        )
    check_trackers(options.tracker)
    side = options.crop or training_size(options.size, options.crop)
    if options.recipe != "tshrnet" and options.lambda_gan:
        smallest = SMALLEST[options.discriminator_output]
        if 0 < side < smallest:
            raise UserError(
                f"pictures of {side} pixels are too small for the discriminator: train at {smallest} or "
                "more, or pass `lambda_gan=0`"
            )


def _check_released(options: TrainOptions) -> None:
    """Options of the released script that it parses and does not use."""
    if options.n_class != 3:
        raise UserError(
            f"`n_class={options.n_class}`: the highlight map is the mean of 3 channels in the paper's figure "
            "and in the authors' weights; leave the option out"
        )


def _check_numbers(options: TrainOptions) -> None:
    for name in AT_LEAST_ONE:
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f"`{name}` must be at least 1, got {value}")
    for name in NOT_NEGATIVE:
        value = getattr(options, name)
        if value is not None and not (value >= 0 and math.isfinite(value)):
            raise UserError(f"`{name}` must be a number that is not negative, got {value}")
    for name in BELOW_ONE:
        if not 0 <= getattr(options, name) < 1:
            raise UserError(f"`{name}` must be within [0, 1), got {getattr(options, name)}")
    if len(options.betas) != 2 or not all(0 <= beta < 1 for beta in options.betas):
        raise UserError(f"`betas` takes two numbers within [0, 1), got {options.betas}")
