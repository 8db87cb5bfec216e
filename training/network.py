"""From options to the network, with its first weights."""

import yaml
from torch import nn

from models import MODELS, build_model
from training.options import TrainOptions
from utils.errors import UserError
from weights.model_files import load_model
from weights.pretrained import load_backbone


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


SWITCHES = {"bounded", "achromatic"}  # hyper-parameters that no weights depend on


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


def named_lists(values: dict) -> dict:
    """The values with tuples as lists, which files cannot tell apart."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def named_values(words: list[str], option: str) -> dict:
    """["a=1", "b=[2,3]"] -> {"a": 1, "b": (2, 3)}; raises UserError naming `option`."""
    values = {}
    for word in words:
        name, equals, text = word.partition("=")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            equals = ""
        if not (name and equals):
            raise UserError(f"--{option} {word}: give NAME=VALUE")
        values[name] = tuple(value) if isinstance(value, list) else value
    return values
