"""Where two windows of a sphere meet: a rectangle of the sphere's own pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Raster:
    """Rows top, top + 1, ... and columns left, left + 1, ... of the circle, over the seam too.

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

        Pixels in every column have all columns, from 0.
        """
        rows = np.flatnonzero(pixels_HW.any(axis=1))
        columns = np.flatnonzero(pixels_HW.any(axis=0))
        circle = pixels_HW.shape[1]
        steps = np.diff(columns, append=columns[0] + circle)  # each to the next one, around
        last = int(steps.argmax())  # the widest gap is left out
        width = circle - int(steps[last]) + 1
        left = 0 if width == circle else int(columns[(last + 1) % len(columns)])
        return cls(int(rows[0]), left, int(rows[-1] - rows[0]) + 1, width)
