"""Scores methods on pairs of pictures, with the protocol beside every number.

python evaluate.py --dataroot SHIQ --test_dir test --methods shen2013 aha:savedmodel/x.safetensors
python evaluate.py --dataroot MIT --dataset mit_intrinsic --transfer srgb --methods yang2010
python evaluate.py --dataroot PAIRS --input_glob 'in/*.png' --target_glob 'gt/*.png' --methods results:DIR
python evaluate.py --table laboratory --dataroot LABORATORY
"""

import sys
from collections.abc import Sequence

from utils.errors import run
from utils.signals import ended_at_once


def main(argv: Sequence[str] | None = None) -> int:
    # To the end: a classical method can take minutes for a picture, and what is finished is on disk.
    with ended_at_once():
        from evaluation.settings import EPILOG, EvaluateOptions
        from utils.cli import parse

        options = parse(EvaluateOptions, argv, prog="evaluate.py", description=__doc__, epilog=EPILOG)
        from evaluation.report import evaluate

        return evaluate(options)


if __name__ == "__main__":
    sys.exit(run(main))
