"""Pictures that look like panoramas to their numbers and are none: fisheye discs and cube maps."""

from __future__ import annotations

import numpy as np

from goodsam.data.windows import has_aspect, is_sphere

_DARK = 24  # of 255: darker is black, whatever the camera's noise
_SMALLEST = 48  # px; a smaller picture shows too little
_SAMPLES = 256  # rows and columns that are looked at

_FISHEYE = (
    "two fisheye discs, not yet a panorama; have the camera's program stitch it, or convert it: "
    "ffmpeg -i IN -vf v360=dfisheye:equirect:ih_fov=190:iv_fov=190 OUT.jpg"
)
_CUBE = (
    "the six faces of a cube, not a panorama; convert it: ffmpeg -i IN -vf v360={}:equirect OUT.jpg"
)
_CROSS = (
    "the unfolded faces of a cube, not a panorama; convert it with py360convert.c2e("
    "image, height, 2 * height, cube_format='dice')"
)


def other_projection(image: np.ndarray) -> str | None:
    """What a picture is and how to convert it, if it is none of a sphere; else None.

    image: uint8 (H, W, 3). Two discs: black outside of them and bright just inside. Faces of a
    cube: of the shape that programs write, with jumps where faces meet that do not belong together.
    """
    height, width = image.shape[:2]
    if min(height, width) < _SMALLEST:
        return None
    rows = np.linspace(0, height - 1, min(height, _SAMPLES)).astype(int)
    columns = np.linspace(0, width - 1, min(width, 2 * _SAMPLES)).astype(int)
    grey = image[rows][:, columns].astype(np.float32).mean(axis=2)
    if is_sphere(height, width):
        return _FISHEYE if _two_discs(grey) else None
    if has_aspect(height, width, 4 / 3) and _is_cross(grey):
        return _CROSS
    for down, across, format in ((2, 3, "c3x2"), (1, 6, "c6x1"), (6, 1, "c1x6")):
        if has_aspect(height, width, across / down) and _has_jumps(image, down, across):
            return _CUBE.format(format)
    return None


def _two_discs(grey: np.ndarray) -> bool:
    """Whether all around each disc it is black outside, and mostly bright just inside."""
    h, w = grey.shape
    y = (np.arange(h)[:, None] + 0.5) / h * 2 - 1
    for half in (grey[:, : w // 2], grey[:, w - w // 2 :]):
        x = (np.arange(half.shape[1])[None] + 0.5) / half.shape[1] * 2 - 1
        radius, angle = np.hypot(x, y), np.arctan2(y, x)
        outside, rim = radius > 1.12, (radius > 0.75) & (radius < 0.93)
        if not outside.any() or np.percentile(half[outside], 98) > _DARK:
            return False
        sector = ((angle / (2 * np.pi) + 0.5) * 16).astype(int) % 16
        bright = [half[rim & (sector == s)].mean() > 2 * _DARK for s in range(16)]
        if np.mean(bright) < 0.75:
            return False
    return True


def _is_cross(grey: np.ndarray) -> bool:
    """Whether the corners of a 4 x 3 grid, where no face is, are each of one colour."""
    h, w = grey.shape
    a, b = h // 3, w // 4
    corners = (grey[:a, :b], grey[:a, 2 * b :], grey[2 * a :, :b], grey[2 * a :, 2 * b :])
    empty = [np.ptp(part[2:-2, 2:-2]) < 8 for part in corners]
    return all(empty) and float(np.ptp(grey[a : 2 * a])) > 32


def _has_jumps(image: np.ndarray, down: int, across: int) -> bool:
    """Whether at least half of the lines between faces are much steeper than the lines beside."""
    grey = image.astype(np.float32).mean(axis=2)
    steep = []
    for axis, parts in ((0, down), (1, across)):
        lines = np.moveaxis(grey, axis, 0)
        for part in range(1, parts):
            at = round(len(lines) * part / parts)
            near = lines[max(0, at - 5) : at + 5]
            jumps = np.abs(np.diff(near, axis=0)).mean(axis=1)
            middle = at - max(0, at - 5) - 1
            others = np.delete(jumps, middle)
            steep.append(jumps[middle] > 4 * max(1.0, float(np.median(others))))
    return float(np.mean(steep)) >= 0.5
