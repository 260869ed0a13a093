"""How the processes of one run divide a step among them."""

from __future__ import annotations

import contextlib

import pytest
import torch

from goodsam.data.errors import InputError
from goodsam.stages.adapt.processes import Processes, gather_only, processes
from goodsam.stages.adapt.reading import schedule


def test_processes_share_a_step_out():
    whole = list(schedule(5, 7, 0, 12))
    halves = [list(schedule(5, 7, rank, 12, stride=2)) for rank in (0, 1)]
    assert [index for pair in zip(*halves, strict=True) for index in pair] == whole
    two = Processes(1, 2, torch.device("cpu"))
    assert two.share_of(6) == 3
    with pytest.raises(InputError, match="accumulate=6"):
        two.share_of(5)


def test_gradients_are_gathered_once_a_step(monkeypatch):
    """Of several backward passes only the last is shared out, and both networks are asked."""
    waits = []

    class Shared(torch.nn.Module):
        def no_sync(self):
            waits.append(self)
            return contextlib.nullcontext()

    monkeypatch.setattr("goodsam.stages.adapt.processes.DistributedDataParallel", Shared)
    networks = (Shared(), Shared(), torch.nn.Linear(1, 1))
    with gather_only(True, *networks):
        assert waits == []
    with gather_only(False, *networks):
        assert waits == [*networks[:2]]


@pytest.mark.parametrize(
    ("here", "gpus", "backend", "index"), [(2, 2, "nccl", 1), (4, 4, "nccl", 3), (4, 2, "gloo", 1)]
)
def test_processes_that_share_a_gpu_communicate_through_gloo(
    here, gpus, backend, index, monkeypatch
):
    """nccl refuses two of them on one."""
    told = []
    for name, value in {
        "WORLD_SIZE": here,
        "LOCAL_WORLD_SIZE": here,
        "LOCAL_RANK": here - 1,
    }.items():
        monkeypatch.setenv(name, str(value))
    room = "goodsam.stages.adapt.processes"
    monkeypatch.setattr(f"{room}.pick_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_device", told.append)
    monkeypatch.setattr(f"{room}.dist.init_process_group", told.append)
    monkeypatch.setattr(f"{room}.dist.get_rank", lambda: here - 1)
    monkeypatch.setattr(f"{room}.dist.destroy_process_group", lambda: None)
    with processes("cuda") as group:
        assert group.device == torch.device("cuda", index)
    assert told == [torch.device("cuda", index), backend]


def test_who_shares_a_gpu_is_told(monkeypatch, caplog):
    for name, value in {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    room = "goodsam.stages.adapt.processes"
    monkeypatch.setattr(f"{room}.pick_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    for name in ("init_process_group", "destroy_process_group"):
        monkeypatch.setattr(f"{room}.dist.{name}", lambda *given: None)
    monkeypatch.setattr(f"{room}.dist.get_rank", lambda: 0)
    with processes("cuda"):
        pass
    assert "2 processes see 1 GPU, share" in caplog.text
