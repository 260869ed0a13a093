"""A tangent window brought back to the sphere's own pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from goodsam.data.raster import Raster
from goodsam.data.sphere.resample import is_float, nearest, sample


@dataclass(frozen=True, eq=False)
class Reprojection:
    """Where pixels of the sphere lie in one window.

    raster: the pixels, h x w of them. y, x: float32 (h, w), where they lie, px from the middle of
    the window's first pixel. sees: bool (h, w), whether the window shows them; where it does not,
    y and x are 0. share: float32 (h, w), the window's in what is joined; 0 where it shows nothing.
    """

    raster: Raster
    y: np.ndarray
    x: np.ndarray
    sees: np.ndarray
    share: np.ndarray

    def part(self, place: Raster) -> Reprojection:
        """Of some of its pixels; place: counted from the corner of its own raster."""
        raster = Raster(self.raster.top + place.top, self.raster.left + place.left, *place.shape)
        return Reprojection(raster, *map(place.of, (self.y, self.x, self.sees, self.share)))

    def of(self, window: Any) -> Any:
        """(..., s, s) -> (..., h, w): floats bilinearly, others from the nearest pixel."""
        return (sample if is_float(window) else nearest)(window, self.y, self.x)
