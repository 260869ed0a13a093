"""The losses of Eq. 1, 2 and 4 to 7, of the teacher assistant (TA) and of the student.

Reductions are those of docs/method.md: means over pixels for the cross entropies; the boundary
losses as printed or balanced. Shapes: N windows, O overlaps, C classes, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch

from goodsam.data.classes import IGNORE
from goodsam.data.windows import Windows


def consistency_loss(
    predictions_NCHW: torch.Tensor, windows: Windows, kept_HW: torch.Tensor | None = None
) -> torch.Tensor:
    """Eq. 1: mean squared difference of the two predictions of every overlap's pixels.

    predictions: of all windows, softmax probabilities or logits; gradient through both sides.
    kept: bool, of the panorama; its other pixels are left out. None: all count.
    """
    return _Consistency.apply(predictions_NCHW, windows, kept_HW)


class _Consistency(torch.autograd.Function):
    """Its gradient is written by hand: autograd would add up one tensor for each slice."""

    @staticmethod
    def forward(
        ctx: Any,
        predictions_NCHW: torch.Tensor,
        windows: Windows,
        kept_HW: torch.Tensor | None,
    ) -> torch.Tensor:
        ctx.save_for_backward(predictions_NCHW)
        ctx.windows = windows
        ctx.kept = None if kept_HW is None else windows.cut_overlaps(kept_HW)
        ctx.values = _values(predictions_NCHW, windows, ctx.kept)
        total = predictions_NCHW.new_zeros(())
        for i, overlap in enumerate(windows.overlaps):
            left, right = windows.pair(predictions_NCHW, overlap)
            squared = (left - right).square_()
            total += (squared if ctx.kept is None else squared.mul_(ctx.kept[i])).sum()
        return total / ctx.values

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (predictions_NCHW,) = ctx.saved_tensors
        windows: Windows = ctx.windows
        scale = 2 * upstream / ctx.values
        gradient = torch.zeros_like(predictions_NCHW)
        for i, overlap in enumerate(windows.overlaps):
            left, right = windows.pair(predictions_NCHW, overlap)
            difference = (left - right).mul_(scale)
            if ctx.kept is not None:
                difference.mul_(ctx.kept[i])
            for_left, for_right = windows.pair(gradient, overlap)
            for_left += difference
            for_right -= difference
        return gradient, None, None


def _values(
    predictions_NCHW: torch.Tensor, windows: Windows, kept: Sequence[torch.Tensor] | None
) -> int | torch.Tensor:
    """How many values of all overlaps count."""
    _, classes, height, _ = predictions_NCHW.shape
    if kept is None:
        return classes * height * sum(overlap.width for overlap in windows.overlaps)
    return classes * torch.stack([part.sum() for part in kept]).sum().clamp(min=1)


def boundary_loss(
    refined_OHW: torch.Tensor,
    soft_OHW: Sequence[torch.Tensor],
    reduction: Literal["printed", "balanced"] = "printed",
    kept_OHW: torch.Tensor | None = None,
) -> torch.Tensor:
    """Eq. 2 (two soft maps: the TA's two predictions) and Eq. 7 (one: the student's).

    refined: `B_ref`, bool; soft: soft boundaries in [0, 1]. `printed`: the sum over pixels of
    `|B_ref - B|` over `C_o`, the boundary pixels of `B_ref`; 0 for an overlap that has none.
    `balanced`: the mean on `B_ref` plus the mean off it. The mean over all overlaps. kept: bool;
    other pixels are left out. None: all count.
    """
    off_OHW = ~refined_OHW
    if kept_OHW is not None:
        refined_OHW, off_OHW = refined_OHW & kept_OHW, off_OHW & kept_OHW
    target = refined_OHW.to(soft_OHW[0].dtype)
    on = refined_OHW.sum(dim=(-2, -1))
    total = target.new_zeros(refined_OHW.shape[0])
    for soft in soft_OHW:
        difference = (target - soft).abs()
        if reduction == "printed":
            counted = difference if kept_OHW is None else difference * kept_OHW
            total = total + counted.sum(dim=(-2, -1)) / on.clamp(min=1)
        else:
            off = off_OHW.sum(dim=(-2, -1)).clamp(min=1)
            total = total + (difference * target).sum(dim=(-2, -1)) / on.clamp(min=1)
            total = total + (difference * off_OHW).sum(dim=(-2, -1)) / off
    return torch.where(on > 0, total, 0.0).mean()


def whole_image_loss(
    student_log_p_1CHW: torch.Tensor,
    teacher_p_1CHW: torch.Tensor,
    kept_HW: torch.Tensor | None = None,
) -> torch.Tensor:
    """Eq. 4: cross entropy of the student's log probabilities to the TA's probabilities.

    For `hard` targets these are one-hot. The TA gets no gradient. kept: bool; the mean is over
    these pixels. None: over all.
    """
    each = -(student_log_p_1CHW * teacher_p_1CHW.detach()).sum(dim=1)
    return each.mean() if kept_HW is None else (each * kept_HW).sum() / kept_HW.sum().clamp(min=1)


def ensemble_loss(
    log_p_NHW: torch.Tensor,
    ensemble_NHW: torch.Tensor,
    weight_map_NHW: torch.Tensor,
    lambda_: float = 0.2,
) -> torch.Tensor:
    """Eq. 5 and 6: `CE(P, E) + lambda M CE(P, E)`, the mean over pixels that are not left out.

    log_p: of the ensemble's label at each pixel, from `log_p_of` or `log_p_in_windows`.
    """
    counted = ensemble_NHW != IGNORE
    weight = (1 + lambda_ * weight_map_NHW) * counted
    return -(log_p_NHW * weight).sum() / counted.sum().clamp(min=1)


def log_p_of(ensemble_NHW: torch.Tensor, log_p_NCHW: torch.Tensor) -> torch.Tensor:
    """(N, H, W): the log probability of each pixel's ensemble label (of class 0 for a 255)."""
    labels = ensemble_NHW.masked_fill(ensemble_NHW == IGNORE, 0)
    return log_p_NCHW.gather(1, labels[:, None])[:, 0]


def log_p_in_windows(
    ensemble_NHW: torch.Tensor, log_p_1CHW: torch.Tensor, windows: Windows
) -> torch.Tensor:
    """`log_p_of` in the windows of a whole image, without cutting out the windows of all classes.

    ensemble: of the windows, (N, H, windows.window). log_p: of the image, (1, C, H, windows.width).
    """
    labels = ensemble_NHW.masked_fill(ensemble_NHW == IGNORE, 0)
    columns = torch.from_numpy(windows.columns).to(labels.device)
    rows = torch.arange(windows.height, device=labels.device)
    place = (labels * windows.height + rows[:, None]) * windows.width + columns[:, None]
    return log_p_1CHW.flatten().index_select(0, place.flatten()).view(ensemble_NHW.shape)
