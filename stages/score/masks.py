"""How good masks are, held against the true instances, whatever they are used for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from goodsam.data.window_masks import WindowMasks

AREAS = (250, 1000, 2500, 10000)  # px: where one range of sizes ends and the next begins


@dataclass(frozen=True)
class MaskQuality:
    """Means over windows that have been judged; NaN where there is nothing to be judged.

    best_iou: over the instances, of their best IoU with any mask. by_area: the same by range of
    area, with the number of instances, as `mean_by_range` has it. masks: of a window. purity: over
    the masks, of the share of a mask that is one instance. covered: share of the pixels that lie in
    a mask.
    """

    best_iou: float
    by_area: dict[str, tuple[float, int]]
    masks: float
    purity: float
    covered: float

    @classmethod
    def of(cls, windows: Iterable[tuple[WindowMasks, np.ndarray]]) -> MaskQuality:
        """Of pairs of a window's masks and instances, uint16 (H, W), 0 none."""
        pairs, purity, numbers, covered = [], [], [], []
        for masks, instances in windows:
            pairs.append(best_iou_by_area(masks, instances))
            _, ids, inside = _shared(masks, instances)
            most = inside[ids > 0].max(axis=0, initial=0)
            purity.append(most / np.maximum(masks.area, 1))
            numbers.append(len(masks))
            covered.append(float(np.mean(masks.cells > 0)))
        best = [own for _, own in pairs]
        return cls(
            best_iou=_mean(best),
            by_area=mean_by_range(pairs),
            masks=_mean([numbers]),
            purity=_mean(purity),
            covered=_mean([covered]),
        )


def _mean(parts: Sequence[ArrayLike]) -> float:
    values = np.concatenate(parts) if parts else np.array([])
    return float(values.mean()) if len(values) else math.nan


def _shared(masks: WindowMasks, instances: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Area (K,) and id (K,) of all instances, 0 among them, and their pixels in each mask (K, M).

    Cells do the counting: one histogram over (instance, cell), then a product.
    """
    ids, inverse, areas = np.unique(instances, return_inverse=True, return_counts=True)
    n_cells = masks.incidence.shape[1]
    both = inverse.reshape(instances.shape).astype(np.int64) * n_cells + masks.cells
    counts = np.bincount(both.ravel(), minlength=len(ids) * n_cells).reshape(len(ids), n_cells)
    return areas, ids, counts @ masks.incidence.T


def best_iou_by_area(masks: WindowMasks, instances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Area, int64 (K,) px, and best IoU with any mask, float64 (K,), of each instance.

    instances: uint16 (H, W), 0 none; K is the number of other ids, in rising order. Without masks
    every IoU is 0.
    """
    areas, ids, inside = _shared(masks, instances)
    iou = inside / (areas[:, None] + masks.area[None] - inside)
    best = iou.max(axis=1, initial=0.0)
    return areas[ids > 0], best[ids > 0]


def mean_by_range(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, tuple[float, int]]:
    """Results of many windows -> per range of area its mean best IoU and number of instances.

    Keys: "<250", "250-1000", "1000-2500", "2500-10000", ">10000"; a range without instances is
    left out.
    """
    columns = list(zip(*pairs, strict=True))
    area, best = (np.concatenate(column) for column in columns) if columns else ((), ())
    names = [f"<{AREAS[0]}", *(f"{a}-{b}" for a, b in pairwise(AREAS))]
    names.append(f">{AREAS[-1]}")
    where = np.searchsorted(AREAS, np.asarray(area), side="right")
    return {
        name: (float(np.mean(np.asarray(best)[where == i])), int(np.sum(where == i)))
        for i, name in enumerate(names)
        if np.any(where == i)
    }
