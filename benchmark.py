"""How fast pictures are restored, and with how much memory.

python benchmark.py                                    # aha-lite and aha on 4000x3000 and 224x224
python benchmark.py --models aha-lite --size 1920x1080 --repeat 3
"""

import sys

from benchmarks.inference import InferenceOptions, benchmark
from utils.cli import parse, run


def main() -> int:
    """Measures what the command line says, prints the table and writes it to a file."""
    options = parse(
        InferenceOptions,
        prog="benchmark.py",
        description="Seconds and memory of restoring one picture, each in a process of its own.",
    )
    return benchmark(options)


if __name__ == "__main__":
    sys.exit(run(main))
