"""Puts the weights of one run, or the mean of several runs' weights, into savedmodel/, in half the size.

python -m weights.average runs/a/last.safetensors savedmodel/aha-lite.safetensors
python -m weights.average runs/a/last.safetensors runs/b/last.safetensors savedmodel/aha-lite.safetensors
python -m weights.average runs/a/best-*.pt savedmodel/aha-lite.safetensors

The mean of a network and of its own fine-tuning, or of one run's checkpoints, can be better than any of them
(Wortsman et al. 2022; Izmailov et al. 2018). Checkpoints give their moving average where they have one.
Entries are rounded to fp16, computation stays in fp32; what the files say about their training goes along.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from models import build_model, with_added
from models.spectral_norm import SpectralNormConv2d
from utils import cli
from utils.errors import UserError
from weights.model_files import fill, load_model, read_metadata, save_model
from weights.pickled import read_pickled

ITERATIONS = 20  # of the power method, for the largest singular values of averaged weights


def main() -> int:
    if len(sys.argv) < 3:
        raise UserError("python -m weights.average WEIGHTS.safetensors [MORE ...] SHIPPED.safetensors")
    *sources, target = map(Path, sys.argv[1:])
    if target.suffix != ".safetensors":
        raise UserError(f"{target}: the name of shipped weights ends in .safetensors")
    networks, stories = zip(*map(_read, sources), strict=True)
    training = stories[0] if len(stories) == 1 else {"mean_of": stories}
    save_model(mean_of(networks, sources), target, half=True, training=training)
    steps = " and ".join(str(story.get("steps", "unknown")) for story in stories)
    print(f"{target}: {target.stat().st_size / 2**20:.1f} MiB, {steps} steps")
    return 0


def _read(source: Path) -> tuple[nn.Module, dict]:
    """The network of a weight file or of a run's checkpoint, and how it was trained."""
    if source.suffix == ".safetensors":
        return load_model(source), read_metadata(source)["training"]
    state = read_pickled(source)
    if not isinstance(state, dict) or not {"network", "networks", "average", "progress"} <= state.keys():
        raise UserError(f"{source} is no checkpoint of train.py: give its best-*.pt, or .safetensors")
    name = state["network"]
    network = build_model(name, **with_added(name, state["hyperparameters"]))
    fill(network, state["average"] or state["networks"]["model"], source)
    story = {
        "steps": state["progress"]["step"],
        "averaged": bool(state["average"]),
        "options": state["options"],
    }
    return network, story


def mean_of(networks: Sequence[nn.Module], sources: Sequence[Path]) -> nn.Module:
    """The first network with the mean of all weights; raises UserError where they do not fit together."""
    first = networks[0]
    if len(networks) == 1:
        return first
    states = [network.state_dict() for network in networks]
    for network, state, source in zip(networks, states, sources, strict=True):
        shapes = {name: value.shape for name, value in state.items()}
        if network.spec.name != first.spec.name or shapes != {k: v.shape for k, v in states[0].items()}:
            raise UserError(f"{source} holds another network than {sources[0]}; their mean means nothing")
    mean = {
        name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value
        for name, value in states[0].items()
    }
    first.load_state_dict(mean)
    for layer in first.modules():
        if isinstance(layer, SpectralNormConv2d):
            layer.train()
            for _ in range(ITERATIONS):
                layer.normalised_weight()
    return first.eval()


if __name__ == "__main__":
    sys.exit(cli.run(main))
