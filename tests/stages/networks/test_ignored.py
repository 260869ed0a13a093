"""What a class map ignores has no label, and nothing is learned from there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers.modeling_outputs import SemanticSegmenterOutput

from goodsam.data.classes import IGNORE
from goodsam.data.window_masks import WindowMasks, overlap_boundaries
from goodsam.data.windows import Windows
from goodsam.stages.adapt.fusion import MaskBatch
from goodsam.stages.adapt.step import Networks, StepConfig, adaptation_step
from goodsam.stages.networks.classes import remap
from goodsam.stages.segformer.segment import segment
from tests.stages.networks.tiny import build

WINDOWS = Windows(64, 256, 64, 32)
GROUPS = {"thing": ["car", "person"], "street": "road"}  # sky and lamp are ignored


class Maps(torch.nn.Module):
    """A network whose logits are its parameters, whatever the picture."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        logits = torch.randn(1, classes, 64, 256, generator=torch.Generator().manual_seed(0))
        self.logits = torch.nn.Parameter(logits)

    def forward(self, pixel_values: torch.Tensor) -> SemanticSegmenterOutput:
        return SemanticSegmenterOutput(logits=self.logits)


@pytest.mark.parametrize("mirrored", [False, True])
def test_ignored_pixels_teach_nobody(mirrored):
    teacher = remap(build("segformer"), GROUPS, "a model")
    student = Maps(2)
    rng = np.random.default_rng(0)
    stacks = rng.random((len(WINDOWS), 5, 8, 8)).repeat(8, 2).repeat(8, 3) < 0.3
    masks = [WindowMasks.of(stack, np.ones(5), np.ones(5)) for stack in stacks]
    boundaries = [torch.from_numpy(b) for b in overlap_boundaries(masks, WINDOWS)]
    image = torch.from_numpy(rng.normal(size=(1, 3, 64, 256)).astype(np.float32))
    config = StepConfig(labels_mirrored=mirrored)
    outcome = adaptation_step(
        Networks(teacher, student), image, MaskBatch.of(masks), boundaries, WINDOWS, config
    )
    pieces = WINDOWS.cut(image[0])
    with torch.no_grad():
        shares = segment(teacher, pieces).softmax(1)
        if mirrored:
            shares = (shares + segment(teacher, pieces.flip(-1)).flip(-1).softmax(1)) / 2
    ignored_HW = WINDOWS.join(shares.argmax(1) == 2)
    assert 0.02 < ignored_HW.float().mean() < 0.98
    assert ((outcome.ensemble == IGNORE) == WINDOWS.cut(ignored_HW)).all()
    assert outcome.ensemble[outcome.ensemble != IGNORE].max() <= 1
    outcome.student.backward()
    learned = student.logits.grad[0].abs().amax(0)
    # a boundary is made of a pixel and its neighbours, of which one may be ignored
    inside = -torch.nn.functional.max_pool2d(-ignored_HW[None, None].float(), 3, 1, 1)[0, 0] == 1
    assert inside.any()
    assert (learned[inside] == 0).all()
    assert (learned[~ignored_HW] > 0).float().mean() > 0.99
