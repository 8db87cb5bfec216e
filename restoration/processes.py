"""Several processes of one torchrun: who does which pictures, and what they did together."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Processes:
    """This process among those that torchrun started; alone without torchrun.

    rank, count   which of how many
    local_rank    which on this machine: its GPU
    """

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.local_rank = int(os.environ.get("LOCAL_RANK", "0"))

    def device(self, name: str) -> str:
        """The device option for this process: each its own GPU where several are asked to use "cuda"."""
        import torch  # late, as in all of this class: sharing out needs none of it

        gpus = torch.cuda.device_count() if name in ("auto", "cuda") else 0
        return f"cuda:{self.local_rank % gpus}" if gpus and self.count > 1 else name

    def share(self, items: list) -> list:
        """Every `count`-th item, so that each is done by one process."""
        return items[self.rank :: self.count]

    def connect(self, device: "torch.device") -> None:
        """Joins the others; they may still be reading their weights."""
        if self.count == 1:
            return
        import torch
        import torch.distributed as dist

        # Two processes of one GPU cannot talk through nccl.
        own_gpu = device.type == "cuda" and torch.cuda.device_count() >= int(
            os.environ.get("LOCAL_WORLD_SIZE", self.count)
        )
        self._on = device if own_gpu else torch.device("cpu")
        dist.init_process_group("nccl" if own_gpu else "gloo", device_id=device if own_gpu else None)

    def add_up(self, values: list[float]) -> list[float]:
        """Element-wise sum over all processes."""
        if self.count == 1:
            return values
        import torch
        import torch.distributed as dist

        total = torch.tensor(values, dtype=torch.float64, device=self._on)
        dist.all_reduce(total)
        return total.tolist()

    def leave(self) -> None:
        """Ends what `connect` began."""
        if self.count > 1:
            import torch.distributed as dist

            dist.destroy_process_group()
