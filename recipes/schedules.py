"""Learning rates: warm-up, then plateau, cosine or constant."""

import math
from typing import Any

import torch

FACTOR, PATIENCE = 0.8, 4


class LearningRates:
    """Factor on an optimiser's base rate: min(1, (step + 1) / warmup) times the schedule's.

    plateau   times 0.8 once the watched value has not fallen for more than 4 validations (the paper's)
    cosine    (1 + cos(pi t)) / 2, t from 0 to 1 over the steps after the warm-up
    constant  1
    """

    def __init__(self, schedule: str, warmup_steps: int):
        self.schedule = schedule
        self.warmup_steps = warmup_steps
        # torch's scheduler works on an optimiser; this one holds nothing but the factor, as its rate.
        self._factor = torch.optim.SGD([torch.zeros(())], lr=1.0)
        self._plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(self._factor, "min", FACTOR, PATIENCE)

    def factor(self, step: float, total: float) -> float:
        """Factor for optimiser step `step` (0-based) of `total`."""
        warmup = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        if self.schedule == "plateau":
            return warmup * self._factor.param_groups[0]["lr"]
        if self.schedule == "cosine":
            t = max(0, step - self.warmup_steps) / max(1, total - self.warmup_steps)
            return warmup * 0.5 * (1 + math.cos(math.pi * min(1.0, t)))
        return warmup

    def watch(self, value: float) -> None:
        """Updates the plateau schedule with a validation value."""
        self._plateau.step(value)

    def state_dict(self) -> dict[str, Any]:
        plateau = self._plateau
        return {
            "factor": self._factor.param_groups[0]["lr"],
            "best": float(plateau.best),
            "bad": plateau.num_bad_epochs,
            "seen": plateau.last_epoch,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._factor.param_groups[0]["lr"] = state["factor"]
        self._plateau.best = state["best"]
        self._plateau.num_bad_epochs = state["bad"]
        self._plateau.last_epoch = state["seen"]
