"""Devices and processes, by accelerate: one process, several GPUs or machines, or processes on a CPU."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor, nn

from training.sync_norm import synchronise_batch_norm
from utils.errors import UserError


class Machine:
    """Where a run computes. `rank` of `world` processes, each with `device`."""

    def __init__(self, device: str = "auto", precision: str = "fp32"):
        if device not in ("auto", "cpu", "cuda"):
            raise UserError(f"--device {device} is not known; choose auto, cpu or cuda")
        if device == "cuda" and not torch.cuda.is_available():
            raise UserError("--device cuda: PyTorch sees no GPU here; pass --device cpu, or auto")
        cpu = device == "cpu" or not torch.cuda.is_available()
        if precision == "fp16" and cpu:
            raise UserError("--precision fp16 needs a GPU; pass --precision bf16 or fp32")
        # One process may train several times with different precisions, as the tests do.
        AcceleratorState._reset_state()
        # Buffers are alike in all processes (batch norm is synchronised), so none have to be sent around.
        handler = DistributedDataParallelKwargs(broadcast_buffers=False)
        mixed = "no" if precision == "fp32" else precision
        self.accelerator = Accelerator(cpu=cpu, mixed_precision=mixed, kwargs_handlers=[handler])
        self.device = self.accelerator.device
        self.rank, self.world = self.accelerator.process_index, self.accelerator.num_processes
        self.is_main = self.rank == 0

    def place(self, network: nn.Module) -> nn.Module:
        """Moves a network to the device; with several processes its batch norms share their statistics."""
        if self.world > 1:
            synchronise_batch_norm(network)
        return network.to(self.device)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Mixed precision and, with several processes, the averaging of gradients around a placed network."""
        return self.accelerator.prepare_model(network)

    def prepare_optimiser(self, optimiser: torch.optim.Optimizer) -> torch.optim.Optimizer:
        return self.accelerator.prepare_optimizer(optimiser)

    def backward(self, loss: Tensor) -> None:
        self.accelerator.backward(loss)

    @property
    def scaler(self) -> torch.amp.GradScaler | None:
        """The loss scale of fp16."""
        return self.accelerator.scaler

    @contextlib.contextmanager
    def gradients_stay(self, networks: dict[str, nn.Module], stay: bool) -> Iterator[None]:
        """While batches are accumulated, gradients are not exchanged."""
        with contextlib.ExitStack() as stack:
            if stay and self.world > 1:
                for network in networks.values():
                    stack.enter_context(network.no_sync())
            yield

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over the processes."""
        return self.accelerator.reduce(value, "mean") if self.world > 1 else value

    def largest(self, value: int) -> int:
        """The largest of the processes' numbers."""
        if self.world == 1:
            return value
        number = torch.tensor(value, device=self.device)
        torch.distributed.all_reduce(number, torch.distributed.ReduceOp.MAX)
        return int(number)

    def same(self, value: Any) -> Any:
        """The main process's value, in every process."""
        if self.world == 1:
            return value
        box = [value]
        torch.distributed.broadcast_object_list(box, src=0)
        return box[0]

    def wait(self) -> None:
        """Until all processes have come here."""
        self.accelerator.wait_for_everyone()

    def close(self) -> None:
        self.accelerator.end_training()
