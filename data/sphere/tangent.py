"""Tangent windows: pinhole pictures of a sphere, by the gnomonic projection.

Straight lines stay straight in them at every latitude, as in the photographs that networks were
trained on. Windows stand in rings, at latitudes from pole to pole, one of which is the horizon;
each is upright, and those at the poles look straight up and down.

Pixels are resampled: pictures and maps bilinearly, labels to the nearest pixel. The circle is
closed, and what lies past a pole is on the other side of it. Directions are as in
`goodsam.data.panoramas.placement`: x to the right, y up, z ahead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from goodsam.data.errors import InputError
from goodsam.data.windows import Array

_NEAR = 1.25  # strides between the centres of neighbours, at most
_RIM = 1e-3  # weight of a window at its rim: where no other sees the place, it counts alone


@dataclass(frozen=True)
class Ring:
    """The windows at one latitude, as the one that looks at column 0 sees the sphere.

    The others are the same, turned by whole columns. latitude: of the centres, radians.
    row, column: float64 (s, s), where its pixels lie on the sphere, px, column from 0.
    pixel: int64 (P, 2), row and column of the sphere's pixels that it shows. y, x: float32 (P,),
    where these lie in the window, px. weight: float32 (P,), 1 in its middle, falling to the rim.
    """

    latitude: float
    row: np.ndarray
    column: np.ndarray
    pixel: np.ndarray
    y: np.ndarray
    x: np.ndarray
    weight: np.ndarray


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
        return 8 * max(1, round(self.width / math.pi * self._reach / 8))

    @property
    def _reach(self) -> float:
        """From a window's middle to its rim, on a plane at distance 1."""
        return math.tan(math.radians(self.fov) / 2)

    @property
    def _focal(self) -> float:
        return self.size / 2 / self._reach

    @property
    def _step(self) -> float:
        """The stride, radians."""
        return math.radians(self.stride or self.fov / 2)

    @cached_property
    def rings(self) -> tuple[Ring, ...]:
        """From pole to pole, the horizon among them."""
        count = 2 * math.ceil(math.pi / 2 / self._step - 1e-9)
        return tuple(self._ring(math.pi * (0.5 - i / count)) for i in range(count + 1))

    @cached_property
    def places(self) -> tuple[tuple[int, int], ...]:
        """Of each window: the index of its ring, and the column of the sphere in its middle."""
        found = []
        for index, ring in enumerate(self.rings):
            around = 2 * math.pi * math.cos(ring.latitude) / self._step
            count = max(1, math.ceil(around - 1e-9))
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
            total[self._shown(window)] += self.rings[ring].weight
        return total

    @cached_property
    def overlaps(self) -> tuple[tuple[int, int], ...]:
        """Pairs of neighbours: windows whose middles are at most 1.25 strides apart."""
        latitude, longitude = np.radians(self.centres).T
        middles = _directions(latitude, longitude)
        near = middles.T @ middles >= math.cos(_NEAR * self._step)
        first, second = np.nonzero(np.triu(near, 1))
        return tuple(zip(first.tolist(), second.tolist(), strict=True))

    def cut(self, panorama: Array) -> Array:
        """(..., H, W) floats -> (n, ..., s, s), bilinearly."""
        self._check_size(panorama.shape[-2:])
        flat = panorama.reshape(*panorama.shape[:-2], -1)
        return _stack([_blend(flat, *self._corners(window)) for window in range(len(self))])

    def cut_images(self, image_HWC: np.ndarray) -> np.ndarray:
        """A picture, uint8 (H, W, 3) -> its windows, uint8 (n, s, s, 3), bilinearly."""
        self._check_size(image_HWC.shape[:2])
        channels = np.moveaxis(image_HWC, -1, 0).reshape(image_HWC.shape[2], -1)
        cut = np.empty((len(self), self.size, self.size, image_HWC.shape[2]), np.uint8)
        for window, pixels in enumerate(cut):
            seen = _blend(channels, *self._corners(window))
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
        return _stack(found)

    def pair(self, windows: Array, overlap: tuple[int, int]) -> tuple[Array, Array]:
        """(n, ..., s, s) -> both windows' view of the sphere's pixels that both show, (..., P).

        Floats bilinearly, labels (integers) from the nearest pixel.
        """
        first, second = overlap
        _, *both = np.intersect1d(self._shown(first), self._shown(second), return_indices=True)
        left, right = (
            self._seen(windows[k], self.rings[self.places[k][0]], chosen)
            for k, chosen in zip(overlap, both, strict=True)
        )
        return left, right

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
                total = np.zeros(shape, part.dtype) if _is_numpy(part) else part.new_zeros(shape)
            ring, shown = self.rings[index], self._shown(window)
            share = ring.weight / self.weights[shown]
            total[..., shown] += self._seen(part, ring) * _like(share, part)
        return total.reshape(*total.shape[:-1], self.height, self.width)

    def _ring(self, latitude: float) -> Ring:
        """Both ways of one window: its pixels on the sphere, and the sphere's pixels in it."""
        tilt = _tilt(latitude)
        plane = (np.arange(self.size) + 0.5 - self.size / 2) / self._focal
        right, up = np.meshgrid(plane, -plane)
        x, y, z = tilt @ np.stack([right, up, np.ones_like(up)]).reshape(3, -1)
        row = (0.5 - np.arctan2(y, np.hypot(x, z)) / math.pi) * self.height - 0.5
        # columns from the one in its middle, whose centre is half a pixel off the angle
        column = np.arctan2(x, z) / (2 * math.pi) * self.width - 0.5
        square = (self.size, self.size)

        latitudes = (0.5 - (np.arange(self.height) + 0.5) / self.height) * math.pi
        longitudes = (np.arange(self.width) + 0.5) / self.width * 2 * math.pi
        seen = _directions(*np.meshgrid(latitudes, longitudes, indexing="ij"))
        x, y, z = tilt.T @ seen.reshape(3, -1)
        ahead = np.maximum(z, 1e-9) * self._reach
        across, down = x / ahead, -y / ahead  # -1 to 1 from rim to rim
        shown = np.flatnonzero((z > 0) & (np.abs(across) <= 1) & (np.abs(down) <= 1))
        across, down = across[shown].astype(np.float32), down[shown].astype(np.float32)
        y, x = ((at + 1) * self.size / 2 - 0.5 for at in (down, across))
        return Ring(
            latitude,
            row.reshape(square),
            column.reshape(square),
            np.stack([shown // self.width, shown % self.width], axis=1),
            np.clip(y, 0, self.size - 1),
            np.clip(x, 0, self.size - 1),
            _RIM + (1 - np.abs(across)) * (1 - np.abs(down)),
        )

    def _shown(self, window: int) -> np.ndarray:
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
        flat = window.reshape(*window.shape[:-2], -1)
        y, x = ring.y[chosen], ring.x[chosen]
        if not _is_float(window):
            return flat[..., (np.rint(y) * self.size + np.rint(x)).astype(np.int64)]
        top = np.minimum(y.astype(np.int64), self.size - 2)
        left = np.minimum(x.astype(np.int64), self.size - 2)
        at = top * self.size + left
        return _blend(flat, [at, at + 1, at + self.size, at + self.size + 1], y - top, x - left)

    def _check_size(self, size: tuple[int, ...]) -> None:
        if tuple(size) != (self.height, self.width):
            raise InputError(
                f"the sphere is {size[1]} x {size[0]}, its windows expect {self.width} x "
                f"{self.height}"
            )


def _tilt(latitude: float) -> np.ndarray:
    """float64 (3, 3): from a window's directions to the sphere's, its middle at longitude 0."""
    c, s = math.cos(latitude), math.sin(latitude)
    return np.array([[1, 0, 0], [0, c, s], [0, -s, c]])


def _directions(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """float64 (3, ...)."""
    flat = np.cos(latitude)
    return np.stack([flat * np.sin(longitude), np.sin(latitude), flat * np.cos(longitude)])


def _blend(flat: Any, corners: list[np.ndarray], down: np.ndarray, across: np.ndarray) -> Any:
    """(..., N) at four corners each -> (..., *corner's shape), bilinearly, float."""
    upper_left, upper_right, lower_left, lower_right = (flat[..., at] for at in corners)
    across, down = _like(across, upper_left), _like(down, upper_left)
    upper = upper_left * (1 - across) + upper_right * across
    return upper * (1 - down) + (lower_left * (1 - across) + lower_right * across) * down


def _is_numpy(array: Any) -> bool:
    return isinstance(array, np.ndarray)


def _is_float(array: Any) -> bool:
    return array.dtype.kind == "f" if _is_numpy(array) else array.is_floating_point()


def _like(share: np.ndarray, array: Any) -> Any:
    """Shares in the floats of `array`, float32 for a picture of bytes, where it lies."""
    if _is_numpy(array):
        return share.astype(array.dtype if _is_float(array) else np.float32)
    import torch  # only when a tensor came in: data itself needs no torch

    return torch.from_numpy(share).to(array)


def _stack(parts: list[Any]) -> Any:
    if _is_numpy(parts[0]):
        return np.stack(parts)
    import torch

    return torch.stack(parts)
