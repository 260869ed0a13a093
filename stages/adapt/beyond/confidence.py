"""Class by class, Eq. 5 and 6 learn only from pixels that the labeller is sure of.

`step.confident` keeps the surest share of each class's pixels in each panorama; at 1, the paper's
way, all count. `threshold` keeps pixels that are sure enough for their class as it is known: the
bound is that part of the class's mean confidence over the last panoramas, so that a class of which
the labeller is never sure is not left out as a whole; at 0, the paper's way, all count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from goodsam.data.classes import IGNORE

STEPS = 24  # of the running mean of a class's confidence, about


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


@torch.no_grad()
def above(
    confidence_NHW: torch.Tensor, ensemble_NHW: torch.Tensor, thresholds_C: torch.Tensor
) -> torch.Tensor:
    """bool (N, H, W): pixels whose confidence reaches the threshold of their class; not 255."""
    labels = ensemble_NHW.masked_fill(ensemble_NHW == IGNORE, 0)
    return (confidence_NHW >= thresholds_C[labels]) & (ensemble_NHW != IGNORE)


def confidence_key(name: str) -> str:
    """The key of a class's mean confidence among a step's figures; 0: it was not there."""
    return f"confidence/{name}"


class Thresholds:
    """Sees every step's mean confidences; gives the thresholds of the next one."""

    def __init__(self, names: Sequence[str], part: float) -> None:
        """part: of a class's mean confidence, below which a pixel does not count."""
        self.names, self.part = names, part
        self.counts, self.means = np.zeros(len(names)), np.zeros(len(names))

    def see(self, row: Mapping[str, float]) -> None:
        """Take in a step's figures, as `watch.measure` names them."""
        found = np.array([row[confidence_key(name)] for name in self.names])
        seen = found > 0
        self.counts = self.counts + seen
        step = np.where(seen, 1 / np.clip(self.counts, 1, STEPS), 0)
        self.means = self.means + step * (found - self.means)

    def values(self) -> np.ndarray:
        """float32 (C,); 0 for a class that was not seen yet."""
        return (self.part * self.means).astype(np.float32)
