"""The mean of the weights of several files, or one file's weights, in half the size, into one weight file.

python -m weights.average runs/a/last.safetensors savedmodel/aha-lite.safetensors
python -m weights.average runs/a/last.safetensors runs/b/last.safetensors savedmodel/aha-lite.safetensors
python -m weights.average runs/a/best-*.pt savedmodel/aha-lite.safetensors

The mean of a network and of its own fine-tuning, or of one run's checkpoints, can be better than any of them
(Wortsman et al. 2022; Izmailov et al. 2018). Checkpoints give their moving average where they have one.
Entries are rounded to fp16, computation stays in fp32; what the files say about their training goes along.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from utils.errors import UserError, run

if TYPE_CHECKING:
    from torch import nn

ITERATIONS = 20  # of the power method, for the largest singular values of averaged weights


def main() -> int:
    """Entry point; returns the exit code."""
    if {"-h", "--help"} & set(sys.argv):
        print(__doc__.strip())
        return 0
    if len(sys.argv) < 3:
        raise UserError("python -m weights.average WEIGHTS.safetensors [MORE ...] AVERAGE.safetensors")
    *sources, target = map(Path, sys.argv[1:])
    if target.suffix != ".safetensors":
        raise UserError(f"{target}: the name of the average must end in .safetensors")
    from weights.model_files import save_model

    network, training_infos = average_checkpoints(sources)
    training = training_infos[0] if len(training_infos) == 1 else {"mean_of": training_infos}
    save_model(network, target, half=True, training=training)
    steps = " and ".join(str(info.get("steps", "unknown")) for info in training_infos)
    print(f"{target}: {target.stat().st_size / 2**20:.1f} MiB, {steps} steps")
    return 0


def average_checkpoints(paths: Sequence[str | os.PathLike]) -> "tuple[nn.Module, list[dict]]":
    """The network whose weights are the mean of those in `paths`, in eval mode, and how each was trained.

    `paths`: one or more files that `load_model` takes, all of one network; where their hyper-parameters
    differ, those of the first hold.
    The spectral norms are computed anew: the largest singular value of a mean is not the mean of theirs.
    Raises UserError where the files do not fit together.
    """
    import torch

    from models.spectral_norm import SpectralNormConv2d
    from weights.model_files import network_of, read_weights

    files = [read_weights(path) for path in paths]
    networks = [network_of(weights, path) for weights, path in zip(files, paths, strict=True)]
    training_infos = [weights.training for weights in files]
    first, states = networks[0], [network.state_dict() for network in networks]
    if len(networks) == 1:
        return first.eval(), training_infos
    for network, state, path in zip(networks, states, paths, strict=True):
        shapes = {name: value.shape for name, value in state.items()}
        if network.spec.name != first.spec.name or shapes != {k: v.shape for k, v in states[0].items()}:
            raise UserError(f"{path} holds another network than {paths[0]}; their mean means nothing")
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
    return first.eval(), training_infos


if __name__ == "__main__":
    sys.exit(run(main))
