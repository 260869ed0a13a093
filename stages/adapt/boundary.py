"""Boundary maps of predictions, and their refinement by SAM's.

This is the boundary enhancement block (Fig. 3) of the paper's distortion-aware rectification (DAR);
docs/method.md, "Refined boundaries", says how we read it. TA: the teacher assistant.

Shapes: O overlaps, C classes, H x W pixels of an overlap. The border of a map is not a boundary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch


def hard_boundary(labels_OHW: torch.Tensor, shown_OHW: torch.Tensor | None = None) -> torch.Tensor:
    """bool (O, H, W): pixels whose label differs from that of a 4-neighbour.

    shown: bool; the other pixels are no neighbours, and have no boundary. None: all are shown.
    """
    across = labels_OHW[..., :, 1:] != labels_OHW[..., :, :-1]
    down = labels_OHW[..., 1:, :] != labels_OHW[..., :-1, :]
    if shown_OHW is not None:
        beside, below = shown_edges(shown_OHW)
        across &= beside
        down &= below
    found = torch.zeros_like(labels_OHW, dtype=torch.bool)
    found[..., :, 1:] |= across
    found[..., :, :-1] |= across
    found[..., 1:, :] |= down
    found[..., :-1, :] |= down
    return found


def soft_boundary(probabilities_NCHW: torch.Tensor) -> torch.Tensor:
    """float (N, H, W) in [0, 1]: `b(x) = max over 4-neighbours n of 1/2 sum_c |p_c(x) - p_c(n)|`.

    Equals `hard_boundary` of the labels when the probabilities are one-hot; has a gradient.
    """
    return boundary_of_edges(*edges(probabilities_NCHW))


def edges(
    probabilities_NCHW: torch.Tensor, cyclic: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """`1/2 sum_c |p_c(x) - p_c(n)|` between each pixel x and its right and its lower neighbour n.

    across: (N, H, W - 1), or (N, H, W) if `cyclic`: the last one leads over the seam to column 0.
    down: (N, H - 1, W). All overlaps of a prediction are cut from its edges, so that the sum over
    classes, the costly part, is taken once.
    """
    return _Edges.apply(probabilities_NCHW, cyclic)


def boundary_of_edges(across: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """The soft boundary (..., H, W) from across (..., H, W - 1) and down (..., H - 1, W)."""
    pad = torch.nn.functional.pad
    horizontal = torch.maximum(pad(across, (1, 0)), pad(across, (0, 1)))
    vertical = torch.maximum(pad(down, (0, 0, 1, 0)), pad(down, (0, 0, 0, 1)))
    return torch.maximum(horizontal, vertical)


def shown_edges(shown_OHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """bool, as `edges`: where both pixels of an edge are shown; (H, W - 1) and (H - 1, W)."""
    beside = shown_OHW[..., :, 1:] & shown_OHW[..., :, :-1]
    return beside, shown_OHW[..., 1:, :] & shown_OHW[..., :-1, :]


# classes whose edges are found at once: on a CPU one, which its caches hold; elsewhere all, since
# each operation costs its launch
CLASSES_TOGETHER = {"cpu": 1}


class _Edges(torch.autograd.Function):
    """Its gradient is written by hand: autograd would keep, and fill, a dozen tensors."""

    @staticmethod
    def forward(ctx: Any, p_NCHW: torch.Tensor, cyclic: bool) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.save_for_backward(p_NCHW)
        ctx.cyclic = cyclic
        n, _, height, width = p_NCHW.shape
        across = p_NCHW.new_zeros(n, height, width - (not cyclic))
        down = p_NCHW.new_zeros(n, height - 1, width)
        for p in _few(p_NCHW):
            across[..., : width - 1].add_(_sum((p[..., 1:] - p[..., :-1]).abs_()), alpha=0.5)
            down.add_(_sum((p[..., 1:, :] - p[..., :-1, :]).abs_()), alpha=0.5)
            if cyclic:
                across[..., -1].add_(_sum((p[..., 0] - p[..., -1]).abs_()), alpha=0.5)
        return across, down

    @staticmethod
    def backward(ctx: Any, across: torch.Tensor, down: torch.Tensor) -> tuple[torch.Tensor, None]:
        (p_NCHW,) = ctx.saved_tensors
        width = p_NCHW.shape[-1]
        across, down = 0.5 * across[:, None], 0.5 * down[:, None]
        gradient = torch.empty_like(p_NCHW)
        for p, g in zip(_few(p_NCHW), _few(gradient), strict=True):
            pull = (p[..., 1:] - p[..., :-1]).sign_().mul_(across[..., : width - 1])
            g[..., 0] = 0
            g[..., 1:] = pull
            g[..., :-1] -= pull
            pull = (p[..., 1:, :] - p[..., :-1, :]).sign_().mul_(down)
            g[..., 1:, :] += pull
            g[..., :-1, :] -= pull
            if ctx.cyclic:
                seam = (p[..., 0] - p[..., -1]).sign_().mul_(across[..., -1])
                g[..., 0] += seam
                g[..., -1] -= seam
        return gradient, None


def _few(p_NCHW: torch.Tensor) -> Sequence[torch.Tensor]:
    return p_NCHW.split(CLASSES_TOGETHER.get(p_NCHW.device.type, p_NCHW.shape[1]), dim=1)


def _sum(of_classes: torch.Tensor) -> torch.Tensor:
    """Over the second axis; one class is not copied."""
    return of_classes[:, 0] if of_classes.shape[1] == 1 else of_classes.sum(1)


def refine_boundary(
    left_OHW: torch.Tensor,
    right_OHW: torch.Tensor,
    sam_OHW: torch.Tensor,
    left_difference_OHW: torch.Tensor,
    right_difference_OHW: torch.Tensor,
    alpha: float = 0.3,
    max_vertical_distance: int | None = None,
) -> torch.Tensor:
    """`B_ref^i`, bool (O, H, W): the reliable boundary pixels of each overlap (paper, Fig. 3).

    left, right: hard boundaries of the TA's two predictions, `B_TA^i` and `B_TA^j`; sam:
    `B_SAM^i`, bool; the differences: `Prediction.margin` of either prediction. For each pixel p
    of `left`: (a) boundary in all three maps: p. (b) Else, q being the nearest SAM boundary pixel
    in p's column (the upper one of two equally near): q, if either difference at q is below
    `alpha`. (c) Else p.
    """
    height = left_OHW.shape[-2]
    # A SAM pixel is one number: its row, and in the lowest bit whether it is uncertain. They are
    # ordered by row, so that the nearest one above is a running maximum. Short ones are faster.
    dtype = torch.int16 if 6 * height < 2**15 else torch.int32
    row = torch.arange(height, dtype=dtype, device=left_OHW.device).view(-1, 1)
    uncertain = (left_difference_OHW < alpha) | (right_difference_OHW < alpha)
    number = 2 * row + uncertain
    above = _down(torch.maximum, _choose(sam_OHW, number, -4 * height))
    below = _down(torch.minimum, _choose(sam_OHW, number, 6 * height).flip(-2)).flip(-2)
    up, down = row - (above >> 1), (below >> 1) - row  # at least 2 * height where there is none
    nearest = _choose(up <= down, above, below)
    limit = height if max_vertical_distance is None else max_vertical_distance
    reachable = torch.minimum(up, down) <= min(limit, height)

    agreed = left_OHW & right_OHW & sam_OHW  # (a)
    moved = left_OHW & ~agreed & reachable & (nearest & 1).bool()  # (b)
    kept = left_OHW & ~agreed & ~moved  # (c)
    # several pixels of a column may move to one q; those that do not move go to a row beside
    target = _choose(moved, nearest >> 1, height).long()
    arrived = left_OHW.new_zeros((*left_OHW.shape[:-2], height + 1, left_OHW.shape[-1]))
    arrived.scatter_(-2, target, True)
    return agreed | kept | arrived[..., :height, :]


def _choose(mask: torch.Tensor, a: torch.Tensor, b: torch.Tensor | int) -> torch.Tensor:
    """`torch.where` by arithmetic: for short integers, a tenth of its time on a CPU."""
    return (a - b) * mask + b


def _down(larger: Callable[..., torch.Tensor], values: torch.Tensor) -> torch.Tensor:
    """The running maximum (or minimum) down the rows, in steps of doubled length."""
    step = 1
    while step < values.shape[-2]:
        values[..., step:, :] = larger(values[..., step:, :], values[..., :-step, :])
        step *= 2
    return values
