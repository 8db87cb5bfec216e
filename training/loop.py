"""The training loop: `train(options)` reads top-down.

    step:        batches -> recipe.phases -> backward -> optimisers -> moving average
    after it:    log line, validation, checkpoint, each at its own interval
"""

import math
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from torchvision.utils import make_grid
from tqdm import tqdm

from recipes import build_recipe, resolve
from training import checkpoint
from training.ema import MovingAverage
from training.journal import Journal
from training.machine import Machine
from training.options import TrainOptions
from training.setup import Samples, build_network, check_keys, gather_samples, refuse_senseless
from training.signals import StopSignals
from training.stream import SampleStream, StepSampler, collate, quiet_worker
from training.validation import Interrupted, to_device, validate, validation_loader
from utils import runs, seeds
from utils.checkpoint import save_model
from utils.errors import UserError

DRAWS_OF_STEPS, DRAWS_OF_VALIDATION, DRAWS_OF_WEIGHTS = 11, 12, 13
GRID_ROWS = 4


def train(options: TrainOptions) -> int:
    """Trains as `options` say. Returns the exit code: 0 done, 130 or 143 stopped by Ctrl-C or SIGTERM.

    Raises UserError for whatever the user can put right.
    """
    folder = Path(options.runs_name)
    resumed = _checkpoint_to_resume(options, folder)
    state = checkpoint.load(resumed) if resumed else None
    if state and options.seed is None:
        options.seed = state["seed"]
    resolve(options)
    refuse_senseless(options)
    if options.deterministic:
        seeds.make_deterministic()
    machine = Machine(options.device, options.precision)
    options.seed = machine.same(options.seed)
    samples = gather_samples(options)
    run = Run(options, machine, samples, folder)
    if options.dry_run:
        from training.dry_run import describe

        print(describe(run))
        return 0
    if state:
        run.load_state(state, resumed)
    with StopSignals() as signals:
        code = run.go(signals)
    machine.close()
    return code


class Run:
    """One training run: its parts, its position, and what it does at every step."""

    def __init__(self, options: TrainOptions, machine: Machine, samples: Samples, folder: Path):
        self.options, self.machine, self.samples, self.folder = options, machine, samples, folder
        seeds.seed_torch(options.seed, DRAWS_OF_WEIGHTS)
        self.model = machine.place(build_network(options))
        if options.channels_last:
            self.model.to(memory_format=torch.channels_last)
        self.average = MovingAverage(self.model, options.ema_decay) if options.ema_decay else None
        self.recipe = build_recipe(self.model, options)
        check_keys(self.recipe, samples)
        self.bare = dict(self.recipe.networks)  # without the wrappers of several processes
        for network in self.bare.values():
            machine.place(network)

        self.joint_batch = options.batch_size * options.grad_accumulation * machine.world
        self.total = options.max_steps or math.ceil(options.epochs * samples.epoch / self.joint_batch)
        self.val_every = options.val_every or math.ceil(samples.epoch / self.joint_batch)
        self.step = 0  # optimiser steps taken
        self.best: list[list] = []  # [value, step, file name], best first
        self.stale = 0  # validations since the best one
        self.validation_due = False
        self.window: dict[str, list[float]] = {}  # term -> [sum, count] since the last log line
        self.skipped: set[str] = set()
        self.seconds = {"step": 0.0, "data": 0.0}

    # ---- the run

    def go(self, signals: StopSignals) -> int:
        """Trains to the end or to a signal."""
        if self.machine.is_main:
            self._open_folder()
        self.machine.wait()
        if self.step >= self.total:
            self._say(f"{self.folder} is complete: {self.step} steps; raise --max_steps or --epochs to go on")
            return 0
        self._wrap()
        journal = self._journal()
        bar = tqdm(
            total=self.total,
            initial=self.step,
            unit="step",
            disable=not self.machine.is_main or not sys.stderr.isatty(),
            dynamic_ncols=True,
        )
        try:
            stopped = self._steps(signals, journal, bar)
        finally:
            bar.close()
            if journal:
                journal.close()
        if stopped:
            name = signal.Signals(stopped).name
            self._say(f"{name}: stopped after step {self.step}, saved in {self.folder}; the same command goes on")
            return 128 + stopped
        return 0

    def _steps(self, signals: StopSignals, journal: Journal | None, bar: tqdm) -> int:
        if self.validation_due and not self._validate(signals, journal):
            return self._stop(signals)
        batches = iter(self._loader())
        while self.step < self.total:
            self._one_step(batches)
            bar.update()
            self._after_step(journal, bar)
            if self.validation_due and not self._validate(signals, journal):
                return self._stop(signals)
            if self.options.early_stop and self.stale >= self.options.early_stop:
                self._say(f"no improvement in {self.stale} validations: stopped early at step {self.step}")
                break
            if self.machine.largest(signals.received):
                return self._stop(signals)
            if self.step % self.options.checkpoint_every == 0 and not self._just_saved:
                self._save_last()
        self._save_last()
        if self.machine.is_main:
            save_model(self._judged(), self.folder / "last.safetensors", training=self._training_metadata())
        return 0

    def _stop(self, signals: StopSignals) -> int:
        self._save_last()
        return self.machine.largest(signals.received)

    # ---- one step

    def _one_step(self, batches: Any) -> None:
        options, recipe, machine = self.options, self.recipe, self.machine
        began = time.perf_counter()
        self._just_saved = False
        seeds.seed_torch(options.seed, DRAWS_OF_STEPS, self.step)
        recipe.set_learning_rates(self.step, self.total)
        for network in self.bare.values():
            network.train()
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        layout = torch.channels_last if options.channels_last else torch.contiguous_format
        for part in range(options.grad_accumulation):
            waiting = time.perf_counter()
            batch = next(batches)
            self.seconds["data"] += time.perf_counter() - waiting
            batch = to_device(batch, machine.device, layout)
            self._report_skipped(batch)
            last = part == options.grad_accumulation - 1
            with machine.gradients_stay(recipe.networks, stay=not last):
                for name, loss, terms in recipe.phases(batch):
                    self._check_finite(loss, batch)
                    machine.backward(loss / options.grad_accumulation)
                    self._remember(terms)
                    if last:
                        self._update(name)
        self.step += 1
        if self.average:
            self.average.update(self.model, self.step - 1)
        self.seconds["step"] += time.perf_counter() - began

    def _update(self, name: str) -> None:
        optimiser = self.optimisers[name]
        if self.options.clip_grad:
            if self.machine.scaler:
                self.machine.scaler.unscale_(self.recipe.optimisers[name])
            parameters = [p for group in optimiser.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.options.clip_grad)
        optimiser.step()

    def _check_finite(self, loss: torch.Tensor, batch: dict[str, Any]) -> None:
        if not torch.isfinite(loss):
            raise UserError(
                f"the loss is {float(loss)} at step {self.step + 1}, pictures {', '.join(batch['name'])}; the last "
                f"good checkpoint is untouched ({self.folder / checkpoint.LAST}): lower --lr_g or pass --clip_grad "
                "1, and resume"
            )

    def _remember(self, terms: dict[str, torch.Tensor]) -> None:
        for name, term in terms.items():
            entry = self.window.setdefault(name, [0.0, 0])
            entry[0] += self.machine.mean(term.double())
            entry[1] += 1

    def _report_skipped(self, batch: dict[str, Any]) -> None:
        for message in "\n".join(batch["skipped"]).splitlines():
            if message and message not in self.skipped:
                self.skipped.add(message)
                tqdm.write(f"skipped: {message}", file=sys.stderr)

    # ---- after a step

    def _after_step(self, journal: Journal | None, bar: tqdm) -> None:
        if self.step % self.options.log_every == 0 or self.step == self.total:
            means = {name: float(total) / count for name, (total, count) in self.window.items()}
            rates = {f"lr_{name}": group.param_groups[0]["lr"] for name, group in self.recipe.optimisers.items()}
            steps = next(iter(self.window.values()))[1] / self.options.grad_accumulation
            images = steps * self.joint_batch / max(self.seconds["step"], 1e-9)
            waited = self.seconds["data"] / max(self.seconds["step"], 1e-9)
            self.window, self.seconds = {}, {"step": 0.0, "data": 0.0}
            bar.set_postfix({name: f"{means[name]:.4g}" for name in means} | {"images/s": f"{images:.1f}"})
            if journal:
                epoch = self.step * self.joint_batch / self.samples.epoch
                journal.write(self.step, "train", {"epoch": round(epoch, 4), **means, **rates})
                timing = {"images_per_second": images, "share_waiting_for_data": waited}
                if self.machine.device.type == "cuda":
                    timing["peak_gpu_bytes"] = float(torch.cuda.max_memory_allocated())
                journal.write_timing(self.step, timing)
        if self.step % self.val_every == 0 or self.step == self.total:
            self.validation_due = True

    def _validate(self, signals: StopSignals, journal: Journal | None) -> bool:
        """Validates, logs, saves; False when a signal came first."""
        seeds.seed_torch(self.options.seed, DRAWS_OF_VALIDATION, self.step)
        judged, mode = self._judged(), self.options.validation_mode
        # In mode "train" half a validation would leave half its mark on the batch statistics.
        interrupted = (lambda: bool(signals.received)) if mode == "eval" and self.machine.world == 1 else lambda: False
        results = {}
        try:
            for name, pictures in self.samples.validation.items():
                results[name] = validate(
                    self.recipe,
                    judged,
                    pictures,
                    self.machine,
                    mode=mode,
                    workers=self._workers(),
                    interrupted=interrupted,
                )
        except Interrupted:
            return False
        self.validation_due = False
        chosen = results[self.samples.selection]
        self.recipe.after_validation(chosen)
        if journal:
            for name, values in results.items():
                journal.write(self.step, f"validation/{name}", values)
            self._draw(journal, judged)
        shown = ", ".join(
            f"{name} " + " ".join(f"{key} {value:.4g}" for key, value in values.items())
            for name, values in results.items()
        )
        self._say(f"step {self.step}: {shown}")
        self._save_best(chosen[self.recipe.selection[0]])
        return True

    def _draw(self, journal: Journal, judged: torch.nn.Module) -> None:
        if journal.board is None:
            return
        judged_mode = judged.training
        judged.eval()
        pictures = self.samples.validation[self.samples.selection]
        with torch.no_grad():
            rows = range(min(GRID_ROWS, len(pictures)))
            for row, batch in enumerate(validation_loader(pictures, rows, 0)):
                columns = self.recipe.pictures(to_device(batch, self.machine.device), judged)
                grid = make_grid(torch.cat(list(columns.values())).cpu(), nrow=len(columns))
                journal.write_pictures(self.step, f"{row}: {', '.join(columns)}", grid)
        judged.train(judged_mode)

    # ---- checkpoints

    def _save_best(self, value: float) -> None:
        sign = 1 if self.recipe.selection[1] == "max" else -1
        record = [value, self.step, f"best-{self.step:08d}.pt"]
        improved = not self.best or sign * value > sign * self.best[0][0]
        self.stale = 0 if improved else self.stale + 1
        ranked = sorted([*self.best, record], key=lambda entry: -sign * entry[0])
        kept = ranked[: self.options.keep_checkpoints]
        dropped, self.best = [entry for entry in ranked if entry not in kept and entry is not record], kept
        if math.isnan(value):
            raise UserError(f"the validation at step {self.step} gives no number; resume from an earlier checkpoint")
        if self.machine.is_main:
            if record in kept:
                self._save_last()
                checkpoint.alias(self.folder / checkpoint.LAST, self.folder / record[2])
            if improved:
                save_model(self._judged(), self.folder / "best.safetensors", training=self._training_metadata())
            if record not in kept:
                self._save_last()
            for entry in dropped:
                (self.folder / entry[2]).unlink(missing_ok=True)
        self.machine.wait()

    def _save_last(self) -> None:
        self._just_saved = True
        if not self.machine.is_main:
            return
        for name, network in self.bare.items():
            for entry, value in network.state_dict().items():
                if not torch.isfinite(value).all():
                    raise UserError(
                        f"{entry} of the {name} is not finite after step {self.step}; the last good checkpoint is "
                        f"untouched ({self.folder / checkpoint.LAST}): lower --lr_g or pass --clip_grad 1, and resume"
                    )
        checkpoint.save(self.folder / checkpoint.LAST, self.state())

    def state(self) -> dict[str, Any]:
        """Everything that `load_state` needs to go on bit for bit."""
        return {
            "step": self.step,
            "seed": self.options.seed,
            "recipe": self.options.recipe,
            "network": self.model.spec.name,
            "hyperparameters": self.model.spec.hyperparameters,
            "networks": {name: network.state_dict() for name, network in self.bare.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.recipe.optimisers.items()},
            "recipe_state": self.recipe.state_dict(),
            "average": self.average.model.state_dict() if self.average else None,
            "scaler": self.machine.scaler.state_dict() if self.machine.scaler else None,
            "best": self.best,
            "stale": self.stale,
            "validation_due": self.validation_due,
            "window": {name: [float(total), count] for name, (total, count) in self.window.items()},
            "options": asdict(self.options),
        }

    def load_state(self, state: dict[str, Any], path: Path) -> None:
        """Takes up a checkpoint; raises UserError when it is of another network or recipe."""
        spec = self.model.spec
        theirs, ours = (state["network"], state["hyperparameters"]), (spec.name, spec.hyperparameters)
        if theirs != ours:
            raise UserError(
                f"{path} is a checkpoint of {theirs[0]} {theirs[1]}, not of {ours[0]} {ours[1]}; choose that model, or "
                "another --runs_name"
            )
        self.step = state["step"]
        if state["networks"].keys() == self.bare.keys() or self.options.resume_state == "weights":
            for name, network in self.bare.items():
                if name in state["networks"]:
                    network.load_state_dict(state["networks"][name])
        else:
            raise UserError(
                f"{path} holds the networks {', '.join(state['networks'])}, this run has {', '.join(self.bare)}; resume "
                "with the same recipe and the same lambda_gan, or pass --resume_state weights"
            )
        if self.options.resume_state == "weights":
            self._say("resume_state weights: optimisers, schedule and best value start afresh")
            return
        for name, optimiser in self.recipe.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.recipe.load_state_dict(state["recipe_state"])
        if self.average:
            self.average.model.load_state_dict(state["average"] or state["networks"]["model"])
        if self.machine.scaler and state["scaler"]:
            self.machine.scaler.load_state_dict(state["scaler"])
        self.best, self.stale = state["best"], state["stale"]
        self.validation_due = state["validation_due"]
        self.window = {name: list(entry) for name, entry in state["window"].items()}

    # ---- parts

    def _wrap(self) -> None:
        for name, network in self.bare.items():
            wrapped = self.machine.wrap(network)
            if name == "model" and self.options.compile:
                wrapped = torch.compile(wrapped)
            self.recipe.networks[name] = wrapped
        self.optimisers = {
            name: self.machine.prepare_optimiser(optimiser) for name, optimiser in self.recipe.optimisers.items()
        }

    def _judged(self) -> torch.nn.Module:
        return self.average.model if self.average else self.model

    def _loader(self) -> DataLoader:
        stream = SampleStream(
            self.samples.training,
            self.samples.augmentation,
            seed=self.options.seed,
            shuffle=self.samples.shuffle,
            skip_bad=self.options.skip_bad_files,
        )
        sampler = StepSampler(
            self.step,
            self.total,
            batch_size=self.options.batch_size,
            accumulation=self.options.grad_accumulation,
            rank=self.machine.rank,
            world=self.machine.world,
        )
        return DataLoader(
            stream,
            batch_sampler=sampler,
            num_workers=self._workers(),
            collate_fn=collate,
            worker_init_fn=quiet_worker,
            pin_memory=self.machine.device.type == "cuda",
        )

    def _workers(self) -> int:
        if self.options.num_workers is not None:
            return self.options.num_workers
        import os

        return min(8, len(os.sched_getaffinity(0)))

    def _journal(self) -> Journal | None:
        return Journal(self.folder, self.step, self.options.tensorboard) if self.machine.is_main else None

    def _open_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        checkpoint.remove_leftovers(self.folder, {entry[2] for entry in self.best})
        runs.write_configuration(self.folder, self.options)

    def _training_metadata(self) -> dict[str, Any]:
        data = self.options.dataroot or "synthetic scenes"
        return {
            "data": data,
            "steps": self.step,
            "recipe": self.options.recipe,
            "seed": self.options.seed,
            "averaged": bool(self.average),
            "best": self.best[0][:2] if self.best else None,
            "options": asdict(self.options),
            **runs.describe_code(),
        }

    def _say(self, sentence: str) -> None:
        if self.machine.is_main:
            tqdm.write(sentence, file=sys.stderr)


def _checkpoint_to_resume(options: TrainOptions, folder: Path) -> Path | None:
    last = folder / checkpoint.LAST
    if options.resume == "auto":
        return last if last.exists() else None
    if options.resume == "no":
        if last.exists() and not options.dry_run:
            raise UserError(
                f"{folder} already holds a run; choose another --runs_name, remove the folder, or pass --resume auto"
            )
        return None
    return Path(options.resume)
