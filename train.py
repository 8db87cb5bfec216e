"""Trains a network.

    python train.py --runs_name ./myruns --dataroot SHIQ_tiny --train_dir train --test_dir test
    python train.py --model aha-lite --lambda_gan 0 --lambda_perceptual 0    # synthetic scenes, on a CPU
    torchrun --nproc_per_node 4 train.py --dataroot SHIQ --batch_size 8      # four GPUs

The same command again goes on where the run stopped.
"""

import sys

from training.loop import train
from training.options import TrainOptions
from utils.cli import parse, run


def main() -> int:
    return train(parse(TrainOptions, prog="train.py", description=__doc__))


if __name__ == "__main__":
    sys.exit(run(main))
