"""Options that contradict each other, or that nothing can honour, each with the way out."""

from training.options import TrainOptions
from utils.errors import UserError

SMALLEST = 64  # sides below leave the discriminator one score a picture, which its norm turns into zero
DEFAULT_SIZE = 224  # of the paper's training pictures


def training_size(options: TrainOptions) -> int:
    """The side to which training pictures are resized; 0: not at all."""
    if options.size is not None:
        return options.size
    return 0 if options.crop else DEFAULT_SIZE


def refuse_senseless(options: TrainOptions) -> None:
    """Raises UserError; `options` as returned by `recipes.resolve`."""
    _refuse_released(options)
    _refuse_out_of_range(options)
    if options.perceptual_weights == "none" and options.lambda_perceptual:
        raise UserError(
            "--perceptual_weights none leaves nothing to compare; pass --lambda_perceptual 0 as well"
        )
    if (options.train_list or options.test_list) and options.dataroot is None:
        raise UserError(
            "--train_list and --test_list need --dataroot, the folder that their paths are relative to"
        )
    if options.test_list and not options.train_list:
        raise UserError("--test_list comes with --train_list")
    if options.authors_checkpoint and options.optimizer == "muon":
        raise UserError(
            "--authors_checkpoint writes moments of Adam, which --optimizer muon does not have; leave one "
            "out (--recipe released asks for the first)"
        )
    side = options.crop or training_size(options)
    if options.recipe != "tshrnet" and options.lambda_gan and 0 < side < SMALLEST:
        raise UserError(
            f"pictures of {side} pixels are too small for the discriminator: train at {SMALLEST} or more, "
            "or pass --lambda_gan 0"
        )


def _refuse_released(options: TrainOptions) -> None:
    """Options of the released script that it parses and does not use."""
    if options.n_class != 3:
        raise UserError(
            f"--n_class {options.n_class}: the highlight map is the mean of 3 channels in the paper's figure "
            "and in the authors' weights; leave the option out"
        )
    if options.gan_type != "hinge":
        raise UserError(
            f"--gan_type {options.gan_type}: the paper's adversarial loss is hinge, the only one here; "
            "leave the option out, or pass --lambda_gan 0"
        )
    if options.init_type != "default":
        raise UserError(
            f"--init_type {options.init_type}: the released script parses this option and ignores it; "
            "weights start as PyTorch draws them, or from --init_from"
        )
    if options.mixed_precision:
        raise UserError("--mixed_precision: say which one, --precision bf16 or --precision fp16")


def _refuse_out_of_range(options: TrainOptions) -> None:
    at_least_one = ("batch_size", "grad_accumulation", "epochs", "log_every", "checkpoint_every")
    at_least_one += ("scenes_per_epoch", "val_every", "max_steps", "latent_channels")
    for name in at_least_one:
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} must be at least 1, got {value}")
    not_negative = (
        "keep_checkpoints",
        "early_stop",
        "overfit",
        "crop",
        "clip_grad",
        "warmup_steps",
        "val_scenes",
    )
    not_negative += tuple(name for name in vars(options) if name.startswith(("lambda_", "lr_g", "lr_d")))
    for name in not_negative:
        value = getattr(options, name)
        if isinstance(value, int | float) and not value >= 0:
            raise UserError(f"--{name} must not be negative, got {value}")
    for name in ("val_share", "ema_decay"):
        if not 0 <= getattr(options, name) < 1:
            raise UserError(f"--{name} must be within [0, 1), got {getattr(options, name)}")
    if len(options.betas) != 2 or not all(0 <= beta < 1 for beta in options.betas):
        raise UserError(f"--betas takes two numbers within [0, 1), got {options.betas}")
