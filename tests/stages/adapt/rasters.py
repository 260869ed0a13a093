"""Twins of what a step computes where two windows meet: loops over the panorama's pixels.

A window's prediction of a pixel of the panorama is its own where windows are cut out, and sampled
bilinearly where the gnomonic projection says for tangent ones.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from goodsam.data.sphere import TangentWindows
from tests.data.sphere.gnomonic import naive_bilinear, naive_seen


@lru_cache
def places(plan):
    """Of each window {(row, column) of the panorama: (y, x) in the window}."""
    if isinstance(plan, TangentWindows):
        pixels = list(np.ndindex(plan.height, plan.width))
        seen = [{at: naive_seen(plan, k, *at) for at in pixels} for k in range(len(plan))]
        return [{at: place[:2] for at, place in s.items() if place is not None} for s in seen]
    ids = np.arange(plan.height * plan.width).reshape(plan.height, plan.width)
    return [
        {divmod(int(window[at]), plan.width): at for at in np.ndindex(window.shape)}
        for window in plan.cut(ids)
    ]


def meet(plan, overlap, windows):
    """(n, C, h, w) -> both windows' view of an overlap's raster, (C, h_o, w_o) each, NaN where not
    both show it, and where both do."""
    (first, _), (second, _) = plan.meeting(overlap)
    rows, columns = (axis.ravel().tolist() for axis in plan.overlap_pixels(overlap))
    seen = places(plan)
    sides = np.full((2, windows.shape[1], len(rows), len(columns)), np.nan)
    for y, x in np.ndindex(sides.shape[2:]):
        at = rows[y], columns[x]
        if at in seen[first] and at in seen[second]:
            for side, window in zip(sides, (first, second), strict=True):
                side[:, y, x] = naive_bilinear(windows[window], *seen[window][at])
    return *sides, ~np.isnan(sides[0, 0])


def around(y, x, shown):
    """The 4-neighbours of a pixel that are shown."""
    beside = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
    height, width = shown.shape
    return [(v, u) for v, u in beside if 0 <= v < height and 0 <= u < width and shown[v, u]]


def hard(p, shown):
    labels, found = p.argmax(axis=0), np.zeros(shown.shape, bool)
    for y, x in np.argwhere(shown):
        found[y, x] = any(labels[n] != labels[y, x] for n in around(y, x, shown))
    return found


def soft(p, shown):
    found = np.zeros(shown.shape)
    for y, x in np.argwhere(shown):
        gaps = [0.5 * np.abs(p[:, y, x] - p[:, v, u]).sum() for v, u in around(y, x, shown)]
        found[y, x] = max(gaps, default=0)
    return found


def refined(left, right, shown, sam, axis, alpha=0.3, limit=None):
    """Fig. 3, pixel by pixel, the nearest SAM boundary along a column or a row."""
    edge, other = hard(left, shown), hard(right, shown)
    two = [np.sort(p, axis=0)[-2:] for p in (left, right)]
    margins = [high - low for low, high in two]
    found = np.zeros(shown.shape, bool)
    for y, x in np.argwhere(edge):
        if other[y, x] and sam[y, x]:
            found[y, x] = True
            continue
        line = [(v, x) for v in range(len(sam))]
        if axis == "row":
            line = [(y, u) for u in range(sam.shape[1])]
        there = [q for q in line if sam[q] and shown[q]]
        q = min(there, key=lambda q: (abs(q[0] - y) + abs(q[1] - x), q), default=None)
        near = q is not None and (limit is None or abs(q[0] - y) + abs(q[1] - x) <= limit)
        moves = near and any(margin[q] < alpha for margin in margins)
        found[q if moves else (y, x)] = True
    return found


def boundary_loss(reference, maps, counted, reduction):
    """Eq. 2 or 7 of one overlap."""
    on, off = int((reference & counted).sum()), int((~reference & counted).sum())
    total = 0.0
    for map_ in maps:
        for at in map(tuple, np.argwhere(counted)):
            gap = abs(float(reference[at]) - map_[at])
            total += gap / (on if reduction == "printed" or reference[at] else off) if on else 0
    return total
