"""Fusing SAM's masks with the labels of the teacher assistant (TA) into an ensemble.

Three rules: the paper's own, cross-task complementary fusion (CTCF, Eq. 3), which is part of its
distortion-aware rectification (DAR), and the two it is compared with, Semantic Segment Anything
(SSA) and SAM-enhanced pseudo labels (SEPL). docs/method.md, "Fusion", says how we read them.

All three work on the cell map: every count they need is a sum over (cell, class), so one histogram
of all windows, and then sums of its rows over each mask's cells, replace a loop over masks. A GPU
is waited for once or twice in all, whatever the number of masks. Shapes: N windows, M masks and K
cells of all windows together, C classes, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

from goodsam.data.classes import IGNORE
from goodsam.data.errors import InputError
from goodsam.data.ranges import COUNT_OR_NONE, SHARE, check_ranges
from goodsam.data.window_masks import WindowMasks
from goodsam.stages.adapt.beyond.belief import beliefs
from goodsam.stages.adapt.beyond.votes import small_class_wins, soft_votes, surest_votes
from goodsam.stages.adapt.prediction import Prediction

Rule = Literal["ctcf", "ssa", "sepl", "none"]


@dataclass(frozen=True)
class FusionConfig:
    """How the TA's labels and SAM's masks are fused into an ensemble."""

    rule: Rule = "ctcf"
    """Which rule labels a mask: CTCF (the paper), SSA or SEPL; none: the TA labels pixels."""
    theta_medium: float = 0.7
    """CTCF: the share of a medium mask that its most frequent label must cover to be trusted."""
    theta_other: float = 0.5
    """CTCF: that share of a smaller or larger mask."""
    medium: tuple[int, int] = (100, 1000)
    """The least and the greatest area of a medium mask in pixels, scaled from 400 x 512 windows."""
    entropy: Literal["mean", "of_mean"] = "mean"
    """CTCF: a label's entropy in a mask, its pixels' mean entropy or that of their mean softmax."""
    uncovered: Literal["keep", "ignore"] = "keep"
    """Pixels in no mask keep the TA's label, without trust, or are left out of the ensemble."""
    sepl_share: float = 0.5
    """SEPL: a label that covers more than this share of a mask is the mask's."""
    sepl_cover: float = 0.85
    """SEPL: so is a label if the mask holds at least this share of its pixels in the window."""
    votes: Literal["all", "surest", "soft"] = "all"
    """SSA: who votes on a mask: all pixels, the surest half, or all with their whole softmax."""
    small_share: float = 0.0
    """SSA: a small class with this share of the votes wins the mask; 0: no such exception."""
    believe: float = 0.0
    """Masks whose label is believed less are left out of the ensemble; the paper: 0, none."""
    sure: float = 1.0
    """Pixels with a greater probability keep the TA's label in any mask; the paper: 1, none."""

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES, "step.fusion.")
        if self.medium[0] > self.medium[1]:
            raise InputError(f"step.fusion.medium {self.medium}: the least area comes first")


_RANGES = {
    **dict.fromkeys(("theta_medium", "theta_other", "sepl_share", "sepl_cover"), SHARE),
    **dict.fromkeys(("small_share", "believe", "sure"), SHARE),
    "medium": COUNT_OR_NONE,
}


@dataclass(frozen=True)
class MaskBatch:
    """The masks of N windows of one size, numbered through: window by window, smaller masks first.

    Within a window masks stand in the order in which they win a pixel: by rising area, of equally
    large ones the later one first.

    cell_count: K. cells: int32 (N, H, W), the cell of each pixel. cell_of, mask_of: int64 (P,), the
    pairs of a mask and a cell of it, mask by mask; first: int64 (M,), where each mask's pairs
    begin. area: int64 (M,), px. window_of: int64 (M,).
    """

    cell_count: int
    cells: torch.Tensor
    cell_of: torch.Tensor
    mask_of: torch.Tensor
    first: torch.Tensor
    area: torch.Tensor
    window_of: torch.Tensor

    @classmethod
    def of(cls, windows: Sequence[WindowMasks]) -> MaskBatch:
        """Number the masks and cells of several windows through; empty masks are left out."""
        cells, cell_of, sizes, area = [], [], [], []
        cell_count = 0
        for window in windows:
            latest_first = np.flatnonzero(window.area)[::-1]
            order = latest_first[np.argsort(window.area[latest_first], kind="stable")]
            incidence = window.incidence[order]
            cells.append(window.cells + np.int32(cell_count))
            cell_of.append(np.nonzero(incidence)[1] + cell_count)
            sizes.append(incidence.sum(axis=1))
            area.append(window.area[order].astype(np.int64))
            cell_count += window.incidence.shape[1]
        pairs = np.concatenate(sizes)
        tensors = map(
            torch.from_numpy,
            (
                np.stack(cells),
                np.concatenate(cell_of),
                np.repeat(np.arange(len(pairs)), pairs),
                np.cumsum(pairs) - pairs,
                np.concatenate(area),
                np.repeat(np.arange(len(windows)), [len(a) for a in area]),
            ),
        )
        return cls(cell_count, *tensors)

    def to(self, device: torch.device) -> MaskBatch:
        """The same masks on `device`."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> MaskBatch:
        """The same masks where a GPU can fetch them; the loader of batches calls it."""
        return self._each(torch.Tensor.pin_memory)

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> MaskBatch:
        tensors = (self.cells, self.cell_of, self.mask_of, self.first, self.area, self.window_of)
        return MaskBatch(self.cell_count, *map(change, tensors))


def fuse(
    logits_NCHW: torch.Tensor, masks: MaskBatch, config: FusionConfig = FusionConfig()
) -> tuple[torch.Tensor, torch.Tensor]:
    """The ensemble `E`, int64 (N, H, W), and the weight map `M`, float32 (N, H, W) of 0 and 1.

    logits: the TA's current prediction. Where masks overlap the smaller one wins; of equally large
    ones the later. `E` is 255 where a pixel is left out.

    >>> masks = np.zeros((1, 4, 4), bool)
    >>> masks[0, :, :3] = True
    >>> logits = torch.zeros(1, 2, 4, 4)
    >>> logits[:, 1, :, :2] = 5  # class 1 covers two thirds of the mask, class 0 all else
    >>> window = WindowMasks.of(masks, np.ones(1), np.ones(1))
    >>> ensemble, weight_map = fuse(logits, MaskBatch.of([window]))
    >>> ensemble[0, 0].tolist(), weight_map[0, 0].tolist()
    ([1, 1, 1, 0], [1.0, 1.0, 1.0, 0.0])
    """
    prediction = Prediction.of(logits_NCHW.detach())
    ensemble, weight_map, _ = fuse_prediction(prediction, masks, config)
    return ensemble, weight_map


@torch.no_grad()
def fuse_prediction(
    prediction: Prediction, masks: MaskBatch, config: FusionConfig = FusionConfig()
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`fuse` of a prediction whose softmax is there already, and each mask's own weight, (M,)."""
    doubts = doubt_maps(prediction, config) if config.rule == "ctcf" else []
    votes_MC = soft_MC = None
    votes = config.votes if config.rule == "ssa" else "all"
    if votes == "soft" or (config.believe and config.rule != "none"):
        soft_MC = soft_votes(prediction.probabilities, masks)
    if votes == "surest":
        sure = prediction.probabilities.amax(dim=1)
        votes_MC = surest_votes(prediction.labels, sure, masks, prediction.classes)
    elif votes == "soft":
        votes_MC = soft_MC
    labels, classes = prediction.labels, prediction.classes
    fused = fuse_maps(labels, doubts, masks, classes, config, votes_MC, soft_MC)
    ensemble, weight_map, weight = fused
    if config.sure < 1:
        sure_NHW = prediction.probabilities.amax(dim=1) > config.sure
        ensemble = torch.where(sure_NHW, labels.to(ensemble.dtype), ensemble)
    return ensemble, weight_map, weight


def doubt_maps(prediction: Prediction, config: FusionConfig) -> list[torch.Tensor]:
    """What a label's entropy is made from, float64 (N, H, W) each.

    One map, each pixel's entropy in nats (`mean`), or the probability of each class (`of_mean`),
    as multiples of 2^-30. All sums of them are then exact, in any order, on any device: equal
    entropies are equal, and a run can be repeated on a GPU.
    """
    p = prediction.probabilities
    maps = [prediction.entropy()] if config.entropy == "mean" else list(p.unbind(1))
    return [map_.double().mul_(2**30).round_().mul_(2**-30) for map_ in maps]


def fuse_maps(
    labels_NHW: torch.Tensor,
    doubts_NHW: Sequence[torch.Tensor],
    masks: MaskBatch,
    classes: int,
    config: FusionConfig = FusionConfig(),
    votes_MC: torch.Tensor | None = None,
    soft_MC: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`E`, `M` and each mask's weight from the TA's labels and `doubt_maps` (for CTCF alone).

    votes: (M, C), in the place of the counts of labels (for SSA alone). soft: `soft_votes`, by
    which masks are believed (for `believe` alone).
    """
    if config.rule == "none":
        nowhere = torch.zeros(labels_NHW.shape, device=labels_NHW.device)
        return labels_NHW.long(), nowhere, nowhere.new_zeros(len(masks.area))
    index = torch.add(labels_NHW, masks.cells, alpha=classes).long().flatten()
    length = masks.cell_count * classes
    count_KC = torch.bincount(index, minlength=length).view(-1, classes)
    # a mask has less than 2^24 pixels: its counts are exact in float32, where the sums are fastest
    count_MC = _sum_over_cells(count_KC.float(), masks).double()
    taken = None  # all
    weight = torch.ones(len(count_MC), device=count_MC.device)
    if config.rule == "ctcf":
        sums_MC = [
            _sum_over_cells(_sum_at(index, doubt, length).view_as(count_KC), masks)
            for doubt in doubts_NHW
        ]
        chosen, weight = _ctcf(count_MC, sums_MC, masks, labels_NHW[0].numel(), config)
    elif config.rule == "ssa":
        votes_MC = count_MC if votes_MC is None else votes_MC
        chosen = votes_MC.argmax(dim=-1)
        if config.small_share:
            chosen = small_class_wins(votes_MC, chosen, labels_NHW, config.small_share)
    else:
        chosen, taken = _sepl(count_MC, _regions(labels_NHW, classes), masks, config)
        weight = taken.float()
    if soft_MC is not None and config.believe:
        doubted = beliefs(soft_MC, chosen, labels_NHW) < config.believe
        chosen, weight = chosen.masked_fill(doubted, IGNORE), weight.masked_fill(doubted, 0)
    return *_paint(labels_NHW, masks, chosen, weight, taken, config), weight


def _ctcf(
    count_MC: torch.Tensor,
    sums_MC: Sequence[torch.Tensor],
    masks: MaskBatch,
    pixels: int,
    config: FusionConfig,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Eq. 3: each mask's label (M,) and whether it is trusted, float32 (M,).

    count, sums: pixels, and sums of each doubt map, by mask and label. pixels: of a window.
    """
    classes = count_MC.shape[-1]
    # counts are exact in float64; the class id breaks ties towards the lower train id
    order = count_MC * classes + torch.arange(classes - 1, -1, -1, device=count_MC.device)
    top_M3 = order.topk(min(3, classes), dim=-1).indices  # by falling frequency
    top_count = count_MC.gather(-1, top_M3)

    scale = pixels / (400 * 512)
    low, high = (limit * scale for limit in config.medium)
    medium = (masks.area >= low) & (masks.area <= high)
    theta = torch.where(medium, config.theta_medium, config.theta_other)
    trusted = top_count[:, 0] / masks.area >= theta

    # Shannon entropy of each label in each mask, nats
    means = [sums.gather(-1, top_M3) / top_count.clamp(min=1) for sums in sums_MC]
    entropy = means[0]
    if config.entropy == "of_mean":
        entropy = torch.stack([torch.special.entr(mean) for mean in means]).sum(dim=0)
    candidates = entropy.masked_fill(top_count == 0, torch.inf)
    least = top_M3.gather(-1, candidates.argmin(dim=-1, keepdim=True))[:, 0]
    return torch.where(trusted, top_M3[:, 0], least), trusted.float()


def _sepl(
    count_MC: torch.Tensor, region_NC: torch.Tensor, masks: MaskBatch, config: FusionConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each mask's label (M,), and whether it is taken at all, bool (M,).

    region: the pixels of each class in each window.
    """
    region_MC = region_NC[masks.window_of]
    mostly = count_MC > config.sepl_share * masks.area[:, None]
    covers = (count_MC >= config.sepl_cover * region_MC) & (region_MC > 0)
    # a mask is used once and classes go by train id: the first class that it fits
    fits = mostly | covers
    return fits.int().argmax(dim=-1), fits.any(dim=-1)


def _paint(
    labels_NHW: torch.Tensor,
    masks: MaskBatch,
    chosen_M: torch.Tensor,
    weight_M: torch.Tensor,
    taken_M: torch.Tensor | None,
    config: FusionConfig,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each cell from the first of its taken masks (the smallest); the rest from the TA's labels."""
    nobody = len(chosen_M)
    contenders = masks.mask_of
    if taken_M is not None:
        contenders = torch.where(taken_M[masks.mask_of], masks.mask_of, nobody)
    winner_K = torch.full((masks.cell_count,), nobody, device=contenders.device)
    winner_K.scatter_reduce_(0, masks.cell_of, contenders, "amin")
    own = IGNORE if config.uncovered == "ignore" else -1  # -1: the TA's own label
    label_K = F.pad(chosen_M, (0, 1), value=own)[winner_K]
    weight_K = F.pad(weight_M, (0, 1))[winner_K]
    flat = masks.cells.flatten()
    ensemble = label_K.index_select(0, flat).view_as(labels_NHW)
    weight_map = weight_K.index_select(0, flat).view_as(labels_NHW)
    return torch.where(ensemble < 0, labels_NHW, ensemble), weight_map


def _sum_at(index: torch.Tensor, values: torch.Tensor, length: int) -> torch.Tensor:
    """float64 (length,): the sum of the values at each index."""
    sums = torch.zeros(length, dtype=torch.float64, device=index.device)
    return sums.scatter_add_(0, index, values.flatten())


def _sum_over_cells(sums_KC: torch.Tensor, masks: MaskBatch) -> torch.Tensor:
    """(M, C): the rows of each mask's cells, summed."""
    return F.embedding_bag(masks.cell_of, sums_KC, masks.first, mode="sum")


def _regions(labels_NHW: torch.Tensor, classes: int) -> torch.Tensor:
    """float64 (N, C): the pixels of each class in each window."""
    n = len(labels_NHW)
    window = torch.arange(n, device=labels_NHW.device, dtype=torch.int32).view(-1, 1, 1)
    index = (window * classes + labels_NHW).flatten()
    return torch.bincount(index, minlength=n * classes).view(n, classes).double()
