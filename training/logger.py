"""What a run prints and records: lines on stderr, log.jsonl, timing.jsonl, pictures/, curves.png, trackers.

log.jsonl holds nothing that depends on the clock: the log of a run that was killed and resumed equals, byte
for byte, that of an uninterrupted one. Speeds go to timing.jsonl.
"""

import json
import sys
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from tqdm import tqdm

from training.state import Run
from training.trackers import Trackers
from utils.atomic import write_text
from utils.curves import draw_curves
from utils.errors import with_flags
from utils.image_files import write_rgb

BYTES = 4  # of a number in fp32
HELD = 4  # numbers a parameter while AdamW trains: itself, its gradient, two moments


def plan(run: Run) -> str:
    """--dry_run: the resolved configuration, the data, the parameters, the memory for them, the steps."""
    options, samples, parameters = run.options, run.samples, _parameters(run)
    numbers = HELD * sum(parameters.values()) + bool(run.average) * parameters["model"]
    endless = options.dataroot is None and not options.overfit
    return "\n".join(
        [
            yaml.safe_dump(asdict(options), sort_keys=False, allow_unicode=True),
            f"training: {'synthetic scenes without end, ' * endless}{samples.epoch} samples an epoch",
            *(f"validation {name}: {len(pictures)} samples" for name, pictures in samples.validation.items()),
            f"{samples.selection} chooses the best checkpoint, by {run.recipe.selection[0]}",
            *(f"{name}: {count:,} parameters" for name, count in parameters.items()),
            f"memory: {numbers * BYTES / 2**20:,.0f} MiB a process for weights, gradients, moments and "
            "average; activations come on top",
            f"steps: {run.progress.step} done of {run.total}, a joint batch of {run.joint_batch} on "
            f"{run.distributed.world} process(es), {run.distributed.device}, {options.precision}; validation "
            f"every {run.val_every} steps",
            f"would write to {run.folder}; nothing was written",
        ]
    )


class RunLogger:
    """Progress of `run`, reported by its main process. Files are written between `open` and `close`."""

    def __init__(self, run: Run):
        self.run = run
        self.log, self.timing = run.folder / "log.jsonl", run.folder / "timing.jsonl"
        self.trackers = Trackers(run.options.tracker)
        self.bar = tqdm(disable=True)
        self.is_open = False

    def open(self) -> None:
        """Goes on behind the last step: lines of later ones, from before a kill, are dropped."""
        run, step = self.run, self.run.progress.step
        if not run.distributed.is_main:
            return
        for path in (self.log, self.timing):
            damaged = _drop_lines_after(path, step)
            if damaged:
                self.say(f"{path}: {damaged} line{'s' * (damaged > 1)} that no training writes left out")
        self.trackers.open(run.folder, asdict(run.options), step)
        interactive = sys.stderr.isatty()
        self.bar = tqdm(
            total=run.total, initial=step, unit="step", disable=not interactive, dynamic_ncols=True
        )
        self.is_open = True

    def close(self) -> None:
        self.bar.close()
        self.trackers.close()
        self.is_open = False

    def say(self, sentence: str) -> None:
        """A line on stderr, beside the progress bar; parameters in it are named as options."""
        if self.run.distributed.is_main:
            tqdm.write(with_flags(sentence), file=sys.stderr)

    def write_start(self) -> None:
        """What starts here, in a few lines."""
        run, options = self.run, self.run.options
        parameters = ", ".join(f"{name} {count:,} parameters" for name, count in _parameters(run).items())
        pictures = "synthetic scenes" if options.dataroot is None else f"{run.samples.epoch} pictures"
        validation = ", ".join(
            f"{len(samples)} of {name}" for name, samples in run.samples.validation.items()
        )
        resumed = run.start != "anew"
        begins = f"resuming at step {run.progress.step} of {run.total}" if resumed else f"{run.total} steps"
        self.say(
            f"{run.folder}: {options.model} by recipe {options.recipe} on {run.distributed.device} "
            f"({options.precision}), seed {options.seed}; {parameters}"
        )
        self.say(
            f"{pictures}, {run.joint_batch} a step; validation on {validation} every {run.val_every} steps; "
            f"{begins}"
        )

    def write_end(self) -> None:
        """Where the weights are, and how good; curves.png."""
        if self.run.options.curves and self.run.distributed.is_main:
            draw_curves(self.log, self.run.folder / "curves.png")
        best = self.run.progress.best
        if best:
            value, step, _ = best[0]
            self.say(
                f"best weights: {self.run.folder / 'best.safetensors'}, {self.run.progress.best_by} "
                f"{value:.4g} after step {step}"
            )

    def write_step(self, terms: dict[str, float], rates: dict[str, float], timing: dict[str, float]) -> None:
        """The means of the losses since the last line, the learning rates, and how fast it went."""
        run, step = self.run, self.run.progress.step
        images = timing["images_per_second"]
        shown = {name: f"{mean:.4g}" for name, mean in terms.items()} | {"images/s": f"{images:.1f}"}
        self.bar.set_postfix(shown)
        if self.bar.disable:
            left = timedelta(seconds=round((run.total - step) * run.joint_batch / images))
            numbers = ", ".join(f"{name} {value}" for name, value in shown.items())
            self.say(f"step {step} of {run.total}: {numbers}, {left} left")
        self._write("train", {"epoch": round(run.epoch, 4), **terms, **rates})
        if self.is_open:
            _append(self.timing, {"step": step, **timing})
            self.trackers.log("timing", timing, step)

    def write_validation(self, name: str, values: dict[str, float]) -> None:
        """The means over the pictures `name`."""
        numbers = " ".join(f"{key} {value:.4g}" for key, value in values.items())
        self.say(f"step {self.run.progress.step}, {name}: {numbers}")
        self._write(f"validation/{name}", values)

    @property
    def wants_pictures(self) -> bool:
        return self.is_open and self.run.options.pictures

    def write_pictures(self, sheet: np.ndarray) -> None:
        """A sheet of validation pictures, (H, W, 3) uint8."""
        step = self.run.progress.step
        write_rgb(self.run.folder / "pictures" / f"{step:08d}.png", sheet)
        self.trackers.log_picture("pictures", sheet, step)

    def _write(self, kind: str, values: dict[str, Any]) -> None:
        """A line {"step", "kind", ...values} of log.jsonl, and the values to the trackers."""
        if self.is_open:
            _append(self.log, {"step": self.run.progress.step, "kind": kind, **values})
            self.trackers.log(kind, values, self.run.progress.step)


def _parameters(run: Run) -> dict[str, int]:
    return {
        name: sum(parameter.numel() for parameter in network.bare.parameters())
        for name, network in run.recipe.networks.items()
    }


def _append(path: Path, line: dict[str, Any]) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _drop_lines_after(path: Path, step: int) -> int:
    """Keeps the lines up to `step`; how many were malformed, except a half-written last one."""
    if not path.exists():
        return 0
    kept, damaged = [], 0
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    for line in lines:
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, TypeError, KeyError, IndexError):
            # The line that was being written when the run was killed has no end.
            damaged += line.endswith("\n")
    write_text(path, "".join(kept))
    return damaged


def gpu_memory(device: torch.device) -> dict[str, float]:
    """The most memory that tensors took on a GPU, in bytes; nothing for a CPU."""
    return {"peak_gpu_bytes": float(torch.cuda.max_memory_allocated())} if device.type == "cuda" else {}
