"""What infer.py does: pictures and clips of a folder, a glob or a single file, restored into another one."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from restoration.jobs import (
    Job,
    check_folders,
    describe_left_out,
    find_pictures,
    plan_jobs,
    prepare_output,
    without_unusable_clips,
)
from restoration.options import InferOptions, validate_options
from utils.errors import reason
from utils.guarded_decoding import start_helper
from utils.image_files import Listing
from utils.signals import interruptible

if TYPE_CHECKING:
    from restoration.folder import Counts
    from restoration.remover import HighlightRemover


def infer(options: InferOptions) -> int:
    """Restores the pictures and clips of `options`; returns 0, or 1 where some failed. Raises UserError."""
    options = validate_options(options)
    listing, jobs, remarks = plan(options)
    processes = Processes()
    if processes.rank == 0:
        report_left_out(listing, remarks)
    if options.dry_run:
        return show(jobs, options.skip_existing) if processes.rank == 0 else 0
    own = processes.share(jobs)
    todo = [job for job in own if not (options.skip_existing and job.done())]
    if not all(job.is_clip for job in todo):
        start_helper()
    # torch is imported here, after all that can be refused without it.
    device = processes.device(options.device)
    remover, method = load(options, device)
    with interruptible(), remover:
        prepare_output(Path(options.output_dir), own)
        processes.connect(remover.separator.device)
        start = time.perf_counter()
        counts = restore(todo, remover, options, quiet=processes.rank > 0)
        if processes.rank == 0:
            counts.failed += len(listing.unreadable)
        skipped = len(own) - len(todo)
        sums = processes.add_up([counts.done, skipped, counts.failed, counts.unchanged])
        processes.leave()
    done, skipped, failed, unchanged = map(int, sums)
    if processes.rank == 0:
        seconds = time.perf_counter() - start
        kind = "files" if any(job.is_clip for job in jobs) else "pictures"
        print(
            f"done {done}, skipped {skipped}, failed {failed} in {seconds:.1f} s "
            f"({done / max(seconds, 1e-9):.2f} {kind}/s, {remover.separator.described})"
            + (f"; nothing was removed from {unchanged} of them" if unchanged else "")
            + printable(f"\nmethod: {method}; results: {options.output_dir}")
        )
    return 1 if failed else 0


def plan(options: InferOptions) -> tuple[Listing, list[Job], list[str]]:
    """The listing, the files to write for each picture and clip, and remarks on it. Raises UserError."""
    output_dir, ext = Path(options.output_dir), options.ext or "auto"
    check_folders(options.input_dir, output_dir, options.recursive)
    listing, root = find_pictures(options.input_dir, options.recursive)
    listing, remarks = without_unusable_clips(listing, options)
    jobs = plan_jobs(
        listing.pictures, root, output_dir, suffix=options.suffix, ext=ext, extras=options.extras
    )
    jobs += plan_jobs(listing.clips, root, output_dir, suffix=options.suffix)
    return listing, jobs[: options.limit], remarks


def restore(jobs: list[Job], remover: "HighlightRemover", options: InferOptions, quiet: bool) -> "Counts":
    """Does all jobs, the pictures first."""
    from restoration.folder import restore_folder

    clips = [job for job in jobs if job.is_clip]
    pictures = [job for job in jobs if not job.is_clip]
    no_bar = quiet or (bool(clips) and not pictures)
    counts = restore_folder(pictures, remover, max_pixels=options.max_pixels, quiet=no_bar)
    if clips:
        from restoration.video.clips import restore_clips  # imports PyAV

        counts += restore_clips(
            clips,
            remover,
            smoothing=options.smoothing_frames,
            max_pixels=options.max_pixels,
            quiet=quiet,
        )
    return counts


def load(options: InferOptions, device: str) -> tuple["HighlightRemover", str]:
    """The remover for `options` on `device`, and the method with its weights in words. Raises UserError."""
    from restoration.methods import MethodSpec
    from restoration.remover import HighlightRemover

    method = MethodSpec.choose(options.method, options.infer_model, options.tta)
    remover = HighlightRemover.from_pretrained(
        method,
        output=options.output,
        backend=options.backend,
        device=device,
        precision=options.precision,
        tile=options.tile,
        tile_overlap=options.tile_overlap,
        protocol=options.protocol,
        batch_size=options.batch_size,
        working_size=options.working_pixels,
        exposure=options.exposure,
        strength=options.strength,
        workers=options.workers,
        skip_tiles=options.skip_tiles,
    )
    weights = f" with weights {method.weights}" if method.weights else ""
    return remover, remover.network.spec.name + weights


def report_left_out(listing: Listing, remarks: list[str]) -> None:
    """Says on stderr which files and folders are left out, and why."""
    for line in remarks:
        print(f"note: {printable(line)}", file=sys.stderr)
    for error in listing.unreadable:
        print(f"failed: cannot look into {printable(error.filename)}: {reason(error)}", file=sys.stderr)
    for line in describe_left_out(listing):
        print(f"ignored: {printable(line)}", file=sys.stderr)


def show(jobs: list[Job], skip_existing: bool) -> int:
    """Prints what would be done."""
    skipped = 0
    for job in jobs:
        skip = skip_existing and job.done()
        skipped += skip
        print(printable(f"{'skip' if skip else 'do'}: {job.source} -> {job.shown()}"))
    print(f"would do {len(jobs) - skipped}, skip {skipped}; nothing written")
    return 0


def printable(text: object) -> str:
    """Text that any terminal can show: undecodable bytes of file names become \\xNN."""
    return str(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


if TYPE_CHECKING:
    import torch


class Processes:
    """This process among those that torchrun started; alone without torchrun.

    rank, count   which of how many
    local_rank    which on this machine: its GPU
    """

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.local_rank = int(os.environ.get("LOCAL_RANK", "0"))

    def device(self, name: str) -> str:
        """The device option for this process: each its own GPU where several are asked to use "cuda"."""
        import torch  # late, as in all of this class: sharing out needs none of it

        gpus = torch.cuda.device_count() if name in ("auto", "cuda") else 0
        return f"cuda:{self.local_rank % gpus}" if gpus and self.count > 1 else name

    def share(self, items: list) -> list:
        """Every `count`-th item, so that each is done by one process."""
        return items[self.rank :: self.count]

    def connect(self, device: "torch.device") -> None:
        """Joins the others; they may still be reading their weights."""
        if self.count == 1:
            return
        import torch
        import torch.distributed as dist

        # Two processes of one GPU cannot talk through nccl.
        own_gpu = device.type == "cuda" and torch.cuda.device_count() >= int(
            os.environ.get("LOCAL_WORLD_SIZE", self.count)
        )
        self._on = device if own_gpu else torch.device("cpu")
        dist.init_process_group("nccl" if own_gpu else "gloo", device_id=device if own_gpu else None)

    def add_up(self, values: list[float]) -> list[float]:
        """Element-wise sum over all processes."""
        if self.count == 1:
            return values
        import torch
        import torch.distributed as dist

        total = torch.tensor(values, dtype=torch.float64, device=self._on)
        dist.all_reduce(total)
        return total.tolist()

    def leave(self) -> None:
        """Ends what `connect` began."""
        if self.count > 1:
            import torch.distributed as dist

            dist.destroy_process_group()
