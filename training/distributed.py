"""Devices and processes, by accelerate: one process, several GPUs or machines, or processes on a CPU."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list
from torch import Tensor, nn

from recipes.recipe import TrainedNetwork
from utils.devices import check_precision, gpu_usable
from utils.errors import UserError

LEAST_CHANNELS = 8  # values in a vector of AVX2


class Distributed:
    """Where a run computes: `rank` of `world` processes, each with `device`.

    Optimisers stay as they are: accelerate's wrapper around one changes the loss scale of fp16 after each
    step of each optimiser, so that with several optimisers accumulated gradients would be of two scales.
    """

    def __init__(self, device: str = "auto", precision: str = "fp32"):
        if device not in ("auto", "cpu", "cuda"):
            raise UserError(f"`device={device}` is not known; choose auto, cpu or cuda")
        if device == "cuda" and not torch.cuda.is_available():
            raise UserError("`device=cuda`: PyTorch sees no GPU here; pass `device=cpu`, or auto")
        cpu = device == "cpu" or not gpu_usable()
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        if not cpu and processes > torch.cuda.device_count():
            raise UserError(
                f"{processes} processes on {torch.cuda.device_count()} GPU(s): give torchrun as many "
                "processes (--nproc_per_node) as there are GPUs, or pass `device=cpu`"
            )
        check_precision(precision, torch.device("cpu" if cpu else "cuda"))
        # Pictures of a training have one size, so that a search for the fastest convolutions pays; the
        # authors search too. `deterministic` switches it off again.
        torch.backends.cudnn.benchmark = True
        # One process may train several times with different precisions, as the tests do.
        AcceleratorState._reset_state()
        # Buffers are alike in all processes (batch norm is synchronised), so none have to be sent around.
        handler = DistributedDataParallelKwargs(broadcast_buffers=False)
        mixed = "no" if precision == "fp32" else precision
        self.accelerator = Accelerator(cpu=cpu, mixed_precision=mixed, kwargs_handlers=[handler])
        self.device = self.accelerator.device
        self.rank, self.world = self.accelerator.process_index, self.accelerator.num_processes
        self.is_main = self.rank == 0
        # Numbers of the processes themselves go past the GPUs, which would have to finish their work first.
        self._control = torch.distributed.new_group(backend="gloo") if self.world > 1 else None

    def place(self, network: nn.Module, *, channels_last: bool = False) -> nn.Module:
        """Moves a network to the device; with several processes its batch norms share their statistics."""
        if self.world > 1 and self.device.type == "cpu":
            synchronise_batch_norm(network)
        elif self.world > 1:
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        if channels_last and self.device.type == "cpu":
            check_channels_last(network)
        layout = torch.channels_last if channels_last else torch.preserve_format
        return network.to(self.device, memory_format=layout)

    def wrap(self, network: TrainedNetwork, *, compile: bool = False) -> None:
        """Puts mixed precision and, with several processes, averaging of gradients around a network."""
        wrapped = self.accelerator.prepare_model(network.bare)
        network.wrapped = torch.compile(wrapped) if compile else wrapped

    @contextlib.contextmanager
    def accumulating(self, networks: dict[str, TrainedNetwork], enabled: bool) -> Iterator[None]:
        """While batches are accumulated, gradients are not exchanged."""
        with contextlib.ExitStack() as stack:
            for network in networks.values() if enabled else ():
                stack.enter_context(self.accelerator.no_sync(network.wrapped))
            yield

    def backward(self, loss: Tensor) -> None:
        self.accelerator.backward(loss)

    def step(self, optimiser: torch.optim.Optimizer, clip: float = 0.0) -> None:
        """An optimiser's step, after its gradients were cut to the norm `clip` (0: not at all)."""
        if clip:
            if self.scaler:
                self.scaler.unscale_(optimiser)
            parameters = [p for group in optimiser.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        if self.scaler:
            self.scaler.step(optimiser)
        else:
            optimiser.step()

    def end_step(self) -> None:
        """After all optimisers have stepped: fp16 chooses its next loss scale."""
        if self.scaler:
            self.scaler.update()

    @property
    def scaler(self) -> torch.amp.GradScaler | None:
        """The loss scale of fp16."""
        return self.accelerator.scaler

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over the processes."""
        return self.accelerator.reduce(value, "mean") if self.world > 1 else value

    def largest(self, *values: int) -> list[int]:
        """The largest of the processes' numbers, for each of `values`; waits for no device."""
        largest = torch.tensor(values)
        if self.world > 1:
            torch.distributed.all_reduce(largest, torch.distributed.ReduceOp.MAX, group=self._control)
        return largest.tolist()

    def from_main(self, value: Any) -> Any:
        """The main process's value, in every process."""
        return broadcast_object_list([value])[0]

    def wait(self) -> None:
        """Until all processes have come here."""
        self.accelerator.wait_for_everyone()

    def close(self) -> None:
        self.accelerator.end_training()


def check_channels_last(network: nn.Module) -> None:
    """Raises UserError for a network whose training in this layout corrupts memory on AVX2 processors.

    The gradient of the weights of a strided 1x1 convolution of fewer than 8 channels is written beyond its
    buffer by oneDNN (issue 6035 there, torch 2.15): the process aborts, there or at any later allocation.
    """
    for name, layer in network.named_modules():
        if not isinstance(layer, nn.Conv2d) or layer.kernel_size != (1, 1) or max(layer.stride) == 1:
            continue
        if layer.in_channels // layer.groups < LEAST_CHANNELS:
            raise UserError(
                f"`channels_last`: the strided 1x1 convolution {name} takes {layer.in_channels} channels, "
                f"and with fewer than {LEAST_CHANNELS} oneDNN corrupts memory in this layout: leave it "
                "out, or make the network wider"
            )


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d with the mean and variance of all processes' samples; its entries are the same.

    For CPUs, where torch.nn.SyncBatchNorm refuses to run and two processes must take the steps of one with
    the doubled batch. All processes hold batches of one size.
    """

    # The compiler does not trace collectives that have gradients.
    @torch.compiler.disable
    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and torch.distributed.is_initialized()):
            return super().forward(x)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        own_mean = wide.mean(dim=(0, 2, 3))
        own_variance = (wide - own_mean.view(1, -1, 1, 1)).square().mean(dim=(0, 2, 3))
        # One collective: the joint variance is that within the processes' batches and that between them.
        means, variances = _Gather.apply(torch.stack([own_mean, own_variance])).unbind(dim=1)
        mean = means.mean(dim=0)
        variance = variances.mean(dim=0) + (means - mean).square().mean(dim=0)
        self._remember(mean, variance, len(means) * x.numel() // x.shape[1])
        scale = torch.rsqrt(variance + self.eps) * self.weight
        normalised = (wide - mean.view(1, -1, 1, 1)) * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
        return normalised.to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)


class _Gather(torch.autograd.Function):
    """x -> (processes, *x.shape), the x of every process; gradients go back to where they belong."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(parts, x.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous()
        torch.distributed.all_reduce(total)
        return total[torch.distributed.get_rank()]


def synchronise_batch_norm(network: nn.Module) -> None:
    """Turns every nn.BatchNorm2d inside a network on the CPU into a synchronised one, in place."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SynchronisedBatchNorm2d
