"""From options to samples: what a run trains on, and what it is validated on."""

from dataclasses import dataclass, fields
from typing import Any

from torch.utils.data import Dataset, Subset

from data.photographs import Photographs
from data.picture_options import PictureOptions
from data.picture_samples import PictureSamples
from data.records import partial_layers
from data.training_pictures import TransformedSamples, training_pictures, validation_folders
from data.transforms import Augmentation
from recipes.recipe import Recipe
from recipes.scores import has_highlight
from synthetic import AssetFolders, SyntheticScenes
from synthetic.scene_options import SceneOptions, scene_options
from training.option_checks import DEFAULT_SIZE, training_size
from training.options import AugmentOptions, BatchOptions, ModelOptions, TrainingSceneOptions
from utils.errors import UserError

ENDLESS = 2**40  # scenes: more than any run draws
HELD_OUT = 1_000_003  # added to the seed; scenes of two seeds have nothing in common
FEW = 8  # pictures below which a mean over them hardly tells two checkpoints apart

HINTS = {
    "specular": "add the files (SHIQ's _S), or set the weight of that loss to 0",
    "mask": "add the files (SHIQ's _T), or set the weight of that loss to 0",
    "albedo": "only SSHR has albedo and shading; without them train `model=tshrnet-mix`",
    "shading": "only SSHR has albedo and shading; without them train `model=tshrnet-mix`",
    "tone_corrected": "make them with python -m data.tone_correction --dataroot DATAROOT",
}
"""Layer that a loss needs -> what to do where it is missing."""


@dataclass(frozen=True)
class Untouched:
    """Samples to be left as they are.

    photos        photographs without highlights
    photos_share  part of the samples that they are
    share         part of the samples that are followed by their own diffuse picture as an input
    """

    photos: Dataset | None = None
    photos_share: float = 0.0
    share: float = 0.0


@dataclass(frozen=True)
class Samples:
    """training      map-style data set
    augmentation  what the training stream does to a sample
    epoch         how many samples count as an epoch
    per_pass      how many of the training samples each pass over them takes
    shuffle       see training.stream.SampleStream
    untouched     photographs without highlights, and how often they and diffuse pictures are inputs
    validation    name -> data set; the first chooses the best checkpoint
    """

    training: Dataset
    augmentation: Augmentation
    epoch: int
    per_pass: int
    shuffle: str
    validation: dict[str, Dataset]
    untouched: "Untouched"

    @property
    def selection(self) -> str:
        """The name of the validation pictures that choose the best checkpoint."""
        return next(iter(self.validation))


@dataclass(frozen=True)
class SampleSource:
    """Where samples come from and what is done to them.

    pictures     folders and lists; without a dataroot scenes are rendered
    layers       those beyond input and diffuse that the losses and the validation need
    joint_batch  samples of an optimiser step, of which drop_last makes whole passes
    overfit      train on the first N samples, and validate on them; 0: on all
    """

    pictures: PictureOptions
    scenes: TrainingSceneOptions
    augment: AugmentOptions
    batches: BatchOptions
    model: ModelOptions
    layers: tuple[tuple[str, ...], tuple[str, ...]]
    seed: int
    joint_batch: int
    overfit: int = 0

    def gather(self) -> Samples:
        """Raises UserError where folders, pairs or layers are missing."""
        of_scenes = scene_options(self.scenes.composition, self.scenes.scene_options)
        scenes = self.pictures.dataroot is None
        training, own = self._scenes(of_scenes) if scenes else self._pictures()
        plain = self._resized(training_size(self.augment.size, self.augment.crop))
        if self.overfit:
            few = Subset(training, range(min(self.overfit, len(training))))
            validation = {"overfit": TransformedSamples(few, plain)}
            return Samples(few, plain, len(few), len(few), "every_epoch", validation, Untouched())
        epoch = self.scenes.scenes_per_epoch if scenes else len(training)
        if self.batches.drop_last and not scenes:
            epoch = epoch // self.joint_batch * self.joint_batch
        if not epoch:
            raise UserError(
                f"{len(training)} training pictures fill no batch of {self.joint_batch}, and others are "
                "dropped: pass `drop_last=false`, or a smaller `batch_size`"
            )
        return Samples(
            training,
            self._augmentation(),
            epoch,
            ENDLESS if scenes else epoch,
            "none" if scenes else self.batches.shuffle,
            self._validation(own),
            self._untouched(),
        )

    def _untouched(self) -> Untouched:
        pictures = self.pictures
        if not pictures.photos_dataroot:
            return Untouched(share=pictures.untouched_share)
        photos = Photographs(pictures.photos_dataroot, least=self.augment.crop)
        return Untouched(photos, pictures.photos_share, pictures.untouched_share)

    def _scenes(self, options: SceneOptions) -> tuple[SyntheticScenes, dict[str, Dataset]]:
        side = self.scenes.scene_size or self.augment.crop or self.augment.size or DEFAULT_SIZE
        folders = AssetFolders.of(self.scenes)
        training, held_out = (
            SyntheticScenes(length, size=side, seed=seed, folders=folders, options=options)
            for length, seed in ((ENDLESS, self.seed), (self.scenes.val_scenes, self.seed + HELD_OUT))
        )
        return training, {"scenes": held_out}

    def _pictures(self) -> tuple[PictureSamples, dict[str, Dataset]]:
        needed = ("albedo", "shading") if self.model.model == "tshrnet" else ()
        of_losses, of_validation = self.layers
        # A stored specular layer is scaled as it is; else what input and diffuse differ by.
        scaled = ("specular",) if self.augment.highlight_scaling else ()
        training, held_out = training_pictures(
            self.pictures,
            self.seed,
            needed=needed,
            residues=self._residues,
            layers=((*of_losses, *scaled), of_validation),
            lit=lambda samples: any_highlight(samples, self.pictures.skip_bad_files),
        )
        if self.augment.highlight_scaling and not self.overfit:
            _check_specular_layers(training)
        return training, {self.pictures.selection_split: held_out}

    @property
    def _residues(self) -> bool:
        return self.model.recipe == "tshrnet"

    def _augmentation(self) -> Augmentation:
        options = self.augment
        named = {known.name: getattr(options, known.name) for known in fields(Augmentation)}
        listed = {"scale_jitter": tuple(options.scale_jitter), "jpeg_quality": tuple(options.jpeg_quality)}
        return Augmentation(**named | {"size": training_size(options.size, options.crop)} | listed)

    def _resized(self, size: int) -> Augmentation:
        return Augmentation(size=size, resize=self.augment.resize, flips=False)

    def _validation(self, own: dict[str, Dataset]) -> dict[str, Dataset]:
        """The pictures of val_dataroot, which come first and so choose the best checkpoint, and `own`."""
        folders = validation_folders(self.pictures, residues=self._residues, layers=self.layers[1])
        samples = folders | {f"{name} (own)" if name in folders else name: held for name, held in own.items()}
        samples = {name: pictures for name, pictures in samples.items() if len(pictures)}
        if not samples:
            raise UserError("there is nothing to validate on; pass `val_dataroot`, or a `val_share` above 0")
        if self.augment.val_size:
            resize = self._resized(self.augment.val_size)
            samples = {name: TransformedSamples(pictures, resize) for name, pictures in samples.items()}
        return samples


def check_samples(recipe: Recipe, samples: Samples, *, skip_bad: bool = False) -> None:
    """Raises UserError where pictures lack a layer that the recipe needs, or none has a highlight.

    skip_bad  pictures that cannot be read are left out
    """
    _check_layers(samples.training, recipe.training_layers, "the losses need", "training")
    for name, pictures in samples.validation.items():
        _check_layers(pictures, recipe.validation_layers, "validation needs", name)
    chosen = samples.validation[samples.selection]
    if recipe.selection[0] in ("gain", "psnr") and not any_highlight(chosen, skip_bad):
        raise UserError(
            f"none of the {len(chosen)} pictures of {samples.selection} has a highlight (input and diffuse "
            "are equal), so that nothing tells a good checkpoint from a bad one; pass `val_dataroot`, or a "
            "larger `val_share`"
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
        "`val_dataroot`, or a larger `val_share`"
    )


def _check_specular_layers(samples: PictureSamples) -> None:
    lacking = partial_layers(samples.records).get("specular")
    if lacking:
        raise UserError(
            f"highlights are scaled by the specular layer, which {len(lacking)} of {len(samples)} samples do "
            f"not have, such as {lacking[0]}: add their files, or remove that layer of all"
        )


def _check_layers(samples: Dataset, layers: tuple[str, ...], who: str, where: str) -> None:
    if not layers:
        return
    sample = _first_readable(samples)
    missing = [key for key in layers if key not in sample]
    if missing:
        raise UserError(
            f"{who} the layers {', '.join(missing)}, which not every {where} sample has: "
            + "; ".join(dict.fromkeys(HINTS[key] for key in missing))
        )


def _first_readable(samples: Dataset) -> dict[str, Any]:
    problem = UserError("there are no samples")
    for index in range(len(samples)):
        try:
            return samples[index]
        except UserError as error:
            problem = error
    raise problem


def any_highlight(samples: Dataset, skip_bad: bool) -> bool:
    """Whether one of the samples has a highlight, or cannot be read and is not left out (`skip_bad`)."""
    for index in range(len(samples)):
        try:
            sample = samples[index]
        except UserError:
            if skip_bad:
                continue
            return True  # it ends the training when it is its turn
        if has_highlight(sample["input"][None], sample["diffuse"][None]):
            return True
    return False
