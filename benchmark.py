"""Speed and memory of inference and training, compared with a plain implementation.

python benchmark.py                                          # all networks, and a training step of each
python benchmark.py --what inference --models aha-lite --sizes 4000x3000 --precisions bf16
python benchmark.py --quick                                  # a trial of a minute
"""

import sys
from collections.abc import Sequence

from utils.errors import run
from utils.signals import ended_at_once, interruptible


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what the command line says, prints the table and writes it to files."""
    with ended_at_once():
        from tools.benchmark import BenchmarkOptions, benchmark
        from utils.cli import parse

        options = parse(BenchmarkOptions, argv, prog="benchmark.py", description=__doc__)
    with interruptible():
        return benchmark(options)


if __name__ == "__main__":
    sys.exit(run(main))
