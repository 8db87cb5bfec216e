"""Seconds and peak memory of restoring a picture, each measurement in a process of its own.

Two ways are compared: `restoration.HighlightRemover` as infer.py uses it (tiles; on the CPU several at once,
one thread each), and the plain call `model(picture)` on the whole picture with torch's own threads.
Weights are random: they change neither time nor memory.
"""

import json
import os
import platform
import re
import resource
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch

from models import MODELS, build_model
from restoration import HighlightRemover
from utils.atomic import write_text
from utils.errors import UserError

# A plain call that would need more than this is not tried: it would take the machine down.
PLAIN_LIMIT = 12 * 2**30


@dataclass
class InferenceOptions:
    """Options of the benchmark."""

    models: list[str] = field(default_factory=lambda: ["aha-lite", "aha"])
    """networks to measure"""
    size: list[str] = field(default_factory=lambda: ["224x224", "4000x3000"])
    """width x height of the pictures"""
    pictures: int = 8
    """how many pictures below one megapixel are restored in a row; of larger ones one"""
    repeat: int = 1
    """how often each measurement is made; the fastest counts"""
    device: str = "auto"
    """auto, cpu, cuda, ..."""
    precision: str = "auto"
    """auto, fp32, bf16, fp16"""
    tta: int = 1
    """copies of the picture in test-time augmentation, as for infer.py; the plain call takes one"""
    tile: int | None = None
    """side of the tiles; default: the network's own"""
    batch_size: int = 1
    """tiles or pictures in one forward, on a GPU"""
    workers: int | None = None
    """tiles at once on the CPU"""
    plain: bool = True
    """also measure the plain call"""
    out: str | None = None
    """files to write without their suffix (.md and .json); default: benchmarks/inference_MACHINE"""


@dataclass
class Measurement:
    """One row of the table; seconds for each picture, mebibytes at the peak of the whole process."""

    model: str
    size: str
    way: str
    seconds: float | None = None
    cpu_seconds: float | None = None
    mebibytes: float | None = None
    gpu_mebibytes: float | None = None
    note: str = ""


def benchmark(options: InferenceOptions) -> int:
    """Measures, prints the table and writes it as Markdown and JSON. Raises UserError."""
    for model in options.models:
        if model not in MODELS:
            raise UserError(f"no network {model!r}: there are {', '.join(MODELS)}")
    rows: list[Measurement] = []
    for model in options.models:
        for size in options.size:
            for way in ("infer", "plain")[: 1 + options.plain]:
                rows.append(_in_own_process(model, _parse_size(size), way, options))
                print(_row(rows[-1], rows), flush=True)
    text = table(rows)
    prefix = Path(options.out or Path(__file__).parent / f"inference_{machine()}")
    write_text(prefix.with_name(prefix.name + ".md"), text)
    write_text(prefix.with_name(prefix.name + ".json"), json.dumps([asdict(row) for row in rows], indent=1))
    print(f"\n{text}\nwritten: {prefix}.md, {prefix}.json")
    return 0


def _parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or "0" in match.groups():
        raise UserError(f"--size {text}: write WIDTHxHEIGHT, such as 4000x3000")
    return int(match[1]), int(match[2])


def _in_own_process(model: str, size: tuple[int, int], way: str, options: InferenceOptions) -> Measurement:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure, model, size, way, options).result()


def _measure(name: str, size: tuple[int, int], way: str, options: InferenceOptions) -> Measurement:
    row = Measurement(name, f"{size[0]}x{size[1]}", way)
    torch.manual_seed(0)
    network = build_model(name).eval()
    remover = HighlightRemover(
        network,
        device=options.device,
        precision=options.precision,
        test_time_augmentation=options.tta,
        tile=options.tile,
        batch_size=options.batch_size,
        workers=options.workers,
    )
    pictures = [_picture(*size, seed) for seed in range(options.pictures if size[0] * size[1] < 1e6 else 1)]
    small = [_picture(64, 64, 0)]
    if way == "plain":
        if name == "aha" and _attention_bytes(size) > PLAIN_LIMIT:
            row.note = f"its attention alone would take {_attention_bytes(size) / 2**30:.0f} GiB"
            return row
        prepare, work = (_plain(network, remover.separator.device, some) for some in (small, pictures))
    else:
        prepare, work = (_infer(remover, some) for some in (small, pictures))
        row.note = (
            f"{remover.separator.precision}, {remover.separator.workers} x 1 thread"
            if remover.separator.device.type == "cpu"
            else (f"{remover.separator.precision}, batch {remover.separator.batch_size}")
        )
    prepare()  # libraries load their kernels at the first call
    times = []
    for _ in range(options.repeat):
        start, cpu = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - start, time.process_time() - cpu))
    row.seconds, row.cpu_seconds = (value / len(pictures) for value in min(times))
    row.mebibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if remover.separator.device.type == "cuda":
        row.gpu_mebibytes = torch.cuda.max_memory_allocated() / 2**20
    return row


def _infer(remover: HighlightRemover, pictures: list[np.ndarray]):
    def work() -> None:
        if remover.separator.batch_size > 1:
            remover.restore_all(pictures)
            return
        with ThreadPoolExecutor(remover.separator.workers) as pool:
            for _ in pool.map(remover, pictures):
                pass

    return work


def _plain(network: torch.nn.Module, device: torch.device, pictures: list[np.ndarray]):
    @torch.inference_mode()
    def work() -> None:
        for picture in pictures:
            image = torch.from_numpy(picture).to(device).permute(2, 0, 1)[None].float() / 255
            (network(image).diffuse.clamp(0, 1) * 255).round().byte().cpu()

    return work


def _attention_bytes(size: tuple[int, int]) -> int:
    """Of the released network's six score maps between all cells of 8x8 pixels, twice (they are joined)."""
    cells = -(-size[0] // 8) * -(-size[1] // 8)
    return 2 * 6 * 4 * cells**2


def _picture(width: int, height: int, seed: int) -> np.ndarray:
    """(height, width, 3) uint8: smooth colours, texture and bright blobs."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((height // 64 + 2, width // 64 + 2, 3)).astype(np.float32)
    smooth = cv2.resize(coarse**2, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = rng.integers(-8, 9, (height, width, 1), dtype=np.int16)
    return np.clip(smooth * 255 + grain, 0, 255).astype(np.uint8)


def table(rows: list[Measurement]) -> str:
    """Markdown."""
    head = f"Measured on {machine_words()}; torch {torch.__version__}. `python benchmark.py`\n\n"
    titles = "| network | picture | way | seconds | pictures/s | CPU seconds | peak MiB | speed-up | |"
    lines = [titles, "|---|---|---|---|---|---|---|---|---|", *(_row(row, rows) for row in rows)]
    return head + "\n".join(lines) + "\n"


def _row(row: Measurement, rows: list[Measurement]) -> str:
    if row.seconds is None:
        return f"| {row.model} | {row.size} | {row.way} | - | - | - | - | - | {row.note} |"
    plain = [r for r in rows if (r.model, r.size, r.way) == (row.model, row.size, "plain") and r.seconds]
    speed_up = f"{plain[0].seconds / row.seconds:.2f}" if plain and row.way != "plain" else "-"
    memory = f"{row.mebibytes:.0f}" + (f" (GPU {row.gpu_mebibytes:.0f})" if row.gpu_mebibytes else "")
    return (
        f"| {row.model} | {row.size} | {row.way} | {row.seconds:.3f} | {1 / row.seconds:.2f} | "
        f"{row.cpu_seconds:.3f} | {memory} | {speed_up} | {row.note} |"
    )


def machine() -> str:
    """A short name for file names."""
    if torch.cuda.is_available():
        return re.sub(r"\W+", "-", torch.cuda.get_device_name()).strip("-").lower()
    return f"cpu{os.cpu_count()}"


def machine_words() -> str:
    """The machine in words."""
    words = f"{os.cpu_count()} CPU cores ({platform.machine()})"
    return f"{torch.cuda.get_device_name()}, {words}" if torch.cuda.is_available() else words
