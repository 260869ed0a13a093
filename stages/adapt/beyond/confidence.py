"""Class-balanced confidence: Eq. 5 and 6 learn from the surest pixels of each class alone.

The setting is `step.confident`; at 1, the paper's way, all pixels count.
"""

from __future__ import annotations

import torch

from goodsam.data.classes import IGNORE


@torch.no_grad()
def most_confident(
    confidence_NHW: torch.Tensor, ensemble_NHW: torch.Tensor, share: float
) -> torch.Tensor:
    """bool (N, H, W): the `share` of each class's pixels with the greatest confidence, rounded up.

    confidence: float (N, H, W); of equally confident pixels the later one. ensemble: int64
    (N, H, W); its pixels that are left out (255) are left out here too. share: in (0, 1].
    """
    labels = ensemble_NHW.flatten()
    order = confidence_NHW.flatten().argsort(stable=True)
    order = order[labels[order].argsort(stable=True)]  # class by class, each from the least sure
    counts = torch.bincount(labels, minlength=IGNORE + 1)
    ends = counts.cumsum(0)
    kept = (counts.double() * share).ceil().long()
    kept[IGNORE] = 0
    place = torch.arange(len(labels), device=labels.device)
    sure = torch.empty_like(labels, dtype=torch.bool)
    sure[order] = place >= (ends - kept)[labels[order]]
    return sure.view(ensemble_NHW.shape)
