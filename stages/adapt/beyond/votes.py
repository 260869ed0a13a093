"""Who votes on a mask's label in the majority rule, and whose minority may win.

`step.fusion.votes`: `all` pixels of a mask (SSA), the `surest` half of them, or `soft`: all, each
with its whole softmax instead of its label. `step.fusion.small_share`: a small class wins a mask
of which it has that share of the votes; 0.2 is SAM4UDASS's. Both are off in the paper's presets.
Shapes: N windows, M masks and K cells of all windows together, C classes, H x W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:  # the batch's own module reads this one
    from goodsam.stages.adapt.fusion import MaskBatch

SMALL = 0.01  # a class is small where less of the panorama's windows has its label
EXACT = 2.0**30  # soft votes are multiples of its inverse: equal sums are equal in any order


def surest_votes(
    labels_NHW: torch.Tensor, confidence_NHW: torch.Tensor, masks: MaskBatch, classes: int
) -> torch.Tensor:
    """float64 (M, C): votes of the surest half of each mask's pixels, rounded up.

    Of equally sure pixels the later one votes.
    """
    cells = masks.cells.flatten()
    by_cell = cells.argsort(stable=True)
    sizes = torch.bincount(cells, minlength=masks.cell_count)
    begin = sizes.cumsum(0) - sizes
    # every pixel of every mask, mask by mask: the pixels of each of its cells
    of_pair = sizes[masks.cell_of]
    pair = torch.repeat_interleave(of_pair)
    within = torch.arange(len(pair), device=pair.device) - (of_pair.cumsum(0) - of_pair)[pair]
    pixel, mask = by_cell[begin[masks.cell_of[pair]] + within], masks.mask_of[pair]
    pixel, order = pixel.sort()  # so that ties go by the place of the pixel
    mask = mask[order]
    order = confidence_NHW.flatten()[pixel].argsort(stable=True)
    order = order[mask[order].argsort(stable=True)]  # mask by mask, each from the least sure
    pixel, mask = pixel[order], mask[order]
    areas = torch.bincount(mask, minlength=len(masks.area))
    left = areas.cumsum(0)[mask] - torch.arange(len(mask), device=mask.device)  # itself included
    votes = left <= (areas[mask] + 1) // 2
    index = mask[votes] * classes + labels_NHW.flatten()[pixel[votes]].long()
    return torch.bincount(index, minlength=len(areas) * classes).view(-1, classes).double()


def soft_votes(probabilities_NCHW: torch.Tensor, masks: MaskBatch) -> torch.Tensor:
    """float64 (M, C): the sum of the softmax of each mask's pixels."""
    cells = masks.cells.flatten()
    sums = [
        torch.zeros(masks.cell_count, dtype=torch.float64, device=cells.device).scatter_add_(
            0, cells, (p.flatten().double() * EXACT).round_()
        )
        for p in probabilities_NCHW.unbind(1)
    ]
    of_cell = torch.stack(sums, dim=-1)
    total = torch.zeros(len(masks.area), len(sums), dtype=torch.float64, device=cells.device)
    return total.index_add_(0, masks.mask_of, of_cell[masks.cell_of]) / EXACT


def small_class_wins(
    votes_MC: torch.Tensor, chosen_M: torch.Tensor, labels_NHW: torch.Tensor, share: float
) -> torch.Tensor:
    """(M,): each mask's label, the small class with the most votes where it has `share` of them."""
    small_C = small_classes(labels_NHW, votes_MC.shape[-1])
    own, best = votes_MC.masked_fill(~small_C, -1).max(dim=-1)
    wins = small_C.any() & (own >= share * votes_MC.sum(dim=-1)) & (own > 0)
    return torch.where(wins, best, chosen_M)


def small_classes(labels_NHW: torch.Tensor, classes: int) -> torch.Tensor:
    """bool (C,): those with less than `SMALL` of a panorama's labels; so are absent ones."""
    of_label = torch.bincount(labels_NHW.flatten(), minlength=classes)[:classes]
    return of_label < SMALL * labels_NHW.numel()
