"""What infer.py does: the pictures of a folder, a glob or a single file, restored into another folder."""

import time
from pathlib import Path

from restoration.jobs import Job, check_folders, check_writable, find_pictures, plan_jobs
from restoration.options import InferOptions, validate_options
from restoration.processes import Processes
from utils.signals import interruptible


def infer(options: InferOptions) -> int:
    """Restores the pictures of `options`; returns 0, or 1 where some failed. Raises UserError."""
    jobs = plan(validate_options(options))
    processes = Processes()
    if options.dry_run:
        return show(jobs, options.skip_existing) if processes.rank == 0 else 0
    own = processes.share(jobs)
    todo = [job for job in own if not (options.skip_existing and job.done())]
    # torch is imported here, after all that can be refused without it.
    from restoration.folder import restore_folder
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
        working_size=options.working_pixels,
        strength=options.strength,
        workers=options.workers,
    )
    with interruptible():
        check_writable(Path(options.output_dir))
        processes.connect(remover.separator.device)
        start = time.perf_counter()
        counts = restore_folder(todo, remover, quiet=processes.rank > 0)
        skipped = len(own) - len(todo)
        done, skipped, failed = map(int, processes.add_up([counts.done, skipped, counts.failed]))
        processes.leave()
    if processes.rank == 0:
        seconds = time.perf_counter() - start
        print(
            f"done {done}, skipped {skipped}, failed {failed} in {seconds:.1f} s "
            f"({done / max(seconds, 1e-9):.2f} pictures/s, {remover.separator.device} "
            f"{remover.separator.precision})"
        )
    return 1 if failed else 0


def plan(options: InferOptions) -> list[Job]:
    """The pictures and the files to write for them. Raises UserError."""
    output_dir = Path(options.output_dir)
    check_folders(options.input_dir, output_dir, options.recursive)
    pictures, root = find_pictures(options.input_dir, options.recursive)
    jobs = plan_jobs(
        pictures, root, output_dir, suffix=options.suffix, ext=options.ext, extras=options.extras
    )
    return jobs[: options.limit]


def show(jobs: list[Job], skip_existing: bool) -> int:
    """Prints what would be done."""
    skipped = 0
    for job in jobs:
        skip = skip_existing and job.done()
        skipped += skip
        print(f"{'skip' if skip else 'do'}: {job.source} -> {job.shown()}")
    print(f"would do {len(jobs) - skipped}, skip {skipped}; nothing written")
    return 0
