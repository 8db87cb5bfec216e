"""Removes specular highlights from pictures.

python infer.py -i PICTURES -o RESULTS
python infer.py -i PICTURES -o RESULTS --infer_model Nature.mdl --protocol released
torchrun --nproc_per_node 4 infer.py --input_dir PICTURES --output_dir RESULTS
"""

import sys
from collections.abc import Sequence

from utils.errors import run
from utils.signals import ended_at_once


def main(argv: Sequence[str] | None = None) -> int:
    with ended_at_once():
        from restoration.infer import infer
        from restoration.options import EPILOG, InferOptions
        from utils.cli import parse

        return infer(parse(InferOptions, argv, prog="infer.py", description=__doc__, epilog=EPILOG))


if __name__ == "__main__":
    sys.exit(run(main))
