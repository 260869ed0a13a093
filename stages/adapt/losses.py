"""The losses of Eq. 1, 2 and 4 to 7.

Shapes: N windows, O overlaps, C classes, H x W pixels. Reductions are those of METHOD: means over
pixels for the cross entropies; the boundary losses as printed or balanced.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F

from data.classes import IGNORE


def consistency_loss(left_OCHW: torch.Tensor, right_OCHW: torch.Tensor) -> torch.Tensor:
    """Eq. 1: mean squared difference of two predictions of one place; gradient through both."""
    return F.mse_loss(left_OCHW, right_OCHW)


def boundary_loss(
    refined_OHW: torch.Tensor,
    soft_OHW: Sequence[torch.Tensor],
    reduction: Literal["printed", "balanced"] = "printed",
) -> torch.Tensor:
    """Eq. 2 (two soft maps: the TA's two predictions) and Eq. 7 (one: the student's).

    refined: `B_ref`, bool; soft: soft boundaries in [0, 1]. `printed`: the sum over pixels of
    `|B_ref - B|` over `C_o`, the boundary pixels of `B_ref`; 0 for an overlap that has none.
    `balanced`: the mean on `B_ref` plus the mean off it. The mean over all overlaps.
    """
    target = refined_OHW.float()
    on = refined_OHW.sum(dim=(-2, -1))
    total = target.new_zeros(refined_OHW.shape[0])
    for soft in soft_OHW:
        difference = (target - soft).abs()
        if reduction == "printed":
            total = total + difference.sum(dim=(-2, -1)) / on.clamp(min=1)
        else:
            off = (~refined_OHW).sum(dim=(-2, -1)).clamp(min=1)
            total = total + (difference * target).sum(dim=(-2, -1)) / on.clamp(min=1)
            total = total + (difference * (1 - target)).sum(dim=(-2, -1)) / off
    return torch.where(on > 0, total, 0.0).mean()


def whole_image_loss(
    student_1CHW: torch.Tensor,
    teacher_1CHW: torch.Tensor,
    targets: Literal["soft", "hard"] = "soft",
) -> torch.Tensor:
    """Eq. 4: cross entropy of the student's logits to the TA's whole-image prediction (logits)."""
    teacher = teacher_1CHW.detach()
    target = teacher.softmax(dim=1) if targets == "soft" else teacher.argmax(dim=1)
    return F.cross_entropy(student_1CHW, target)


def ensemble_loss(
    logits_NCHW: torch.Tensor,
    ensemble_NHW: torch.Tensor,
    weight_map_NHW: torch.Tensor,
    lambda_: float = 0.2,
) -> torch.Tensor:
    """Eq. 5 and 6: `CE(P, E) + lambda M CE(P, E)`, the mean over pixels that are not left out."""
    pixel = F.cross_entropy(logits_NCHW, ensemble_NHW, ignore_index=IGNORE, reduction="none")
    counted = (ensemble_NHW != IGNORE).sum().clamp(min=1)
    return (pixel * (1 + lambda_ * weight_map_NHW)).sum() / counted
