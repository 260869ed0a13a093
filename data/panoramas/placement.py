"""Where a photograph lies on the sphere: cropped, or tilted with its camera; and back to upright.

Directions are right-handed, x to the right, y up, z ahead. A camera with pitch p and roll r sees
the world direction R d at its own direction d: ahead is p degrees above the horizon, and the
horizon is turned by r degrees counterclockwise in the picture, as GPano defines them. The heading
stays: a panorama is a circle, and where it is cut is a matter of taste.

The band is what networks see, h x w pixels of the upright sphere around the horizon. Coordinates of
pixels are those of their centres: the first is 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import map_coordinates

from goodsam.data.errors import InputError

Size = tuple[int, int]  # height, width
_FINER = 2  # times the band's resolution, at which a photograph is sampled before it is reduced


@dataclass(frozen=True)
class Placement:
    """sphere: height and width of the whole sphere, in the photograph's pixels. top, left: where in
    it the photograph begins. pitch, roll: of the camera, degrees.
    """

    sphere: tuple[float, float]
    top: float = 0.0
    left: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0

    @property
    def upright(self) -> bool:
        """Whether the camera stood straight, so that the horizon is a row of the photograph."""
        return self.pitch == 0 and self.roll == 0

    @property
    def rotation(self) -> np.ndarray:
        """float64 (3, 3): R, from the camera's directions to the world's."""
        p, r = math.radians(self.pitch), math.radians(self.roll)
        roll = [[math.cos(r), math.sin(r), 0], [-math.sin(r), math.cos(r), 0], [0, 0, 1]]
        pitch = [[1, 0, 0], [0, math.cos(p), math.sin(p)], [0, -math.sin(p), math.cos(p)]]
        return np.array(pitch) @ np.array(roll)

    def is_circle(self, width: int) -> bool:
        """Whether a photograph of this width goes all around."""
        return abs(width - self.sphere[1]) < 1

    def covered(self, size: Size, fitted: Size) -> float:
        """The share of the band, at `fitted`, that a photograph of `size` shows."""
        lines, columns = self.photograph_places(size, (max(2, fitted[0] // 8), fitted[1] // 8))
        return float(_within(lines, size[0]).__and__(_within(columns, size[1])).mean())

    def band_rows_and_columns(self, size: Size, fitted: Size) -> tuple[np.ndarray, np.ndarray]:
        """Of an upright photograph: where its rows, (H,), and columns, (W,), lie in the band."""
        latitude, longitude = self._angles(size)
        return _on_band(latitude, longitude, fitted)

    def band_places(
        self, size: Size, fitted: Size, rows: slice = slice(None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where the pixels of some of its rows lie in the band: y and x, float64 (R, W) each."""
        latitude, longitude = self._angles(size)
        seen = _directions(latitude[rows, None], longitude[None])
        return _on_band(*_latitude_longitude(self.rotation @ seen.reshape(3, -1), seen), fitted)

    def photograph_places(self, size: Size, fitted: Size) -> tuple[np.ndarray, np.ndarray]:
        """Where the band's pixels lie in a photograph: row and column, float64 (h, w) each."""
        (h, w), (height, width) = fitted, self.sphere
        latitude = (0.5 - (np.arange(h) + 0.5) / h) * (2 * math.pi * h / w)
        longitude = ((np.arange(w) + 0.5) / w - 0.5) * 2 * math.pi
        world = _directions(latitude[:, None], longitude[None])
        latitude, longitude = _latitude_longitude(self.rotation.T @ world.reshape(3, -1), world)
        row = (0.5 - latitude / math.pi) * height - self.top - 0.5
        column = (longitude / (2 * math.pi) + 0.5) * width - self.left - 0.5
        # columns left of a photograph that crosses the back of the sphere are those on its right
        return row, (column + 0.5) % width - 0.5

    def _angles(self, size: Size) -> tuple[np.ndarray, np.ndarray]:
        """Latitude (H,) and longitude (W,) of a photograph's pixels, in its camera's frame."""
        latitude = (0.5 - (self.top + np.arange(size[0]) + 0.5) / self.sphere[0]) * math.pi
        longitude = ((self.left + np.arange(size[1]) + 0.5) / self.sphere[1] - 0.5) * 2 * math.pi
        return latitude, longitude


def upright_band(image: np.ndarray, fitted: Size, placement: Placement) -> np.ndarray:
    """uint8 (H, W, 3) -> uint8 (h, w, 3): the band of the upright sphere, black where not shown.

    Sampled bilinearly at twice the band's resolution, from a photograph that is reduced to that
    first, then reduced with an antialiasing filter. InputError for a band that is no part of a
    sphere.
    """
    (h, w), (height, width) = fitted, image.shape[:2]
    if 2 * h > w:
        raise InputError(f"{w} x {h} is more than a sphere: use a panorama at least twice as wide")
    shrink = min(1.0, _FINER * w / placement.sphere[1])
    if shrink < 1:
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
        across, down = size[0] / width, size[1] / height
        placement = Placement(
            (placement.sphere[0] * down, placement.sphere[1] * across),
            placement.top * down,
            placement.left * across,
            placement.pitch,
            placement.roll,
        )
    height, width = image.shape[:2]
    row, column = placement.photograph_places((height, width), (_FINER * h, _FINER * w))
    shown = _within(row, height) & _within(column, width)
    circle = placement.is_circle(width)
    around = np.concatenate([image[:, -1:], image, image[:, :1]], axis=1) if circle else image
    places = np.stack([row, column + circle])
    band = np.zeros((*row.shape, 3), np.uint8)
    for channel in range(3):
        band[..., channel] = map_coordinates(around[..., channel], places, order=1, mode="nearest")
    band[~shown] = 0
    pad = 4 * _FINER  # the filter looks past the seam
    wide = np.concatenate([band[:, -pad:], band, band[:, :pad]], axis=1)
    inside = (pad, 0, pad + _FINER * w, _FINER * h)
    return np.array(Image.fromarray(wide).resize((w, h), Image.Resampling.LANCZOS, box=inside))


def _within(places: np.ndarray, length: int) -> np.ndarray:
    return (places > -0.5) & (places < length - 0.5)


def _on_band(
    latitude: np.ndarray, longitude: np.ndarray, fitted: Size
) -> tuple[np.ndarray, np.ndarray]:
    """Angles -> y and x in a band of h x w pixels; y beyond -0.5 or h - 0.5 is outside it."""
    h, w = fitted
    y = h / 2 - latitude * w / (2 * math.pi) - 0.5
    return y, (longitude / (2 * math.pi) + 0.5) % 1 * w - 0.5


def _directions(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """float64 (3, H, W)."""
    x, y = np.cos(latitude) * np.sin(longitude), np.sin(latitude)
    z = np.cos(latitude) * np.cos(longitude)
    return np.stack(np.broadcast_arrays(x, y, z))


def _latitude_longitude(flat: np.ndarray, like: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions (3, N) -> the angles of each, in the shape of `like`'s maps."""
    x, y, z = flat.reshape(like.shape)
    return np.arcsin(np.clip(y, -1, 1)), np.arctan2(x, z)
