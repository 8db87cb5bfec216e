"""What all recipes have in common: the options of a step, and the row of a table of losses.

Like all modules with options, this one does not import torch: train.py --help must not wait for it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Term:
    """One weighted term of a loss.

    name      under which its value is logged
    weight    name of the option that holds its weight; at 0 the term is not computed at all
    function  of a recipe's estimate (recipes/aha.py, recipes/tshrnet.py): a scalar tensor
    needs     layers that it needs from the data set, beyond "input" and "diffuse"
    """

    name: str
    weight: str
    function: Callable[[Any], Any]
    needs: tuple[str, ...] = ()


def weights_of(terms: tuple[Term, ...], options: "OptimiserOptions") -> dict[str, float]:
    """Name of a term -> its weight in `options`."""
    return {term.name: getattr(options, term.weight) for term in terms}


def layers_of(terms: tuple[Term, ...], options: "OptimiserOptions") -> tuple[str, ...]:
    """The layers that the terms with a weight need from the data set, each once."""
    weights = weights_of(terms, options)
    return tuple(dict.fromkeys(layer for term in terms if weights[term.name] for layer in term.needs))


@dataclass
class OptimiserOptions:
    """Optimisers and learning rates."""

    epochs: int = 100
    """passes over the training pictures"""
    lr_g: float = 1e-4
    """learning rate of the generator"""
    lr_trunk: float | None = None
    """learning rate of a pretrained trunk (aha-lite0), trained by AdamW even with --optimizer muon; 0:
    frozen; default: --lr_g"""
    lr_d: float = 1e-4
    """learning rate of the discriminator"""
    optimizer: Literal["adam", "adamw", "muon"] | None = None
    """default: adamw, for TSHRNet adam, as their authors have it; muon learns in fewer steps"""
    weight_decay: float | None = None
    """default: 0.002, for TSHRNet 0"""
    betas: list[float] | None = None
    """of Adam and AdamW; default: 0.9 0.999, for TSHRNet 0.5 0.999"""
    lr_schedule: Literal["plateau", "cosine", "constant"] | None = None
    """plateau (default): times 0.8 after more than 4 validations in a row without improvement (--val_every;
    once an epoch unless given); cosine: to zero at the last step; constant: default for TSHRNet"""
    warmup_steps: int = 0
    """steps over which the learning rate grows linearly from zero"""
    clip_grad: float = 0.0
    """largest norm of an optimiser's gradients; 0: unlimited"""
    grad_accumulation: int = 1
    """batches added up to one optimiser step"""
    ema_decay: float | None = None
    """decay of the moving average of the weights, which is validated and saved; 0: off"""
