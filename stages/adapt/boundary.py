"""Boundary maps of predictions and their refinement by SAM's (METHOD: "Boundaries", "DAR").

Shapes: O overlaps, C classes, H x W pixels of an overlap. The border of a map is no boundary.
"""

from __future__ import annotations

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
    row = torch.arange(height, device=left_OHW.device).view(-1, 1).expand_as(left_OHW)
    nowhere = 2 * height  # farther than any row, on either side
    above = torch.where(sam_OHW, row, -nowhere).cummax(dim=-2).values
    below = torch.where(sam_OHW, row, height + nowhere).flip(-2).cummin(dim=-2).values.flip(-2)
    nearest = torch.where(row - above <= below - row, above, below)
    distance = (nearest - row).abs()
    reachable = (
        distance < height
        if max_vertical_distance is None
        else (distance <= min(max_vertical_distance, height - 1))
    )

    agreed = left_OHW & right_OHW & sam_OHW  # (a)
    uncertain = (left_difference_OHW < alpha) | (right_difference_OHW < alpha)
    target = nearest.clamp(0, height - 1)
    moved = left_OHW & ~agreed & reachable & uncertain.gather(-2, target)  # (b)
    kept = left_OHW & ~agreed & ~moved  # (c)
    # scatter_reduce, not scatter: several pixels of a column may move to one q
    arrived = torch.zeros_like(row, dtype=torch.uint8).scatter_reduce(
        -2, target, moved.to(torch.uint8), "amax"
    )
    return agreed | arrived.bool() | kept
