"""Images per second of whole training runs, data loading included.

    python -m benchmarks.training_throughput --device cuda --precision bf16 --batch_sizes 16 32 64

Prints images per second and the share of time waiting for data for each batch size, with real loading: a data
set of --pairs pairs is written to a temporary folder and read by --num_workers processes.
"""

import json
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from utils import cli
from utils.atomic import write_text


@dataclass
class Options:
    """Options of the benchmark."""

    model: str = "aha"
    """name of the network"""
    size: int = 224
    """side of the training pictures in pixels"""
    batch_sizes: list[int] = field(default_factory=lambda: [3])
    """samples per step"""
    steps: int = 7
    """steps that are measured, after as many that are not"""
    device: Literal["cpu", "cuda"] = "cpu"
    """device to train on"""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """arithmetic of the network"""
    num_workers: int = 0
    """processes that load data; a GPU needs several"""
    pairs: int = 64
    """pairs of the temporary data set"""
    out: Path | None = None
    """also write the numbers to this JSON file, e.g. benchmarks/training_throughput_MACHINE.json"""


def main(argv: list[str] | None = None) -> int:
    options = cli.parse(Options, argv, prog="python -m benchmarks.training_throughput", description=__doc__)
    import torch  # only now: --help should not wait for it

    from benchmarks.training_step import write_pairs
    from utils.devices import describe_machine

    with tempfile.TemporaryDirectory() as folder:
        write_pairs(Path(folder) / "train", options.pairs)
        rows = [_measure(options, Path(folder), batch_size) for batch_size in options.batch_sizes]
    result = {
        "what": f"{options.model} at {options.size}, {options.precision}",
        "rows": rows,
        "machine": describe_machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        write_text(options.out, text + "\n")
    return 0


def _measure(options: Options, folder: Path, batch_size: int) -> dict:
    from benchmarks.training_step import training_options
    from training.loop import train

    run = folder / f"run{batch_size}"
    train(
        training_options(
            folder,
            model=options.model,
            size=options.size,
            val_size=options.size,
            batch_size=batch_size,
            device=options.device,
            precision=options.precision,
            num_workers=options.num_workers,
            runs_name=str(run),
            max_steps=2 * options.steps,
            log_every=options.steps,
            val_every=10**9,
        )
    )
    # The first line covers the start of workers and the search for fast kernels, the second does not.
    lines = (run / "timing.jsonl").read_text().splitlines()
    return {"batch_size": batch_size, **json.loads(lines[-1])}


if __name__ == "__main__":
    sys.exit(cli.run(main))
