"""One tangent window on the sphere, by the gnomonic projection, both ways.

Directions are as in `goodsam.data.panoramas.placement`: x to the right, y up, z ahead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

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

    @classmethod
    def at(cls, latitude: float, sphere: tuple[int, int], size: int, reach: float) -> Ring:
        """Windows of size x size px at a latitude, on a sphere of this height and width.

        reach: from a window's middle to its rim, on a plane at distance 1.
        """
        height, width = sphere
        tilt = _tilt(latitude)
        focal = size / 2 / reach
        plane = (np.arange(size) + 0.5 - size / 2) / focal
        right, up = np.meshgrid(plane, -plane)
        x, y, z = tilt @ np.stack([right, up, np.ones_like(up)]).reshape(3, -1)
        row = (0.5 - np.arctan2(y, np.hypot(x, z)) / math.pi) * height - 0.5
        # columns from the one in its middle, whose centre is half a pixel off the angle
        column = np.arctan2(x, z) / (2 * math.pi) * width - 0.5

        latitudes = (0.5 - (np.arange(height) + 0.5) / height) * math.pi
        longitudes = (np.arange(width) + 0.5) / width * 2 * math.pi
        seen = directions(*np.meshgrid(latitudes, longitudes, indexing="ij"))
        x, y, z = tilt.T @ seen.reshape(3, -1)
        ahead = np.maximum(z, 1e-9) * reach
        across, down = x / ahead, -y / ahead  # -1 to 1 from rim to rim
        shown = np.flatnonzero((z > 0) & (np.abs(across) <= 1) & (np.abs(down) <= 1))
        across, down = across[shown].astype(np.float32), down[shown].astype(np.float32)
        y, x = ((at + 1) * size / 2 - 0.5 for at in (down, across))
        return cls(
            latitude,
            row.reshape(size, size),
            column.reshape(size, size),
            np.stack([shown // width, shown % width], axis=1),
            np.clip(y, 0, size - 1),
            np.clip(x, 0, size - 1),
            _RIM + (1 - np.abs(across)) * (1 - np.abs(down)),
        )


def window_size(width: int, fov: float) -> int:
    """Pixels a side, a multiple of 8: in a window's middle as fine as the sphere at the horizon.

    width: of the sphere, px. fov: of a window, degrees.
    """
    return 8 * max(1, round(width / math.pi * math.tan(math.radians(fov) / 2) / 8))


def ring_latitudes(stride: float) -> list[float]:
    """Of the windows' middles, radians, from pole to pole and evenly spaced, the horizon among
    them. stride: from ring to ring at most, degrees.
    """
    count = 2 * math.ceil(90 / stride - 1e-9)
    return [math.pi * (0.5 - i / count) for i in range(count + 1)]


def windows_around(latitude: float, stride: float) -> int:
    """How many windows a ring has, that are `stride` degrees of the sphere apart at most."""
    return max(1, math.ceil(360 * math.cos(latitude) / stride - 1e-9))


def _tilt(latitude: float) -> np.ndarray:
    """float64 (3, 3): from a window's directions to the sphere's, its middle at longitude 0."""
    c, s = math.cos(latitude), math.sin(latitude)
    return np.array([[1, 0, 0], [0, c, s], [0, -s, c]])


def directions(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """float64 (3, ...), of angles in radians."""
    flat = np.cos(latitude)
    return np.stack([flat * np.sin(longitude), np.sin(latitude), flat * np.cos(longitude)])
