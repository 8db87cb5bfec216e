"""From options to a run: the network with its first weights, the recipe, the samples."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from torch import nn

from data.picture_options import PictureOptions
from models import build_model
from models.build import named_lists
from recipes.build import build_recipe, layers_read
from recipes.optimisers import moving_average
from training.distributed import Distributed
from training.options import AugmentOptions, BatchOptions, ModelOptions, TrainingSceneOptions, TrainOptions
from training.samples import SampleSource, check_samples
from training.state import Run
from utils import seeds
from utils.cli import named_values
from utils.errors import UserError
from weights.backbones import download_imagenet, has_resnet34, load_backbone
from weights.model_files import load_model

DRAWS_OF_WEIGHTS = 13  # purpose of random draws
SWITCHES = {"bounded", "achromatic"}  # hyper-parameters that no weights depend on


def build_run(options: TrainOptions, distributed: Distributed) -> Run:
    """All parts of a run at its first step; raises UserError where one of them cannot be had.

    options  as returned by `recipes.presets.resolve`, and valid (training/option_checks.py)
    """
    joint_batch = options.batch_size * options.grad_accumulation * distributed.world
    samples = SampleSource(
        pictures=options.group(PictureOptions),
        scenes=options.group(TrainingSceneOptions),
        augment=options.group(AugmentOptions),
        batches=options.group(BatchOptions),
        model=options.group(ModelOptions),
        layers=layers_read(options),
        seed=options.seed,
        joint_batch=joint_batch,
        overfit=options.overfit,
    ).gather()
    seeds.seed_torch(options.seed, DRAWS_OF_WEIGHTS)
    # A run that starts offline is told of all files at once.
    perceptual = options.recipe != "tshrnet" and options.lambda_perceptual
    others = ("vgg16",) if perceptual and options.perceptual_weights == "imagenet" else ()
    network = NetworkSource(options.group(ModelOptions), options.init_from, others).build()
    model = distributed.place(network, channels_last=options.channels_last)
    # Before mixed precision is wrapped around the network, which would be copied too.
    average = moving_average(model, options.ema_decay) if options.ema_decay else None
    recipe = build_recipe(model, options)
    for trained in recipe.networks.values():
        distributed.place(trained.bare)
        distributed.wrap(trained, compile=options.compile)
    for frozen in recipe.frozen.values():
        distributed.wrap(frozen)
    check_samples(recipe, samples, skip_bad=options.skip_bad_files)
    return Run(
        options=options,
        distributed=distributed,
        samples=samples,
        recipe=recipe,
        average=average,
        joint_batch=joint_batch,
        total=options.max_steps or math.ceil(options.epochs * samples.epoch / joint_batch),
        val_every=options.val_every or math.ceil(samples.epoch / joint_batch),
    )


def without_downloads(options: TrainOptions) -> TrainOptions:
    """The options with random weights in place of ImageNet's."""
    backbone = "none" if options.backbone_weights == "imagenet" else options.backbone_weights
    perceptual = "random" if options.perceptual_weights == "imagenet" else options.perceptual_weights
    return dataclasses.replace(options, backbone_weights=backbone or "none", perceptual_weights=perceptual)


def without_imagenet(options: TrainOptions) -> TrainOptions:
    """The options with a random trunk and no perceptual term where those would take ImageNet's weights."""
    backbone = None if options.backbone_weights == "imagenet" else options.backbone_weights
    weight = 0.0 if options.perceptual_weights == "imagenet" else options.lambda_perceptual
    return dataclasses.replace(options, backbone_weights=backbone or "none", lambda_perceptual=weight)


@dataclass(frozen=True)
class NetworkSource:
    """The network that `options` name, with the weights of the file `init_from`, or new ones.

    others  of weights.backbones.ARCHITECTURES: ImageNet weights that the run needs beside the trunk's
    """

    options: ModelOptions
    init_from: str | None = None
    others: tuple[str, ...] = ()

    def build(self) -> nn.Module:
        """Raises UserError where the name, the sizes or the first weights cannot be had."""
        options = self.options
        hyperparameters = {}
        if options.latent_channels is not None:
            c = options.latent_channels
            hyperparameters |= {"width": c} if options.recipe == "tshrnet" else {"widths": (c, 2 * c, 4 * c)}
        hyperparameters |= named_values(options.hyperparameters, "hyperparameters")
        if self.init_from is not None:
            return self._trained(hyperparameters)
        try:
            network = build_model(options.model, **hyperparameters)
        except (ValueError, TypeError) as error:
            raise UserError(f"`hyperparameters`: {error}") from error
        of_trunk = options.backbone_weights in (None, "imagenet") and has_resnet34(network)
        download_imagenet([*(["resnet34"] if of_trunk else []), *self.others])
        load_backbone(network, options.backbone_weights)
        return network

    def _trained(self, wanted: dict[str, Any]) -> nn.Module:
        """The network of the file, with the sizes that it says and the switches that were asked for."""
        name = self.options.model
        network = load_model(self.init_from, name=name)
        theirs = named_lists(network.spec.hyperparameters)
        for key, value in named_lists(wanted).items():
            if key not in SWITCHES and theirs.get(key) != value:
                raise UserError(
                    f"`init_from={self.init_from}` holds {name} with {key} {theirs.get(key)}, not {value}; "
                    "leave that hyper-parameter out"
                )
        switched = build_model(name, **network.spec.hyperparameters | wanted)
        switched.load_state_dict(network.state_dict())
        return switched
