"""Optimisers by name: Adam, AdamW and Muon; and the moving average of the weights that they train.

Muon takes steps that are equally strong in every singular direction of a weight (Jordan et al. 2024). A
convolution's weight (out, in, k, k) is the matrix (out, in k k). Its averaged gradient G = U S V' is replaced
by about U V' (Newton-Schulz iterations), scaled to the root mean square of an AdamW step, 0.2 sqrt(max(rows,
columns)) (Liu et al. 2025), so that learning rates carry over. Biases, batch norms and a pretrained trunk
take steps of AdamW.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from recipes.options import OptimiserOptions


def build_optimiser(
    parameters: Iterable[nn.Parameter],
    rate: float,
    options: OptimiserOptions,
    trunk: Iterable[nn.Parameter] = (),
) -> torch.optim.Optimizer:
    """The optimiser `options.optimizer` with its `betas` and `weight_decay`, for trainable parameters.

    trunk  parameters that learn at the rate `options.lr_trunk`, by Muon too in steps of AdamW; their group
           says in "relative" what that is of `rate`
    """
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "muon": Muon}
    groups: list[dict[str, Any]] = [{"params": [p for p in parameters if p.requires_grad]}]
    slow = [parameter for parameter in trunk if parameter.requires_grad]
    if slow:
        relative = options.lr_trunk / rate if rate else 1.0
        groups.append({"params": slow, "lr": rate * relative, "relative": relative})
    how: dict[str, Any] = {"betas": tuple(options.betas), "weight_decay": options.weight_decay}
    if options.optimizer != "muon" and all(p.is_cuda for group in groups for p in group["params"]):
        how["fused"] = True  # one kernel for all weights
    return kinds[options.optimizer](groups, rate, **how)


def load_state(optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Loads the state of another optimiser of its kind, except `betas` and `weight_decay`: options may be
    others where a training goes on."""
    names = ("betas", "weight_decay")
    options = [{name: group[name] for name in names if name in group} for group in optimiser.param_groups]
    optimiser.load_state_dict(state)
    for group, values in zip(optimiser.param_groups, options, strict=True):
        group.update(values)


class Muon(torch.optim.Optimizer):
    """torch.optim.Muon for weights of two dimensions and more, torch.optim.AdamW for the others.

    parameters  an iterable of them, or of groups as torch's optimisers take them; the groups after the first
                are AdamW's as a whole
    Raises ValueError where no weight of the first group is a matrix.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
    ):
        given = list(parameters)
        first, *more = given if given and isinstance(given[0], dict) else [{"params": given}]
        matrices = [parameter for parameter in first["params"] if parameter.ndim > 1]
        others = [parameter for parameter in first["params"] if parameter.ndim < 2]
        if not matrices:
            raise ValueError("Muon needs at least one weight of two dimensions or more")
        groups = [{"params": matrices}, *([{"params": others}] if others else []), *more]
        super().__init__(groups, {"lr": lr, "betas": betas, "weight_decay": weight_decay})
        # torch's Muon takes matrices only: it sees the convolutions' weights as these.
        self._matrices = [nn.Parameter(weight.detach().flatten(1)) for weight in matrices]
        self._muon = torch.optim.Muon(
            self._matrices, lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
        )
        adamw = {"betas": betas, "weight_decay": weight_decay}
        self._adamw = torch.optim.AdamW(groups[1:], lr, **adamw) if groups[1:] else None

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        weights = self.param_groups[0]["params"]
        self._take_over_weights()
        for matrix, weight in zip(self._matrices, weights, strict=True):
            matrix.grad = None if weight.grad is None else weight.grad.flatten(1)
        inside = [group for inner in self._inner() for group in inner.param_groups]
        for outer, group in zip(self.param_groups, inside, strict=True):
            group["lr"] = outer["lr"]
        for inner in self._inner():
            inner.step()
        for matrix, weight in zip(self._matrices, weights, strict=True):
            weight.copy_(matrix.view(weight.shape))
            matrix.grad = None

    def state_dict(self) -> dict[str, Any]:
        return {"muon": [inner.state_dict() for inner in self._inner()]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raises KeyError for the state of another optimiser."""
        self._take_over_weights()
        for inner, state in zip(self._inner(), state_dict["muon"], strict=True):
            load_state(inner, state)

    def _take_over_weights(self) -> None:
        """Weights may have been moved (to a device, to channels_last) or filled since the last step."""
        for matrix, weight in zip(self._matrices, self.param_groups[0]["params"], strict=True):
            matrix.grad = None
            matrix.data = weight.detach().flatten(1).clone()

    def _inner(self) -> list[torch.optim.Optimizer]:
        return [inner for inner in (self._muon, self._adamw) if inner is not None]


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """The average, in eval mode, of the weights that `model` has at each `update_parameters(model)`; buffers
    (batch statistics, spectral norms) are copied. The averaged network is `.module`.

    w <- d w + (1 - d) w_now, d = min(decay, (1 + n) / (10 + n)) after n updates, so that the first, random
    weights are soon forgotten; the first update takes the weights as they are.

    model  the network that is trained; it is not changed
    decay  d, in [0, 1); near 1 the average reaches far back: 0.999 over about the last thousand updates
    """

    @torch.no_grad()
    def update(averages: list[Tensor], weights: list[Tensor], _: Tensor) -> None:
        n = int(average.n_averaged)  # a number on the CPU; the argument lies on the device
        torch._foreach_lerp_(averages, weights, 1 - min(decay, (1 + n) / (10 + n)))

    average = AveragedModel(model, multi_avg_fn=update)
    average.module.eval().requires_grad_(False)
    return average
