"""From options to a run: the network with its first weights, the recipe, the samples."""

import dataclasses
import math

from torch import nn
from torch.optim.swa_utils import AveragedModel

from models import MODELS, build_model
from models.build import named_lists
from recipes.build import build_recipe
from training.distributed import Distributed
from training.options import TrainOptions
from training.samples import check_samples, gather_samples
from training.state import Run
from utils import seeds
from utils.cli import named_values
from utils.errors import UserError
from weights.model_files import load_model
from weights.moving_average import moving_average
from weights.pretrained import load_backbone

DRAWS_OF_WEIGHTS = 13  # purpose of random draws
SWITCHES = {"bounded", "achromatic"}  # hyper-parameters that no weights depend on


def build_run(options: TrainOptions, distributed: Distributed) -> Run:
    """All parts of a run at its first step; raises UserError where one of them cannot be had.

    options  as returned by `recipes.presets.resolve`, and valid (training/option_checks.py)
    """
    joint_batch = options.batch_size * options.grad_accumulation * distributed.world
    samples = gather_samples(options, joint_batch)
    seeds.seed_torch(options.seed, DRAWS_OF_WEIGHTS)
    model = distributed.place(build_network(options), channels_last=options.channels_last)
    average: AveragedModel | None = None
    if options.ema_decay:
        # Before mixed precision is wrapped around the network, which would be copied too.
        average = moving_average(model, options.ema_decay)
    recipe = build_recipe(model, options)
    check_samples(recipe, samples)
    for network in recipe.networks.values():
        distributed.place(network.bare)
        distributed.wrap(network, compile=options.compile)
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


def build_network(options: TrainOptions) -> nn.Module:
    """The network of `options`; raises UserError where its name, sizes or first weights cannot be had."""
    if options.model not in MODELS:
        raise UserError(f"--model {options.model} is not known; choose one of {', '.join(MODELS)}")
    hyperparameters = {}
    if options.latent_channels is not None:
        c = options.latent_channels
        hyperparameters |= {"width": c} if options.recipe == "tshrnet" else {"widths": (c, 2 * c, 4 * c)}
    hyperparameters |= named_values(options.hyperparameters, "hyperparameters")
    if options.init_from is not None:
        return _trained(options, hyperparameters)
    try:
        network = build_model(options.model, **hyperparameters)
    except (ValueError, TypeError) as error:
        raise UserError(f"--hyperparameters: {error}") from error
    load_backbone(network, options.backbone_weights)
    return network


def _trained(options: TrainOptions, wanted: dict) -> nn.Module:
    """The network of --init_from, with the sizes that its file says and the switches that were asked for."""
    network = load_model(options.init_from, name=options.model)
    theirs = named_lists(network.spec.hyperparameters)
    for name, value in named_lists(wanted).items():
        if name not in SWITCHES and theirs.get(name) != value:
            raise UserError(
                f"--init_from {options.init_from} holds {options.model} with {name} {theirs.get(name)}, not "
                f"{value}; leave that hyper-parameter out"
            )
    switched = build_model(options.model, **network.spec.hyperparameters | wanted)
    switched.load_state_dict(network.state_dict())
    return switched
