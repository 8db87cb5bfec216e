"""The interface between the training loop and a recipe, and the table of networks that both use."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from recipes.scores import Values


@dataclass
class TrainedNetwork:
    """bare     the network: its weights are saved, averaged and evaluated
    wrapped  what forward passes with a gradient go through: the same inside what mixed precision, several
             processes and compilation put around it (training/distributed.py); until then the bare one
    """

    bare: nn.Module
    wrapped: nn.Module | None = None

    def __post_init__(self) -> None:
        if self.wrapped is None:
            self.wrapped = self.bare


class Recipe(Protocol):
    """How a network is trained.

    A recipe draws random numbers from torch's default generator only; the loop seeds it from (seed, step),
    so that a resumed run draws the same ones. Losses are means over samples and pixels, so that the mean
    over processes is the mean over the joint batch.
    """

    networks: dict[str, TrainedNetwork]
    """"model": the one that is trained, averaged, evaluated and saved; "discriminator" where there is one"""
    frozen: dict[str, TrainedNetwork]
    """networks that losses need and that do not learn; they are in no checkpoint"""
    optimisers: dict[str, Optimizer]
    """name -> optimiser, which the loop steps, clips and saves"""
    training_layers: tuple[str, ...]
    """sample keys that the losses need beyond "input" and "diffuse"; training is refused without them"""
    validation_layers: tuple[str, ...]
    """the same for `validate`"""
    selection: tuple[str, str]
    """(name of a validation value, "max" or "min"): which checkpoint is the best one"""

    def phases(self, batch: dict[str, Any]) -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]:
        """Yields (optimiser name, loss, terms) in turn. The loop backpropagates `loss`, a scalar, and steps
        that optimiser before it asks for the next phase; `terms`, detached scalars, are logged.

        batch  tensors (B, C, H, W) in [0, 1] on the device; "name": list of str
        """

    def set_learning_rates(self, step: float, total: float) -> None:
        """Called before optimiser step `step` (0-based) of `total`."""

    def validate(self, batch: dict[str, Any], model: nn.Module) -> dict[str, Values]:
        """Values of the pictures of a batch by `model` (the averaged one, where averaging is on), without
        gradients; a picture's values do not depend on the others of its batch."""

    def after_validation(self, values: dict[str, float]) -> None:
        """Called with the means of a whole validation, under the same names."""

    def pictures(self, batch: dict[str, Any], model: nn.Module) -> dict[str, Tensor]:
        """{column: (B, 3, H, W) in [0, 1]} for picture grids, without gradients."""

    def state_dict(self) -> dict[str, Any]:
        """What is neither in the networks nor in the optimisers; tensors and plain containers only."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` returned."""
