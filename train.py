"""Trains a network.

python train.py --runs_name ./myruns --dataroot SHIQ_tiny --train_dir train --test_dir test
python train.py --model aha-lite --lambda_gan 0 --lambda_perceptual 0    # synthetic scenes, on a CPU
torchrun --nproc_per_node 4 train.py --dataroot SHIQ --batch_size 8      # four GPUs

The same command again goes on where the run stopped.
"""

import sys
from collections.abc import Sequence

from utils.errors import run
from utils.signals import ended_at_once


def main(argv: Sequence[str] | None = None) -> int:
    with ended_at_once():
        from training.options import TrainOptions
        from utils.cli import parse

        options = parse(TrainOptions, argv, prog="train.py", description=__doc__)
        from training.loop import train
    return train(options)


if __name__ == "__main__":
    sys.exit(run(main))
