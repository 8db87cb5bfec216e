"""The files of a run: the last and the best checkpoints, and weights for infer.py.

config.yaml code.yaml      what was asked, with which code
log.jsonl timing.jsonl     see training/logger.py
curves.png                 the log as curves
pictures/STEP.png          validation pictures, a sheet for each validation
tensorboard/ wandb/        what the trackers write (training/trackers.py)
last.pt best-STEP.pt       checkpoints, to resume from
best.safetensors           the best weights so far (averaged, where averaging is on)
last.safetensors           those at the end
pairs.csv                  --shuffle once: the order of the samples
Nature.mdl Nature-*.mdl    --authors_checkpoint: weights as the authors' code stores them
run.lock                   names the process that trains here
"""

import contextlib
import copy
import csv
import io
import math
import os
import shutil
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from training.state import LAST, Run
from training.stream import SampleStream
from utils import runs
from utils.atomic import atomic_path, write_text
from utils.disk_space import room_for
from utils.errors import UserError
from weights.hashing import content_hash
from weights.model_files import read_metadata, save_model
from weights.pickled import read_pickled

FORMAT = 1
HASH = "sha256"
DIVERGED = "lower `lr_g` or pass `clip_grad=1`, and give the same command again"
AUTHORS_INTERVAL = 10  # the authors' code keeps epochs 1, 11, 21, ...


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes `state` atomically: a run killed meanwhile leaves the file that was there before."""
    with _room_for(path, state), atomic_path(path) as temporary:
        torch.save({"format": FORMAT, HASH: content_hash(state)} | state, temporary)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU, without unpickling code, and checks its hash.

    Raises UserError naming the file.
    """
    if not path.is_file():
        raise UserError(
            f"{path}: there is no such checkpoint; `resume=auto` starts or goes on with `runs_name`"
        )
    try:
        state = read_pickled(path)
    except UserError as error:
        raise UserError(f"not a readable checkpoint: {error}; resume from another one") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise UserError(
            f"{path} is not a checkpoint of train.py; to start from bare weights pass `init_from={path}`"
        )
    state = {name: value for name, value in state.items() if name != "format"}
    stored = state.pop(HASH, None)
    if content_hash(state) != stored:
        raise UserError(
            f"{path} is damaged: its content has another hash than when it was written; "
            "resume from another one"
        )
    return state


class CheckpointManager:
    """Writes the files of `run`, in its main process only."""

    def __init__(self, run: Run):
        self.run, self.folder = run, run.folder
        self.last = self.folder / LAST
        self.saved_step = run.progress.step
        self._saved_at = time.monotonic()
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._writing: tuple[int, Future[None]] | None = None

    def due(self, steps: int | None, minutes: float) -> bool:
        """Whether a checkpoint is due: every so many steps, None: every so many minutes. Raises what went
        wrong where the last one was written beside the training."""
        if self._writing and self._writing[1].done():
            self.wait()
        if steps is not None:
            return self.run.progress.step % steps == 0 and self.saved_step != self.run.progress.step
        return time.monotonic() - self._saved_at >= 60 * minutes

    def wait(self) -> None:
        """Until the checkpoint that is being written beside the training is there."""
        if self._writing:
            (step, written), self._writing = self._writing, None
            written.result()
            self.saved_step = step

    def open(self) -> None:
        """Clears what a killed run left, finishes what it began, writes the configuration."""
        self._adopt_best()
        if self.run.distributed.is_main:
            self._finish_publishing()
            runs.write_configuration(self.folder, self.run.options)
        if not self.last.exists() or self.run.start == "anew":
            self.save_last()

    def complete(self) -> None:
        """What is left to do where all steps are done: a run can be killed after its last one, too."""
        if self.run.distributed.is_main:
            self._finish_publishing()
            if _step_of(self.folder / "last.safetensors") != self.run.progress.step:
                self._save_weights("last", self.run.describe())

    def list_pairs(self, stream: SampleStream) -> None:
        """pairs.csv: the names of the samples in the order in which every epoch takes them."""
        names = getattr(stream.samples, "name", None)
        if not self.run.distributed.is_main or names is None:
            return
        table = io.StringIO()
        csv.writer(table).writerows([names(int(index))] for index in stream.order(0))
        write_text(self.folder / "pairs.csv", table.getvalue())

    def save_last(self, *, beside_training: bool = False) -> None:
        """The checkpoint to resume from; raises UserError where weights are not finite any more.

        beside_training  a copy of the state is written while the training goes on; `due` and `wait` tell what
                         became of it
        """
        self.wait()
        self._saved_at = time.monotonic()
        step = self.run.progress.step
        if not self.run.distributed.is_main:
            self.saved_step = step
        elif beside_training:
            self._writing = step, self._writer.submit(self._write_last, _copied(self.run.state_dict()))
        else:
            self._write_last(self.run.state_dict())
            self.saved_step = step

    def _write_last(self, state: dict[str, Any]) -> None:
        self._check_finite(state)
        save_checkpoint(self.last, state)

    def save_validated(self, value: float) -> None:
        """Ranks the current step by its validation, saves it, and deletes those no longer among the best.

        last.pt comes after the files that it names, and before those go that it no longer names. Killed at
        any moment, the run goes on from the previous last.pt, whose files are all there, or from this one.
        """
        run, progress = self.run, self.run.progress
        if math.isnan(value):
            raise UserError(
                f"the validation after step {progress.step} gives no number; {self.untouched()}: {DIVERGED}"
            )
        sign = 1 if run.recipe.selection[1] == "max" else -1
        entry = [value, progress.step, f"best-{progress.step:08d}.pt"]
        improved = not progress.best or sign * value > sign * progress.best[0][0]
        ranked = sorted([*progress.best, entry], key=lambda other: -sign * other[0])
        # Without any kept checkpoint the best value must still be known.
        kept = ranked[: max(1, run.options.keep_checkpoints)]
        dropped = [name for _, _, name in ranked[len(kept) :]]
        progress.best, progress.best_by = kept, run.recipe.selection[0]
        progress.stale = 0 if improved else progress.stale + 1
        if run.distributed.is_main:
            self.wait()
            self._publish(entry if entry in kept else None, improved, dropped)
        self.saved_step, self._saved_at = progress.step, time.monotonic()
        run.distributed.wait()

    def _publish(self, entry: list | None, improved: bool, dropped: list[str]) -> None:
        state = self.run.state_dict()
        self._check_finite(state)
        best = self.folder / entry[2] if entry and self.run.options.keep_checkpoints else None
        if best:
            save_checkpoint(best, state)
        if improved:
            self._save_weights("best", self.run.describe())
        if self.run.options.authors_checkpoint:
            self._save_for_authors(improved)
        if best:
            _alias(best, self.last)
        else:
            save_checkpoint(self.last, state)
        for name in dropped:
            (self.folder / name).unlink(missing_ok=True)

    def finish(self) -> None:
        """At the end of the run."""
        self.wait()
        if self.saved_step != self.run.progress.step:
            self.save_last()
        if self.run.distributed.is_main:
            self._save_weights("last", self.run.describe())

    def untouched(self) -> str:
        """What is left of a run that failed, in words."""
        if not self.last.exists():
            return "nothing was saved yet"
        return f"the last good checkpoint, of step {self.saved_step}, is untouched ({self.last})"

    def _adopt_best(self) -> None:
        """The best checkpoints of a run that goes on in another folder, as far as they are still there."""
        run, progress = self.run, self.run.progress
        if run.start != "elsewhere" or not progress.best:
            return
        theirs = run.origin.parent
        progress.best = [entry for entry in progress.best if (theirs / entry[2]).exists()]
        if not progress.best:
            progress.stale = 0
        if run.distributed.is_main:
            for _, _, name in progress.best:
                if not (self.folder / name).exists():
                    _alias(theirs / name, self.folder / name)
            self._publish_best()

    def _finish_publishing(self) -> None:
        """What `save_validated` had not done yet when the run was killed."""
        progress = self.run.progress
        for path in self.folder.glob(".tmp*"):
            path.unlink(missing_ok=True)
        if self.run.start != "last" or self.run.options.resume_state == "weights":
            return
        for _, step, name in progress.best:
            missing = self.run.options.keep_checkpoints and not (self.folder / name).exists()
            if missing and step == progress.step:
                _alias(self.last, self.folder / name)
        known = {name for _, _, name in progress.best}
        for path in self.folder.glob("best-*.pt"):
            # Where the ranking started afresh, the best of before are no leftovers.
            later = path.stem.removeprefix("best-") > f"{progress.step:08d}"
            if path.name not in known and (known or later):
                path.unlink()
        self._publish_best()

    def _publish_best(self) -> None:
        """best.safetensors of the best checkpoint, where it is of another step."""
        if not self.run.progress.best:
            return
        _, step, name = self.run.progress.best[0]
        if _step_of(self.folder / "best.safetensors") != step and (self.folder / name).exists():
            state = load_checkpoint(self.folder / name)
            self._save_weights(
                "best",
                self.run.describe() | {"steps": step},
                state.get("average") or state["networks"]["model"],
            )

    def _save_weights(self, name: str, training: dict, weights: dict[str, Tensor] | None = None) -> None:
        """NAME.safetensors: the evaluated network, or that network with other weights."""
        network = self.run.evaluated
        if weights is not None:
            network = copy.deepcopy(network)
            network.load_state_dict(weights)
        path = self.folder / f"{name}.safetensors"
        with _room_for(path, network.state_dict()):
            save_model(network, path, training=training)

    def _save_for_authors(self, improved: bool) -> None:
        run = self.run
        epoch = max(1, round(run.epoch))
        if not improved and epoch % AUTHORS_INTERVAL != 1:
            return
        # The layer that their code draws anew at every forward is in none of their files.
        state = run.evaluated.state_dict()
        generator = {name: state[name] for name in state if "attention_projection." not in name}
        path = self.folder / f"Nature-{epoch}.mdl"
        self._save_authors_file(path, epoch, generator, "generator")
        if improved:
            _alias(path, self.folder / "Nature.mdl")
            if "discriminator" in run.recipe.networks:
                weights = run.recipe.networks["discriminator"].bare.state_dict()
                path = self.folder / f"Nature-{epoch}-discriminator.mdl"
                self._save_authors_file(path, epoch, weights, "discriminator")

    def _save_authors_file(self, path: Path, epoch: int, weights: dict[str, Tensor], name: str) -> None:
        model = {f"module.{key}": value for key, value in weights.items()}
        content = {"epoch": epoch, "model": model, "optimizer": self.run.recipe.optimisers[name].state_dict()}
        with _room_for(path, content), atomic_path(path) as temporary:
            torch.save(content, temporary)

    def _check_finite(self, state: dict[str, Any]) -> None:
        for name, network in state["networks"].items():
            for entry, value in network.items():
                if not torch.isfinite(value).all():
                    raise UserError(
                        f"{entry} of the {name} is not finite after step {state['progress']['step']}; "
                        f"{self.untouched()}: {DIVERGED}"
                    )


def _copied(content: Any) -> Any:
    """Nested dicts and lists with copies of their tensors, on the CPU."""
    if isinstance(content, Tensor):
        return content.detach().to("cpu", copy=True)
    if isinstance(content, dict):
        return {key: _copied(value) for key, value in content.items()}
    return [_copied(value) for value in content] if isinstance(content, list) else content


def _alias(path: Path, name: Path) -> None:
    """Makes `name` another name of the file `path`, as a hard link where the file system has them."""
    with atomic_path(name) as temporary:
        try:
            os.link(path, temporary)
        except OSError:
            shutil.copyfile(path, temporary)


def _step_of(weights: Path) -> int | None:
    """The step that a weight file says; None where it is missing or damaged."""
    with contextlib.suppress(UserError):
        return read_metadata(weights)["training"].get("steps")
    return None


def _room_for(path: Path, content: Any) -> contextlib.AbstractContextManager[None]:
    # torch raises RuntimeError at a full disk.
    return room_for(path, _bytes(content), errors=(RuntimeError, SafetensorError))


def _bytes(content: Any) -> int:
    if isinstance(content, Tensor):
        return content.numel() * content.element_size()
    values = content.values() if isinstance(content, dict) else content
    return sum(_bytes(value) for value in values) if isinstance(content, dict | list | tuple) else 0
