"""The options of train.py. None means: what the recipe says (`DEFAULTS` in recipes/), or as described."""

from dataclasses import dataclass, field
from typing import Literal

from synthetic.scene_options import AssetFolders


@dataclass
class RunOptions:
    """Where the run lives and how long it takes."""

    runs_name: str = "./myruns"
    """folder of the run: configuration, logs, checkpoints, weights"""
    epochs: int = 100
    """passes over the training pictures"""
    max_steps: int | None = None
    """stop after this many optimiser steps; given, it takes the place of --epochs"""
    resume: str = "auto"
    """auto: go on where the run in --runs_name stopped, or start it; PATH: go on from that checkpoint;
    no: start, and refuse a folder that already holds a run"""
    resume_state: Literal["everything", "weights"] | None = None
    """what a resumed run takes from the checkpoint; weights: optimisers start afresh, as released"""
    init_from: str | None = None
    """start from these weights (a .safetensors of ours or the authors' .mdl), nothing else is taken over"""
    seed: int | None = None
    """seed of everything random; recipe released: drawn from the system, and recorded"""
    deterministic: bool = False
    """the same numbers at every run on the same machine with the same number of threads; slower on GPUs"""
    overfit: int = 0
    """train on the first N samples, validate on the same ones, augment nothing"""
    dry_run: bool = False
    """print the resolved configuration, the data, parameters and memory, and stop"""


@dataclass
class JournalOptions:
    """What is written down, and when."""

    log_every: int = 20
    """steps between lines of log.jsonl"""
    val_every: int | None = None
    """steps between validations; default: once an epoch"""
    checkpoint_every: int = 500
    """steps between checkpoints; validations and the end save one too"""
    keep_checkpoints: int = 1
    """how many of the best checkpoints stay, besides the last one"""
    early_stop: int = 0
    """stop after this many validations in a row without improvement; 0: never"""
    tensorboard: bool = True
    """write TensorBoard scalars and picture grids (input, highlight map, coarse, refined, truth)"""


@dataclass
class DataOptions:
    """The training pictures. Without --dataroot, synthetic scenes."""

    dataroot: str | None = None
    """folder of the data set; left out, training draws synthetic scenes without end"""
    train_dir: str = "train"
    """folder of the training pictures, inside --dataroot"""
    test_dir: str = "test"
    """folder of the test pictures, inside --dataroot; only recipe released looks at them in training"""
    layout: str = "auto"
    """auto, shiq (NNNNN_A.png, NNNNN_D.png), psd, sshr, gt (NAME.png, NAME_gt.png), pairs (with --input_glob
    and --target_glob)"""
    train_list: str | None = None
    """list file of the training pictures, in place of --train_dir: 7 or 4 paths a line, relative to
    --dataroot, as TSHRNet's authors use (data/lists.py)"""
    test_list: str | None = None
    """list file of the test pictures, in place of --test_dir"""
    input_glob: str = "input/*"
    """layout pairs: the inputs, relative to the folder; what * stands for is the name that pairs two files"""
    target_glob: str = "target/*"
    """layout pairs: the diffuse pictures"""
    val_dataroot: list[str] = field(default_factory=list)
    """folders of pairs to validate on, in any layout; the first chooses the best checkpoint. Default: part of
    the training pictures"""
    val_share: float = 0.05
    """part of the training pictures kept for validation, chosen by name and seed; at least one"""
    selection_split: Literal["validation", "test"] | None = None
    """which pictures choose the best checkpoint; test is what the released code does"""
    batch_size: int | None = None
    """samples a process and a step (times --grad_accumulation); default: 3, for TSHRNet 16"""
    num_workers: int | None = None
    """processes that load or render samples; default: one a core, at most 8"""
    shuffle: Literal["every_epoch", "once"] | None = None
    """once: the order drawn at the start is kept, as in the released code, and written to pairs.csv"""
    skip_bad_files: bool = False
    """replace unreadable samples by the next one and report them, in place of stopping"""
    sixteen_bit: Literal["refuse", "scale"] = "refuse"
    """16-bit pictures, often linear while the networks learn sRGB; scale: divide by 65535"""


@dataclass
class AugmentOptions:
    """What happens to a training sample. Validation pictures are never changed in recipe corrected."""

    size: int | None = None
    """side in pixels to which samples are resized, squashed to a square; 0: native size. Default 224, with
    --crop 0, for TSHRNet 256"""
    crop: int = 0
    """side of a random crop, after --size; 0: none"""
    flips: bool | None = None
    """random horizontal and vertical flips; default: yes, for TSHRNet no"""
    rotate: bool = False
    """random rotations by 90 degrees"""
    highlight_scaling: float = 0.0
    """x: input = diffuse + alpha times specular, alpha in [1-x, 1+x], as SHIQ's authors did"""
    exposure_jitter: float = 0.0
    """x: input and diffuse times 2^u, u in [-x, x] stops"""
    temperature_jitter: float = 0.0
    """x: red times (1+u) and blue times (1-u), u in [-x, x], in input and diffuse alike"""
    val_size: int | None = None
    """side to which validation pictures are resized; default: native size; recipe released: 224"""
    validation_flips: bool | None = None
    """flip validation pictures at random, as the released code does"""


@dataclass
class SceneOptionsOfTraining(AssetFolders):
    """The synthetic scenes (synthetic), used without --dataroot."""

    scenes_per_epoch: int = 10000
    """what counts as an epoch; every epoch brings new scenes"""
    scene_size: int | None = None
    """side in pixels at which scenes are rendered; default: --crop, or --size, or 224"""
    val_scenes: int = 32
    """held-out scenes to validate on; with --val_dataroot they are reported too, but do not choose"""
    composition: Literal["display", "linear", "mixed"] = "display"
    """where diffuse and specular light are added: in display values, as in SHIQ, or in linear light"""
    scene_options: list[str] = field(default_factory=list)
    """further options of the generator, NAME=VALUE (synthetic/scene_options.py lists them)"""


@dataclass
class ModelOptions:
    """The network."""

    model: str = "aha"
    """aha (the authors' code), aha-figure (the paper's figure), aha-lite (small, for CPUs), tshrnet,
    tshrnet-mix"""
    backbone_weights: str | None = None
    """imagenet, none, or PATH of a state dict of torchvision's resnet34; default: imagenet where the network
    has a ResNet-34 trunk, none elsewhere"""
    n_class: int = 3
    """channels averaged into the highlight map; only 3, as in the authors' weights"""
    latent_channels: int | None = None
    """width c of the coarse and refine networks (c, 2c, 4c channels); default: 48, narrower for aha-lite"""
    hyperparameters: list[str] = field(default_factory=list)
    """any others of models/build.py, NAME=VALUE, such as widths=[8,24,64] achromatic=false"""
    redraw_attention: bool | None = None
    """draw the attention's projection anew at every forward, as the released code does (model aha only)"""


@dataclass
class LossOptions:
    """The weights of the losses; at 0 a term, and the network that it needs, is not computed at all."""

    recipe: str | None = None
    """corrected (default; what the paper means), released (the authors' code, slips included), tshrnet"""
    lambda_content: float = 10.0
    """|D_coarse - D| + |D_refined - D|"""
    lambda_perceptual: float = 1.0
    """VGG-16 conv3_3"""
    lambda_gan: float = 1.0
    """adversarial term"""
    lambda_ssim: float = 0.1
    """1 - SSIM"""
    lambda_squared: float = 0.0
    """|D_coarse - D|^2 + |D_refined - D|^2, beside or in place of content: rare highlights are learned
    sooner"""
    lambda_log: float = 0.0
    """mean over pictures of log10(MSE + --log_floor), coarse and refined: every picture counts alike, as in a
    mean PSNR"""
    log_floor: float = 3e-4
    """squared error below which a picture's share of that term no longer grows (3e-4: 35 dB); low floors
    favour leaving faint highlights alone"""
    lambda_untouched: float = 0.0
    """the same over the pixels without specular light alone, so that a strong highlight does not excuse
    errors beside it; needs the specular layer (SHIQ's _S)"""
    lambda_highlight: float = 0.0
    """the same over the highlight alone, so that all else does not hide a highlight that is left; needs the
    highlight mask (SHIQ's _T)"""
    lambda_direct: float = 0.0
    """|N_coarse - D| + |N_refined - D|: the networks' own outputs, before they are composed. Where the map is
    bounded and zero they get no other gradient"""
    lambda_specular: float = 0.0
    """|S_hat - S|; needs the specular layer (SHIQ's _S)"""
    lambda_map: float = 0.0
    """|A - T|; needs the highlight mask (SHIQ's _T)"""
    lambda_residue: float = 1.0
    """TSHRNet: |r - R|^2; its authors suggest 0.01 where clean albedo and shading are wanted"""
    lambda_achromatic: float = 0.0
    """colour of S_hat on unsaturated pixels"""
    ssim_on: Literal["coarse", "refined"] | None = None
    """which estimate the SSIM term sees"""
    perceptual_weights: str = "imagenet"
    """imagenet, none (then --lambda_perceptual must be 0), random, or PATH of a state dict of torchvision's
    vgg16"""
    gan_term: Literal["corrected", "released"] | None = None
    """corrected: -mean Disc(D_hat); released: |mean Disc(D_hat.detach())|, which reaches the map only"""


@dataclass
class OptimiserOptions:
    """Steps."""

    lr_g: float = 1e-4
    """learning rate of the generator"""
    lr_d: float = 1e-4
    """learning rate of the discriminator"""
    optimizer: Literal["adam", "adamw", "muon"] | None = None
    """default: adamw, for TSHRNet adam, as their authors have it; muon learns in fewer steps"""
    weight_decay: float | None = None
    """default: 0.002, for TSHRNet 0"""
    betas: list[float] | None = None
    """of Adam and AdamW; default: 0.9 0.999, for TSHRNet 0.5 0.999"""
    lr_schedule: Literal["plateau", "cosine", "constant"] | None = None
    """plateau (default): times 0.8 after 4 epochs without improvement; cosine: to zero at the last step;
    constant: default for TSHRNet"""
    lr_decay: Literal["released", "intended"] | None = None
    """TSHRNet; intended: a tenth of the learning rate every 10 epochs; released (default): none, as the decay
    in their code has no effect"""
    warmup_steps: int = 0
    """steps over which the learning rate grows linearly from zero"""
    plateau_metric: Literal["loss", "loss_plus_ssim"] | None = None
    """what the plateau is judged by; loss_plus_ssim is the released code's, SSIM with the wrong sign"""
    select_by: Literal["psnr", "coarse_loss"] | None = None
    """what chooses the best checkpoint; coarse_loss is the released code's"""
    clip_grad: float = 0.0
    """largest norm of an optimiser's gradients; 0: unlimited"""
    grad_accumulation: int = 1
    """batches added up to one optimiser step"""
    ema_decay: float | None = None
    """decay of the moving average of the weights, which is validated and saved; 0: off"""
    validation_mode: Literal["eval", "train"] | None = None
    """train: batch norm sees the validation pictures, as in the released code, which never calls eval()"""
    authors_checkpoint: bool | None = None
    """also write Nature.mdl in the authors' format, names with `module.`"""


@dataclass
class MachineOptions:
    """The hardware."""

    device: str = "auto"
    """auto, cpu, cuda"""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """arithmetic of the networks' forward passes; weights stay fp32; fp16 needs a GPU"""
    compile: bool = False
    """torch.compile the network"""
    channels_last: bool = False
    """memory layout of pictures; measure before you use it"""


@dataclass
class RefusedOptions:
    """Options of the released script that it parses and does not use."""

    gan_type: str = "hinge"
    """only hinge, as the paper"""
    init_type: str = "default"
    """only default: PyTorch's own initialisation"""
    mixed_precision: bool = False
    """refused: see --precision"""


@dataclass
class TrainOptions(
    RefusedOptions,
    MachineOptions,
    OptimiserOptions,
    LossOptions,
    ModelOptions,
    SceneOptionsOfTraining,
    AugmentOptions,
    DataOptions,
    JournalOptions,
    RunOptions,
):
    """All options, in the order in which --help prints them."""
