"""How networks lie in memory changes how fast they are, and nothing else."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from goodsam.stages.device import placed
from goodsam.stages.networks.classes import remap
from tests.stages.adapt.small import NAMES, decided

CPU = torch.device("cpu")


@pytest.mark.parametrize("count", [1, 3])
def test_channels_last_changes_no_number(count):
    plain = decided("w16", 0).eval()
    ours = placed(deepcopy(plain), CPU)
    depthwise = [m for m in ours.modules() if isinstance(m, torch.nn.Conv2d) and m.groups > 1]
    assert depthwise
    assert all(m.weight.is_contiguous(memory_format=torch.channels_last) for m in depthwise)
    images = torch.randn(count, 3, 64, 160, generator=torch.Generator().manual_seed(0))
    found, expected = (network(pixel_values=images).logits for network in (ours, plain))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    for network, logits in ((ours, found), (plain, expected)):
        logits.square().mean().backward()
        assert network.segformer.stages[0].patch_embeddings.proj.weight.grad is not None
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-4)


def test_a_network_inside_a_class_map_lies_so_too():
    mapped = remap(decided("w16", 0), {"thing": NAMES[0]}, "it")
    inside = [m for m in placed(mapped, CPU).modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(m.weight.is_contiguous(memory_format=torch.channels_last) for m in inside)
