"""Colours of a room's surfaces: finishes, and the light of lamp and windows. N points each."""

from __future__ import annotations

import numpy as np

from goodsam.data.indoors.room import Finish
from goodsam.data.street.texture import billow, speckle


def texture(finish: Finish, u: np.ndarray, v: np.ndarray, own: int) -> np.ndarray:
    """float32 (N,) or (N, 3): by what a colour is multiplied at (u, v), metres on the surface.

    own: the number of the thing, so that no two look the same.
    """
    grain = 1 + 0.05 * speckle(u * 60 + own * 37, v * 60) + 0.03 * billow(u * 12, v * 12 + own)
    if finish == "tiles":
        joint = (np.abs(u / 0.6 % 1 - 0.5) > 0.48) | (np.abs(v / 0.6 % 1 - 0.5) > 0.48)
        return grain * np.where(joint, np.float32(0.75), np.float32(1))
    if finish == "boards":
        row = np.floor(v / 0.14)
        return (
            grain * (1 + 0.1 * speckle(row * 11, row * 7)) * np.where(v / 0.14 % 1 < 0.06, 0.7, 1)
        )
    if finish == "wood":
        return grain * (1 + 0.08 * billow(u * 4 + own * 13, v * 60))
    if finish == "books":
        return _books(u, v, own)
    if finish == "panes":
        return np.where((np.abs(u) < 0.03) | (np.abs(v % 0.65 - 0.32) < 0.02), 0.6, 1.25)
    if finish == "writing":
        line = (v * 9 % 1 < 0.25) & (billow(u * 30 + own * 13, np.floor(v * 9) * 17) > 0.5)
        return np.where(line, np.float32(0.45), np.float32(1))
    return grain


def _books(u: np.ndarray, v: np.ndarray, own: int) -> np.ndarray:
    """Backs of books in rows, each of its own colour, and the boards that they stand on."""
    shelf, book = np.floor(v / 0.34), np.floor(u / 0.045)
    colours = np.stack(
        [1 + 0.4 * speckle(book * 7 + shift, shelf * 11 + own * 5) for shift in (0, 91, 173)], -1
    )
    high = 0.72 + 0.1 * speckle(book * 3, shelf * 5 + own)
    above = v / 0.34 % 1
    colours[above > high] = 0.25
    colours[above > 0.92] = 1.1
    return np.clip(colours, 0.1, 2)


def light(points: np.ndarray, normals: np.ndarray, height: float) -> np.ndarray:
    """float32 (N,): how bright surfaces are, lit from the middle of the ceiling.

    points, normals: (3, N), metres in the room's frame.
    """
    towards = np.array([0.0, 0.0, height - 0.2])[:, None] - points
    distance = np.sqrt((towards**2).sum(0))
    facing = np.clip((towards * normals).sum(0) / distance, 0, 1)
    ambient = 0.5 + 0.1 * normals[2] + 0.08 * np.clip(points[2] / height, 0, 1)
    return (ambient + 0.65 * facing / (1 + 0.06 * distance**2)).astype(np.float32)
