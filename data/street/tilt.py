"""Whole spheres as a camera sees them that was not held upright."""

from __future__ import annotations

import numpy as np

from goodsam.data.panoramas.placement import Placement, upright_band
from goodsam.data.street.picture import Picture


def tilted(picture: Picture, degrees: float, seed: int) -> Picture:
    """A sphere, H x 2 H px, turned by `degrees` about a horizontal axis drawn from `seed`.

    The image is sampled at twice its resolution and reduced; labels and instances are those of the
    nearest pixel. 0 degrees: the picture itself.
    """
    if degrees == 0:
        return picture
    height, width = size = picture.labels.shape
    # a stream of its own: the renderer's are numbered from 0 to 4
    heading = int(np.random.Generator(np.random.PCG64([seed, 5])).integers(width))
    where = Placement((height, width), pitch=degrees)  # tilts towards the middle column

    def turned(pixels: np.ndarray) -> np.ndarray:
        return np.roll(pixels, -heading, axis=1)

    row, column = where.photograph_places(size, size)
    at = np.rint(row).astype(int).clip(0, height - 1), np.rint(column).astype(int) % width
    image = upright_band(turned(picture.image), size, where)
    labels, instances = turned(picture.labels)[at], turned(picture.instances)[at]
    image, labels, instances = (np.roll(p, heading, axis=1) for p in (image, labels, instances))
    return Picture(image, labels, instances, tilt=degrees)
