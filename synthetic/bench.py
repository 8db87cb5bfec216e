"""Speed of the generator: `python -m synthetic.bench [--device cuda --batch 128]`."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synthetic.scene_options import AssetFolders
from utils import cli

if TYPE_CHECKING:
    from synthetic.generator import SyntheticScenes


@dataclass
class _Measurement:
    """What to measure."""

    device: str = "cpu"
    """cpu or cuda"""
    size: int = 224
    """side of the scenes"""
    batch: int = 16
    """scenes rendered together"""
    batches: int = 8
    """batches a measurement"""
    num_workers: int = 2
    """worker processes of the second CPU measurement; 0 leaves it out"""


@dataclass
class BenchOptions(AssetFolders, _Measurement):
    """What to measure and from what."""


def main() -> int:
    """Entry point; returns the exit code."""
    options = cli.parse(BenchOptions, prog="python -m synthetic.bench", description="Speed of the generator.")
    # Imported late: --help does not wait for torch.
    import torch

    from synthetic.generator import SyntheticScenes
    from utils.devices import choose_device

    device, folders = choose_device(options.device), AssetFolders.of(options)
    scenes = SyntheticScenes(
        options.batch * options.batches, size=options.size, folders=folders, device=device
    )
    if device.type != "cpu":
        print(f"{options.device}: {_on_device(scenes, options, torch.cuda.synchronize):.0f} scenes a second")
        return 0
    torch.set_num_threads(1)
    best = min(_cpu_seconds(scenes, start, options.batch) for start in range(0, len(scenes), options.batch))
    milliseconds = 1000 * best / options.batch
    print(f"one thread: {milliseconds:.1f} ms of CPU time a scene (best of {options.batches} batches)")
    if options.num_workers:
        loader = torch.utils.data.DataLoader(scenes, options.batch, num_workers=options.num_workers)
        # The clock starts with the first batch: starting the processes is not part of the rate.
        rest = iter(loader)
        next(rest)
        started = time.perf_counter()
        for _ in rest:
            pass
        rate = options.batch * (options.batches - 1) / (time.perf_counter() - started)
        print(f"{options.num_workers} workers: {rate:.0f} scenes a second")
    return 0


def _cpu_seconds(scenes: "SyntheticScenes", start: int, batch: int) -> float:
    """CPU time of one batch."""
    began = time.process_time()
    scenes.__getitems__(range(start, start + batch))
    return time.process_time() - began


def _on_device(scenes: "SyntheticScenes", options: BenchOptions, wait: Callable[[], None]) -> float:
    """Scenes a second; `wait` returns when the device has finished."""
    scenes.render(range(options.batch))
    wait()
    began = time.perf_counter()
    for number in range(options.batches):
        scenes.render(range(number * options.batch, (number + 1) * options.batch))
    wait()
    return options.batch * options.batches / (time.perf_counter() - began)


if __name__ == "__main__":
    sys.exit(cli.run(main))
