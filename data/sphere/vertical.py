"""Windows across and down: the paper's windows, which slide along rows too.

GoodSAM++ says that its windows slide horizontally and vertically, and no more than that; sizes,
strides, neighbours and poles here are our reading. Across, a row of windows is a circle, as in
`goodsam.data.windows`, whose seam is closed. Down, it is not: the first row of windows begins at
one pole and the last one ends at the other. No window runs over a pole, and none is masked there:
its top or bottom row is one point of the sphere, as it is in the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np

from goodsam.data.errors import InputError
from goodsam.data.raster import Raster
from goodsam.data.windows import Array, Windows, concatenate


@dataclass(frozen=True)
class Neighbours:
    """Two windows that share pixels, and along which axis one follows the other.

    first, second: indices of the windows; the second is to the right of the first, or below it.
    shared: columns (`across`) or rows (`down`): the last ones of `first`, the first of `second`.
    """

    first: int
    second: int
    axis: Literal["across", "down"]
    shared: int


@dataclass(frozen=True)
class VerticalWindows:
    """Rows of sliding windows over one size of sphere, from pole to pole.

    height, width: of the sphere, px. window: height and width of a window, px. stride: down and
    across, px. Windows are numbered row by row, from the upper left.

    Raises InputError for sizes that make no windows.

    >>> plan = VerticalWindows.of(512, 1024)
    >>> len(plan), plan.window, len(plan.overlaps)
    (24, (256, 256), 40)
    >>> sphere = np.random.default_rng(0).random((3, 512, 1024))
    >>> plan.cut(sphere).shape, bool((plan.join(plan.cut(sphere)) == sphere).all())
    ((24, 3, 256, 256), True)
    """

    height: int
    width: int
    window: tuple[int, int]
    stride: tuple[int, int]

    def __post_init__(self) -> None:
        if self.window[0] > self.height:
            raise InputError(f"windows {self.window[0]} high are higher than the sphere: {self}")
        _ = self.rows, self.columns  # they check the rest

    @classmethod
    def of(cls, height: int, width: int) -> VerticalWindows:
        """Windows of 90 x 90 degrees that half overlap: the paper's width, and as much down."""
        return cls(height, width, (height // 2, width // 4), (height // 4, width // 8))

    @cached_property
    def columns(self) -> Windows:
        """The windows of one row: a panorama as high as they are."""
        return Windows(self.window[0], self.width, self.window[1], self.stride[1])

    @cached_property
    def rows(self) -> Windows:
        """The rows of windows, on a sphere that lies on its side: a strip that is no circle."""
        return Windows(1, self.height, self.window[0], self.stride[0], wrap=False)

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    @cached_property
    def overlaps(self) -> tuple[Neighbours, ...]:
        """Each window's overlap with the next one to its right, then with the next one below."""
        n = len(self.columns)
        across = [
            Neighbours(row * n + overlap.left, row * n + overlap.right, "across", overlap.width)
            for row in range(len(self.rows))
            for overlap in self.columns.overlaps
        ]
        down = [
            Neighbours(overlap.left * n + column, overlap.right * n + column, "down", overlap.width)
            for overlap in self.rows.overlaps
            for column in range(n)
        ]
        return (*across, *down)

    @property
    def window_shape(self) -> tuple[int, int]:
        """Height and width of each window, px."""
        return self.window

    @property
    def resampled(self) -> bool:
        """Windows are cut out: their pixels are the sphere's own."""
        return False

    @cached_property
    def overlap_shapes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of each overlap's raster, px."""
        return tuple(self.meeting(overlap)[1][1].shape for overlap in self.overlaps)

    def meeting(self, overlap: Neighbours) -> tuple[tuple[int, Raster], tuple[int, Raster]]:
        """Both windows of an overlap, and where it lies on each: at the end of the first one, at
        the beginning of the second one."""
        (h, w), shared = self.window, overlap.shared
        if overlap.axis == "across":
            last, first = Raster(0, w - shared, h, shared), Raster(0, 0, h, shared)
        else:
            last, first = Raster(h - shared, 0, shared, w), Raster(0, 0, shared, w)
        return (overlap.first, last), (overlap.second, first)

    def overlap_pixels(self, overlap: Neighbours) -> tuple[np.ndarray, np.ndarray]:
        """Rows, int64 (h_o, 1), and columns, int64 (1, w_o), of one overlap's raster."""
        _, (second, first) = self.meeting(overlap)
        row, column = divmod(second, len(self.columns))
        top, left = self.rows.starts[row], self.columns.starts[column]
        return Raster(top, left, *first.shape).pixels(self.width)

    def made_of(self, window: int) -> tuple[np.ndarray, np.ndarray, None]:
        """Rows, int64 (1, h, 1), and columns, int64 (1, 1, w), of a window's pixels."""
        row, column = divmod(window, len(self.columns))
        rows = self.rows.starts[row] + np.arange(self.window[0])
        return rows[None, :, None], self.columns.columns[column][None, None], None

    def shown(self, overlap: Neighbours) -> None:
        """Both windows show all of an overlap."""

    def search(self, overlap: Neighbours) -> Literal["column", "row"]:
        """The nearest SAM boundary is sought in a pixel's row where neighbours share rows."""
        return "column" if overlap.axis == "across" else "row"

    @cached_property
    def row_sources(self) -> np.ndarray:
        """int64 (H,): for each row of the sphere, the row of windows that it is taken from.

        The one whose centre is nearest (ties: the upper one). Rows of windows that tile the sphere
        would meet at the horizon, where most things are.
        """
        middles = np.asarray(self.rows.starts) + self.window[0] / 2
        return np.abs(np.arange(self.height)[:, None] + 0.5 - middles).argmin(axis=1)

    def cut(self, panorama: Array) -> Array:
        """(..., H, W) -> (n, ..., h, w)."""
        self._check_size(panorama.shape[-2:])
        return concatenate([self.columns.cut(panorama[..., r, :]) for r in self._slices()], axis=0)

    def cut_labels(self, labels: Array) -> Array:
        """`cut`: it takes every pixel as it is."""
        return self.cut(labels)

    def cut_overlaps(self, panorama: Array) -> list[Array]:
        """(..., H, W) -> per overlap (..., h_o, w_o)."""
        self._check_size(panorama.shape[-2:])
        places = map(self.overlap_pixels, self.overlaps)
        return [panorama[..., rows, columns] for rows, columns in places]

    def cut_images(self, image_HWC: np.ndarray) -> np.ndarray:
        """A picture, uint8 (H, W, 3) -> its windows, uint8 (n, h, w, 3), contiguous."""
        self._check_size(image_HWC.shape[:2])
        return np.concatenate([self.columns.cut_images(image_HWC[r]) for r in self._slices()])

    def cut_overlap_images(self, image_HWC: np.ndarray) -> list[np.ndarray]:
        """A picture, uint8 (H, W, 3) -> per overlap uint8 (h_o, w_o, 3), contiguous."""
        self._check_size(image_HWC.shape[:2])
        return [image_HWC[self.overlap_pixels(overlap)] for overlap in self.overlaps]

    def reproject(self, windows: Array) -> Array:
        """The windows as they are: their pixels are the sphere's own."""
        return windows

    def pair(self, windows: Array, overlap: Neighbours) -> tuple[Array, Array]:
        """(n, ..., h, w) -> both windows' view of what they share: (..., h, shared) where one is
        beside the other, (..., shared, w) where it is below.
        """
        (first, last), (second, begin) = self.meeting(overlap)
        return last.of(windows[first]), begin.of(windows[second])

    def join(self, windows: Array) -> Array:
        """(n, ..., h, w) -> (..., H, W), each pixel from one window."""
        n, source = len(self.columns), self.row_sources
        first = np.flatnonzero(np.diff(source, prepend=-1))
        parts = []
        for a, b in pairwise(np.append(first, self.height).tolist()):
            row = int(source[a])
            top = self.rows.starts[row]
            parts.append(
                self.columns.join(windows[row * n : (row + 1) * n, ..., a - top : b - top, :])
            )
        return concatenate(parts, axis=-2)

    def join_labels(self, labels: Array) -> Array:
        """`join`: it takes every pixel as it is."""
        return self.join(labels)

    def _slices(self) -> list[slice]:
        return [slice(start, start + self.window[0]) for start in self.rows.starts]

    def _check_size(self, size: tuple[int, ...]) -> None:
        if tuple(size) != (self.height, self.width):
            raise InputError(
                f"the sphere is {size[1]} x {size[0]}, its windows expect {self.width} x "
                f"{self.height}"
            )
