"""The processes of one run: those that `torchrun` started, or this one alone.

    torchrun --nproc-per-node 4 --no-python goodsam train ...

Every process holds both networks and works on its share of each step's panoramas;
DistributedDataParallel takes the mean of their gradients, so that all stay equal.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from transformers import SegformerForSemanticSegmentation

from goodsam.data.errors import InputError
from goodsam.stages.device import pick_device


@dataclass(frozen=True)
class Processes:
    """rank: of this process among `count`. device: where it computes."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def share_of(self, panoramas: int) -> int:
        """How many of a step's panoramas each process takes. InputError if they do not divide."""
        if panoramas % self.count:
            raise InputError(
                f"{panoramas} panoramas a step cannot be divided among {self.count} processes; use "
                f"--set accumulate={-(-panoramas // self.count) * self.count}"
            )
        return panoramas // self.count

    def wrap(self, network: torch.nn.Module) -> torch.nn.Module:
        """The network as it is called in a step; its gradients are the mean of all processes'."""
        if self.count == 1:
            return network
        ids = None if self.device.type == "cpu" else [self.device]
        return DistributedDataParallel(
            network,
            device_ids=ids,
            broadcast_buffers=False,
            # an auxiliary head, which some families have, is not called
            find_unused_parameters=not isinstance(network, SegformerForSemanticSegmentation),
        )

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean of a tensor over all processes."""
        if self.count > 1:
            dist.all_reduce(values)
        return values / self.count


def is_first() -> bool:
    """Whether this process is the first of those that torchrun started, or alone."""
    return os.environ.get("RANK", "0") == "0"


@contextlib.contextmanager
def processes(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started, leave them at exit.

    They communicate through nccl, each with a GPU of its own; through gloo on CPUs, or where fewer
    GPUs are visible than processes run here, which then share them: nccl refuses that. All machines
    of a run must come to the same.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    picked = pick_device(device)
    if count == 1:
        yield Processes(0, 1, picked)
        return
    backend = "gloo"
    if picked.type == "cuda":
        gpus = torch.cuda.device_count()
        picked = torch.device("cuda", int(os.environ["LOCAL_RANK"]) % gpus)
        torch.cuda.set_device(picked)
        here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        if here <= gpus:
            backend = "nccl"
        elif os.environ["LOCAL_RANK"] == "0":
            logging.getLogger("goodsam").warning(
                f"{here} processes see {gpus} GPU{'s' * (gpus > 1)}, share them and communicate "
                "through gloo, which is slower than nccl with a GPU each"
            )
    dist.init_process_group(backend)
    try:
        yield Processes(dist.get_rank(), count, picked)
    finally:
        dist.destroy_process_group()


def gather_only(last: bool, *networks: torch.nn.Module) -> contextlib.AbstractContextManager:
    """A context in which gradients only add up here; the `last` backward pass averages them."""
    stack = contextlib.ExitStack()
    for network in networks:
        if isinstance(network, DistributedDataParallel) and not last:
            stack.enter_context(network.no_sync())
    return stack
