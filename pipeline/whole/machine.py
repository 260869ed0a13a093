"""What a machine has that decides how fast goodsam is on it, and how much fits."""

from __future__ import annotations

import resource
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from goodsam.stages.device import pick_device
from goodsam.stages.sam.generate import precision


@dataclass(frozen=True)
class Machine:
    """device: `cpu`, or a GPU's name. gpu: whether it is one. memory: bytes that a process may
    take, of the GPU where there is one. cores: that this process may use; threads: that torch
    computes with. bfloat16: whether the hardware multiplies it faster than float32. load: processes
    that wanted a core in the last minute.
    """

    device: str
    gpu: bool
    memory: int
    cores: int
    threads: int
    bfloat16: bool
    load: float = 0.0

    @classmethod
    def here(cls, device: str = "auto") -> Machine:
        """This machine. InputError for a device that is not there."""
        picked = pick_device(device)
        gpu = picked.type == "cuda"
        properties = torch.cuda.get_device_properties(picked) if gpu else None
        return cls(
            device=picked.type if properties is None else properties.name,
            gpu=gpu,
            memory=main_memory() if properties is None else properties.total_memory,
            cores=usable_cores(),
            threads=torch.get_num_threads(),
            bfloat16=precision(picked) == torch.bfloat16,
            load=psutil.getloadavg()[0],
        )

    @property
    def busy(self) -> str:
        """That others want its cores, for people; empty where they do not."""
        if self.load <= self.cores + 1:
            return ""
        return (
            f"The machine is busy (load {self.load:.0f}, {self._cores} to use): what is "
            "measured now takes less time when it is not."
        )

    @property
    def _cores(self) -> str:
        return f"{self.cores} CPU core{'s' * (self.cores > 1)}"

    def __str__(self) -> str:
        what = self.device if self.gpu else f"no GPU, {self._cores}"
        bf16 = "with" if self.bfloat16 else "without"
        return f"{what}, {self.memory / 2**30:.1f} GiB of memory, {bf16} fast bfloat16"


def main_memory() -> int:
    """Bytes of memory that this process may take: the machine's, or what its container allows."""
    from distributed.system import MEMORY_LIMIT  # slow to import

    return int(MEMORY_LIMIT)


def usable_cores() -> int:
    """Cores that this process may use: those of its affinity, or what its container allows."""
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)


def peak_memory() -> int:
    """Bytes that this process has taken at most so far, on the GPU where it uses one."""
    if torch.cuda.is_available() and torch.cuda.max_memory_reserved():
        return torch.cuda.max_memory_reserved()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def free_disk(path: Path) -> int:
    """Bytes that are free where `path` is, or will be."""
    there = path.absolute()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free
