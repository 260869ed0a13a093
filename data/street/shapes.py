"""Flat shapes with a silhouette: the language in which people, trees and signs are drawn.

The silhouettes themselves are in `bodies` (people, two-wheelers), `plants` and `posts`. A shape is
a function of `u` (metres to the right) and `v` (metres above the ground), both float32 arrays of
one shape, and of `side`, where the sun stands (-1 left .. 1 right). It returns

- part, uint8: which colour of the instance's palette; NONE off the shape; `GAP + part` where the
  shape is see-through: the label is the part's, the colour is what lies behind;
- tone, float32: -1 (turned from the sun) .. 1 (to the sun).
"""

from collections.abc import Callable, Sequence

import numpy as np

NONE = 255
GAP = 128

Shape = Callable[[np.ndarray, np.ndarray, float], tuple[np.ndarray, np.ndarray]]
Limb = tuple[float, float, float, float, float, float, int]
"""A tapered capsule: x0, y0, x1, y1 of its axis, the radii at both ends, and its part."""


def canvas(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An empty part and tone for the points `u`, to be painted on."""
    return np.full(u.shape, NONE, np.uint8), np.zeros(u.shape, np.float32)


def limbs(parts: Sequence[Limb], scale: float = 1.0, mirror: bool = False) -> Shape:
    """A union of tapered capsules, painted in order; coordinates in units of `scale` metres."""
    sign = -1.0 if mirror else 1.0

    def shape(u: np.ndarray, v: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
        part, tone = canvas(u)
        a, b = u * np.float32(sign / scale), v * np.float32(1 / scale)
        for x0, y0, x1, y1, r0, r1, k in parts:
            px, py = a - x0, b - y0
            bx, by = x1 - x0, y1 - y0
            along = np.clip((px * bx + py * by) * (1 / (bx * bx + by * by + 1e-9)), 0, 1)
            px -= along * bx
            py -= along * by
            radius = r0 + (r1 - r0) * along
            hit = px * px + py * py < radius * radius
            part[hit] = k
            tone[hit] = (px[hit] * (side * sign) + py[hit] * 0.5) / radius[hit]
        return part, tone

    return shape
