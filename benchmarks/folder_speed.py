"""Many small pictures from files to files, and how much of the machine's time the network has.

python -m benchmarks.folder_speed --model aha-lite --count 200

Draws pictures of SHIQ's size and restores them as infer.py does; start of Python and torch left out.
"""

import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from utils.errors import run

SIDE = 200  # pixels, as SHIQ


@dataclass
class FolderOptions:
    """Options of the measurement."""

    model: str = "aha-lite"
    """network: aha-lite with its weights, others with random ones"""
    count: int = 200
    """pictures"""
    precision: str = "auto"
    """arithmetic: auto, fp32 or bf16"""
    out: Path | None = None
    """file to write, without its suffix (.json); default: benchmarks/folder_MACHINE"""


@dataclass(frozen=True)
class FolderTime:
    """What one folder took."""

    model: str
    precision: str
    pictures: int
    cores: int
    seconds: float
    network_seconds: float
    """CPU seconds of the threads that run the network, added up"""

    @property
    def share(self) -> float:
        """Of all cores' time, what the network had."""
        return self.network_seconds / (self.seconds * self.cores)


def measure(model: str, count: int, precision: str) -> FolderTime:
    """Restores `count` drawn pictures, PNG to PNG."""
    import torch

    from benchmarks.inference import draw_picture
    from models import build_model
    from restoration import HighlightRemover
    from restoration.folder import restore_folder
    from restoration.jobs import find_pictures, plan_jobs, prepare_output
    from utils.guarded_decoding import start_helper
    from utils.image_files import write_rgb

    torch.manual_seed(0)
    if model == "aha-lite":
        remover = HighlightRemover.from_pretrained(model, device="cpu", precision=precision, skip_tiles=False)
    else:
        remover = HighlightRemover(build_model(model).eval(), precision=precision, skip_tiles=False)
    busy = _timed(remover.separator)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(count):
            write_rgb(folder / "in" / f"{number:05d}_A.png", draw_picture(SIDE, SIDE, number) / 255.0)
        listing, root = find_pictures(str(folder / "in"))
        jobs = plan_jobs(listing.pictures, root, folder / "out", suffix="-removed")
        prepare_output(folder / "out", jobs)
        start_helper()
        restore_folder(jobs[:2], remover, quiet=True)
        busy.clear()
        start = time.perf_counter()
        restore_folder(jobs, remover, quiet=True)
        seconds = time.perf_counter() - start
    separator = remover.separator
    return FolderTime(model, separator.precision, count, separator.cores, seconds, sum(busy))


def _timed(separator) -> list[float]:
    """CPU seconds of every later forward, in a list that grows."""
    seconds: list[float] = []
    original = separator._separate_batch

    def timed(*arguments):
        start = time.thread_time()
        try:
            return original(*arguments)
        finally:
            seconds.append(time.thread_time() - start)

    separator._separate_batch = timed
    return seconds


def main() -> int:
    """Measures, prints and writes the file."""
    from utils.cli import parse

    options = parse(FolderOptions, prog="benchmarks.folder_speed", description=__doc__)
    from benchmarks.machine import short_name
    from utils.atomic import write_text
    from utils.devices import describe_machine

    found = measure(options.model, options.count, options.precision)
    record = {"machine": describe_machine(), **asdict(found), "network_share": found.share}
    path = options.out or Path(__file__).parent / f"folder_{short_name()}"
    write_text(path.with_name(path.name + ".json"), json.dumps(record, indent=1) + "\n")
    print(
        f"{found.model} {found.precision}: {found.pictures} pictures in {found.seconds:.1f} s "
        f"({found.seconds / found.pictures * 1e3:.0f} ms each), {100 * found.share:.0f} % of the time of "
        f"{found.cores} cores in the network"
    )
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
