"""Tangent windows: pinhole pictures of a sphere, by the gnomonic projection.

Straight lines stay straight in them at every latitude, as in the photographs that networks were
trained on. Windows stand in rings, at latitudes from pole to pole, one of which is the horizon;
each is upright, and those at the poles look straight up and down.

Pixels are resampled: pictures and maps bilinearly, labels to the nearest pixel. The circle is
closed, and what lies past a pole is on the other side of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from goodsam.data.errors import InputError
from goodsam.data.sphere.raster import Raster
from goodsam.data.sphere.resample import blend, is_float, is_numpy, like, stack
from goodsam.data.sphere.ring import (
    Ring,
    directions,
    ring_latitudes,
    window_size,
    windows_around,
)
from goodsam.data.windows import Array

_NEAR = 1.25  # strides between the centres of neighbours, at most


@dataclass(frozen=True)
class TangentWindows:
    """Square tangent windows of one field of view over one size of sphere.

    height, width: of the sphere, px. fov: of a window, degrees. stride: between rings, and between
    the windows of a ring, at most, degrees; 0: half the field of view. Windows are numbered ring by
    ring, from the upper pole, eastward from the column that lies ahead.

    Raises InputError for angles of which no windows are made, or that leave a part of the sphere
    out.

    >>> plan = TangentWindows(256, 512)
    >>> len(plan), plan.size
    (22, 160)
    >>> sphere = np.full((3, 256, 512), 7.0)
    >>> plan.cut(sphere).shape, bool(np.allclose(plan.join(plan.cut(sphere)), sphere))
    ((22, 3, 160, 160), True)
    """

    height: int
    width: int
    fov: float = 90.0
    stride: float = 0.0

    def __post_init__(self) -> None:
        if not 30 <= self.fov <= 150:
            raise InputError(f"tangent windows of {self.fov:g} degrees: use 30 to 150")
        if not 0 <= self.stride <= self.fov:
            raise InputError(
                f"tangent windows every {self.stride:g} degrees: use 0 to {self.fov:g}"
            )
        object.__setattr__(self, "fov", float(self.fov))
        object.__setattr__(self, "stride", float(self.stride or self.fov / 2))
        if min(self.height, self.width) < 8:
            raise InputError(f"tangent windows of a sphere of {self.width} x {self.height} px")
        if not self.weights.all():
            raise InputError(
                f"tangent windows of {self.fov:g} degrees every {self.stride:g} leave parts of the "
                "sphere out: use a smaller stride"
            )

    @cached_property
    def size(self) -> int:
        """Height and width of a window, px, a multiple of 8.

        In its middle it is about as fine as the sphere at the horizon.
        """
        return window_size(self.width, self.fov)

    @property
    def _reach(self) -> float:
        """From a window's middle to its rim, on a plane at distance 1."""
        return math.tan(math.radians(self.fov) / 2)

    @cached_property
    def rings(self) -> tuple[Ring, ...]:
        """From pole to pole, the horizon among them."""
        size = self.height, self.width
        return tuple(
            Ring.at(latitude, size, self.size, self._reach)
            for latitude in ring_latitudes(self.stride)
        )

    @cached_property
    def places(self) -> tuple[tuple[int, int], ...]:
        """Of each window: the index of its ring, and the column of the sphere in its middle."""
        found = []
        for index, ring in enumerate(self.rings):
            count = windows_around(ring.latitude, self.stride)
            for k in range(count):  # whole columns, so that a ring has one geometry
                found.append((index, round(self.width * (0.5 + k / count)) % self.width))
        return tuple(found)

    @cached_property
    def centres(self) -> np.ndarray:
        """float64 (n, 2): latitude and longitude of the windows' middles, degrees, 0 ahead."""
        return np.array(
            [
                (math.degrees(self.rings[ring].latitude), 360 * column / self.width - 180)
                for ring, column in self.places
            ]
        )

    def __len__(self) -> int:
        return len(self.places)

    @cached_property
    def weights(self) -> np.ndarray:
        """float32 (H * W,): the sum of the weights of all windows that show a pixel."""
        total = np.zeros(self.height * self.width, np.float32)
        for window, (ring, _) in enumerate(self.places):
            total[self._pixels(window)] += self.rings[ring].weight
        return total

    @property
    def window_shape(self) -> tuple[int, int]:
        """Height and width of each window, px."""
        return self.size, self.size

    @property
    def overlaps(self) -> tuple[tuple[int, int], ...]:
        """Pairs of neighbours: windows whose middles are at most 1.25 strides apart, and that show
        a pixel in common."""
        return tuple(self._rasters)

    @cached_property
    def overlap_shapes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of each overlap's raster, px."""
        return tuple((raster.height, raster.width) for raster in self._rasters.values())

    def overlap_pixels(self, overlap: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Rows, int64 (h_o, 1), and columns, int64 (1, w_o), of one overlap's raster."""
        raster = self._rasters[overlap]
        rows = raster.top + np.arange(raster.height)
        return rows[:, None], (raster.left + np.arange(raster.width))[None] % self.width

    def shown(self, overlap: tuple[int, int]) -> np.ndarray:
        """bool (h_o, w_o): where both windows show an overlap's raster."""
        first, second = (self._numbers_on(overlap, window) for window in overlap)
        return (first >= 0) & (second >= 0)

    def search(self, overlap: tuple[int, int]) -> Literal["column", "row"]:
        """The nearest SAM boundary is sought along the meridian, which is a pixel's column."""
        return "column"

    @cached_property
    def _rasters(self) -> dict[tuple[int, int], Raster]:
        latitude, longitude = np.radians(self.centres).T
        middles = directions(latitude, longitude)
        near = middles.T @ middles >= math.cos(math.radians(_NEAR * self.stride))
        found = {}
        for first, second in zip(*np.nonzero(np.triu(near, 1)), strict=True):
            both = self._sees(first) & self._sees(second)
            if both.any():
                found[int(first), int(second)] = Raster.around(both)
        return found

    @cached_property
    def _numbers(self) -> tuple[np.ndarray, ...]:
        """Of each ring int32 (H, W): which of its pixels each of the sphere's is; -1: none."""
        found = []
        for ring in self.rings:
            numbers = np.full((self.height, self.width), -1, np.int32)
            numbers[tuple(ring.pixel.T)] = np.arange(len(ring.pixel))
            found.append(numbers)
        return tuple(found)

    def _numbers_on(self, overlap: tuple[int, int], window: int) -> np.ndarray:
        """int32 (h_o, w_o): `_numbers` of one window on an overlap's raster."""
        rows, columns = self.overlap_pixels(overlap)
        ring, column = self.places[window]
        return self._numbers[ring][rows, (columns - column) % self.width]

    def _sees(self, window: int) -> np.ndarray:
        """bool (H, W): the sphere's pixels that a window shows."""
        ring, column = self.places[window]
        return np.roll(self._numbers[ring] >= 0, column, axis=1)

    def cut(self, panorama: Array) -> Array:
        """(..., H, W) floats -> (n, ..., s, s), bilinearly."""
        self._check_size(panorama.shape[-2:])
        flat = panorama.reshape(*panorama.shape[:-2], -1)
        return stack([blend(flat, *self._corners(window)) for window in range(len(self))])

    def cut_images(self, image_HWC: np.ndarray) -> np.ndarray:
        """A picture, uint8 (H, W, 3) -> its windows, uint8 (n, s, s, 3), bilinearly."""
        self._check_size(image_HWC.shape[:2])
        channels = np.moveaxis(image_HWC, -1, 0).reshape(image_HWC.shape[2], -1)
        cut = np.empty((len(self), self.size, self.size, image_HWC.shape[2]), np.uint8)
        for window, pixels in enumerate(cut):
            seen = blend(channels, *self._corners(window))
            pixels[...] = np.moveaxis(np.rint(seen), 0, -1)
        return cut

    def cut_labels(self, labels: Array) -> Array:
        """(..., H, W) of any type -> (n, ..., s, s): each pixel is the sphere's nearest."""
        self._check_size(labels.shape[-2:])
        flat = labels.reshape(*labels.shape[:-2], -1)
        found = []
        for ring, column in self.places:
            seen = self.rings[ring]
            row, at = np.rint(seen.row), np.rint(seen.column)
            found.append(flat[..., self._index(row.astype(np.int64), at.astype(np.int64) + column)])
        return stack(found)

    def cut_overlaps(self, panorama: Array) -> list[Array]:
        """(..., H, W) of any type -> the raster of each overlap, (..., h_o, w_o)."""
        self._check_size(panorama.shape[-2:])
        places = map(self.overlap_pixels, self.overlaps)
        return [panorama[..., rows, columns] for rows, columns in places]

    def pair(self, windows: Array, overlap: tuple[int, int]) -> tuple[Array, Array]:
        """(n, ..., s, s) -> both windows' view of one overlap's raster, (..., h_o, w_o) each.

        Floats bilinearly, labels (integers) from the nearest pixel. 0 where not both show it.
        """
        at = np.flatnonzero(self.shown(overlap))
        return (
            self._on_raster(windows[overlap[0]], overlap, overlap[0], at),
            self._on_raster(windows[overlap[1]], overlap, overlap[1], at),
        )

    def _on_raster(
        self, window: Array, overlap: tuple[int, int], index: int, at: np.ndarray
    ) -> Array:
        """One window at the pixels `at` of an overlap's raster, flat indices; 0 at the others."""
        raster = self._rasters[overlap]
        chosen = self._numbers_on(overlap, index).ravel()[at]
        seen = self._seen(window, self.rings[self.places[index][0]], chosen)
        shape = (*seen.shape[:-1], raster.height * raster.width)
        found = np.zeros(shape, seen.dtype) if is_numpy(seen) else seen.new_zeros(shape)
        found[..., at] = seen
        return found.reshape(*shape[:-1], raster.height, raster.width)

    def join(self, windows: Iterable[Array]) -> Array:
        """(n, ..., s, s) floats -> (..., H, W): the weighted mean of the windows that show a pixel.

        Windows that come one by one are not held together: all of them would be several spheres.
        Of a picture that was cut it is the picture but for what bilinear resampling twice loses;
        docs/sphere.md has the bound.
        """
        total: Any = None
        for window, (part, (index, _)) in enumerate(zip(windows, self.places, strict=True)):
            if total is None:
                shape = (*part.shape[:-2], self.height * self.width)
                total = np.zeros(shape, part.dtype) if is_numpy(part) else part.new_zeros(shape)
            ring, shown = self.rings[index], self._pixels(window)
            share = ring.weight / self.weights[shown]
            total[..., shown] += self._seen(part, ring) * like(share, part)
        return total.reshape(*total.shape[:-1], self.height, self.width)

    def join_labels(self, labels: Array) -> Array:
        """(n, ..., s, s) of any type -> (..., H, W), each from the window that sees it best.

        That is the one with the greatest weight there, of equal ones the first.
        """
        shape = (*labels.shape[1:-2], self.height * self.width)
        found = np.zeros(shape, labels.dtype) if is_numpy(labels) else labels.new_zeros(shape)
        for window, (part, (index, _)) in enumerate(zip(labels, self.places, strict=True)):
            pixels = self._pixels(window)
            own = np.flatnonzero(self._best[pixels] == window)
            found[..., pixels[own]] = self._nearest(part, self.rings[index], own)
        return found.reshape(*shape[:-1], self.height, self.width)

    @cached_property
    def _best(self) -> np.ndarray:
        """int16 (H * W,): the window that sees each of the sphere's pixels best."""
        best = np.zeros(self.height * self.width, np.int16)
        greatest = np.zeros(self.height * self.width, np.float32)
        for window, (index, _) in enumerate(self.places):
            pixels, weight = self._pixels(window), self.rings[index].weight
            better = weight > greatest[pixels]
            best[pixels[better]], greatest[pixels[better]] = window, weight[better]
        return best

    def _pixels(self, window: int) -> np.ndarray:
        """int64 (P,): the sphere's pixels that a window shows, as indices of the flat sphere."""
        index, column = self.places[window]
        row, at = self.rings[index].pixel.T
        return row * self.width + (at + column) % self.width

    def _corners(self, window: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """The four pixels of the sphere around each of a window's, and how far between they are."""
        index, column = self.places[window]
        ring = self.rings[index]
        top, left = np.floor(ring.row).astype(np.int64), np.floor(ring.column).astype(np.int64)
        corners = [
            self._index(top + i, left + column + j) for i, j in ((0, 0), (0, 1), (1, 0), (1, 1))
        ]
        return corners, ring.row - top, ring.column - left

    def _index(self, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        """Flat indices; a row past a pole is the one before it, half way around the circle."""
        past = (row < 0) | (row >= self.height)
        row = np.where(row < 0, -1 - row, np.where(past, 2 * self.height - 1 - row, row))
        return row * self.width + (column + past * (self.width // 2)) % self.width

    def _seen(self, window: Array, ring: Ring, chosen: Any = slice(None)) -> Array:
        """(..., s, s) -> (..., P): one window at (some of) the sphere's pixels that it shows."""
        if not is_float(window):
            return self._nearest(window, ring, chosen)
        flat = window.reshape(*window.shape[:-2], -1)
        y, x = ring.y[chosen], ring.x[chosen]
        top = np.minimum(y.astype(np.int64), self.size - 2)
        left = np.minimum(x.astype(np.int64), self.size - 2)
        at = top * self.size + left
        return blend(flat, [at, at + 1, at + self.size, at + self.size + 1], y - top, x - left)

    def _nearest(self, window: Array, ring: Ring, chosen: Any) -> Array:
        """`_seen`, each the value of the nearest pixel."""
        at = np.rint(ring.y[chosen]) * self.size + np.rint(ring.x[chosen])
        return window.reshape(*window.shape[:-2], -1)[..., at.astype(np.int64)]

    def _check_size(self, size: tuple[int, ...]) -> None:
        if tuple(size) != (self.height, self.width):
            raise InputError(
                f"the sphere is {size[1]} x {size[0]}, its windows expect {self.width} x "
                f"{self.height}"
            )
