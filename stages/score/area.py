"""Areas on the sphere: by how much each row of a 2:1 picture counts."""

from __future__ import annotations

import numpy as np

from goodsam.data.errors import InputError
from goodsam.data.windows import is_sphere


def row_areas(height: int) -> np.ndarray:
    """float64 (H,): the area of a pixel of each row of a whole sphere, their mean being 1.

    Between two circles of latitude lies `2 pi (sin(upper) - sin(lower))` of the unit sphere
    (Archimedes), and the pixels of a row share it.

    >>> row_areas(4).round(3)
    array([0.586, 1.414, 1.414, 0.586])
    """
    sines = np.sin(np.linspace(np.pi / 2, -np.pi / 2, height + 1))
    return -np.diff(sines) * height / 2


def pixel_areas(size: tuple[int, int]) -> np.ndarray:
    """float64 (H, 1): `row_areas` of pictures of H x W px. InputError unless they are 2:1."""
    height, width = size
    if not is_sphere(height, width):
        raise InputError(
            f"{width} x {height} is no 2:1 sphere, whose pixels have an area; leave --by-area out"
        )
    return row_areas(height)[:, None]
