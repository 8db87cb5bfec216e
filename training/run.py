"""One training run: its parts, how far it is, and both as a checkpoint."""

import math
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from recipes import build_recipe
from training.ema import MovingAverage
from training.machine import Machine
from training.network import build_network, named_lists
from training.options import TrainOptions
from training.samples import Samples, check_keys
from utils import runs, seeds
from utils.errors import UserError

DRAWS_OF_WEIGHTS = 13  # purpose of random draws
PACE = {"runs_name", "resume", "dry_run", "max_steps", "epochs", "num_workers"}
"""Options that may change between the parts of a run without a word."""


@dataclass
class Progress:
    """How far a run is; all of it goes into checkpoints.

    step            optimiser steps taken
    best            [value, step, file name] of the best checkpoints, best first
    stale           validations in a row without improvement
    validation_due  the validation of this step is still to be made
    window          term -> [sum, count] since the last log line
    """

    step: int = 0
    best: list[list] = field(default_factory=list)
    stale: int = 0
    validation_due: bool = False
    window: dict[str, list] = field(default_factory=dict)


class Run:
    """The network, its average, the recipe and the samples of one run, and its progress."""

    def __init__(self, options: TrainOptions, machine: Machine, samples: Samples):
        self.options, self.machine, self.samples = options, machine, samples
        self.folder = Path(options.runs_name)
        self.progress = Progress()

        seeds.seed_torch(options.seed, DRAWS_OF_WEIGHTS)
        self.model = machine.place(build_network(options))
        if options.channels_last:
            self.model.to(memory_format=torch.channels_last)
        self.average = MovingAverage(self.model, options.ema_decay) if options.ema_decay else None
        self.recipe = build_recipe(self.model, options)
        check_keys(self.recipe, samples)
        # The networks without the wrappers that several processes need.
        self.bare = {name: machine.place(network) for name, network in self.recipe.networks.items()}
        self.optimisers = self.recipe.optimisers

        self.joint_batch = options.batch_size * options.grad_accumulation * machine.world
        steps_per_epoch = math.ceil(samples.epoch / self.joint_batch)
        self.total = options.max_steps or math.ceil(options.epochs * samples.epoch / self.joint_batch)
        self.val_every = options.val_every or steps_per_epoch

    def wrap(self) -> None:
        """Puts mixed precision, the exchange of gradients and compilation around networks and optimisers."""
        for name, network in self.bare.items():
            wrapped = self.machine.wrap(network)
            self.recipe.networks[name] = torch.compile(wrapped) if self.options.compile else wrapped
        self.optimisers = {
            name: self.machine.prepare_optimiser(optimiser)
            for name, optimiser in self.recipe.optimisers.items()
        }

    @property
    def judged(self) -> nn.Module:
        """The network that is validated and saved: the average, where there is one."""
        return self.average.model if self.average else self.model

    def say(self, sentence: str) -> None:
        """A line on stderr, from the main process, beside the progress bar."""
        if self.machine.is_main:
            tqdm.write(sentence, file=sys.stderr)

    def describe(self) -> dict[str, Any]:
        """How the weights came about, for the metadata of a weight file."""
        best = self.progress.best
        return {
            "data": self.options.dataroot or "synthetic scenes",
            "steps": self.progress.step,
            "recipe": self.options.recipe,
            "seed": self.options.seed,
            "averaged": bool(self.average),
            "best": {"value": best[0][0], "step": best[0][1], "by": self.recipe.selection[0]}
            if best
            else None,
            "options": asdict(self.options),
            **runs.describe_code(),
        }

    def state(self) -> dict[str, Any]:
        """Everything that `load_state` needs to go on bit for bit."""
        progress = asdict(self.progress)
        progress["window"] = {name: [float(total), n] for name, (total, n) in self.progress.window.items()}
        return {
            "network": self.model.spec.name,
            "hyperparameters": self.model.spec.hyperparameters,
            "seed": self.options.seed,
            "networks": {name: network.state_dict() for name, network in self.bare.items()},
            "optimisers": {
                name: optimiser.state_dict() for name, optimiser in self.recipe.optimisers.items()
            },
            "recipe": self.recipe.state_dict(),
            "average": self.average.model.state_dict() if self.average else None,
            "scaler": self.machine.scaler.state_dict() if self.machine.scaler else None,
            "progress": progress,
            "options": asdict(self.options),
        }

    def load_state(self, state: dict[str, Any], path: Path) -> None:
        """Takes up the checkpoint read from `path`; raises UserError when it is of another network."""
        spec = self.model.spec
        theirs = (state["network"], named_lists(state["hyperparameters"]))
        ours = (spec.name, named_lists(spec.hyperparameters))
        if theirs != ours:
            raise UserError(
                f"{path} is a checkpoint of {_named(*theirs)}, not of {_named(*ours)}: choose that network, "
                "or another --runs_name"
            )
        self._name_changes(state["options"])
        if self.options.resume_state == "weights":
            for name in state["networks"].keys() & self.bare.keys():
                self.bare[name].load_state_dict(state["networks"][name])
            self.progress.step = state["progress"]["step"]
            self.say("resume_state weights: optimisers, learning rates and best value start afresh")
            return
        if state["networks"].keys() != self.bare.keys():
            raise UserError(
                f"{path} holds {_listed(state['networks'])}, this run trains {_listed(self.bare)}: resume "
                "with the same --recipe and --lambda_gan, or pass --resume_state weights"
            )
        # Checkpoints older than the option are Adam's or AdamW's, which understand each other.
        before, now = state["options"].get("optimizer"), self.options.optimizer
        if before != now and "muon" in (before, now):
            raise UserError(
                f"{path} was trained with --optimizer {before or 'adamw'}: resume with that, or pass "
                "--resume_state weights"
            )
        for name, network in self.bare.items():
            network.load_state_dict(state["networks"][name])
        for name, optimiser in self.recipe.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.recipe.load_state_dict(state["recipe"])
        if self.average:
            self.average.model.load_state_dict(state["average"] or state["networks"]["model"])
        if self.machine.scaler and state["scaler"]:
            self.machine.scaler.load_state_dict(state["scaler"])
        self.progress = Progress(**state["progress"])

    def _name_changes(self, before: dict[str, Any]) -> None:
        now = asdict(self.options)
        changes = [
            f"{name} {before[name]} -> {now[name]}"
            for name in now.keys() & before.keys() - PACE
            if now[name] != before[name]
        ]
        if changes:
            self.say(f"going on with other options than before: {', '.join(sorted(changes))}")


def _named(name: str, hyperparameters: dict) -> str:
    return f"{name} ({', '.join(f'{key}={value}' for key, value in hyperparameters.items())})"


def _listed(networks: dict) -> str:
    return " and ".join(networks)
