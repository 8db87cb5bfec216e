"""The files of a run: the last and the best checkpoints, and weights for infer.py.

config.yaml code.yaml      what was asked, with which code
log.jsonl timing.jsonl     see training/journal.py
tensorboard/               scalars and picture grids
last.pt best-STEP.pt       checkpoints, to resume from
best.safetensors           the best weights so far (averaged, where averaging is on)
last.safetensors           those at the end
pairs.csv                  --shuffle once: the order of the samples
Nature.mdl                 --authors_checkpoint: the best weights as the authors' code stores them
"""

import csv
import io
import math

import torch

from training import checkpoint
from training.run import Run
from training.stream import SampleStream
from utils import runs
from utils.atomic import atomic_path, write_text
from utils.errors import UserError
from weights.model_files import save_model

WAY_ON = "lower --lr_g or pass --clip_grad 1, and give the same command again"


class Keeper:
    """Writes the files of `run`, in its main process only."""

    def __init__(self, run: Run):
        self.run, self.folder = run, run.folder
        self.saved_step = run.progress.step
        self.last = self.folder / checkpoint.LAST

    def open(self) -> None:
        """Makes the folder, clears what a killed run left, writes the configuration."""
        if not self.run.machine.is_main:
            return
        checkpoint.remove_leftovers(self.folder, {name for _, _, name in self.run.progress.best})
        runs.write_configuration(self.folder, self.run.options)

    def list_pairs(self, stream: SampleStream) -> None:
        """pairs.csv: the names of the samples in the order in which every epoch takes them."""
        names = getattr(stream.samples, "name", None)
        if not self.run.machine.is_main or names is None:
            return
        table = io.StringIO()
        csv.writer(table).writerows([names(int(index))] for index in stream.order(0))
        write_text(self.folder / "pairs.csv", table.getvalue())

    def save_last(self) -> None:
        """The checkpoint to resume from; raises UserError where weights are not finite any more."""
        self.saved_step = self.run.progress.step
        if not self.run.machine.is_main:
            return
        for name, network in self.run.bare.items():
            broken = [
                entry for entry, value in network.state_dict().items() if not torch.isfinite(value).all()
            ]
            if broken:
                raise UserError(
                    f"{broken[0]} of the {name} is not finite after step {self.run.progress.step}; the last "
                    f"good checkpoint is untouched ({self.last}): {WAY_ON}"
                )
        checkpoint.save(self.last, self.run.state())

    def save_validated(self, value: float) -> None:
        """Ranks the current step by its validation, saves it, and drops what is no more among the best."""
        progress = self.run.progress
        if math.isnan(value):
            raise UserError(
                f"the validation after step {progress.step} gives no number; the last good checkpoint is "
                f"untouched ({self.last}): {WAY_ON}"
            )
        sign = 1 if self.run.recipe.selection[1] == "max" else -1
        entry = [value, progress.step, f"best-{progress.step:08d}.pt"]
        improved = not progress.best or sign * value > sign * progress.best[0][0]
        ranked = sorted([*progress.best, entry], key=lambda other: -sign * other[0])
        # Without any kept checkpoint the best value must still be known.
        kept = ranked[: max(1, self.run.options.keep_checkpoints)]
        dropped = [other for other in ranked if other not in kept]
        progress.best, progress.stale = kept, 0 if improved else progress.stale + 1
        self.save_last()
        if self.run.machine.is_main:
            # Dropped last: killed at any moment, last.pt names files that are there.
            if entry in kept and self.run.options.keep_checkpoints:
                checkpoint.alias(self.last, self.folder / entry[2])
            if improved:
                self._save_best_weights()
            for _, _, name in dropped:
                (self.folder / name).unlink(missing_ok=True)
        self.run.machine.wait()

    def finish(self) -> None:
        """At the end of the run."""
        if self.saved_step != self.run.progress.step:
            self.save_last()
        if self.run.machine.is_main:
            save_model(self.run.judged, self.folder / "last.safetensors", training=self.run.describe())

    def _save_best_weights(self) -> None:
        run = self.run
        save_model(run.judged, self.folder / "best.safetensors", training=run.describe())
        if run.options.authors_checkpoint:
            state = {f"module.{name}": value for name, value in run.judged.state_dict().items()}
            epoch = run.progress.step * run.joint_batch // run.samples.epoch
            optimiser = run.recipe.optimisers["generator"].state_dict()
            with atomic_path(self.folder / "Nature.mdl") as temporary:
                torch.save({"epoch": epoch, "model": state, "optimizer": optimiser}, temporary)
