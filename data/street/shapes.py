"""Flat shapes with a silhouette: people, two-wheelers, trees, signs, lights, poles, fences, wheels.

A shape is a function of `u` (metres to the right) and `v` (metres above the ground), both float32
arrays of one shape, and of `side`, where the sun stands (-1 left .. 1 right). It returns

- part, uint8: which colour of the instance's palette; NONE off the shape; `GAP + part` where the
  shape is see-through: the label is the part's, the colour is what lies behind;
- tone, float32: -1 (turned from the sun) .. 1 (to the sun).
"""

from collections.abc import Callable, Sequence

import numpy as np

from goodsam.data.street.texture import speckle

NONE = 255
GAP = 128
DARK_LAMP = 5  # the part of a traffic light's lamps that are off

Shape = Callable[[np.ndarray, np.ndarray, float], tuple[np.ndarray, np.ndarray]]
Limb = tuple[float, float, float, float, float, float, int]  # x0 y0 x1 y1 r0 r1 part


def _canvas(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.full(u.shape, NONE, np.uint8), np.zeros(u.shape, np.float32)


def limbs(parts: Sequence[Limb], scale: float = 1.0, mirror: bool = False) -> Shape:
    """A union of tapered capsules, painted in order; coordinates in units of `scale` metres."""
    sign = -1.0 if mirror else 1.0

    def shape(u: np.ndarray, v: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
        part, tone = _canvas(u)
        a, b = u * np.float32(sign / scale), v * np.float32(1 / scale)
        for x0, y0, x1, y1, r0, r1, k in parts:
            px, py = a - x0, b - y0
            bx, by = x1 - x0, y1 - y0
            along = np.clip((px * bx + py * by) * (1 / (bx * bx + by * by + 1e-9)), 0, 1)
            px -= along * bx
            py -= along * by
            radius = r0 + (r1 - r0) * along
            hit = px * px + py * py < radius * radius
            part[hit] = k
            tone[hit] = (px[hit] * (side * sign) + py[hit] * 0.5) / radius[hit]
        return part, tone

    return shape


def person(rng: np.random.Generator, height: float) -> Shape:
    """Parts: 0 skin, 1 top, 2 trousers, 3 hair, 4 shoes, 5 bag."""
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


def two_wheeler(rng: np.random.Generator, motor: bool, ridden: bool, scale: float) -> Shape:
    """A bicycle or a motorcycle (parts 6 to 9), with a rider (parts 0 to 5) when `ridden`."""
    r = rng.random(12)
    front = bool(r[4] < (0.3 if ridden else 0.15))
    parts = _motorcycle(front, r) if motor else _bicycle(front, r)
    if ridden and front:
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
        head_x, head_y = 0.0, seat + 0.78
        parts = parts + rider
    elif ridden:
        seat = 0.78 if motor else 0.9
        lean = 0.12 + 0.22 * r[5]
        x = -0.3 if motor else -0.24
        sx, sy = x + lean, seat + 0.5
        knee = (x + 0.4, seat - 0.18) if motor else (x + 0.36, seat - 0.1 - 0.2 * r[6])
        foot = (x + 0.22, 0.3) if motor else (x + 0.2, 0.22 + 0.25 * r[6])
        parts += [
            (x, seat, knee[0], knee[1], 0.11, 0.08, 2),
            (*knee, *foot, 0.08, 0.055, 2),
            (foot[0], foot[1], foot[0] + 0.12, foot[1] - 0.02, 0.055, 0.04, 4),
            (x, seat + 0.06, sx, sy - 0.04, 0.14, 0.17, 1),
            (sx, sy - 0.02, 0.16, sy - 0.3, 0.07, 0.06, 1),
            (0.16, sy - 0.3, 0.32, 1.05, 0.06, 0.045, 1),
            (0.32, 1.05, 0.34, 1.06, 0.05, 0.05, 0),
        ]
        if r[7] < 0.3:
            parts.append((x - 0.02, seat + 0.3, sx - 0.16, sy - 0.1, 0.11, 0.11, 5))
        head_x, head_y = sx + 0.08, sy + 0.26
    if ridden:
        helmet = motor or r[8] < 0.6
        parts += [
            (head_x, head_y - 0.1, head_x, head_y, 0.09, 0.11, 0),
            (
                head_x - 0.02,
                head_y + 0.04,
                head_x + 0.02,
                head_y + 0.04,
                0.125 if helmet else 0.11,
                0.125 if helmet else 0.105,
                5 if helmet else 3,
            ),
        ]
        if motor or r[8] < 0.3:
            parts.append((head_x, head_y - 0.03, head_x, head_y - 0.02, 0.12, 0.12, 5))
            parts.append(
                (
                    head_x + (0.0 if front else 0.07),
                    head_y - 0.02,
                    head_x + (0.02 if front else 0.1),
                    head_y - 0.01,
                    0.06,
                    0.05,
                    7,
                )
            )
    return limbs(parts, scale, bool(r[9] < 0.5))


def tree(rng: np.random.Generator, height: float, width: float) -> Shape:
    """Parts: 0 leaves, 1 bark. Round, tall, conical or many-lobed."""
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
        part, tone = _canvas(u)
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
    """Part 0 leaves: a heap of lobes on the ground."""
    r = rng.random(12)
    shift = float(r[0] * 400)
    lobes = [
        (float(half * (r[2 + k] * 1.2 - 0.6)), float(half * (0.45 + 0.2 * r[6 + k])))
        for k in range(3)
    ]

    def shape(u: np.ndarray, v: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
        part, tone = _canvas(u)
        rough = speckle(u * 20 + shift, v * 20 + shift)
        for x, a in lobes:
            du, dv = (u - x) * (1 / a), (v - height * 0.4) * (1 / (height * 0.6))
            leaf = (du * du + dv * dv < 0.9 + 0.3 * rough) & (v > 0)
            part[leaf] = 0
            tone[leaf] = (du * side * 0.5 + dv * 0.55 + rough * 0.3)[leaf]
        return part, tone

    return shape


def pole(height: float, half: float) -> Shape:
    """Part 0: an upright pole."""

    def shape(u: np.ndarray, v: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
        hit = (np.abs(u) < half) & (v < height)
        return np.where(hit, np.uint8(0), np.uint8(NONE)), np.clip(u * (side / half), -1, 1)

    return shape


def street_lamp(rng: np.random.Generator, height: float, half: float) -> Shape:
    """Parts: 0 pole and arm, 1 lamp."""
    r = rng.random(4)
    if r[0] < 0.3:  # a lantern on top
        parts: list[Limb] = [
            (0, 0, 0, height * 0.6, half, half, 0),
            (0, height * 0.6, 0, height * 0.62, half * 1.5, half * 1.5, 0),
            (0, height * 0.63, 0, height * 0.7, 0.16, 0.24, 1),
            (0, height * 0.72, 0, height * 0.725, 0.26, 0.2, 0),
        ]
        return limbs(parts)
    arm = 0.9 + 1.0 * r[1]
    parts = [
        (0, 0, 0, height - 0.3, half * 1.2, half * 0.8, 0),
        (0, height - 0.3, arm * 0.5, height, half * 0.8, half * 0.7, 0),
        (arm * 0.5, height, arm, height, half * 0.7, half * 0.7, 0),
        (arm * 0.85, height - 0.03, arm + 0.45, height - 0.03, 0.13, 0.11, 0),
        (arm, height - 0.12, arm + 0.35, height - 0.12, 0.08, 0.07, 1),
    ]
    if r[2] < 0.25:
        parts += [(-a, b, -c, d, e, f, k) for a, b, c, d, e, f, k in parts[1:]]
    return limbs(parts, 1.0, bool(r[3] < 0.5))


def traffic_light(rng: np.random.Generator, bottom: float, half: float, tall: float) -> Shape:
    """Parts: 0 box, 1 rim, 2 to 4 lamps from the top, dark ones 5."""
    r = rng.random(5)
    count = 3 if r[0] < 0.75 else 2
    lit = int(r[1] * count)
    rim = 0.06 if r[2] < 0.5 else 0.0
    sideways = 1 if (r[3] < 0.2) else 0
    radius = min(half * 0.72, tall / count * 0.42)

    def shape(u: np.ndarray, v: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
        part, tone = _canvas(u)
        mid = bottom + tall / 2
        du, dv = np.abs(u), np.abs(v - mid)
        inside = (du < half) & (dv < tall / 2)
        part[inside] = 1
        part[(du < half - rim) & (dv < tall / 2 - rim)] = 0
        if sideways:
            return part, tone
        for k in range(count):
            y = bottom + tall * (1 - (k + 0.5) / count)
            lamp = u * u + (v - y) ** 2 < radius * radius
            part[lamp] = (2 + (k if count == 3 else 2 * k)) if k == lit else DARK_LAMP
        tone[part > 1] = 1
        return part, tone

    return shape


def sign(rng: np.random.Generator, centre: float, size: float) -> Shape:
    """Parts: 0 rim, 1 field, 2 symbol. `size` is half the plate's height."""
    r = rng.random(6)
    kind, symbol = int(r[0] * 7), int(r[1] * 6)
    wide = size * (1.5 + 0.9 * r[2]) if kind == 6 else size
    rim = 0.78 if r[3] < 0.75 else 0.92

    def inside(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if kind in (0, 1):
            return a * a + b * b
        if kind == 2:  # triangle
            return np.maximum(-b * 1.25 + 0.05, np.abs(a) * 1.05 + b * 0.55 + 0.42) ** 2
        if kind == 3:  # triangle on its tip
            return np.maximum(b * 1.25 + 0.05, np.abs(a) * 1.05 - b * 0.55 + 0.42) ** 2
        if kind == 4:  # octagon
            return np.maximum(np.maximum(np.abs(a), np.abs(b)), (np.abs(a) + np.abs(b)) * 0.72) ** 2
        if kind == 5 and r[4] < 0.5:  # diamond
            return (np.abs(a) + np.abs(b)) ** 2
        return np.maximum(np.abs(a), np.abs(b)) ** 2

    def shape(u: np.ndarray, v: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
        part, tone = _canvas(u)
        a, b = u * (1 / wide), (v - centre) * (1 / size)
        d = inside(a, b)
        part[d < 1] = 0
        field = d < rim * rim
        part[field] = 1
        if symbol == 0:
            mark = (np.abs(b) < 0.17) & (np.abs(a) < 0.6)
        elif symbol == 1:
            mark = (np.abs(a) < 0.13) & (np.abs(b) < 0.5) | (np.abs(np.abs(a) + b - 0.5) < 0.17) & (
                b > 0
            )
        elif symbol == 2:
            mark = np.abs(a - b) < 0.2
        elif symbol == 3:
            mark = (a * a + (b - 0.1) ** 2 < 0.1) | (np.abs(a) < 0.12) & (b < 0) & (b > -0.55)
        elif symbol == 4:
            mark = (np.abs(np.abs(a) - 0.3) < 0.14) & (np.abs(b) < 0.42)
        else:
            mark = (np.abs((b * 2.5) % 1 - 0.5) < 0.2) & (np.abs(a) < 0.6) & (np.abs(b) < 0.6)
        part[mark & field] = 2
        tone[...] = 0.35
        return part, tone

    return shape


def fence(rng: np.random.Generator, height: float, half: float) -> Shape:
    """Parts: 0 boards and rails, 1 posts. Pickets, bars, boards, mesh or rails."""
    r = rng.random(5)
    kind = int(r[0] * 5)
    pitch = (0.22, 0.2, 0.3, 0.28, 1.0)[kind] * (0.85 + 0.5 * r[1])
    fill = (0.62, 0.36, 0.94, 0.2, 0.0)[kind]
    rails = (0.2, 0.8) if kind != 4 else (0.3, 0.62, 0.95)
    post = 1.6 + 1.2 * r[2]
    wave = 0.08 if kind == 0 and r[3] < 0.5 else 0.0

    def shape(u: np.ndarray, v: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
        w = v * (1 / height)
        cell = (u * (1 / pitch)) % 1
        top = 1 - wave * np.abs(cell - fill / 2) * 4
        body = (np.abs(u) < half) & (w < top) & (w > 0)
        bars = cell < fill
        if kind == 3:
            bars = bars | ((v * (1 / pitch)) % 1 < fill)
        for y in rails:
            bars = bars | (np.abs(w - y) < 0.045 / height)
        posts = ((u + half) % post < 0.12) | (u > half - 0.12)
        part = np.where(bars, np.uint8(0), np.uint8(GAP))
        part[posts] = 1
        part[~body] = NONE
        return part, cell.astype(np.float32) * 0.4 - 0.1

    return shape


def wheel(radius: float) -> Shape:
    """Parts: 0 tyre, 1 rim: a disc that touches the ground."""

    def shape(u: np.ndarray, v: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
        d = u * u + (v - radius) ** 2
        part = np.where(d < radius * radius, np.uint8(0), np.uint8(NONE))
        part[d < (0.58 * radius) ** 2] = 1
        part[d < (0.16 * radius) ** 2] = 0
        return part, np.zeros(u.shape, np.float32)

    return shape
