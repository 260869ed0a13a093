"""Tangent windows: pinhole pictures of a sphere, by the gnomonic projection.

Straight lines stay straight in them at every latitude, as in the photographs that networks were
trained on. Windows stand in rings, at latitudes from pole to pole, one of which is the horizon;
each is upright, and those at the poles look straight up and down.

Pixels are resampled: pictures and maps bilinearly, labels to the nearest pixel. The circle is
closed, and what lies past a pole is on the other side of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal

import numpy as np

from goodsam.data.errors import InputError
from goodsam.data.raster import Raster
from goodsam.data.sphere.reprojection import Reprojection
from goodsam.data.sphere.resample import is_numpy, like, nearest, sample, stack, where, zeros
from goodsam.data.sphere.ring import (
    Ring,
    directions,
    ring_latitudes,
    window_size,
    windows_around,
)
from goodsam.data.windows import Array, concatenate, turn, widen

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
    def resampled(self) -> bool:
        """Windows have pixels of their own."""
        return True

    @property
    def overlaps(self) -> tuple[tuple[int, int], ...]:
        """Pairs of neighbours: windows whose middles are at most 1.25 strides apart, and that show
        a pixel in common."""
        return tuple(self._rasters)

    @property
    def overlap_shapes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of each overlap's raster, px."""
        return tuple(raster.shape for raster in self._rasters.values())

    def overlap_pixels(self, overlap: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Rows, int64 (h_o, 1), and columns, int64 (1, w_o), of one overlap's raster."""
        return self._rasters[overlap].pixels(self.width)

    def meeting(self, overlap: tuple[int, int]) -> tuple[tuple[int, Raster], tuple[int, Raster]]:
        """Both windows of an overlap, and where its raster lies on each of them, reprojected."""
        raster, (first, second) = self._rasters[overlap], overlap
        on_first, on_second = (
            raster.within(self._reprojections[k].raster, self.width) for k in overlap
        )
        return (first, on_first), (second, on_second)

    def shown(self, overlap: tuple[int, int]) -> np.ndarray:
        """bool (h_o, w_o): where both windows show an overlap's raster."""
        first, second = (
            place.of(self._reprojections[k].sees) for k, place in self.meeting(overlap)
        )
        return first & second

    def search(self, overlap: tuple[int, int]) -> Literal["column", "row"]:
        """The nearest SAM boundary is sought along the meridian, which is a pixel's column."""
        return "column"

    @cached_property
    def _rasters(self) -> dict[tuple[int, int], Raster]:
        """Of each overlap, the pixels around all that both windows show."""
        latitude, longitude = np.radians(self.centres).T
        middles = directions(latitude, longitude)
        near = middles.T @ middles >= math.cos(math.radians(_NEAR * self.stride))
        sees = [self._sees(window) for window in range(len(self))]
        found = {}
        for first, second in np.argwhere(np.triu(near, 1)).tolist():
            both = sees[first] & sees[second]
            if both.any():
                found[first, second] = Raster.around(both)
        return found

    @cached_property
    def _reprojections(self) -> tuple[Reprojection, ...]:
        """Of each window, on pixels around all that it shares with its neighbours."""
        found = []
        for window, (index, column) in enumerate(self.places):
            parts = [raster for overlap, raster in self._rasters.items() if window in overlap]
            raster = Raster.around(self._sees(window)).wider(parts, self.width)
            ring = self.rings[index]
            at = np.full((self.height, self.width), -1, np.int32)  # which of the ring's pixels
            at[tuple(ring.pixel.T)] = np.arange(len(ring.pixel))
            rows, columns = raster.pixels(self.width)
            at = at[rows, (columns - column) % self.width]
            sees = at >= 0
            y, x, weight = (
                np.where(sees, values[at], np.float32(0))
                for values in (ring.y, ring.x, ring.weight)
            )
            share = weight / self.weights.reshape(self.height, self.width)[rows, columns]
            found.append(Reprojection(raster, y, x, sees, share))
        return tuple(found)

    def _sees(self, window: int) -> np.ndarray:
        """bool (H, W): the sphere's pixels that a window shows."""
        seen = np.zeros(self.height * self.width, bool)
        seen[self._pixels(window)] = True
        return seen.reshape(self.height, self.width)

    def __getstate__(self) -> dict[str, Any]:
        """What makes the plan, and not what it remembers: a worker process computes it anew."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def cut(self, panorama: Array) -> Array:
        """(..., H, W) floats -> (n, ..., s, s), bilinearly."""
        return stack(list(self._seen(panorama)))

    def cut_images(self, image_HWC: np.ndarray) -> np.ndarray:
        """A picture, uint8 (H, W, 3) -> its windows, uint8 (n, s, s, 3), bilinearly."""
        cut = np.empty((len(self), self.size, self.size, image_HWC.shape[2]), np.uint8)
        for pixels, seen in zip(cut, self._seen(np.moveaxis(image_HWC, -1, 0)), strict=True):
            pixels[...] = np.moveaxis(np.rint(seen), 0, -1)
        return cut

    def _seen(self, panorama: Any) -> Iterator[Any]:
        """(..., H, W) -> (..., s, s), window by window."""
        self._check_size(panorama.shape[-2:])
        # past a pole the sphere goes on half way around, and past the seam at its other end
        half = self.width // 2
        above, below = (turn(panorama[..., i : i + 1, :], half) for i in (0, self.height - 1))
        wide = widen(concatenate([above, panorama, below], axis=-2), half + 1)
        if is_numpy(wide):  # each window would copy what is not contiguous
            wide = np.ascontiguousarray(wide)
        for ring, column in self.places:
            seen = self.rings[ring]
            yield sample(wide, seen.row + 1, seen.column + (column + half + 1))

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

    def made_of(self, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, columns, int64, and shares, float32, (4, s, s): of each pixel of a window."""
        index, column = self.places[window]
        ring = self.rings[index]
        top, left = np.floor(ring.row).astype(np.int64), np.floor(ring.column).astype(np.int64)
        down, across = ring.row - top, ring.column - left
        corners, shares = [], []
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
            corners.append(self._index(top + i, left + column + j))
            shares.append((down if i else 1 - down) * (across if j else 1 - across))
        rows, columns = np.divmod(np.stack(corners), self.width)
        return rows, columns, np.stack(shares).astype(np.float32)

    def reproject(self, windows: Array) -> list[Array]:
        """(n, ..., s, s) -> each window on the sphere's pixels around what it shares with others,
        (..., h_k, w_k). Floats bilinearly, labels (integers) from the nearest pixel."""
        return [place.of(part) for place, part in zip(self._reprojections, windows, strict=True)]

    def pair(self, windows: Array, overlap: tuple[int, int]) -> tuple[Array, Array]:
        """(n, ..., s, s) -> both windows' view of one overlap's raster, (..., h_o, w_o) each.

        Floats bilinearly, labels (integers) from the nearest pixel. 0 where not both show it.
        """
        shown, parts = self.shown(overlap), self._reprojections
        (first, on_first), (second, on_second) = self.meeting(overlap)
        left = where(shown, parts[first].part(on_first).of(windows[first]))
        return left, where(shown, parts[second].part(on_second).of(windows[second]))

    def join(self, windows: Iterable[Array]) -> Array:
        """(n, ..., s, s) floats -> (..., H, W): the weighted mean of the windows that show a pixel.

        Windows that come one by one are not held together: all of them would be several spheres.
        Of a picture that was cut it is the picture but for what bilinear resampling twice loses;
        docs/sphere.md has the bound.
        """
        total: Any = None
        for part, place in zip(windows, self._reprojections, strict=True):
            if total is None:
                total = zeros((*part.shape[:-2], self.height, self.width), part)
            seen = place.of(part) * like(place.share, part)
            rows = slice(place.raster.top, place.raster.top + place.raster.height)
            for own, columns in place.raster.runs(self.width):
                into = total[..., rows, columns]
                into += seen[..., own]
        return total

    def join_labels(self, labels: Array) -> Array:
        """(n, ..., s, s) of any type -> (..., H, W), each from the window that sees it best.

        That is the one with the greatest weight there, of equal ones the first.
        """
        found = zeros((*labels.shape[1:-2], self.height * self.width), labels)
        for window, (part, place) in enumerate(zip(labels, self._reprojections, strict=True)):
            rows, columns = place.raster.pixels(self.width)
            own = self._best[rows, columns] == window
            at = (rows * self.width + columns)[own]
            found[..., at] = nearest(part, place.y[own], place.x[own])
        return found.reshape(*found.shape[:-1], self.height, self.width)

    @cached_property
    def _best(self) -> np.ndarray:
        """int16 (H, W): the window that sees each of the sphere's pixels best."""
        best = np.zeros((self.height, self.width), np.int16)
        greatest = np.zeros((self.height, self.width), np.float32)
        for window, place in enumerate(self._reprojections):
            rows, columns = place.raster.pixels(self.width)
            at, share = (rows, columns[:, : self.width]), place.share[:, : self.width]
            best[at] = np.where(share > greatest[at], window, best[at])
            greatest[at] = np.maximum(greatest[at], share)
        return best

    def _pixels(self, window: int) -> np.ndarray:
        """int64 (P,): the sphere's pixels that a window shows, as indices of the flat sphere."""
        index, column = self.places[window]
        row, at = self.rings[index].pixel.T
        return row * self.width + (at + column) % self.width

    def _index(self, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        """Flat indices; a row past a pole is the one before it, half way around the circle."""
        past = (row < 0) | (row >= self.height)
        row = np.where(row < 0, -1 - row, np.where(past, 2 * self.height - 1 - row, row))
        return row * self.width + (column + past * (self.width // 2)) % self.width

    def _check_size(self, size: tuple[int, ...]) -> None:
        if tuple(size) != (self.height, self.width):
            raise InputError(
                f"the sphere is {size[1]} x {size[0]}, its windows expect {self.width} x "
                f"{self.height}"
            )
