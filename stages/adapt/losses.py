"""The losses of Eq. 1, 2 and 4 to 7, of the teacher assistant (TA) and of the student.

Reductions are those of docs/method.md: means over pixels for the cross entropies; the boundary
losses as printed or balanced. Shapes: N windows, O overlaps, C classes, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch

from goodsam.data.classes import IGNORE
from goodsam.data.sphere import WindowPlan


def consistency_loss(
    predictions: Sequence[torch.Tensor], windows: WindowPlan, kept_HW: torch.Tensor | None = None
) -> torch.Tensor:
    """Eq. 1: mean squared difference of the two predictions of every overlap's pixels.

    predictions: of all windows, as `windows.reproject` gives them: (N, C, H, W) where windows are
    cut out, else N of (C, h_k, w_k); softmax probabilities or logits; gradient through both sides.
    kept: bool, of the panorama; its other pixels are left out. None: all count that both show.
    """
    tensors = [predictions] if isinstance(predictions, torch.Tensor) else predictions
    counted = counted_pixels(windows, tensors[0].device, kept_HW)
    return _Consistency.apply(windows, counted, *tensors)


def counted_pixels(
    windows: WindowPlan, device: torch.device, kept_HW: torch.Tensor | None = None
) -> list[torch.Tensor | None]:
    """Of each overlap's raster, what both windows show and is kept: bool (h_o, w_o); None: all."""
    found: list[torch.Tensor | None] = [None] * len(windows.overlaps)
    if kept_HW is not None:
        found = list(windows.cut_overlaps(kept_HW))
    for i, overlap in enumerate(windows.overlaps):
        if (shown := windows.shown(overlap)) is not None:
            both, kept = torch.from_numpy(shown).to(device), found[i]
            found[i] = both if kept is None else both & kept
    return found


class _Consistency(torch.autograd.Function):
    """Its gradient is written by hand: autograd would add up one tensor for each slice."""

    @staticmethod
    def forward(
        ctx: Any,
        windows: WindowPlan,
        counted: list[torch.Tensor | None],
        *tensors: torch.Tensor,
    ) -> torch.Tensor:
        ctx.save_for_backward(*tensors)
        ctx.windows, ctx.counted = windows, counted
        ctx.values = _values(tensors[0].shape[-3], windows, counted)
        total = tensors[0].new_zeros(())
        for (left, right), pixels in zip(_sides(tensors, windows), counted, strict=True):
            squared = (left - right).square_()
            total += (squared if pixels is None else squared.mul_(pixels)).sum()
        return total / ctx.values

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        windows: WindowPlan = ctx.windows
        scale = 2 * upstream / ctx.values
        gradients = [torch.zeros_like(tensor) for tensor in ctx.saved_tensors]
        sides = zip(
            _sides(ctx.saved_tensors, windows), _sides(gradients, windows), ctx.counted, strict=True
        )
        for (left, right), (for_left, for_right), pixels in sides:
            difference = (left - right).mul_(scale)
            if pixels is not None:
                difference.mul_(pixels)
            for_left += difference
            for_right -= difference
        return None, None, *gradients


def _sides(
    tensors: Sequence[torch.Tensor], windows: WindowPlan
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Both windows' view of each overlap. tensors: one of all windows, or one of each."""
    of_window = tensors[0] if len(tensors) == 1 else tensors
    for overlap in windows.overlaps:
        (first, on_first), (second, on_second) = windows.meeting(overlap)
        yield on_first.of(of_window[first]), on_second.of(of_window[second])


def _values(
    classes: int, windows: WindowPlan, counted: Sequence[torch.Tensor | None]
) -> int | torch.Tensor:
    """How many values of all overlaps count."""
    masks = [pixels for pixels in counted if pixels is not None]
    if not masks:
        return classes * sum(height * width for height, width in windows.overlap_shapes)
    return classes * torch.stack([pixels.sum() for pixels in masks]).sum().clamp(min=1)


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
    ensemble_NHW: torch.Tensor, log_p_1CHW: torch.Tensor, windows: WindowPlan
) -> torch.Tensor:
    """`log_p_of` in the windows of a whole image, without cutting out the windows of all classes.

    ensemble: of the windows, (N, h, w). log_p: of the image, (1, C, H, W). Where windows are
    resampled, it is the log of the probabilities sampled as `windows.cut` samples.
    """
    labels = ensemble_NHW.masked_fill(ensemble_NHW == IGNORE, 0)
    return _LogPInWindows.apply(log_p_1CHW, labels, windows)


class _LogPInWindows(torch.autograd.Function):
    """Window by window: where windows are resampled, all of their places would be many pictures."""

    @staticmethod
    def forward(
        ctx: Any, log_p_1CHW: torch.Tensor, labels_NHW: torch.Tensor, windows: WindowPlan
    ) -> torch.Tensor:
        found = log_p_1CHW.new_empty(labels_NHW.shape)
        flat = log_p_1CHW.flatten()
        for window, labels in enumerate(labels_NHW):
            place, log_share = _places(windows, window, labels, log_p_1CHW)
            parts = flat.index_select(0, place.flatten()).view(place.shape)
            found[window] = parts[0] if log_share is None else (parts + log_share).logsumexp(0)
        ctx.save_for_backward(log_p_1CHW, labels_NHW, found)
        ctx.windows = windows
        return found

    @staticmethod
    def backward(ctx: Any, upstream_NHW: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        log_p_1CHW, labels_NHW, found_NHW = ctx.saved_tensors
        flat, gradient = log_p_1CHW.flatten(), torch.zeros_like(log_p_1CHW).flatten()
        for window, upstream in enumerate(upstream_NHW):
            place, log_share = _places(ctx.windows, window, labels_NHW[window], log_p_1CHW)
            if log_share is None:
                part = upstream
            else:
                parts = flat.index_select(0, place.flatten()).view(place.shape)
                part = (parts + log_share - found_NHW[window]).exp_().mul_(upstream)
            gradient.index_add_(0, place.flatten(), part.flatten())
        return gradient.view_as(log_p_1CHW), None, None


def _places(
    windows: WindowPlan, window: int, labels_HW: torch.Tensor, log_p_1CHW: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Of what a window's pixels are made, each of its own class: int64 (k, h, w), indices of the
    flat log probabilities, and the logs of the shares; None: k is 1."""
    rows, columns, shares = windows.made_of(window)
    device = labels_HW.device
    row, column = torch.from_numpy(rows).to(device), torch.from_numpy(columns).to(device)
    place = (labels_HW * windows.height + row) * windows.width + column
    return place, None if shares is None else torch.from_numpy(shares).to(log_p_1CHW).log_()
