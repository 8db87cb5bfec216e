"""Removes highlights from pictures.

python infer.py --input_dir PICTURES --output_dir RESULTS
python infer.py --input_dir PICTURES --output_dir RESULTS --infer_model Nature.mdl --protocol released
torchrun --nproc_per_node 4 infer.py --input_dir PICTURES --output_dir RESULTS
"""

import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from utils.cli import parse, run
from utils.errors import UserError

EPILOG = """exit codes: 0 all pictures done or skipped; 1 some failed (each is named); 2 nothing to do or
a wrong option; 130 interrupted"""


@dataclass
class InferOptions:
    """Options of infer.py."""

    input_dir: str
    """folder of pictures, a single picture, or a quoted glob such as 'shots/*.png'"""
    output_dir: str
    """where NAME-removed.png and NAME-HFE.png (the highlight map) go"""
    infer_model: str | None = None
    """weights: our .safetensors, the authors' .mdl, or a folder with TSHRNet's four .pth files; default:
    savedmodel/aha-lite.safetensors"""
    method: str | None = None
    """a classical method (shen2013, yang2010, ...), input (nothing removed), or the name of the network
    where the weight file does not say it (aha, aha-figure, aha-lite, tshrnet, tshrnet-mix)"""
    protocol: Literal["native", "released"] = "native"
    """native: the picture's own resolution and depth, pixels without highlight stay bit for bit; released:
    the authors' arithmetic (resized to a square of 224 or 448 pixels
    without keeping the aspect ratio, resized back, truncated to 8 bits)"""
    output: Literal["tone_corrected", "diffuse"] | None = None
    """TSHRNet only: which of its stages is the result"""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps"""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto: fp32 on the CPU; on CUDA bf16 where it is proved close, else fp32"""
    tta: int | None = None
    """test-time augmentation: remove only what the network also finds in the mirrored picture (2) and at
    half its size (4); fewer mistakes on painted things, less removal, 2 or 2.5 times the time. 1: without.
    Default: 1, but 4 for aha-lite where a side is longer than 256 pixels"""
    tile: int | None = None
    """side of the tiles of large pictures; 0: never cut; default: by the network (448 to 1024)"""
    tile_overlap: int | None = None
    """pixels shared by neighbouring tiles; default: a quarter of the tile"""
    batch_size: int = 1
    """tiles or equal-sized pictures together, on a GPU; on the CPU each goes alone, which is as fast"""
    workers: int | None = None
    """tiles at once on the CPU, each in one thread; default: the cores, at most 2 or 3 by
    the network, which bounds memory"""
    recursive: bool = False
    """also the folders inside; the output folder mirrors them"""
    skip_existing: bool = False
    """leave out pictures whose files all exist"""
    suffix: str = "-removed"
    """what is put behind the name of a result"""
    ext: str = "png"
    """format of the results: png, jpg, tif, webp, bmp, or auto for the format of each input"""
    save_highlight: bool = True
    """write NAME-HFE.png, the highlight map"""
    save_specular: bool = False
    """write NAME-specular.png, the layer that was removed"""
    comparison: bool = False
    """write NAME-comparison.png: input, highlight map, specular layer and result side by side"""
    limit: int | None = None
    """only the first so many pictures"""
    dry_run: bool = False
    """print what would be done and write nothing"""


def main(argv: Sequence[str] | None = None) -> int:
    """Does what the command line says; returns the exit code."""
    options = parse(
        InferOptions,
        argv,
        prog="infer.py",
        description="Removes specular highlights from pictures.",
        epilog=EPILOG,
    )
    # A job ended by torchrun or a scheduler cleans up as one ended by Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return infer(options)


def infer(options: InferOptions) -> int:
    """Restores the pictures of `options`; returns 0, or 1 where some failed. Raises UserError."""
    from restoration.jobs import check_folders, find_pictures, plan_jobs
    from restoration.processes import Processes

    processes = Processes()
    output_dir = Path(options.output_dir)
    if options.infer_model and not Path(options.infer_model).exists():
        raise UserError(f"no such weight file: {options.infer_model}")
    check_folders(options.input_dir, output_dir, options.recursive)
    pictures, root = find_pictures(options.input_dir, options.recursive)
    extras = {
        "highlight": options.save_highlight,
        "specular": options.save_specular,
        "comparison": options.comparison,
    }
    jobs = plan_jobs(
        pictures,
        root,
        output_dir,
        suffix=options.suffix,
        ext=options.ext.lower().removeprefix("."),
        extras=[kind for kind, wanted in extras.items() if wanted],
    )
    if options.limit is not None:
        if options.limit < 1:
            raise UserError("--limit must be at least 1")
        jobs = jobs[: options.limit]
    if options.dry_run:
        return show(jobs, options.skip_existing) if processes.rank == 0 else 0
    own = processes.share(jobs)
    todo = [job for job in own if not (options.skip_existing and job.done())]
    return restore(todo, len(own) - len(todo), options, processes)


def restore(todo: list, skipped: int, options: InferOptions, processes) -> int:
    """This process's share, and the summary of all."""
    # The heavy imports come after all that can be refused without them.
    from restoration.folder import Counts, restore_folder
    from restoration.jobs import check_writable
    from restoration.methods import MethodSpec, load_method

    remover = load_method(
        MethodSpec.choose(options.method, options.infer_model, options.tta),
        output=options.output,
        device=processes.device(options.device),
        precision=options.precision,
        tile=options.tile,
        tile_overlap=options.tile_overlap,
        protocol=options.protocol,
        batch_size=options.batch_size,
        workers=options.workers,
    )
    check_writable(Path(options.output_dir))
    processes.connect(remover.device)
    start = time.perf_counter()
    counts = Counts()
    if todo:
        counts = restore_folder(todo, remover, group=remover.batch_size, quiet=processes.rank > 0)
    done, skipped, failed = map(int, processes.add_up([counts.done, skipped, counts.failed]))
    if processes.rank == 0:
        seconds = time.perf_counter() - start
        print(
            f"done {done}, skipped {skipped}, failed {failed} in {seconds:.1f} s "
            f"({done / max(seconds, 1e-9):.2f} pictures/s, {remover.device} {remover.precision})"
        )
    processes.leave()
    return 1 if failed else 0


def show(jobs: list, skip_existing: bool) -> int:
    """Prints what would be done."""
    skipped = 0
    for job in jobs:
        skip = skip_existing and job.done()
        skipped += skip
        print(f"{'skip' if skip else 'do'}: {job.source} -> {job.shown()}")
    print(f"would do {len(jobs) - skipped}, skip {skipped}; nothing written")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
