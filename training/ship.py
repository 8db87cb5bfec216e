"""Puts the weights of a run into savedmodel/, in half the size.

python -m training.ship runs/aha-lite/last.safetensors savedmodel/aha-lite.safetensors

Entries are rounded to fp16, computation stays in fp32; what the file says about its training goes along.
"""

import sys
from pathlib import Path

from utils import cli
from utils.checkpoint import load_model, read_metadata, save_model
from utils.errors import UserError


def main() -> int:
    if len(sys.argv) != 3:
        raise UserError("python -m training.ship WEIGHTS.safetensors SHIPPED.safetensors")
    source, target = map(Path, sys.argv[1:])
    if target.suffix != ".safetensors":
        raise UserError(f"{target}: the name of shipped weights ends in .safetensors")
    training = read_metadata(source)["training"]
    save_model(load_model(source), target, half=True, training=training)
    print(f"{target}: {target.stat().st_size / 2**20:.1f} MiB, {training.get('steps', 'unknown')} steps")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
