"""How the processes of one run divide a step among them."""

from __future__ import annotations

import contextlib

import pytest
import torch

from goodsam.data.errors import InputError
from goodsam.stages.adapt.processes import Processes, gather_only
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
