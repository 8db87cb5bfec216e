"""The state of a run: where it starts, its parts, how far it is; and all of it as a checkpoint's content."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel

from models.build import named_lists
from recipes.optimisers import load_state
from recipes.recipe import Recipe
from training.distributed import Distributed
from training.options import TrainOptions
from training.samples import Samples
from utils import runs
from utils.errors import UserError

LAST = "last.pt"
"""The checkpoint that a run goes on from."""

RESUMABLE_OPTIONS = {
    "runs_name",
    "resume",
    "dry_run",
    "max_steps",
    "epochs",
    "num_workers",
    "tracker",
    "pictures",
}
"""Options that may change between the parts of a run without a word."""

PARTS = {"network", "hyperparameters", "seed", "networks", "optimisers", "recipe", "progress", "options"}
"""What every checkpoint has held so far."""


@dataclass(frozen=True)
class Start:
    """Where the run in `folder` starts: `resume` is "auto", "no", or the checkpoint to go on from."""

    folder: Path
    resume: str = "auto"
    dry_run: bool = False

    def checkpoint(self) -> Path | None:
        """The checkpoint to resume from; None: start. Raises UserError where a run would be overwritten."""
        folder, last = self.folder, self.folder / LAST
        if self.resume not in ("auto", "no"):
            return Path(self.resume)
        if last.exists() and self.resume == "no" and not self.dry_run:
            raise UserError(
                f"{folder} already holds a run: choose another `runs_name`, remove the folder, or pass "
                "`resume=auto`"
            )
        if last.exists():
            return last if self.resume == "auto" else None
        # Every run has a last.pt from its first moment on, before it logs anything.
        best = sorted(folder.glob("best-*.pt"))
        if (best or (folder / "log.jsonl").exists()) and not self.dry_run:
            others = f"`resume={best[-1]}` to go on from there, " if best else ""
            raise UserError(
                f"{folder} holds a run without its {LAST}, and starting anew would overwrite it: pass "
                f"{others}another `runs_name`, or remove the folder"
            )
        return None


@dataclass
class Progress:
    """How far a run is; all of it goes into checkpoints.

    step            optimiser steps taken
    samples         training samples taken: the position in the stream of samples
    joint_batch     samples of an optimiser step when the checkpoint was written
    best            [value, step, file name] of the best checkpoints, best first
    best_by         name of the validation value that ranks them
    stale           validations in a row without improvement
    validation_due  the validation of this step is still to be made
    window          term -> [sum, count] since the last log line
    """

    step: int = 0
    samples: int = 0
    joint_batch: int = 0
    best: list[list] = field(default_factory=list)
    best_by: str = ""
    stale: int = 0
    validation_due: bool = False
    window: dict[str, list] = field(default_factory=dict)


@dataclass
class Run:
    """One training run. The recipe holds the networks and the optimisers.

    average      moving average of the weights, None where it is off
    joint_batch  samples of an optimiser step, over processes and accumulated batches
    total        optimiser steps of the whole run
    val_every    steps between validations
    start        "anew", at step 0; "last": from last.pt of its folder; "elsewhere": from another checkpoint
    origin       the checkpoint that the run goes on from, None where it starts anew
    """

    options: TrainOptions
    distributed: Distributed
    samples: Samples
    recipe: Recipe
    average: AveragedModel | None
    joint_batch: int
    total: int
    val_every: int
    progress: Progress = field(default_factory=Progress)
    start: str = "anew"
    origin: Path | None = None

    @property
    def folder(self) -> Path:
        return Path(self.options.runs_name)

    @property
    def model(self) -> nn.Module:
        """The network that is trained, bare."""
        return self.recipe.networks["model"].bare

    @property
    def evaluated(self) -> nn.Module:
        """The network that is validated and saved: the average, where there is one."""
        return self.average.module if self.average else self.model

    @property
    def epoch(self) -> float:
        """Passes over the training samples so far."""
        return self.progress.samples / self.samples.epoch

    def took_step(self) -> None:
        """Counts an optimiser step; a validation is due where its samples complete `val_every` steps."""
        self.progress.step += 1
        self.progress.samples += self.joint_batch
        past_interval = self.progress.samples % (self.val_every * self.joint_batch)
        self.progress.validation_due = past_interval < self.joint_batch or self.progress.step == self.total

    def schedule(self) -> tuple[float, float]:
        """(step, total) for the learning rates, in steps of today's joint batch: where earlier steps had
        another one, as many as would have taken their samples."""
        step = self.progress.samples / self.joint_batch
        return step, step + self.total - self.progress.step

    def describe(self) -> dict[str, Any]:
        """How the weights came about, for the metadata of a weight file."""
        best = self.progress.best
        return {
            "data": self.options.dataroot or "synthetic scenes",
            "steps": self.progress.step,
            "recipe": self.options.recipe,
            "seed": self.options.seed,
            "averaged": bool(self.average),
            "best": {"value": best[0][0], "step": best[0][1], "by": self.progress.best_by} if best else None,
            "options": asdict(self.options),
            **runs.describe_code(),
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to go on bit for bit."""
        progress = asdict(self.progress) | {"joint_batch": self.joint_batch}
        scaler = self.distributed.scaler
        return {
            "network": self.model.spec.name,
            "hyperparameters": self.model.spec.hyperparameters,
            "seed": self.options.seed,
            "networks": {name: net.bare.state_dict() for name, net in self.recipe.networks.items()},
            "optimisers": {name: opt.state_dict() for name, opt in self.recipe.optimisers.items()},
            "recipe": self.recipe.state_dict(),
            "average": self.average.module.state_dict() if self.average else None,
            "averaged_steps": int(self.average.n_averaged) if self.average else 0,
            "scaler": scaler.state_dict() if scaler else None,
            "progress": progress,
            "options": asdict(self.options),
        }

    def load_state_dict(self, state: dict[str, Any], path: Path) -> list[str]:
        """Loads the checkpoint read from `path`, and returns what the user should know, a sentence each.

        Raises UserError where it lacks a part, or is of another network, recipe or optimiser.
        """
        missing = PARTS - state.keys()
        if missing:
            raise UserError(f"{path} lacks {', '.join(sorted(missing))}: resume from another checkpoint")
        try:
            self._check_same_network(state, path)
            if self.options.resume_state == "weights":
                notes = [*self._changed_options(state), *self._load_weights(state)]
            else:
                self._check_same_training(state, path)
                notes = [*self._changed_options(state), *self._load_everything(state)]
            return [*notes, *self._convert_position(state["progress"])]
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
            raise UserError(f"{path} is damaged ({error}): resume from another checkpoint") from error

    def _check_same_network(self, state: dict[str, Any], path: Path) -> None:
        spec = self.model.spec
        name = state["network"]
        theirs = (name, named_lists(state["hyperparameters"]))
        ours = (spec.name, named_lists(spec.hyperparameters))
        if theirs != ours:
            raise UserError(
                f"{path} is a checkpoint of {_named(*theirs)}, not of {_named(*ours)}: choose that network, "
                "or another `runs_name`"
            )

    def _check_same_training(self, state: dict[str, Any], path: Path) -> None:
        if state["networks"].keys() != self.recipe.networks.keys():
            raise UserError(
                f"{path} holds {' and '.join(state['networks'])}, this run trains "
                f"{' and '.join(self.recipe.networks)}: resume with the same `recipe` and `lambda_gan`, or "
                "pass `resume_state=weights`"
            )
        # Adam and AdamW take each other's moments.
        before, now = state["options"]["optimizer"], self.options.optimizer
        if before != now and "muon" in (before, now):
            raise UserError(
                f"{path} was trained with `optimizer={before}`: resume with that, or pass "
                "`resume_state=weights`"
            )

    def _load_weights(self, state: dict[str, Any]) -> list[str]:
        for name in state["networks"].keys() & self.recipe.networks.keys():
            self.recipe.networks[name].bare.load_state_dict(state["networks"][name])
        if self.average:
            self.average.module.load_state_dict(state["networks"]["model"])
        self.progress.step = state["progress"]["step"]
        self.progress.validation_due = state["progress"].get("validation_due", False)
        return [
            "resume_state weights: optimisers, learning rates, the moving average and the ranking of "
            "checkpoints start afresh"
        ]

    def _load_everything(self, state: dict[str, Any]) -> list[str]:
        for name, network in self.recipe.networks.items():
            network.bare.load_state_dict(state["networks"][name])
        for name, optimiser in self.recipe.optimisers.items():
            load_state(optimiser, state["optimisers"][name])
        self.recipe.load_state_dict(state["recipe"])
        self.progress = Progress(**state["progress"])
        if self.average:
            self.average.module.load_state_dict(state.get("average") or state["networks"]["model"])
            self.average.n_averaged.fill_(state["averaged_steps"])
        if self.distributed.scaler and state.get("scaler"):
            self.distributed.scaler.load_state_dict(state["scaler"])
        ranked_by = self.recipe.selection[0]
        if self.progress.best and self.progress.best_by != ranked_by:
            known = self.progress.best_by or "another value"
            self.progress.best, self.progress.stale = [], 0
            return [
                f"checkpoints were ranked by {known}, and are ranked by {ranked_by} from here on; the "
                "earlier ones are kept"
            ]
        return []

    def _convert_position(self, saved: dict[str, Any]) -> list[str]:
        """Goes on behind the samples that were taken, with today's joint batch."""
        progress, before = self.progress, saved.get("joint_batch") or self.joint_batch
        progress.samples = saved.get("samples", progress.step * before)
        progress.joint_batch = self.joint_batch
        if before == self.joint_batch:
            return []
        if self.options.max_steps is None:
            left = math.ceil(self.options.epochs * self.samples.epoch) - progress.samples
            self.total = progress.step + max(0, math.ceil(left / self.joint_batch))
        order = "in another order (`drop_last`)" if self.options.drop_last else "in the same order"
        return [
            f"a step takes {self.joint_batch} samples from here on, {before} before: the run goes on after "
            f"{progress.samples} samples, epoch {self.epoch:.2f}, {order}; {self.total} steps in all"
        ]

    def _changed_options(self, state: dict[str, Any]) -> list[str]:
        before, now = state["options"], asdict(self.options)
        changes = [
            f"{name} {before[name]} -> {now[name]}"
            for name in now.keys() & before.keys() - RESUMABLE_OPTIONS
            if now[name] != before[name]
        ]
        return [f"going on with other options than before: {', '.join(sorted(changes))}"] if changes else []


def _named(name: str, hyperparameters: dict) -> str:
    return f"{name} ({', '.join(f'{key}={value}' for key, value in hyperparameters.items())})"
