"""Weights from a fixed seed, so that infer.py can be tried before anything is trained.

python -m samples.untrained_checkpoint OUTPUT.safetensors [NETWORK]

The result of such weights means nothing: it shows that reading, separating and writing work.
"""

import sys

import torch

from models import MODELS, build_model
from weights.model_files import save_model

SEED = 0


def write_untrained(path: str, network: str = "aha-lite") -> None:
    """Writes `network` with random weights; its metadata says that it is untrained."""
    torch.manual_seed(SEED)
    save_model(build_model(network), path, training={"trained": False, "seed": SEED})


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3 or (len(sys.argv) == 3 and sys.argv[2] not in MODELS):
        sys.exit(f"usage: python -m samples.untrained_checkpoint OUTPUT.safetensors [{' | '.join(MODELS)}]")
    write_untrained(*sys.argv[1:])
    print(f"{sys.argv[1]} is UNTRAINED (random weights): its results mean nothing")
