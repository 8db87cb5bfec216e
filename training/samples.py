"""From options to samples: what a run trains on, and what it is validated on."""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset, Subset

from data.layouts import find
from data.lists import read_list
from data.pictures import PictureSamples, ResidueSamples
from data.records import Record, partial_layers
from data.splits import carve_validation, official_split
from data.transforms import Augmentation
from recipes.recipe import Recipe
from recipes.scores import has_highlight
from synthetic import AssetFolders, SceneOptions, SyntheticScenes
from training.option_checks import training_size
from training.options import TrainOptions, named_values
from utils.errors import UserError

ENDLESS = 2**40  # scenes: more than any run draws
HELD_OUT = 1_000_003  # added to the seed; scenes of two seeds have nothing in common
FEW = 8  # pictures below which a mean over them hardly tells two checkpoints apart

WAYS_OUT = {
    "specular": "add the files (SHIQ's _S), or set the weight of that loss to 0",
    "mask": "add the files (SHIQ's _T), or set the weight of that loss to 0",
    "albedo": "only SSHR has albedo and shading; without them train --model tshrnet-mix",
    "shading": "only SSHR has albedo and shading; without them train --model tshrnet-mix",
    "tone_corrected": "make them with python -m data.tone_correction --dataroot DATAROOT",
}
"""Layer that a loss needs -> what to do where it is missing."""


@dataclass(frozen=True)
class Samples:
    """training      map-style data set
    augmentation  what the training stream does to a sample
    epoch         how many samples count as an epoch
    per_pass      how many of the training samples each pass over them takes
    shuffle       see training.stream.SampleStream
    validation    name -> data set; the first chooses the best checkpoint
    """

    training: Dataset
    augmentation: Augmentation
    epoch: int
    per_pass: int
    shuffle: str
    validation: dict[str, Dataset]

    @property
    def selection(self) -> str:
        """The name of the validation pictures that choose the best checkpoint."""
        return next(iter(self.validation))

    def in_whole_batches(self, batch: int) -> "Samples":
        """The same without what fills no whole batch at the end of an epoch; scenes have no end."""
        if self.per_pass == ENDLESS:
            return self
        whole = self.per_pass // batch * batch
        if not whole:
            raise UserError(
                f"{self.per_pass} training pictures fill no batch of {batch}, and others are dropped: "
                "pass --no_drop_last, or a smaller --batch_size"
            )
        return dataclasses.replace(self, epoch=whole, per_pass=whole)


def gather_samples(options: TrainOptions) -> Samples:
    """The samples of `options`; raises UserError where folders or pairs are missing."""
    augmentation = Augmentation(
        size=training_size(options),
        resize=options.resize,
        crop=options.crop,
        scale_jitter=tuple(options.scale_jitter),
        flips=options.flips,
        rotate=options.rotate,
        highlight_scaling=options.highlight_scaling,
        exposure_jitter=options.exposure_jitter,
        temperature_jitter=options.temperature_jitter,
    )
    if options.dataroot is None:
        training, epoch, shuffle = _scenes(options, ENDLESS, options.seed), options.scenes_per_epoch, "none"
        # Scenes that training never sees.
        own = {"scenes": _scenes(options, options.val_scenes, options.seed + HELD_OUT)}
    else:
        training, held_out = (_pictures(records, options) for records in _split(options))
        epoch, shuffle = len(training), options.shuffle
        own = {options.selection_split: held_out}
    if options.overfit:
        return _overfit(options, training)
    validation = _folders(options) | own
    validation = {name: _sized(samples, options) for name, samples in validation.items() if len(samples)}
    if not validation:
        raise UserError("there is nothing to validate on; pass --val_dataroot, or a --val_share above 0")
    return Samples(training, augmentation, epoch, len(training), shuffle, validation)


def check_samples(recipe: Recipe, samples: Samples) -> None:
    """Raises UserError where pictures lack a layer that the recipe needs, or a highlight to be judged by."""
    _check_layers(samples.training, recipe.training_layers, "the losses need", "training")
    for name, pictures in samples.validation.items():
        _check_layers(pictures, recipe.validation_layers, "validation needs", name)
    chosen = samples.validation[samples.selection]
    if recipe.selection[0] in ("gain", "psnr") and not _any_highlight(chosen):
        raise UserError(
            f"none of the {len(chosen)} pictures of {samples.selection} has a highlight (input and diffuse "
            "are equal), so that nothing tells a good checkpoint from a bad one; pass --val_dataroot, or a "
            "larger --val_share"
        )


def warning_about(samples: Samples) -> str | None:
    """What a user should know of the pictures that choose the best checkpoint."""
    count = len(samples.validation[samples.selection])
    if count >= FEW:
        return None
    return (
        f"warning: the best checkpoint is chosen on {count} picture{'s' * (count > 1)} "
        f"({samples.selection}); "
        f"with fewer than {FEW}, which one it is depends on chance more than on the network; pass "
        "--val_dataroot, or a larger --val_share"
    )


def _check_layers(samples: Dataset, layers: tuple[str, ...], who: str, where: str) -> None:
    if not layers:
        return
    sample = _first_readable(samples)
    missing = [key for key in layers if key not in sample]
    if missing:
        raise UserError(
            f"{who} the layers {', '.join(missing)}, which not every {where} sample has: "
            + "; ".join(dict.fromkeys(WAYS_OUT[key] for key in missing))
        )


def _first_readable(samples: Dataset) -> dict[str, Any]:
    problem = UserError("there are no samples")
    for index in range(len(samples)):
        try:
            return samples[index]
        except UserError as error:
            problem = error
    raise problem


def _any_highlight(samples: Dataset) -> bool:
    for index in range(len(samples)):
        try:
            sample = samples[index]
        except UserError:
            # Whether it may be left out is decided when it is its turn.
            return True
        if has_highlight(sample["input"][None], sample["diffuse"][None]):
            return True
    return False


class Changed(Dataset):
    """Samples after a change that leaves nothing to chance."""

    def __init__(self, samples: Dataset, change: Augmentation):
        self.samples, self.change = samples, change

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.change(self.samples[index], None)


def _sized(samples: Dataset, options: TrainOptions) -> Dataset:
    change = Augmentation(size=options.val_size, resize=options.resize, flips=False)
    return Changed(samples, change) if options.val_size else samples


def _overfit(options: TrainOptions, training: Dataset) -> Samples:
    few = Subset(training, range(min(options.overfit, len(training))))
    plain = Augmentation(size=training_size(options), resize=options.resize, flips=False)
    return Samples(few, plain, len(few), len(few), "every_epoch", {"overfit": Changed(few, plain)})


def _folders(options: TrainOptions) -> dict[str, Dataset]:
    """--val_dataroot: data sets by the shortest ends of their paths that tell them apart."""
    folders = [Path(folder) for folder in options.val_dataroot]
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UserError("--val_dataroot names a folder twice")
    depth = 1
    while len({folder.resolve().parts[-depth:] for folder in folders}) < len(folders):
        depth += 1
    return {
        "/".join(folder.resolve().parts[-depth:]): _pictures(_records(folder, options), options)
        for folder in folders
    }


def _split(options: TrainOptions) -> tuple[list[Record], list[Record]]:
    """(training, own validation) records of --dataroot."""
    root = Path(options.dataroot)
    if not root.is_dir():
        raise UserError(f"--dataroot {root}: there is no such folder")
    test = None
    if options.train_list:
        needed = ("albedo", "shading") if options.model == "tshrnet" else ()
        training = read_list(options.train_list, root, needed)
        test = read_list(options.test_list, root) if options.test_list else None
    elif (root / options.train_dir).is_dir():
        training = _records(root / options.train_dir, options)
        if options.selection_split == "test":
            test = _records(root / options.test_dir, options)
    else:
        training, test = official_split(_flat(root, options))
    if not training:
        raise UserError(f"{root} holds no training pictures, only those of SHIQ's official test list")
    if options.selection_split == "test":
        if not test:
            raise UserError(f"{root} holds no test pictures; pass --selection_split validation")
        return training, test
    return carve_validation(training, options.val_share, options.seed)


def _flat(root: Path, options: TrainOptions) -> list[Record]:
    try:
        return _records(root, options)
    except UserError as error:
        raise UserError(
            f"{root} has no folder {options.train_dir} (--train_dir) and no pairs itself: {error}"
        ) from error


def _records(folder: str | Path, options: TrainOptions) -> list[Record]:
    found = find(folder, options.layout, options.input_glob, options.target_glob)
    if found.problems and not options.skip_bad_files:
        more = f" (and {len(found.problems) - 1} more)" if len(found.problems) > 1 else ""
        raise UserError(
            f"{found.problems[0]}{more}; add the file, or pass --skip_bad_files to go on without such samples"
        )
    if not found.records:
        raise UserError(f"{folder} holds no complete pair: {found.problems[0]}")
    for note in found.notes:
        print(f"{folder}: {note}", file=sys.stderr)
    return found.records


def _pictures(records: list[Record], options: TrainOptions) -> PictureSamples:
    lacking = partial_layers(records).get("specular")
    if options.highlight_scaling and lacking:
        raise UserError(
            f"highlights are scaled by the specular layer, which {len(lacking)} of {len(records)} samples do "
            f"not have, such as {lacking[0]}: add their files, or remove that layer of all"
        )
    kind = ResidueSamples if options.recipe == "tshrnet" else PictureSamples
    return kind(records, options.sixteen_bit)


def _scenes(options: TrainOptions, length: int, seed: int) -> Dataset:
    """Synthetic scenes: item i is scene i of the seed."""
    return SyntheticScenes(
        length,
        size=options.scene_size or options.crop or options.size or 224,
        seed=seed,
        folders=AssetFolders.of(options),
        options=_scene_options(options),
    )


def _scene_options(options: TrainOptions) -> SceneOptions:
    chosen = {"composition": options.composition} | named_values(options.scene_options, "scene_options")
    unknown = chosen.keys() - SceneOptions.__dataclass_fields__.keys()
    if unknown:
        known = ", ".join(SceneOptions.__dataclass_fields__)
        raise UserError(f"--scene_options: there is no {sorted(unknown)[0]}; choose among {known}")
    try:
        return SceneOptions(**chosen)
    except (ValueError, TypeError) as error:
        raise UserError(f"--scene_options: {error}") from error
