"""Shadows on the ground around the camera, as two small maps."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from goodsam.data.street.cast import Thing
from goodsam.data.street.finish import Facade, Leaf
from goodsam.data.street.look import Look

CELLS = 512  # of a map, to a side
METRES = 32.0  # it reaches this far from the camera
SCALE = CELLS / (2 * METRES)  # cells per metre
SHADOW = 60  # of 255: the sunlight that a shadow leaves
TOUCH = 90  # of 255: the sky's light that arrives under a thing


def shadow_map(things: list[Thing], look: Look) -> tuple[np.ndarray, np.ndarray]:
    """Sunlight on the ground, and which things stand in a building's shadow.

    Returns (2, 512, 512) float32 over +-32 m, rows are y: the share of sunlight that arrives, and
    that of the sky's light near the feet of things; and (N,) float32, the sunlight on each thing.
    """
    sun = Image.new("L", (CELLS, CELLS), 255)
    touch = Image.new("L", (CELLS, CELLS), 255)
    draw, under = ImageDraw.Draw(sun), ImageDraw.Draw(touch)
    near = [t for t in things if t.low <= 3 and np.hypot(t.x, t.y) - max(t.half) <= METRES]
    for thing in near:
        if isinstance(thing.finish, Facade):
            _cast_shadow(thing, look, draw, under)
    sunlit = np.ones(len(things), np.float32)
    for k, thing in enumerate(things):
        at = int((thing.x + METRES) * SCALE), int((thing.y + METRES) * SCALE)
        if not isinstance(thing.finish, Facade) and min(at) >= 0 and max(at) < CELLS:
            sunlit[k] = sun.getpixel(at) / 255  # type: ignore[operator]
    for thing in near:
        if not isinstance(thing.finish, Facade):
            _cast_shadow(thing, look, draw, under)
    sun = sun.filter(ImageFilter.BoxBlur(2))
    touch = touch.filter(ImageFilter.BoxBlur(3))
    return np.stack([np.asarray(sun), np.asarray(touch)]) * np.float32(1 / 255), sunlit


def _cast_shadow(
    thing: Thing, look: Look, draw: ImageDraw.ImageDraw, under: ImageDraw.ImageDraw
) -> None:
    """Its footprint, and the footprint swept along the light, on the two maps."""
    ca, sa = float(np.cos(thing.yaw)), float(np.sin(thing.yaw))
    crown = isinstance(thing.finish, Leaf) and thing.planes is None
    hx = thing.half[0]
    hy = hx if crown else max(thing.half[1], 0.08)
    foot = [
        (
            (thing.x + i * hx * ca - j * hy * sa + METRES) * SCALE,
            (thing.y + i * hx * sa + j * hy * ca + METRES) * SCALE,
        )
        for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]
    reach = min(thing.high, 14.0) / max(look.sun[2], 0.2) * SCALE
    mx, my = -look.sun[0] * reach, -look.sun[1] * reach
    rise = 0.35 if crown and thing.high > 2.5 else 0.0  # a crown begins above the ground
    head = [(x + mx, y + my) for x, y in foot]
    base = [(x + mx * rise, y + my * rise) for x, y in foot]
    if thing.planes is None:  # thin: its length, swept along the light
        draw.polygon([base[0], base[1], head[1], head[0]], fill=SHADOW)
        draw.polygon([base[3], base[2], head[2], head[3]], fill=SHADOW)
    else:
        for k in range(4):
            n = (k + 1) % 4
            draw.polygon([base[k], base[n], head[n], head[k]], fill=SHADOW)
        draw.polygon(head, fill=SHADOW)
    draw.polygon(base, fill=SHADOW)
    if not crown:
        under.polygon(foot, fill=TOUCH)


def sample(shadows: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear look-up of both maps at N points, metres from the camera; (2, N), 1 outside."""
    i = np.clip((x + METRES) * SCALE - 0.5, 0, CELLS - 2)
    j = np.clip((y + METRES) * SCALE - 0.5, 0, CELLS - 2)
    i0, j0 = i.astype(np.int32), j.astype(np.int32)
    fi, fj = i - np.floor(i), j - np.floor(j)
    flat = shadows.reshape(2, -1)
    at = j0 * CELLS + i0
    low = flat[:, at] * (1 - fi) + flat[:, at + 1] * fi
    high = flat[:, at + CELLS] * (1 - fi) + flat[:, at + CELLS + 1] * fi
    inside = (np.abs(x) < METRES - 0.2) & (np.abs(y) < METRES - 0.2)
    return np.where(inside, low * (1 - fj) + high * fj, np.float32(1))
