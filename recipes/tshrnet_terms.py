"""The losses of TSHRNet: their options, and the tables of what its two wirings add up.

SSHR wiring  L = |a - A|^2 + |s - S|^2 + lambda_residue |r - R|^2 + |d - D|^2 + |d_tc - D_tc|^2
mix wiring   L = |d0 - D|^2            + lambda_residue |r - R|^2 + |d - D|^2 + |d_tc - D_tc|^2

Capitals are the albedo, shading, residue, diffuse and tone-corrected pictures of the data set; squares are
means, taken between values in [-1, 1].
"""

from dataclasses import dataclass
from typing import Literal

from recipes.options import OptimiserOptions, Term


@dataclass
class TSHRNetOptions(OptimiserOptions):
    """Losses of TSHRNet."""

    lambda_stages: float = 1.0
    """TSHRNet: weight of the squared error of every output but the residue"""
    lambda_residue: float = 1.0
    """TSHRNet: weight of |r - R|^2; its authors suggest 0.01 where clean albedo and shading are wanted, as
    the wiring's r = I - a s and the stored residue do not quite agree"""
    lr_decay: Literal["released", "intended"] | None = None
    """TSHRNet; intended: a tenth of the learning rate every 10 epochs; released (default): none, as the decay
    in their code has no effect"""


def _term(stage: str, layer: str, weight: str = "lambda_stages") -> Term:
    needs = () if layer == "diffuse" else (layer,)
    return Term(stage, weight, lambda estimate: estimate.squared_error(stage, layer), needs)


_SHARED = (
    _term("residue", "specular", "lambda_residue"),
    _term("refined_diffuse", "diffuse"),
    _term("tone_corrected", "tone_corrected"),
)
TSHRNET_TERMS = {
    "tshrnet": (_term("albedo", "albedo"), _term("shading", "shading"), *_SHARED),
    "tshrnet-mix": (_term("coarse_diffuse", "diffuse"), *_SHARED),
}
"""Network -> the terms of its loss."""
