"""The training loop.

step:        batches -> recipe.phases -> backward -> optimisers -> moving average
after it:    log line, validation, checkpoint, each at its own interval
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.utils import make_grid
from tqdm import tqdm

from recipes import resolve
from training import checkpoint
from training.dry_run import describe
from training.journal import Journal
from training.keeper import WAY_ON, Keeper
from training.machine import Machine
from training.options import TrainOptions
from training.refusals import refuse_senseless
from training.run import Run
from training.samples import gather_samples
from training.signals import StopSignals
from training.stream import SampleStream, StepSampler, collate, quiet_worker
from training.validation import Interrupted, to_device, validate, validation_loader
from utils import seeds
from utils.errors import UserError

DRAWS_OF_STEPS, DRAWS_OF_VALIDATION = 11, 12  # purposes of random draws
GRID_ROWS = 4


def train(options: TrainOptions) -> int:
    """Trains as `options` say. Returns the exit code: 0 done, 130 or 143 stopped by Ctrl-C or SIGTERM.

    Raises UserError for whatever the user can put right.
    """
    with StopSignals() as signals:
        path = checkpoint_to_resume(options)
        state = checkpoint.load(path) if path else None
        if state and options.seed is None:
            options.seed = state["seed"]
        refuse_senseless(resolve(options))
        if options.deterministic:
            seeds.make_deterministic()
        machine = Machine(options.device, options.precision)
        if machine.same(bool(path)) != bool(path):
            raise UserError(
                f"{options.runs_name} holds a checkpoint on some machines only: all must see the same folder"
            )
        options.seed = machine.same(options.seed)
        run = Run(options, machine, gather_samples(options))
        if state:
            run.load_state(state, path)
        if options.dry_run:
            print(describe(run))
            return 0
        code = Loop(run, signals).go()
    machine.close()
    return code


def checkpoint_to_resume(options: TrainOptions) -> Path | None:
    """What --resume means for --runs_name."""
    folder = Path(options.runs_name)
    last = folder / checkpoint.LAST
    if options.resume == "auto":
        return last if last.exists() else None
    if options.resume != "no":
        return Path(options.resume)
    if last.exists() and not options.dry_run:
        raise UserError(
            f"{folder} already holds a run: choose another --runs_name, remove the folder, or pass "
            "--resume auto"
        )
    return None


class Loop:
    """Takes `run` to its end, or to a signal."""

    def __init__(self, run: Run, signals: StopSignals):
        self.run, self.signals = run, signals
        self.options, self.machine, self.recipe = run.options, run.machine, run.recipe
        self.keeper = Keeper(run)
        self.journal: Journal | None = None
        self.seconds = {"step": 0.0, "data": 0.0}
        self.skipped: set[str] = set()

    def go(self) -> int:
        """Returns 0, or 128 + the number of the signal that stopped the run."""
        run, progress = self.run, self.run.progress
        if progress.step >= run.total and not progress.validation_due:
            run.say(
                f"{run.folder} is complete: {progress.step} steps; raise --max_steps or --epochs to go on"
            )
            return 0
        if self._given_up():
            return 0
        self.keeper.open()
        run.wrap()
        if self.machine.is_main:
            self.journal = Journal(run.folder, progress.step, self.options.tensorboard)
        bar = tqdm(
            total=run.total,
            initial=progress.step,
            unit="step",
            disable=not self.machine.is_main or not sys.stderr.isatty(),
            dynamic_ncols=True,
        )
        with bar, contextlib.closing(self.journal or contextlib.ExitStack()):
            stopped = self._steps(bar)
        if not stopped:
            self.keeper.finish()
            return 0
        if self.keeper.saved_step != progress.step or progress.validation_due:
            self.keeper.save_last()
        run.say(
            f"{signal.Signals(stopped).name}: stopped after step {progress.step} of {run.total} and saved to "
            f"{run.folder}; the same command goes on from there"
        )
        return 128 + stopped

    def _steps(self, bar: tqdm) -> int:
        """Returns 0, or the signal."""
        run, progress, options = self.run, self.run.progress, self.options
        if progress.validation_due and not self._validate():
            return self.signals.received
        batches = iter(self.loader())
        while progress.step < run.total:
            self.step(batches)
            self.log(bar)
            progress.validation_due = progress.step % run.val_every == 0 or progress.step == run.total
            if progress.validation_due and not self._validate():
                return self.signals.received
            if self._given_up():
                return 0
            received = self.machine.largest(self.signals.received)
            if received and progress.step < run.total:
                return received
            if progress.step % options.checkpoint_every == 0 and self.keeper.saved_step != progress.step:
                self.keeper.save_last()
        return 0

    def _given_up(self) -> bool:
        """True when --early_stop says so."""
        progress = self.run.progress
        if not self.options.early_stop or progress.stale < self.options.early_stop:
            return False
        self.run.say(f"stopped early after step {progress.step}: no better in {progress.stale} validations")
        return True

    # ---- one step

    def step(self, batches: Iterator) -> None:
        options, recipe, progress = self.options, self.recipe, self.run.progress
        began = time.perf_counter()
        seeds.seed_torch(options.seed, DRAWS_OF_STEPS, progress.step)
        recipe.set_learning_rates(progress.step, self.run.total)
        for network in self.run.bare.values():
            network.train()
        for optimiser in self.run.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        for part in range(options.grad_accumulation):
            batch = self._next(batches)
            last = part == options.grad_accumulation - 1
            with self.machine.gradients_stay(recipe.networks, stay=not last):
                for name, loss, terms in recipe.phases(batch):
                    self._check_finite(loss, batch)
                    self.machine.backward(loss / options.grad_accumulation)
                    self._remember(terms)
                    if last:
                        self._update(name)
        if self.run.average:
            self.run.average.update(self.run.model, progress.step)
        progress.step += 1
        self.seconds["step"] += time.perf_counter() - began

    def _next(self, batches: Iterator) -> dict[str, Any]:
        waiting = time.perf_counter()
        batch = next(batches)
        self.seconds["data"] += time.perf_counter() - waiting
        batch = to_device(batch, self.machine.device, channels_last=self.options.channels_last)
        for message in "\n".join(batch["skipped"]).splitlines():
            if message and message not in self.skipped:
                self.skipped.add(message)
                self.run.say(f"skipped: {message}")
        return batch

    def _check_finite(self, loss: Tensor, batch: dict[str, Any]) -> None:
        if not torch.isfinite(loss):
            raise UserError(
                f"the loss is {loss.item()} at step {self.run.progress.step + 1}, pictures "
                f"{', '.join(batch['name'])}; the last good checkpoint is untouched ({self.keeper.last}): "
                f"{WAY_ON}"
            )

    def _update(self, name: str) -> None:
        optimiser = self.run.optimisers[name]
        if self.options.clip_grad:
            if self.machine.scaler:
                self.machine.scaler.unscale_(self.recipe.optimisers[name])
            parameters = [p for group in optimiser.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.options.clip_grad)
        optimiser.step()

    def _remember(self, terms: dict[str, Tensor]) -> None:
        means = self.machine.mean(torch.stack([term.double() for term in terms.values()]))
        for name, mean in zip(terms, means.unbind(), strict=True):
            entry = self.run.progress.window.setdefault(name, [0.0, 0])
            entry[0] += mean
            entry[1] += 1

    # ---- after a step

    def log(self, bar: tqdm) -> None:
        bar.update()
        run, progress, seconds = self.run, self.run.progress, self.seconds
        if progress.step % self.options.log_every and progress.step != run.total:
            return
        means = {name: float(total) / count for name, (total, count) in progress.window.items()}
        rates = {f"lr_{name}": opt.param_groups[0]["lr"] for name, opt in self.recipe.optimisers.items()}
        parts = max(count for _, count in progress.window.values())
        images = parts * self.options.batch_size * self.machine.world / seconds["step"]
        timing = {"images_per_second": images, "share_waiting_for_data": seconds["data"] / seconds["step"]}
        if self.machine.device.type == "cuda":
            timing["peak_gpu_bytes"] = float(torch.cuda.max_memory_allocated())
        progress.window, self.seconds = {}, {"step": 0.0, "data": 0.0}
        shown = {name: f"{mean:.4g}" for name, mean in means.items()} | {"images/s": f"{images:.1f}"}
        bar.set_postfix(shown)
        if bar.disable:
            left = timedelta(seconds=round((run.total - progress.step) * run.joint_batch / images))
            numbers = ", ".join(f"{name} {value}" for name, value in shown.items())
            run.say(f"step {progress.step} of {run.total}: {numbers}, {left} left")
        if self.journal:
            epoch = round(progress.step * run.joint_batch / run.samples.epoch, 4)
            self.journal.write(progress.step, "train", {"epoch": epoch, **means, **rates})
            self.journal.write_timing(progress.step, timing)

    def _validate(self) -> bool:
        """Validates, logs and saves; False when a signal came first."""
        run, progress = self.run, self.run.progress
        seeds.seed_torch(self.options.seed, DRAWS_OF_VALIDATION, progress.step)
        # In mode "train" half a validation would leave half its mark on the batch statistics; several
        # processes would have to agree on where to stop.
        whole = self.options.validation_mode == "train" or self.machine.world > 1
        results = {}
        try:
            for name, samples in run.samples.validation.items():
                results[name] = validate(
                    self.recipe,
                    run.judged,
                    samples,
                    self.machine,
                    mode=self.options.validation_mode,
                    flips=self.options.validation_flips,
                    skip_bad=self.options.skip_bad_files,
                    workers=self._workers(len(samples)),
                    interrupted=lambda: bool(self.signals.received) and not whole,
                )
        except Interrupted:
            return False
        progress.validation_due = False
        chosen = results[run.samples.selection]
        self.recipe.after_validation(chosen)
        for name, values in results.items():
            numbers = " ".join(f"{key} {value:.4g}" for key, value in values.items())
            run.say(f"step {progress.step}, {name}: {numbers}")
            if self.journal:
                self.journal.write(progress.step, f"validation/{name}", values)
        self._draw()
        self.keeper.save_validated(chosen[self.recipe.selection[0]])
        return True

    def _draw(self) -> None:
        """Picture grids of the first pictures that choose, a row each."""
        if self.journal is None or self.journal.board is None:
            return
        judged = self.run.judged
        was_training = judged.training
        samples = self.run.samples.validation[self.run.samples.selection]
        with torch.no_grad():
            for row, batch in enumerate(validation_loader(samples, range(min(GRID_ROWS, len(samples))))):
                columns = self.recipe.pictures(to_device(batch, self.machine.device), judged.eval())
                grid = make_grid(
                    torch.cat([column.float().cpu() for column in columns.values()]), len(columns)
                )
                self.journal.write_pictures(self.run.progress.step, f"{row}: {' | '.join(columns)}", grid)
        judged.train(was_training)

    # ---- data

    def loader(self) -> DataLoader:
        options, machine, samples = self.options, self.machine, self.run.samples
        stream = SampleStream(
            samples.training,
            samples.augmentation,
            seed=options.seed,
            shuffle=samples.shuffle,
            skip_bad=options.skip_bad_files,
        )
        if samples.shuffle == "once":
            self.keeper.list_pairs(stream)
        sampler = StepSampler(
            self.run.progress.step,
            self.run.total,
            batch_size=options.batch_size,
            accumulation=options.grad_accumulation,
            rank=machine.rank,
            world=machine.world,
        )
        return DataLoader(
            stream,
            batch_sampler=sampler,
            num_workers=self._workers(),
            collate_fn=collate,
            worker_init_fn=quiet_worker,
            pin_memory=machine.device.type == "cuda",
        )

    def _workers(self, samples: int | None = None) -> int:
        wanted = self.options.num_workers
        if wanted is None:
            wanted = min(8, max(1, (os.cpu_count() or 1) // self.machine.world))
        # A process takes longer to start than a few pictures to read.
        return wanted if samples is None else min(wanted, samples // 16)
