"""Fusing SAM's masks with the TA's prediction: CTCF (Eq. 3), SSA, SEPL (METHOD: "DAR").

All three work on the cell map: every count they need is a sum over (cell, class), so one histogram
of a window and a small mask x cell product replace a loop over masks. Shapes: N windows, M masks
(padded), K cells (padded), C classes, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from data.classes import IGNORE
from data.window_masks import WindowMasks

Rule = Literal["ctcf", "ssa", "sepl"]


@dataclass(frozen=True)
class FusionConfig:
    """How an ensemble is made.

    rule: ctcf, ssa or sepl. theta_medium, theta_other: the thresholds on the label coverage rate
    for masks of medium area and for smaller and larger ones. medium: the least and the greatest
    medium area in px of a 400 x 512 window; they scale with the window's area. entropy: of a label
    in a mask, the mean of the pixels' entropies (`mean`) or the entropy of their mean softmax
    (`of_mean`). uncovered: pixels in no mask keep the TA's label at weight 0 (`keep`) or are left
    out (`ignore`). sepl_share, sepl_cover: SEPL's two thresholds.
    """

    rule: Rule = "ctcf"
    theta_medium: float = 0.7
    theta_other: float = 0.5
    medium: tuple[int, int] = (100, 1000)
    entropy: Literal["mean", "of_mean"] = "mean"
    uncovered: Literal["keep", "ignore"] = "keep"
    sepl_share: float = 0.5
    sepl_cover: float = 0.85


@dataclass(frozen=True)
class MaskBatch:
    """The masks of N windows, padded to the same number of masks and cells.

    cells: int64 (N, H, W), 0 = in no mask. incidence: bool (N, M, K). area: int64 (N, M), px;
    0 = padding.
    """

    cells: torch.Tensor
    incidence: torch.Tensor
    area: torch.Tensor

    @classmethod
    def of(cls, windows: Sequence[WindowMasks]) -> MaskBatch:
        """Pad and stack the masks of several windows of one size."""
        masks = max(1, max(len(w) for w in windows))
        cells = max(w.incidence.shape[1] for w in windows)
        incidence = np.zeros((len(windows), masks, cells), dtype=bool)
        area = np.zeros((len(windows), masks), dtype=np.int64)
        for n, window in enumerate(windows):
            m, k = window.incidence.shape
            incidence[n, :m, :k] = window.incidence
            area[n, :m] = window.area
        stacked = np.stack([window.cells for window in windows]).astype(np.int64)
        return cls(*(torch.from_numpy(a) for a in (stacked, incidence, area)))

    def to(self, device: torch.device) -> MaskBatch:
        """The same masks on `device`."""
        return MaskBatch(self.cells.to(device), self.incidence.to(device), self.area.to(device))


@torch.no_grad()
def fuse(
    logits_NCHW: torch.Tensor, masks: MaskBatch, config: FusionConfig = FusionConfig()
) -> tuple[torch.Tensor, torch.Tensor]:
    """The ensemble `E`, int64 (N, H, W), and the weight map `M`, float32 (N, H, W) of 0 and 1.

    logits: the TA's current prediction. Where masks overlap the smaller one wins; of equally large
    ones the later. `E` is 255 where a pixel is left out.
    """
    probabilities = logits_NCHW.float().softmax(dim=1)
    labels = logits_NCHW.argmax(dim=1)
    classes = logits_NCHW.shape[1]
    per_cell = _sum_by_cell_and_label(labels, masks, classes)
    count_NMC = masks.incidence.double() @ per_cell
    if config.rule == "ctcf":
        chosen, weight = _ctcf(probabilities, labels, masks, count_NMC, config)
        taken = masks.area > 0
    elif config.rule == "ssa":
        chosen = count_NMC.argmax(dim=-1)
        weight = torch.ones_like(chosen, dtype=torch.float32)
        taken = masks.area > 0
    else:
        chosen, taken = _sepl(masks, count_NMC, per_cell.sum(dim=1), config)
        weight = torch.ones_like(chosen, dtype=torch.float32)
    return _paint(labels, masks, chosen, weight, taken, config)


def _ctcf(
    probabilities_NCHW: torch.Tensor,
    labels_NHW: torch.Tensor,
    masks: MaskBatch,
    count_NMC: torch.Tensor,
    config: FusionConfig,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Eq. 3: each mask's label (N, M) and whether it is trusted, float (N, M)."""
    classes = count_NMC.shape[-1]
    # counts are exact in float64; the class id breaks ties towards the lower train id
    order = count_NMC * classes + torch.arange(classes - 1, -1, -1, device=count_NMC.device)
    top = order.topk(min(3, classes), dim=-1).indices  # (N, M, 3), by falling frequency
    top_count = count_NMC.gather(-1, top)
    coverage = top_count[..., 0] / masks.area.clamp(min=1)

    scale = labels_NHW[0].numel() / (400 * 512)
    low, high = (limit * scale for limit in config.medium)
    medium = (masks.area >= low) & (masks.area <= high)
    theta = torch.where(medium, config.theta_medium, config.theta_other)
    trusted = coverage >= theta

    entropy = _label_entropy(probabilities_NCHW, labels_NHW, masks, count_NMC, config)
    candidates = entropy.gather(-1, top).masked_fill(top_count == 0, torch.inf)
    least = top.gather(-1, candidates.argmin(dim=-1, keepdim=True))[..., 0]
    return torch.where(trusted, top[..., 0], least), trusted.float()


def _label_entropy(
    probabilities_NCHW: torch.Tensor,
    labels_NHW: torch.Tensor,
    masks: MaskBatch,
    count_NMC: torch.Tensor,
    config: FusionConfig,
) -> torch.Tensor:
    """Shannon entropy, nats, float64 (N, M, C), of each label in each mask."""
    count = count_NMC.clamp(min=1)
    classes = count_NMC.shape[-1]
    if config.entropy == "mean":
        entropy_NHW = torch.special.entr(probabilities_NCHW).sum(dim=1)
        per_cell = _sum_by_cell_and_label(labels_NHW, masks, classes, entropy_NHW)
        return (masks.incidence.double() @ per_cell) / count
    mean = torch.stack(
        [
            masks.incidence.double()
            @ _sum_by_cell_and_label(labels_NHW, masks, classes, probabilities_NCHW[:, c])
            / count
            for c in range(classes)
        ]
    )
    return torch.special.entr(mean).sum(dim=0)


def _sepl(
    masks: MaskBatch, count_NMC: torch.Tensor, region_NC: torch.Tensor, config: FusionConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each mask's label (N, M), and whether it is taken at all, bool (N, M).

    region: the pixels of each class in each window.
    """
    mostly = count_NMC > config.sepl_share * masks.area[..., None]
    covers = (count_NMC >= config.sepl_cover * region_NC[:, None]) & (region_NC[:, None] > 0)
    fits = (mostly | covers) & (masks.area[..., None] > 0)
    # a mask is used once and classes go by train id: the first class that it fits
    return fits.int().argmax(dim=-1), fits.any(dim=-1)


def _paint(
    labels_NHW: torch.Tensor,
    masks: MaskBatch,
    chosen_NM: torch.Tensor,
    weight_NM: torch.Tensor,
    taken_NM: torch.Tensor,
    config: FusionConfig,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Paint the taken masks by falling area over the TA's labels."""
    m = masks.area.shape[1]
    later_first = torch.arange(m - 1, -1, -1, device=masks.area.device)
    priority_NM = (masks.area * m + later_first).masked_fill(
        ~taken_NM, torch.iinfo(torch.int64).max
    )
    nobody = torch.iinfo(torch.int64).max
    priority = torch.where(masks.incidence, priority_NM[..., None], nobody)  # (N, M, K)
    best, winner_NK = priority.min(dim=1)
    covered_NK = best < nobody
    own = IGNORE if config.uncovered == "ignore" else -1  # -1: the TA's own label
    label_NK = torch.where(covered_NK, chosen_NM.gather(1, winner_NK), own)
    weight_NK = torch.where(covered_NK, weight_NM.gather(1, winner_NK), 0.0)
    flat = masks.cells.flatten(1)
    ensemble = label_NK.gather(1, flat).view_as(labels_NHW)
    weight_map = weight_NK.gather(1, flat).view_as(labels_NHW)
    return torch.where(ensemble < 0, labels_NHW, ensemble), weight_map


def _sum_by_cell_and_label(
    labels_NHW: torch.Tensor,
    masks: MaskBatch,
    classes: int,
    values_NHW: torch.Tensor | None = None,
) -> torch.Tensor:
    """float64 (N, K, C): the pixels (or the sum of their values) in each cell with each label."""
    n, _, cells = masks.incidence.shape
    window = torch.arange(n, device=labels_NHW.device).view(-1, 1, 1)
    index = ((window * cells + masks.cells) * classes + labels_NHW).flatten()
    weights = None if values_NHW is None else values_NHW.double().flatten()
    sums = torch.bincount(index, weights, minlength=n * cells * classes)
    return sums.view(n, cells, classes).double()
