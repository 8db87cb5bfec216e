"""What benchmark.py does: inference and training step of each network, our path beside the plain one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from utils.errors import UserError

PICTURE_SIZES = ("224x224", "448x448")
QUICK = {"models": ["aha-lite"], "sizes": ["64x64"], "precisions": ["fp32"], "runs": 3}


@dataclass
class BenchmarkOptions:
    """Options of the benchmark."""

    models: list[str] = field(default_factory=lambda: ["aha-lite", "aha", "aha-figure", "tshrnet"])
    """networks to measure"""
    sizes: list[str] = field(default_factory=lambda: list(PICTURE_SIZES))
    """width x height of the pictures in pixels, such as 4000x3000"""
    train_sizes: list[int] = field(default_factory=lambda: [224])
    """sides of the training pictures in pixels"""
    batch_sizes: list[int] = field(default_factory=lambda: [1])
    """pictures per batch of inference"""
    train_batch_sizes: list[int] = field(default_factory=lambda: [3])
    """pictures per training step"""
    precisions: list[str] = field(default_factory=lambda: ["fp32", "bf16"])
    """arithmetic of our path: fp32, bf16, fp16; the plain path is fp32"""
    what: Literal["all", "inference", "training"] = "all"
    """what is measured"""
    runs: int = 10
    """counted runs of each measurement, after two that are not; their median is printed"""
    cores: int | None = None
    """of the CPU that inference may use; default: all"""
    device: str = "auto"
    """auto, cpu, cuda, or another torch device"""
    quick: bool = False
    """a short trial: aha-lite at 64x64 in fp32, three runs"""
    out: Path | None = None
    """files to write, without their suffix (.json and .md); default: tools/results/MACHINE"""


@dataclass(frozen=True)
class Case:
    """One measurement to take."""

    what: str
    model: str
    size: tuple[int, int]
    batch: int
    precision: str
    path: str


def benchmark(options: BenchmarkOptions) -> int:
    """Measures, prints the table and writes it as Markdown and JSON. Raises UserError."""
    if options.quick:
        for name, value in QUICK.items():
            setattr(options, name, value)
        options.train_sizes, options.train_batch_sizes = [64], [1]
    cases = plan(options)
    # Only now: what could be refused has been.
    import torch

    from tools.inference_speed import measure_inference
    from tools.measurement import Limits, alone, short_name, write
    from tools.training_speed import measure_training_step
    from utils.devices import choose_device

    device = choose_device(options.device)
    if options.cores is not None:
        torch.set_num_threads(options.cores)  # for the limits
    limits = Limits.measure(device, sorted({case.precision for case in cases}))
    measurements = []
    for case in cases:
        arguments = (case.model, case.size, case.batch, case.precision, case.path, device.type, options.runs)
        if case.what == "inference":
            measurements.append(alone(measure_inference, *arguments, options.cores))
        else:
            measurements.append(alone(measure_training_step, *arguments))
        last = measurements[-1]
        shown = last.note if last.median is None else f"{last.median:.3f} s"
        print(
            f"{case.what} {case.model} {last.size} batch {case.batch} {case.path} {case.precision}: {shown}"
        )
    path = options.out or Path(__file__).parent / "results" / short_name()
    print(f"\n{write(measurements, limits, path)}\n\nwritten: {path}.json, {path}.md")
    return 0


def plan(options: BenchmarkOptions) -> list[Case]:
    """The measurements in their order: plain first, so that ratios are known. Raises UserError."""
    from models import MODELS

    unknown = [model for model in options.models if model not in MODELS]
    unknown += [precision for precision in options.precisions if precision not in ("fp32", "bf16", "fp16")]
    if unknown:
        raise UserError(f"no network or precision {unknown[0]!r}: there are {', '.join(MODELS)}")
    sizes = [parse_size(text) for text in options.sizes]
    counts = (*options.batch_sizes, *options.train_batch_sizes, *options.train_sizes, options.cores or 1)
    if min(options.runs, *counts) < 1:
        raise UserError("runs, cores, sizes and batch sizes must be at least 1")
    paths = [("fp32", "plain"), *((precision, "ours") for precision in options.precisions)]
    cases = []
    if options.what != "training":
        cases += _cases("inference", options.models, sizes, options.batch_sizes, paths)
    if options.what != "inference":
        squares = [(side, side) for side in options.train_sizes]
        cases += _cases("training step", options.models, squares, options.train_batch_sizes, paths)
    return cases


def _cases(
    what: str,
    models: Sequence[str],
    sizes: Sequence[tuple[int, int]],
    batches: Sequence[int],
    paths: Sequence[tuple[str, str]],
) -> list[Case]:
    return [
        Case(what, model, size, batch, precision, path)
        for model in models
        # TSHRNet's losses need layers that the generated pairs lack.
        if what == "inference" or not model.startswith("tshrnet")
        for size in sizes
        for batch in batches
        for precision, path in paths
    ]


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) of "4000x3000". Raises UserError."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UserError(f"size {text}: write WIDTHxHEIGHT, such as 4000x3000")
    return int(width), int(height)
