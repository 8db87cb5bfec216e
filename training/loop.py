"""The training loop.

a step:      batches -> recipe.phases -> backward -> optimisers -> moving average
after it:    log line, validation, checkpoint, each at its own interval
"""

import contextlib
import dataclasses
import math
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recipes.presets import resolve
from training.build import build_run, without_downloads, without_imagenet
from training.checkpoints import DIVERGED, CheckpointManager, load_checkpoint
from training.distributed import Distributed
from training.logger import RunLogger, gpu_memory, plan
from training.option_checks import validate_options
from training.options import TrainOptions
from training.samples import warning_about
from training.state import LAST, Run, Start
from training.stream import batches_of, checked, to_device, training_loader, workers_for
from training.validation import Interrupted, picture_sheet, ranking, validate
from utils import seeds
from utils.devices import out_of_memory
from utils.errors import UserError, WriteError, reason
from utils.folder_lock import locked
from utils.signals import StopSignals

DRAWS_OF_STEPS, DRAWS_OF_VALIDATION = 11, 12  # purposes of random draws
WORKER_DIED = "DataLoader worker (pid"  # torch raises a plain RuntimeError for a killed worker


def train(options: TrainOptions) -> int:
    """Trains as `options` say. Returns the exit code: 0 done, 128 + its number after Ctrl-C, SIGTERM, SIGHUP.

    Raises UserError for whatever the user can put right, WriteError where a file cannot be written.
    """
    resolved = resolve(options) if options.imagenet else without_imagenet(resolve(options))
    validate_options(resolved)
    try:
        with StopSignals() as signals:
            return _train(options, resolved, signals)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise UserError(
            f"the memory does not hold a step ({str(error).partition('.')[0]}): pass a smaller "
            "`batch_size` (`grad_accumulation` makes up for it), `crop` or `size`, or `precision=bf16`"
        ) from error
    except OSError as error:
        raise WriteError(
            f"{error.filename or options.runs_name}: {reason(error)}; training stopped"
        ) from error


def _train(given: TrainOptions, options: TrainOptions, signals: StopSignals) -> int:
    """Sets the run up, and takes it to its end or to a signal; the same exit codes as `train`.

    given    the options as the user gave them: where they name no seed, a checkpoint's goes on
    options  the same, resolved and valid
    """
    folder = Path(options.runs_name)
    with contextlib.ExitStack() as stack:
        distributed = Distributed(options.device, options.precision)
        if distributed.is_main and not options.dry_run:
            stack.enter_context(locked(folder))
        path = Start(folder, options.resume, options.dry_run).checkpoint()
        if distributed.from_main(bool(path)) != bool(path):
            raise UserError(f"only some machines see the checkpoint in {folder}: all must share that folder")
        state = load_checkpoint(path) if path else None
        seed = state.get("seed", options.seed) if state and given.seed is None else options.seed
        options = dataclasses.replace(options, seed=distributed.from_main(seed))
        if options.deterministic:
            seeds.make_deterministic()
        run = build_run(without_downloads(options) if options.dry_run else options, distributed)
        notes = run.load_state_dict(state, path) if state else []
        if path:
            run.start, run.origin = "last" if path == folder / LAST else "elsewhere", path
        if options.dry_run:
            # Names of files need not be text.
            print(plan(run).encode("utf-8", "backslashreplace").decode("utf-8"))
            return 0
        code = TrainingLoop(run, signals, notes).run_to_end()
        distributed.close()
    return code


class TrainingLoop:
    """Takes `run` to its end, or to a signal.

    notes  what the user should know of how it was resumed
    """

    def __init__(self, run: Run, signals: StopSignals, notes: list[str] | None = None):
        self.run, self.signals, self.notes = run, signals, notes or []
        self.options, self.distributed, self.recipe = run.options, run.distributed, run.recipe
        self.checkpoints, self.logger = CheckpointManager(run), RunLogger(run)
        self.losses = StepLosses(self)
        self.seconds = {"step": 0.0, "data": 0.0}
        self.skipped: set[str] = set()

    def run_to_end(self) -> int:
        """Returns 0, or 128 + the number of the signal that stopped the run."""
        run, progress, logger = self.run, self.run.progress, self.logger
        complete = progress.step >= run.total and not progress.validation_due
        if complete:
            logger.say(
                f"{run.folder} is complete: {progress.step} steps; raise `max_steps` or `epochs` to go on"
            )
        if complete or self._stops_early():
            self.checkpoints.complete()
            return 0
        self.checkpoints.open()
        logger.open()
        logger.write_start()
        for note in [*self.notes, warning_about(run.samples)]:
            if note:
                logger.say(note)
        with contextlib.closing(logger):
            stopped = self._take_steps()
        self.losses.read()
        if not stopped:
            self.checkpoints.finish()
            logger.write_end()
            return 0
        if self.checkpoints.saved_step != progress.step or progress.validation_due:
            self.checkpoints.save_last()
        way = "the same command" if self.options.resume == "auto" else "`resume=auto`"
        logger.say(
            f"{signal.Signals(stopped).name}: stopped after step {progress.step} of {run.total} and saved to "
            f"{run.folder}; {way} goes on from there"
        )
        return 128 + stopped

    def _take_steps(self) -> int:
        """Returns 0, or the signal."""
        run, progress, options = self.run, self.run.progress, self.options
        if progress.validation_due and not self._validate():
            return self.signals.received
        if self._stops_early():
            return 0
        steps = run.total - progress.step
        loader = training_loader(run.samples, options, self.distributed, progress.samples, steps)
        if run.samples.shuffle == "once":
            self.checkpoints.list_pairs(loader.dataset)
        with batches_of(loader) as batches:
            while progress.step < run.total:
                parts, received = self.next_batches(batches)
                if received:
                    return received
                self.step(parts)
                self.log()
                if progress.validation_due and not self._validate():
                    return self.signals.received
                if self._stops_early():
                    return 0
                if self.checkpoints.due(options.checkpoint_every, options.checkpoint_minutes):
                    self.losses.read()
                    self.checkpoints.save_last(beside_training=True)
        return 0

    def _stops_early(self) -> bool:
        """True, and said, once as many validations as `early_stop` allows brought no improvement."""
        progress = self.run.progress
        if not self.options.early_stop or progress.stale < self.options.early_stop:
            return False
        self.logger.say(
            f"stopped early after step {progress.step}: no better in {progress.stale} validations"
        )
        return True

    # ---- one step

    def next_batches(self, batches: Iterator) -> tuple[list[dict[str, Any]], int]:
        """The batches of one optimiser step, all read before the first is used, and 0 or a signal that any
        process received. Where a batch cannot be had, the weights are those of a whole step, and are saved
        before the error goes on."""
        if self.signals.received and self.distributed.world == 1:
            return [], self.signals.received
        waiting, parts, error = time.perf_counter(), [], None
        try:
            for _ in range(self.options.grad_accumulation):
                parts.append(checked(next(batches)))
        except Exception as caught:
            error = caught
        self.seconds["data"] += time.perf_counter() - waiting
        failed, received = self.distributed.largest(int(error is not None), self.signals.received)
        if failed:
            self.losses.read()
            self.checkpoints.save_last()
            where = f"after step {self.run.progress.step}, which is saved in {self.checkpoints.last}"
            if error is None:
                raise UserError(f"another process could not read its pictures {where}")
            # EOFError is what is left of the connection to a worker that died while a batch was handed over.
            if isinstance(error, UserError | OSError | EOFError) or WORKER_DIED in str(error):
                cause = str(error) or "a DataLoader worker died while it handed over a batch"
                raise UserError(f"{cause} ({where})") from error
            raise error
        for batch in parts:
            self._report_skipped(batch)
        return parts, received

    def _report_skipped(self, batch: dict[str, Any]) -> None:
        for message in "\n".join(batch["skipped"]).splitlines():
            if message and message not in self.skipped:
                self.skipped.add(message)
                self.logger.say(f"skipped: {message}")

    def step(self, parts: list[dict[str, Any]]) -> None:
        """An optimiser step (of each optimiser) over the batches `parts`."""
        run, options, recipe, progress = self.run, self.options, self.recipe, self.run.progress
        began = time.perf_counter()
        seeds.seed_torch(options.seed, DRAWS_OF_STEPS, progress.step)
        recipe.set_learning_rates(*run.schedule())
        for network in recipe.networks.values():
            network.bare.train()
        for optimiser in recipe.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        for index, part in enumerate(parts):
            batch = to_device(part, self.distributed.device, channels_last=options.channels_last)
            last = index == len(parts) - 1
            with self.distributed.accumulating(recipe.networks, enabled=not last):
                for name, loss, terms in recipe.phases(batch):
                    self.distributed.backward(loss / len(parts))
                    self.losses.add(loss, terms, batch["name"])
                    if last:
                        self.distributed.step(recipe.optimisers[name], options.clip_grad)
        self.distributed.end_step()
        if run.average:
            run.average.update_parameters(run.model)
        run.took_step()
        self.losses.end_step()
        self.seconds["step"] += time.perf_counter() - began

    # ---- after a step

    def log(self) -> None:
        """The progress bar, and every --log_every steps a line."""
        run, progress, seconds = self.run, self.run.progress, self.seconds
        self.logger.bar.update()
        if progress.step % self.options.log_every and progress.step != run.total:
            return
        self.losses.read()
        means = {name: total / count for name, (total, count) in progress.window.items()}
        rates = {f"lr_{name}": opt.param_groups[0]["lr"] for name, opt in self.recipe.optimisers.items()}
        parts = max(count for _, count in progress.window.values())
        spent = seconds["step"] + seconds["data"]
        timing = {
            "images_per_second": parts * self.options.batch_size * self.distributed.world / spent,
            "share_waiting_for_data": seconds["data"] / spent,
        }
        progress.window, self.seconds = {}, {"step": 0.0, "data": 0.0}
        self.logger.write_step(means, rates, timing | gpu_memory(self.distributed.device))

    def _validate(self) -> bool:
        """Validates, logs and saves; False when a signal came first."""
        run, progress, options = self.run, self.run.progress, self.options
        self.losses.read()
        seeds.seed_torch(options.seed, DRAWS_OF_VALIDATION, progress.step)
        # Several processes would have to agree on where to stop.
        alone = self.distributed.world == 1
        results = {}
        try:
            for name, samples in run.samples.validation.items():
                results[name] = validate(
                    self.recipe,
                    run.evaluated,
                    samples,
                    self.distributed,
                    flips=options.validation_flips,
                    skip_bad=options.skip_bad_files,
                    workers=workers_for(options.num_workers, self.distributed.world, len(samples)),
                    interrupted=lambda: bool(self.signals.received) and alone,
                )
        except Interrupted:
            return False
        progress.validation_due = False
        chosen = results[run.samples.selection]
        self.recipe.after_validation(chosen)
        for name, values in results.items():
            self.logger.write_validation(name, values)
        if self.logger.wants_pictures:
            samples = run.samples.validation[run.samples.selection]
            self.logger.write_pictures(picture_sheet(self.recipe, run.evaluated, samples, self.distributed))
        self.checkpoints.save_validated(ranking(chosen, self.recipe, run.samples.selection))
        return True


class StepLosses:
    """The losses and terms of the steps, read from the device one step late.

    Reading a number waits for all that the device has still to compute; a step later it lies ready.
    """

    def __init__(self, loop: TrainingLoop):
        self.loop = loop
        self.current: list[tuple[list[str], Tensor, list[str]]] = []
        """of each phase the names of its terms, (1 + terms,) loss and terms, and the names of its pictures"""
        self.unread: list[tuple[list[str], Tensor, list[str]]] = []
        self.step = 0

    def add(self, loss: Tensor, terms: dict[str, Tensor], pictures: list[str]) -> None:
        """Takes a phase of the step under way."""
        values = torch.stack([value.detach().double() for value in (loss, *terms.values())])
        self.current.append((list(terms), values, pictures))

    def end_step(self) -> None:
        """Reads the step before, and keeps this one until the next."""
        self.read()
        if self.loop.distributed.world > 1:
            joint = self.loop.distributed.mean(torch.cat([values for _, values, _ in self.current]))
            parts = joint.split([len(values) for _, values, _ in self.current])
            self.current = [
                (*phase[:1], part, *phase[2:]) for phase, part in zip(self.current, parts, strict=True)
            ]
        self.unread, self.current, self.step = self.current, [], self.loop.run.progress.step

    def read(self) -> None:
        """Adds what is unread to the window of the log; raises UserError where a loss is not finite."""
        unread, self.unread = self.unread, []
        for names, values, pictures in unread:
            loss, *terms = values.tolist()
            if not math.isfinite(loss):
                raise UserError(
                    f"the loss is {loss} at step {self.step}, pictures {', '.join(pictures)}; "
                    f"{self.loop.checkpoints.untouched()}: {DIVERGED}"
                )
            for name, value in zip(names, terms, strict=True):
                entry = self.loop.run.progress.window.setdefault(name, [0.0, 0])
                entry[0] += value
                entry[1] += 1
