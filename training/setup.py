"""From options to the parts of a run: network, recipe, samples. Nothing here computes or writes."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn
from torch.utils.data import Dataset, Subset

from data.layouts import find
from data.lists import read_list
from data.records import PictureSamples, Record
from data.shiq import official_split
from data.splits import carve_validation
from data.sshr import ResidueSamples
from data.transforms import Augmentation
from models import MODELS, build_model
from recipes import Recipe
from training.backbone import load_backbone
from training.options import TrainOptions
from training.scenes import held_out_scenes, scenes
from utils.checkpoint import load_model
from utils.errors import UserError

DEFAULT_SIZE = 224  # of the paper's training pictures
SMALLEST = 64  # sides below leave the discriminator one score a picture, which its norm turns into zero


WAYS_OUT = {
    "specular": "add the files (SHIQ's _S), or set the weight of that loss to 0",
    "mask": "add the files (SHIQ's _T), or set the weight of that loss to 0",
    "albedo": "only SSHR has albedo and shading; without them train --model tshrnet-mix",
    "shading": "only SSHR has albedo and shading; without them train --model tshrnet-mix",
    "tone_corrected": "make the tone-corrected pictures with python -m data.tone_correction --dataroot DATAROOT",
}
"""Layer that a loss needs -> what to do where it is missing."""


@dataclass
class Samples:
    """What a run trains on and is judged by; `selection` names the one of `validation` that chooses."""

    training: Dataset
    validation: dict[str, Dataset]
    selection: str
    epoch: int
    shuffle: str
    augmentation: Augmentation


def refuse_senseless(options: TrainOptions) -> None:
    """Raises UserError for options that contradict each other, or that nothing can honour."""
    if options.n_class != 3:
        raise UserError(
            f"--n_class {options.n_class}: the highlight map is the mean of 3 channels in the paper's figure and in "
            "the authors' weights; leave the option out"
        )
    if options.gan_type != "hinge":
        raise UserError(f"--gan_type {options.gan_type}: the paper's adversarial loss is hinge, the only one here")
    if options.init_type != "default":
        raise UserError(
            f"--init_type {options.init_type}: the released script parses this option and ignores it; weights "
            "start as PyTorch draws them, or from --init_from"
        )
    if options.mixed_precision:
        raise UserError("--mixed_precision: say which one: --precision bf16 or fp16")
    if options.perceptual_weights == "none" and options.lambda_perceptual:
        raise UserError("--perceptual_weights none leaves nothing to compare: pass --lambda_perceptual 0 as well")
    counts = ("batch_size", "grad_accumulation", "epochs", "log_every", "checkpoint_every", "scenes_per_epoch")
    for name in counts:
        if getattr(options, name) < 1:
            raise UserError(f"--{name} must be at least 1, got {getattr(options, name)}")
    for name in ("val_every", "max_steps", "latent_channels"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise UserError(f"--{name} must be at least 1, got {getattr(options, name)}")
    if not 0 <= options.val_share < 1:
        raise UserError(f"--val_share must be within [0, 1), got {options.val_share}")
    if len(options.betas) != 2 or not all(0 <= beta < 1 for beta in options.betas):
        raise UserError(f"--betas takes two numbers within [0, 1), got {options.betas}")
    if (options.train_list or options.test_list) and options.dataroot is None:
        raise UserError("--train_list and --test_list need --dataroot, the folder that their paths are relative to")
    if options.test_list and not options.train_list:
        raise UserError("--test_list comes with --train_list")
    side = options.crop or training_size(options)
    if options.recipe != "tshrnet" and options.lambda_gan and 0 < side < SMALLEST:
        raise UserError(
            f"pictures of {side} pixels are too small for the discriminator: train at {SMALLEST} or more, or pass "
            "--lambda_gan 0"
        )


def training_size(options: TrainOptions) -> int:
    """The side to which training pictures are resized; 0: not at all."""
    if options.size is not None:
        return options.size
    return 0 if options.crop else DEFAULT_SIZE


def build_network(options: TrainOptions) -> nn.Module:
    """The network of `options`, with its first weights."""
    if options.model not in MODELS:
        raise UserError(f"--model {options.model} is not known; choose one of {', '.join(MODELS)}")
    hyperparameters = {}
    if options.latent_channels is not None:
        c = options.latent_channels
        hyperparameters |= {"width": c} if options.recipe == "tshrnet" else {"widths": (c, 2 * c, 4 * c)}
    try:
        network = build_model(options.model, **hyperparameters)
    except ValueError as error:
        raise UserError(f"--latent_channels does not apply to --model {options.model} ({error})") from error
    if options.init_from is None:
        load_backbone(network, options.backbone_weights)
        return network
    trained = load_model(options.init_from, name=options.model)
    try:
        network.load_state_dict(trained.state_dict())
    except RuntimeError as error:
        raise UserError(f"--init_from {options.init_from} has other layer sizes than --model: {error}") from error
    return network


def gather_samples(options: TrainOptions) -> Samples:
    """The samples of `options`; raises UserError where folders or pairs are missing."""
    size = training_size(options)
    augmentation = Augmentation(
        size=size,
        crop=options.crop,
        flips=options.flips,
        rotate=options.rotate,
        highlight_scaling=options.highlight_scaling,
        exposure_jitter=options.exposure_jitter,
        temperature_jitter=options.temperature_jitter,
    )
    validation = {
        Path(folder).name: _pictures(_records(folder, options), options) for folder in options.val_dataroot
    }
    if options.dataroot is None:
        training, epoch, shuffle = scenes(options), options.scenes_per_epoch, "none"
        own = held_out_scenes(options)
        own_name = "scenes"
    else:
        records, own_records = _split(options)
        training, own = _pictures(records, options), _pictures(own_records, options)
        epoch, shuffle = len(records), options.shuffle
        own_name = options.selection_split
    if options.overfit:
        training = Subset(training, range(min(options.overfit, len(training))))
        augmentation = Augmentation(size=size, flips=False)
        validation, own, own_name = {}, _Prepared(training, augmentation), "overfit"
        epoch, shuffle = len(training), "every_epoch"
    if own is not None and len(own):
        validation = validation | {own_name: own}
    if not validation:
        raise UserError("there is nothing to validate on: pass --val_dataroot, or a --val_share above 0")
    return Samples(training, validation, next(iter(validation)), epoch, shuffle, augmentation)


def check_keys(recipe: Recipe, samples: Samples) -> None:
    """Raises UserError where the recipe's losses need a layer that the training samples do not have."""
    if not recipe.required_keys:
        return
    sample = samples.training[0]
    missing = [key for key in recipe.required_keys if key not in sample]
    if missing:
        raise UserError(
            f"the losses need the layers {', '.join(missing)}, which not every training sample has: "
            + "; ".join(dict.fromkeys(WAYS_OUT[key] for key in missing))
        )


class _Prepared(Dataset):
    """Samples as training sees them, without chance."""

    def __init__(self, samples: Dataset, augmentation: Augmentation):
        self.samples, self.augmentation = samples, augmentation

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int):
        return self.augmentation(self.samples[index], None)


class _Reported(Dataset):
    """Samples whose errors come out of a worker process as values."""

    def __init__(self, samples: Dataset):
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int):
        try:
            return self.samples[index]
        except UserError as error:
            return error


def _split(options: TrainOptions) -> tuple[list[Record], list[Record]]:
    """(training, own validation) records of --dataroot."""
    root = Path(options.dataroot)
    if not root.is_dir():
        raise UserError(f"--dataroot {root}: there is no such folder")
    if options.train_list:
        needed = ("albedo", "shading") if options.model == "tshrnet" else ()
        training = read_list(options.train_list, root, needed)
        test = read_list(options.test_list, root) if options.test_list else None
    elif (root / options.train_dir).is_dir():
        training = _records(root / options.train_dir, options)
        test_folder = root / options.test_dir
        test = None
        if options.selection_split == "test":
            test = _records(test_folder, options)
    else:
        try:
            everything = _records(root, options)
        except UserError as error:
            raise UserError(
                f"{root} has no folder {options.train_dir} (--train_dir), and holds no pairs itself: {error}"
            ) from error
        training, test = official_split(everything)
    if not training:
        raise UserError(f"{root} holds no training pictures, only those of SHIQ's official test list")
    if options.selection_split == "test":
        if not test:
            raise UserError(f"{root} holds no test pictures; pass --selection_split validation")
        return training, test
    return carve_validation(training, options.val_share, options.seed)


def _records(folder: str | Path, options: TrainOptions) -> list[Record]:
    found = find(folder, options.layout, options.input_glob, options.target_glob)
    if found.problems and not options.skip_bad_files:
        more = f" (and {len(found.problems) - 1} more)" if len(found.problems) > 1 else ""
        raise UserError(
            f"{found.problems[0]}{more}; add the file, or pass --skip_bad_files to go on without such samples"
        )
    if not found.records:
        raise UserError(f"{folder} holds no complete pair: {found.problems[0]}")
    return found.records


def _pictures(records: list[Record], options: TrainOptions) -> PictureSamples:
    kind = ResidueSamples if options.recipe == "tshrnet" else PictureSamples
    return kind(records, options.sixteen_bit)
