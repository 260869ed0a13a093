"""Checkpoints, and how what they hold lies in memory when it is back."""

from __future__ import annotations

import torch

from goodsam.stages.checkpoint import (
    latest_checkpoint,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from goodsam.stages.device import placed
from tests.stages.adapt.small import decided


def test_the_newest_checkpoints_stay_and_nothing_half_written(tmp_path):
    for step in (1, 2, 3):
        (tmp_path / f"step_{step:07d}.safetensors").touch()
    (tmp_path / ".step_0000003.safetensors.7.writing").touch()  # of a process that was killed
    (tmp_path / "mine.txt").touch()
    prune_checkpoints(tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "mine.txt",
        "step_0000002.safetensors",
        "step_0000003.safetensors",
    ]
    newest = latest_checkpoint(tmp_path)
    assert newest is not None
    assert newest.name == "step_0000003.safetensors"


def test_moments_come_back_as_their_parameters_lie(tmp_path):
    def learner(seed):
        network = placed(decided("w16", seed), torch.device("cpu")).eval()
        return network, torch.optim.AdamW(network.parameters(), lr=1e-2)

    def step(network, optimizer):
        network(pixel_values=images).logits.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    images = torch.randn(1, 3, 64, 96)
    network, optimizer = learner(0)
    step(network, optimizer)
    save_checkpoint(tmp_path / "c", {"it": network}, {"it": optimizer}, {"step": 1})
    other, resumed = learner(1)
    assert load_checkpoint(tmp_path / "c", {"it": other}, {"it": resumed}) == {"step": 1}
    for mine, parameter in zip(other.parameters(), network.parameters(), strict=True):
        assert mine.stride() == parameter.stride()
        for field in ("exp_avg", "exp_avg_sq"):
            assert resumed.state[mine][field].stride() == mine.stride()
    step(network, optimizer)
    step(other, resumed)
    assert all(map(torch.equal, other.parameters(), network.parameters()))
