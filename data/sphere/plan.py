"""What every plan of windows does, and the plans of a whole sphere by name.

A plan knows one size of panorama. It cuts one into windows of one size, says which of them are
neighbours and what these share, and puts windows back together. Nobody else computes places.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, Protocol

import numpy as np

from goodsam.data.errors import InputError
from goodsam.data.sphere.tangent import TangentWindows
from goodsam.data.sphere.vertical import VerticalWindows
from goodsam.data.windows import Array, is_sphere

SpherePlan = Literal["vertical", "tangent"]


class WindowPlan(Protocol):
    """n windows, each h x w pixels, of a panorama of H x W pixels: `Windows` is the paper's plan.

    height, width: H and W. overlaps: one entry for each pair of neighbours, for `pair` to read.
    """

    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def overlaps(self) -> Sequence[Any]: ...
    def __len__(self) -> int: ...
    def cut(self, panorama: Array) -> Array:
        """(..., H, W) -> (n, ..., h, w)."""
        ...

    def cut_images(self, image_HWC: np.ndarray) -> np.ndarray:
        """A picture, uint8 (H, W, 3) -> its windows, uint8 (n, h, w, 3), contiguous."""
        ...

    def pair(self, windows: Array, overlap: Any) -> tuple[Array, Array]:
        """(n, ..., h, w) -> both windows' view of the same places: of one shape, (..., ?)."""
        ...

    def join(self, windows: Array) -> Array:
        """(n, ..., h, w) -> (..., H, W)."""
        ...


@lru_cache(maxsize=2)  # tangent windows remember where their pixels lie
def sphere_plan(name: SpherePlan, height: int, width: int) -> WindowPlan:
    """The plan of this name for spheres of `height` x `width` px. InputError unless it is 2:1.

    >>> len(sphere_plan("vertical", 512, 1024)), len(sphere_plan("tangent", 512, 1024))
    (24, 22)
    """
    if not is_sphere(height, width):
        raise InputError(
            f"{width} x {height} is no 2:1 sphere, and {name} windows are windows of one: leave "
            "the plan out, and the panorama is seen as it is"
        )
    if name == "vertical":
        return VerticalWindows.of(height, width)
    return TangentWindows(height, width)
