"""The options of train.py, in the groups that --help prints. Those of pictures are declared in data/, those
of scenes' material in synthetic/, those of losses and optimisers in recipes/.

None means: what the recipe says (recipes/presets.py), or as described.
"""

from dataclasses import dataclass, field, fields
from typing import Literal, TypeVar

from data.picture_options import PictureOptions
from recipes.aha_terms import AHAOptions
from recipes.options import OptimiserOptions
from recipes.tshrnet_terms import TSHRNetOptions
from synthetic.scene_options import AssetFolders

Group = TypeVar("Group")
TrackerName = Literal["tensorboard", "wandb", "none"]


@dataclass
class RunOptions:
    """The run: its folder, its length, and where it starts."""

    runs_name: str = "./myruns"
    """folder of the run: configuration, logs, checkpoints, weights"""
    max_steps: int | None = None
    """stop after this many optimiser steps; given, it takes the place of --epochs"""
    resume: str = "auto"
    """auto: go on where the run in --runs_name stopped, or start it; PATH: go on from that checkpoint;
    no: start, and refuse a folder that already holds a run"""
    resume_state: Literal["everything", "weights"] | None = None
    """what a resumed run takes from the checkpoint; weights: networks only, as released; optimisers, learning
    rates, the moving average and the ranking of checkpoints start afresh"""
    init_from: str | None = None
    """start from these weights (a .safetensors of ours or the authors' .mdl) and nothing but the weights"""
    seed: int | None = None
    """random seed; recipe released: drawn from the system, and recorded"""
    deterministic: bool = False
    """the same numbers at every run on the same machine with the same number of threads; slower on GPUs"""
    overfit: int = 0
    """train on the first N samples, validate on the same ones, augment nothing"""
    dry_run: bool = False
    """print the resolved configuration, the data, parameters and memory, and stop; downloads nothing"""


@dataclass
class LoggingOptions:
    """Logs, validations and checkpoints."""

    log_every: int = 20
    """steps between lines of log.jsonl"""
    val_every: int | None = None
    """steps between validations; default: once an epoch"""
    checkpoint_minutes: float = 10.0
    """minutes between checkpoints, which are written beside the training; validations and the end save one
    too"""
    checkpoint_every: int | None = None
    """steps between checkpoints, in place of --checkpoint_minutes"""
    keep_checkpoints: int = 1
    """how many of the best checkpoints stay, besides the last one"""
    authors_checkpoint: bool | None = None
    """also write checkpoints as the authors' code does: Nature.mdl and, for each improvement and for epochs
    1, 11, 21, ..., Nature-EPOCH.mdl with the discriminator beside it; none is deleted"""
    early_stop: int = 0
    """stop after this many validations in a row without improvement; 0: never"""
    tracker: list[TrackerName] = field(default_factory=lambda: ["tensorboard"])
    """where losses, validation values and picture grids go besides the run's own files: tensorboard (in
    --runs_name), wandb (pip install wandb), both, or none"""
    pictures: bool = True
    """after each validation, write its first pictures as a sheet (input, highlight map, coarse, refined,
    ground truth): pictures/STEP.png, and to the trackers"""
    curves: bool = True
    """draw curves.png, the losses and validation values over the steps, at the end"""


@dataclass
class BatchOptions:
    """Batches, and the order of the training pictures."""

    batch_size: int | None = None
    """samples a process and a step (times --grad_accumulation); default: 3, for TSHRNet 16"""
    num_workers: int | None = None
    """processes that load or render samples; default: one a core, at most 8"""
    shuffle: Literal["every_epoch", "once"] | None = None
    """once: the order drawn at the start is kept, and written to pairs.csv"""
    drop_last: bool | None = None
    """leave out the pictures of an epoch that fill no whole batch, as the released code does; default: they
    share a batch with the next epoch's first"""


@dataclass
class AugmentOptions:
    """Augmentation of training pictures. In the recipe corrected validation pictures are never changed."""

    size: int | None = None
    """side in pixels to which samples are resized (--resize); 0: native size. Default 224, with --crop 0,
    for TSHRNet 256"""
    resize: Literal["square", "short_side"] | None = None
    """square (default): to --size x --size, without keeping the aspect ratio; short_side: the short side to
    --size, keeping it, as the authors of TSHRNet do and as its default"""
    crop: int = 0
    """side of a random crop, after --size; 0: none"""
    scale_jitter: list[float] = field(default_factory=list)
    """LOW HIGH: the crop is cut from the sample reduced or enlarged by a random factor between them, so that
    things are learned at many sizes"""
    flips: bool | None = None
    """random horizontal and vertical flips; default: yes, for TSHRNet no"""
    rotate: bool = False
    """random rotations by 90 degrees"""
    highlight_scaling: float = 0.0
    """x: input = diffuse + alpha times specular, alpha in [1-x, 1+x], as SHIQ's authors did"""
    diffuse_gamma_jitter: float = 0.0
    """x: diffuse to the power 2^u, u in [-x, x], under the same highlights: dark laboratory pictures and pale
    surfaces; not with the layers of TSHRNet"""
    exposure_jitter: float = 0.0
    """x: input and diffuse times 2^u, u in [-x, x] stops"""
    temperature_jitter: float = 0.0
    """x: red times (1+u) and blue times (1-u), u in [-x, x], in input and diffuse alike"""
    noise: float = 0.0
    """x: input and diffuse with the same Gaussian noise, its standard deviation up to x 8-bit levels"""
    jpeg_quality: list[float] = field(default_factory=list)
    """LOW HIGH: half of the inputs as JPEG of a random quality between them leaves them, the diffuse picture
    with the same errors"""
    val_size: int | None = None
    """side to which validation pictures are resized; default: native size; recipe released: 224"""
    validation_flips: bool | None = None
    """flip validation pictures at random, as the released code does"""


@dataclass
class TrainingSceneOptions(AssetFolders):
    """Synthetic scenes, used without --dataroot."""

    scenes_per_epoch: int = 10000
    """what counts as an epoch; every epoch brings new scenes"""
    val_scenes: int = 32
    """held-out scenes to validate on; with --val_dataroot they are reported too, but do not choose"""
    composition: Literal["display", "linear", "mixed"] = "display"
    """where diffuse and specular light are added: in display values, as in SHIQ, or in linear light"""
    scene_options: list[str] = field(default_factory=list)
    """further options of the generator, NAME=VALUE (synthetic/scene_options.py lists them)"""


@dataclass
class ModelOptions:
    """The network, and the recipe that trains it."""

    recipe: str | None = None
    """corrected: without the mistakes of the authors' code; released: with them; tshrnet. Default: the
    one that the network's entry in models/build.py names, corrected but for TSHRNet"""
    model: str = "aha"
    """aha (the authors' code), aha-figure (the paper's figure), aha-lite (small, for CPUs), tshrnet,
    tshrnet-mix"""
    backbone_weights: str | None = None
    """imagenet, none, or PATH of a state dict of torchvision's resnet34; default: imagenet where the network
    has a ResNet-34 trunk, none elsewhere"""
    imagenet: bool = True
    """false: no ImageNet weights, which are large and downloaded: the trunk starts at random, and there is no
    perceptual term"""
    n_class: int = 3
    """channels averaged into the highlight map; only 3, as in the authors' weights"""
    latent_channels: int | None = None
    """width c of the coarse and refine networks (c, 2c, 4c channels); default: 48, narrower for aha-lite"""
    hyperparameters: list[str] = field(default_factory=list)
    """any others of models/build.py, NAME=VALUE, such as widths=[8,24,64] achromatic=false"""


@dataclass
class HardwareOptions:
    """Hardware and arithmetic."""

    device: str = "auto"
    """auto, cpu, cuda"""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """arithmetic of the networks' forward passes; weights stay fp32; fp16 needs a GPU, bf16 a GPU
    or a processor with AVX512-BF16 or AMX. On a GPU cuDNN convolves fp32 as TF32, as in the authors'
    training; the environment variable NVIDIA_TF32_OVERRIDE=0 makes it exact"""
    compile: bool = False
    """torch.compile the network"""
    channels_last: bool = False
    """memory layout of pictures; measure before you use it"""


@dataclass
class TrainOptions(
    HardwareOptions,
    TSHRNetOptions,
    AHAOptions,
    OptimiserOptions,
    ModelOptions,
    TrainingSceneOptions,
    AugmentOptions,
    BatchOptions,
    PictureOptions,
    LoggingOptions,
    RunOptions,
):
    """All options, in the order in which --help prints them."""

    def group(self, kind: type[Group]) -> Group:
        """The options of one group, alone; `kind` is one of the classes above."""
        return kind(**{field.name: getattr(self, field.name) for field in fields(kind)})
