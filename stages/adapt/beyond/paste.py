"""Rare things of another panorama pasted into what the networks see, by SAM's masks.

Of a second panorama, drawn from (seed, position), the masks that were given a small class are cut
out and pasted at the same rows, somewhere else on the circle, so that a rider appears where riders
can. Their pixels are labelled with them. The setting is `view.paste`; the paper has none.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from goodsam.data.classes import IGNORE
from goodsam.data.sphere import WindowPlan
from goodsam.data.windows import turn
from goodsam.stages.adapt.beyond.votes import small_classes
from goodsam.stages.adapt.fusion import FusionConfig, MaskBatch, fuse_prediction
from goodsam.stages.adapt.prediction import Prediction


class Donor(NamedTuple):
    """The panorama that gives. image: uint8 (H, W, 3). masks: of all its windows. roll: columns."""

    image: torch.Tensor
    masks: MaskBatch
    roll: int


@torch.no_grad()
def cut_outs(
    labeller: Prediction, masks: MaskBatch, windows: WindowPlan, fusion: FusionConfig, roll: int
) -> torch.Tensor:
    """int64 (H, W): the labels of the donor's small things, 255 elsewhere, turned by `roll`.

    labeller: its prediction of the donor's windows. Pixels in no mask are never cut out.
    """
    ensemble, _, _ = fuse_prediction(labeller, masks, fusion)
    in_mask_K = torch.zeros(masks.cell_count, dtype=torch.bool, device=ensemble.device)
    in_mask_K[masks.cell_of] = True
    in_mask = in_mask_K[masks.cells.flatten().long()].view_as(ensemble)
    small_C = small_classes(labeller.labels, labeller.classes)
    taken = in_mask & small_C[ensemble.masked_fill(ensemble == IGNORE, 0)]
    taken &= ensemble != IGNORE
    if labeller.ignored is not None:
        taken &= ~labeller.ignored
    return turn(windows.join_labels(ensemble.masked_fill(~taken, IGNORE)), roll)


def pasted(
    seen_13HW: torch.Tensor, donor_13HW: torch.Tensor, labels_HW: torch.Tensor, roll: int
) -> torch.Tensor:
    """What the networks see: the donor's pixels, turned by `roll`, where it gives a label."""
    return torch.where(labels_HW != IGNORE, turn(donor_13HW, roll), seen_13HW)
