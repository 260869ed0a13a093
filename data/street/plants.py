"""Silhouettes of trees and bushes: lobes with a ragged edge, in metres."""

import numpy as np

from goodsam.data.street.shapes import Shape, canvas
from goodsam.data.street.texture import speckle


def tree(rng: np.random.Generator, height: float, width: float) -> Shape:
    """A tree `height` metres tall, its crown at most about `width` to either side.

    Parts: 0 leaves, 1 bark. Round, tall, conical or many-lobed.
    """
    r = rng.random(40)
    kind = int(r[0] * 4)
    trunk = height * (0.28 + 0.14 * r[1]) if kind != 2 else height * 0.12
    thick = 0.07 + 0.08 * r[2] + 0.01 * height
    lobes: list[tuple[float, float, float, float]] = []
    top = height - trunk
    if kind == 0:
        lobes = [(0.0, trunk + top * 0.5, width, top * 0.53)]
    elif kind == 1:
        lobes = [(0.0, trunk + top * 0.5, width * 0.6, top * 0.55)]
    elif kind == 3:
        for k in range(5):
            a = r[5 + 3 * k] * 2 - 1
            lobes.append(
                (
                    a * width * 0.55,
                    trunk + top * (0.3 + 0.45 * r[6 + 3 * k] * (1 - abs(a) * 0.5)),
                    width * (0.45 + 0.2 * r[7 + 3 * k]),
                    top * (0.26 + 0.1 * r[7 + 3 * k]),
                )
            )
    ragged = 0.08 + 0.13 * r[3]
    shift = float(r[4] * 400)
    bend = (r[30] - 0.5) * 0.06

    def shape(u: np.ndarray, v: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
        part, tone = canvas(u)
        stem = (np.abs(u - v * bend) < thick * (1.25 - 0.5 * v / height)) & (v < trunk + top * 0.45)
        part[stem] = 1
        tone[stem] = np.clip(u / thick * side, -1, 1)[stem] - 0.3
        rough = speckle(u * 14 + shift, v * 14 + shift)
        if kind == 2:
            up = (v - trunk) / top
            half = width * 0.62 * np.clip(1 - up, 0, 1) * (0.82 + 0.3 * np.abs((up * 6) % 1 - 0.5))
            leaf = (np.abs(u) < half * (1 + 1.2 * ragged * rough)) & (up > 0) & (up < 1)
            part[leaf] = 0
            tone[leaf] = (u / (half + 0.05) * side * 0.6 + rough * 0.35)[leaf]
            return part, tone
        for x, y, a, b in lobes:
            du, dv = (u - x) * (1 / a), (v - y) * (1 / b)
            leaf = du * du + dv * dv < 1 + 2.2 * ragged * rough - ragged
            part[leaf] = 0
            tone[leaf] = (du * side * 0.6 + dv * 0.55 + rough * 0.3)[leaf]
        return part, tone

    return shape


def bush(rng: np.random.Generator, height: float, half: float) -> Shape:
    """Part 0 leaves: a heap of lobes, `height` metres high, about `half` to either side."""
    r = rng.random(12)
    shift = float(r[0] * 400)
    lobes = [
        (float(half * (r[2 + k] * 1.2 - 0.6)), float(half * (0.45 + 0.2 * r[6 + k])))
        for k in range(3)
    ]

    def shape(u: np.ndarray, v: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
        part, tone = canvas(u)
        rough = speckle(u * 20 + shift, v * 20 + shift)
        for x, a in lobes:
            du, dv = (u - x) * (1 / a), (v - height * 0.4) * (1 / (height * 0.6))
            leaf = (du * du + dv * dv < 0.9 + 0.3 * rough) & (v > 0)
            part[leaf] = 0
            tone[leaf] = (du * side * 0.5 + dv * 0.55 + rough * 0.3)[leaf]
        return part, tone

    return shape
