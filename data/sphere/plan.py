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
from goodsam.data.raster import Raster
from goodsam.data.sphere.tangent import TangentWindows
from goodsam.data.sphere.vertical import VerticalWindows
from goodsam.data.windows import Array, is_sphere

SpherePlan = Literal["vertical", "tangent"]


class WindowPlan(Protocol):
    """n windows, each h x w pixels, of a panorama of H x W pixels: `Windows` is the paper's plan.

    Two neighbours meet on the raster of their overlap: h_o x w_o of the panorama's own pixels, rows
    by columns of the circle, that bound what both windows show.

    height, width: H and W. window_shape: h and w. overlaps: one entry for each pair of neighbours,
    for the plan itself to read. overlap_shapes: h_o and w_o of each. resampled: whether windows
    have pixels of their own, by resampling; otherwise they are cut out of the panorama.
    """

    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def window_shape(self) -> tuple[int, int]: ...
    @property
    def overlaps(self) -> Sequence[Any]: ...
    @property
    def overlap_shapes(self) -> Sequence[tuple[int, int]]: ...
    @property
    def resampled(self) -> bool: ...
    def __len__(self) -> int: ...
    def __hash__(self) -> int: ...
    def cut(self, panorama: Array) -> Array:
        """(..., H, W) floats -> (n, ..., h, w)."""
        ...

    def cut_labels(self, labels: Array) -> Array:
        """(..., H, W) of any type -> (n, ..., h, w), each the value of one pixel."""
        ...

    def cut_images(self, image_HWC: np.ndarray) -> np.ndarray:
        """A picture, uint8 (H, W, 3) -> its windows, uint8 (n, h, w, 3), contiguous."""
        ...

    def cut_overlaps(self, panorama: Array) -> list[Array]:
        """(..., H, W) of any type -> the raster of each overlap, (..., h_o, w_o)."""
        ...

    def made_of(self, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Of which k pixels of the panorama each pixel of a window is made by `cut`.

        Rows and columns, int64, and shares, float32, that broadcast to (k, h, w); the shares of a
        pixel sum to 1. None: k is 1.
        """
        ...

    def pair(self, windows: Array, overlap: Any) -> tuple[Array, Array]:
        """(n, ..., h, w) -> both windows' view of one overlap's raster, (..., h_o, w_o) each.

        Labels (integers) stay labels. 0 where not both show it.
        """
        ...

    def reproject(self, windows: Array) -> Sequence[Array]:
        """(n, ..., h, w) -> each window on the panorama's own pixels, (..., h_k, w_k).

        What is on pixels that a window does not show is not said. Labels (integers) stay labels.
        """
        ...

    def meeting(self, overlap: Any) -> tuple[tuple[int, Raster], tuple[int, Raster]]:
        """The two windows of an overlap, and where its raster lies on each of them, reprojected."""
        ...

    def shown(self, overlap: Any) -> np.ndarray | None:
        """bool (h_o, w_o): where both windows show an overlap's raster; None: everywhere."""
        ...

    def search(self, overlap: Any) -> Literal["column", "row"]:
        """Along what the nearest SAM boundary is sought on an overlap's raster."""
        ...

    def overlap_pixels(self, overlap: Any) -> tuple[np.ndarray, np.ndarray]:
        """The panorama's rows, int64 (h_o, 1), and columns, int64 (1, w_o), of a raster."""
        ...

    def join(self, windows: Array) -> Array:
        """(n, ..., h, w) floats -> (..., H, W)."""
        ...

    def join_labels(self, labels: Array) -> Array:
        """(n, ..., h, w) of any type -> (..., H, W), each the value of one pixel."""
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
