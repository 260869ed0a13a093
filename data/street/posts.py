"""Silhouettes of street furniture, in metres: poles, lamps, lights, signs, fences; and wheels."""

import numpy as np

from goodsam.data.street.shapes import GAP, NONE, Limb, Shape, canvas, limbs

DARK_LAMP = 5  # the part of a traffic light's lamps that are off


def pole(height: float, half: float) -> Shape:
    """Part 0: an upright pole, `height` metres high and `half` to either side."""

    def shape(u: np.ndarray, v: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
        hit = (np.abs(u) < half) & (v < height)
        return np.where(hit, np.uint8(0), np.uint8(NONE)), np.clip(u * (side / half), -1, 1)

    return shape


def street_lamp(rng: np.random.Generator, height: float, half: float) -> Shape:
    """A lamp `height` metres up, on a pole of half width `half`. Parts: 0 pole and arm, 1 lamp."""
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
    """A box from `bottom` metres up, `tall` high and `half` to either side, one lamp lit.

    Parts: 0 box, 1 rim, 2 to 4 lamps from the top, dark ones 5 (DARK_LAMP).
    """
    r = rng.random(5)
    count = 3 if r[0] < 0.75 else 2
    lit = int(r[1] * count)
    rim = 0.06 if r[2] < 0.5 else 0.0
    sideways = 1 if (r[3] < 0.2) else 0
    radius = min(half * 0.72, tall / count * 0.42)

    def shape(u: np.ndarray, v: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
        part, tone = canvas(u)
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
    """A plate whose middle is `centre` metres up; `size` is half its height, in metres.

    Parts: 0 rim, 1 field, 2 symbol.
    """
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
        part, tone = canvas(u)
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
    """A fence `height` metres high and `half` to either side: pickets, bars, boards, mesh, rails.

    Parts: 0 boards and rails, 1 posts; see-through between them.
    """
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
    """A disc of `radius` metres that touches the ground. Parts: 0 tyre, 1 rim."""

    def shape(u: np.ndarray, v: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
        d = u * u + (v - radius) ** 2
        part = np.where(d < radius * radius, np.uint8(0), np.uint8(NONE))
        part[d < (0.58 * radius) ** 2] = 1
        part[d < (0.16 * radius) ** 2] = 0
        return part, np.zeros(u.shape, np.float32)

    return shape
