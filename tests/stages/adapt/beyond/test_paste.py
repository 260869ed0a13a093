"""What is cut out of one panorama and pasted into another."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from goodsam.data.classes import IGNORE
from goodsam.data.window_masks import WindowMasks
from goodsam.data.windows import Windows
from goodsam.stages.adapt.beyond.paste import cut_outs, pasted
from goodsam.stages.adapt.fusion import FusionConfig, MaskBatch
from goodsam.stages.adapt.prediction import Prediction
from goodsam.stages.adapt.step import Networks, StepConfig, adaptation_step

WINDOWS = Windows(20, 40, 20, 20)


class Pixelwise(torch.nn.Module):
    """Logits of each pixel from that pixel alone."""

    def forward(self, pixel_values: torch.Tensor):
        return SimpleNamespace(logits=pixel_values)


def donor() -> tuple[Prediction, MaskBatch]:
    """Class 1 on 3 pixels in a mask, class 2 on 3 in none, class 3 on a large mask, else 0."""
    labels = torch.zeros(2, 20, 20, dtype=torch.long)
    labels[0, 5, 2:5] = 1
    labels[1, 9, 2:5] = 2
    labels[1, 12:, :] = 3
    stacks = np.zeros((2, 2, 20, 20), bool)
    stacks[0, 0, 5, 2:5] = True
    stacks[0, 1, 8:, :] = True
    stacks[1, 0, 12:, :] = True
    masks = [WindowMasks.of(s, np.ones(2), np.ones(2)) for s in stacks]
    logits = torch.nn.functional.one_hot(labels, 4).movedim(-1, 1) * 5.0
    return Prediction.of(logits), MaskBatch.of(masks)


def test_only_masks_of_small_classes_are_cut_out_and_turned():
    labels = cut_outs(*donor(), WINDOWS, FusionConfig(rule="ssa"), roll=7)
    expected = torch.full((20, 40), IGNORE)
    expected[5, 9:12] = 1
    assert torch.equal(labels, expected)


def test_the_picture_changes_only_there():
    labels = torch.full((20, 40), IGNORE)
    labels[5, 38:] = 1
    below, above = torch.zeros(1, 3, 20, 40), torch.arange(40.0).expand(1, 3, 20, 40)
    found = pasted(below, above, labels, roll=7)
    assert found[0, 0, 5, 38:].tolist() == [31.0, 32.0]
    assert found.sum() == 3 * (31 + 32)


def test_pasted_pixels_have_their_labels_and_no_boundary():
    windows = Windows(20, 40, 20, 10)
    stack = np.zeros((len(windows), 1, 20, 20), bool)
    masks = MaskBatch.of([WindowMasks.of(s, np.ones(1), np.ones(1)) for s in stack])
    boundaries = [torch.ones(20, 10, dtype=torch.bool)] * len(windows.overlaps)
    image = torch.randn(1, 3, 20, 40)
    labels = torch.full((20, 40), IGNORE)
    labels[5:9, 3:12] = 2
    kept = torch.ones(20, 40, dtype=torch.bool)
    kept[:, 10:20] = False
    found = adaptation_step(
        Networks(Pixelwise(), Pixelwise()),
        image,
        masks,
        boundaries,
        windows,
        StepConfig(),
        kept_HW=kept,
        pasted_HW=labels,
    )
    there = windows.cut((labels == 2) & kept)
    assert (found.ensemble[there] == 2).all()
    assert (found.labels.weight_map[there] == 1).all()
    assert (found.ensemble[windows.cut(~kept)] == IGNORE).all()
    elsewhere = windows.cut((labels != 2) & kept)
    own = windows.cut(image[0].argmax(dim=0))
    assert torch.equal(found.ensemble[elsewhere], own[elsewhere])
