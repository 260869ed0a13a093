"""Boundary maps of predictions and their refinement by SAM's (METHOD: "Boundaries", "DAR").

Shapes: O overlaps, C classes, H x W pixels of an overlap. The border of a map is no boundary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch


def hard_boundary(labels_OHW: torch.Tensor) -> torch.Tensor:
    """bool (O, H, W): pixels whose label differs from that of a 4-neighbour."""
    across = labels_OHW[..., :, 1:] != labels_OHW[..., :, :-1]
    down = labels_OHW[..., 1:, :] != labels_OHW[..., :-1, :]
    found = torch.zeros_like(labels_OHW, dtype=torch.bool)
    found[..., :, 1:] |= across
    found[..., :, :-1] |= across
    found[..., 1:, :] |= down
    found[..., :-1, :] |= down
    return found


def soft_boundary(probabilities_OCHW: torch.Tensor) -> torch.Tensor:
    """float (O, H, W) in [0, 1]: `b(x) = max over 4-neighbours n of 1/2 sum_c |p_c(x) - p_c(n)|`.

    Equals `hard_boundary` of the labels when the probabilities are one-hot; has a gradient.
    """
    p = probabilities_OCHW
    across = 0.5 * (p[..., :, 1:] - p[..., :, :-1]).abs().sum(dim=-3)
    down = 0.5 * (p[..., 1:, :] - p[..., :-1, :]).abs().sum(dim=-3)
    pad = torch.nn.functional.pad
    horizontal = torch.maximum(pad(across, (1, 0)), pad(across, (0, 1)))
    vertical = torch.maximum(pad(down, (0, 0, 1, 0)), pad(down, (0, 0, 0, 1)))
    return torch.maximum(horizontal, vertical)


def top_two_difference(probabilities_OCHW: torch.Tensor) -> torch.Tensor:
    """float (O, H, W): `D`, the difference of the two largest softmax values of each pixel."""
    top = probabilities_OCHW.topk(2, dim=-3).values
    return top.select(-3, 0) - top.select(-3, 1)


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
    `B_SAM^i`, bool; the differences: `top_two_difference` of either prediction. For each pixel p
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
