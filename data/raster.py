"""A rectangle of pixels: of the panorama, or of something laid out on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Raster:
    """Rows top, top + 1, ... and columns left, left + 1, ... of a picture, or of a circle.

    >>> sphere = np.zeros((4, 8), bool)
    >>> sphere[1:3, [7, 0]] = True
    >>> Raster.around(sphere)
    Raster(top=1, left=7, height=2, width=2)
    """

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def around(cls, pixels_HW: np.ndarray) -> Raster:
        """The smallest one around pixels of a sphere, bool (H, W), of which there is at least one.

        It goes on over the seam where they do; pixels in every column have all columns, from 0.
        """
        rows = np.flatnonzero(pixels_HW.any(axis=1))
        columns = np.flatnonzero(pixels_HW.any(axis=0))
        circle = pixels_HW.shape[1]
        steps = np.diff(columns, append=columns[0] + circle)  # each to the next one, around
        last = int(steps.argmax())  # the widest gap is left out
        width = circle - int(steps[last]) + 1
        left = 0 if width == circle else int(columns[(last + 1) % len(columns)])
        return cls(int(rows[0]), left, int(rows[-1] - rows[0]) + 1, width)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, px."""
        return self.height, self.width

    def of(self, picture: Any) -> Any:
        """(..., H, W) -> (..., height, width), a view of its pixels; not over a seam."""
        rows = slice(self.top, self.top + self.height)
        return picture[..., rows, self.left : self.left + self.width]

    def pixels(self, circle: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows, int64 (height, 1), and columns, int64 (1, width), of a circle of so many."""
        rows = self.top + np.arange(self.height)
        return rows[:, None], (self.left + np.arange(self.width))[None] % circle

    def runs(self, circle: int) -> Iterator[tuple[slice, slice]]:
        """Its own columns and the circle's, in runs without a seam, each of the circle's once."""
        width, left = min(self.width, circle), self.left % circle
        first = min(width, circle - left)
        yield slice(0, first), slice(left, left + first)
        if first < width:
            yield slice(first, width), slice(0, width - first)

    def within(self, other: Raster, circle: int) -> Raster:
        """The same pixels, counted from the corner of `other`, which lies around them."""
        left = (self.left - other.left) % circle
        return Raster(self.top - other.top, left, self.height, self.width)

    def wider(self, parts: list[Raster], circle: int) -> Raster:
        """As many columns more as the parts need, each without a seam, and no rows but theirs.

        Where it goes on past the whole circle, columns are there twice.
        """
        if not parts:
            return self
        width = max(part.within(self, circle).left + part.width for part in parts)
        top = min(part.top for part in parts)
        bottom = max(part.top + part.height for part in parts)
        return Raster(top, self.left, bottom - top, width)
