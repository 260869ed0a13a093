"""Silhouettes of people, bicycles and motorcycles, with and without riders.

Lists of limbs (`goodsam.data.street.shapes`), in metres, or in body heights for a person.
"""

import numpy as np

from goodsam.data.street.shapes import Limb, Shape, limbs


def person(rng: np.random.Generator, height: float) -> Shape:
    """Someone `height` metres tall. Parts: 0 skin, 1 top, 2 trousers, 3 hair, 4 shoes, 5 bag."""
    r = rng.random(12)
    stride = 0.02 + 0.13 * r[0]
    lean = 0.03 * (r[1] - 0.5)
    build = 0.9 + 0.35 * r[2]
    swing = (r[3] - 0.5) * 0.3
    half = 0.075 * build + 0.015
    hip, shoulder = 0.50, 0.81
    parts: list[Limb] = []
    parts.append((-0.03, hip, -stride, 0.03, 0.058 * build, 0.036, 2))
    parts.append((-stride, 0.025, -stride + 0.05, 0.02, 0.026, 0.022, 4))
    parts.append((0.03, hip, stride, 0.03, 0.058 * build, 0.036, 2))
    parts.append((stride, 0.025, stride + 0.05, 0.02, 0.026, 0.022, 4))
    parts.append((-half, shoulder - 0.03, -half - 0.05 - swing, 0.50, 0.034 * build, 0.026, 1))
    if r[4] < 0.3:  # a skirt or a long coat
        parts.append((0, 0.55, 0, 0.30, 0.08 * build, 0.115 * build, 1 if r[5] < 0.5 else 2))
    parts.append((0, 0.54, lean, shoulder - 0.06, 0.075 * build, 0.098 * build, 1))
    if r[6] < 0.35:
        parts.append((-0.1, 0.62, -0.1, 0.74, 0.055, 0.06, 5))
    elif r[6] < 0.55:
        parts.append((0.16, 0.36, 0.16, 0.46, 0.05, 0.04, 5))
    raised = r[7] < 0.2
    hand = (half + 0.06 + swing, 0.50) if not raised else (half + 0.09, 0.70)
    parts.append((half, shoulder - 0.03, hand[0], hand[1], 0.036 * build, 0.026, 1))
    parts.append((hand[0], hand[1], hand[0] + 0.005, hand[1] - 0.03, 0.024, 0.02, 0))
    parts.append((lean, 0.86, lean, 0.93, 0.045, 0.056, 0))
    parts.append((lean - 0.008, 0.945, lean + 0.005, 0.95, 0.055, 0.053, 3))
    parts.append((lean + 0.012, 0.905, lean + 0.014, 0.91, 0.042, 0.042, 0))
    return limbs(parts, height, bool(r[8] < 0.5))


def two_wheeler(rng: np.random.Generator, motor: bool, ridden: bool, scale: float) -> Shape:
    """A bicycle or a motorcycle (parts 6 to 9), with a rider (parts 0 to 5) when `ridden`.

    `scale` stretches it, 1 being life size.
    """
    r = rng.random(12)
    front = bool(r[4] < (0.3 if ridden else 0.15))
    parts = _motorcycle(front, r) if motor else _bicycle(front, r)
    if ridden:
        rider, head = _rider_ahead(motor) if front else _rider_aside(motor, r)
        parts = parts + rider + _head(*head, motor, front, r)
    return limbs(parts, scale, bool(r[9] < 0.5))


Rider = tuple[list[Limb], tuple[float, float]]  # limbs, and where the head is


def _rider_ahead(motor: bool) -> Rider:
    """A rider seen from the front."""
    seat = 0.85 if motor else 0.95
    rider: list[Limb] = []
    for s in (-1, 1):
        rider += [
            (s * 0.1, seat, s * 0.2, seat - 0.36, 0.1, 0.075, 2),
            (s * 0.2, seat - 0.36, s * 0.16, 0.3, 0.075, 0.05, 2),
            (s * 0.16, 0.28, s * 0.17, 0.25, 0.06, 0.06, 4),
            (s * 0.2, seat + 0.52, s * 0.34, seat + 0.24, 0.07, 0.055, 1),
            (s * 0.34, seat + 0.24, s * 0.3, 1.07, 0.055, 0.05, 1),
        ]
    rider += [(0, seat + 0.05, 0, seat + 0.48, 0.15, 0.19, 1)]
    return rider, (0.0, seat + 0.78)


def _rider_aside(motor: bool, r: np.ndarray) -> Rider:
    """A rider seen from the side, some with a bag."""
    seat = 0.78 if motor else 0.9
    lean = 0.12 + 0.22 * r[5]
    x = -0.3 if motor else -0.24
    sx, sy = x + lean, seat + 0.5
    knee = (x + 0.4, seat - 0.18) if motor else (x + 0.36, seat - 0.1 - 0.2 * r[6])
    foot = (x + 0.22, 0.3) if motor else (x + 0.2, 0.22 + 0.25 * r[6])
    rider: list[Limb] = [
        (x, seat, knee[0], knee[1], 0.11, 0.08, 2),
        (*knee, *foot, 0.08, 0.055, 2),
        (foot[0], foot[1], foot[0] + 0.12, foot[1] - 0.02, 0.055, 0.04, 4),
        (x, seat + 0.06, sx, sy - 0.04, 0.14, 0.17, 1),
        (sx, sy - 0.02, 0.16, sy - 0.3, 0.07, 0.06, 1),
        (0.16, sy - 0.3, 0.32, 1.05, 0.06, 0.045, 1),
        (0.32, 1.05, 0.34, 1.06, 0.05, 0.05, 0),
    ]
    if r[7] < 0.3:
        rider.append((x - 0.02, seat + 0.3, sx - 0.16, sy - 0.1, 0.11, 0.11, 5))
    return rider, (sx + 0.08, sy + 0.26)


def _head(x: float, y: float, motor: bool, front: bool, r: np.ndarray) -> list[Limb]:
    """Face, and hair or a helmet with its visor."""
    helmet = motor or r[8] < 0.6
    rx, ry, cover = (0.125, 0.125, 5) if helmet else (0.11, 0.105, 3)
    head: list[Limb] = [
        (x, y - 0.1, x, y, 0.09, 0.11, 0),
        (x - 0.02, y + 0.04, x + 0.02, y + 0.04, rx, ry, cover),
    ]
    if motor or r[8] < 0.3:
        a, b = (0.0, 0.02) if front else (0.07, 0.1)
        head.append((x, y - 0.03, x, y - 0.02, 0.12, 0.12, 5))
        head.append((x + a, y - 0.02, x + b, y - 0.01, 0.06, 0.05, 7))
    return head


def _wheel(x: float, radius: float, thick: float, tyre: int, inner: int) -> list[Limb]:
    return [
        (x, radius, x, radius, radius, radius, tyre),
        (x, radius, x, radius, radius - thick, radius - thick, inner),
        (x, radius, x, radius, 0.05, 0.05, tyre),
    ]


def _bicycle(front: bool, r: np.ndarray) -> list[Limb]:
    """Parts 6 frame, 7 tyre, 8 spokes, 9 saddle."""
    if front:
        return [
            (0, 0.05, 0, 0.62, 0.06, 0.06, 7),
            (0, 0.6, 0, 1.0, 0.045, 0.04, 6),
            (-0.3, 1.05, 0.3, 1.05, 0.035, 0.035, 9),
            (-0.12, 0.3, 0.12, 0.3, 0.03, 0.03, 6),
        ]
    w = 0.33 + 0.04 * r[0]
    back, fore = -0.53, 0.53
    t = 0.036
    parts = _wheel(back, w, 0.075, 7, 8) + _wheel(fore, w, 0.075, 7, 8)
    parts += [
        (back, w, -0.08, 0.3, t, t, 6),
        (-0.08, 0.3, -0.24, 0.82, t, t, 6),
        (-0.08, 0.3, 0.36, 0.78, t, t, 6),
        (-0.2, 0.7, 0.36, 0.8, t, t, 6),
        (back, w, -0.2, 0.7, t * 0.8, t * 0.8, 6),
        (fore, w, 0.34, 0.95, t, t, 6),
        (0.34, 0.98, 0.22 + 0.2 * r[1], 1.02, t, t, 9),
        (-0.34, 0.86, -0.14, 0.86, 0.045, 0.03, 9),
    ]
    if r[2] < 0.35:
        parts.append((0.45, 0.86, 0.62, 0.86, 0.1, 0.1, 9))
    if r[3] < 0.3:
        parts.append((-0.66, 0.72, -0.36, 0.72, 0.035, 0.035, 7))
    return parts


def _motorcycle(front: bool, r: np.ndarray) -> list[Limb]:
    """Parts 6 paint, 7 tyre, 8 metal, 9 seat."""
    if front:
        return [
            (0, 0.1, 0, 0.55, 0.1, 0.1, 7),
            (0, 0.55, 0, 0.8, 0.2, 0.26, 6),
            (0, 0.8, 0, 1.05, 0.22, 0.14, 6),
            (-0.4, 1.05, 0.4, 1.05, 0.04, 0.04, 8),
            (0, 0.86, 0, 0.87, 0.09, 0.09, 8),
            (-0.2, 0.35, 0.2, 0.35, 0.09, 0.09, 8),
        ]
    if r[0] < 0.4:  # a scooter
        parts = _wheel(-0.55, 0.27, 0.12, 7, 8) + _wheel(0.58, 0.27, 0.12, 7, 8)
        return [
            *parts,
            (-0.62, 0.62, -0.18, 0.6, 0.2, 0.17, 6),
            (-0.3, 0.32, 0.3, 0.3, 0.09, 0.09, 6),
            (0.42, 0.35, 0.36, 0.95, 0.12, 0.08, 6),
            (0.58, 0.5, 0.5, 0.56, 0.1, 0.1, 6),
            (-0.62, 0.8, -0.1, 0.8, 0.07, 0.07, 9),
            (0.36, 0.98, 0.26, 1.08, 0.05, 0.04, 8),
        ]
    parts = _wheel(-0.66, 0.33, 0.13, 7, 8) + _wheel(0.68, 0.33, 0.13, 7, 8)
    parts += [
        (-0.66, 0.33, -0.1, 0.4, 0.07, 0.09, 8),
        (-0.12, 0.42, 0.16, 0.42, 0.2, 0.19, 8),
        (0.68, 0.33, 0.42, 0.98, 0.05, 0.05, 8),
        (-0.7, 0.72, -0.36, 0.64, 0.08, 0.12, 6),
        (-0.62, 0.8, -0.12, 0.74, 0.07, 0.09, 9),
        (0.0, 0.78, 0.3, 0.82, 0.14, 0.13, 6),
        (-0.7, 0.3, -0.05, 0.24, 0.06, 0.045, 8),
        (0.42, 0.98, 0.26, 1.06, 0.045, 0.04, 8),
        (0.5, 0.86, 0.52, 0.86, 0.09, 0.09, 6),
    ]
    if r[1] < 0.5:
        parts.append((0.48, 0.8, 0.4, 1.15, 0.12, 0.06, 6))
    return parts
