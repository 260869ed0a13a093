"""How well masks cover what is there: the best IoU of every true instance, by its size."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from goodsam.data.window_masks import WindowMasks

AREAS = (250, 1000, 2500, 10000)  # px: where one range of sizes ends and the next begins


def best_iou_by_area(masks: WindowMasks, instances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Area, int64 (K,) px, and best IoU with any mask, float64 (K,), of each instance.

    instances: uint16 (H, W), 0 none; K is the number of other ids, in rising order. Without masks
    every IoU is 0. Cells do the counting: one histogram over (instance, cell), then a product.
    """
    ids, inverse, areas = np.unique(instances, return_inverse=True, return_counts=True)
    n_cells = masks.incidence.shape[1]
    both = inverse.reshape(instances.shape).astype(np.int64) * n_cells + masks.cells
    counts = np.bincount(both.ravel(), minlength=len(ids) * n_cells).reshape(len(ids), n_cells)
    inside = counts @ masks.incidence.T  # (K, M) px
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
