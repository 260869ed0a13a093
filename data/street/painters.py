"""Painters: the colour of a surface by its finish, before any light falls on it.

A painter takes a `Fragment`, the pixels of a band that see things of one finish, and returns their
albedo: RGB in 0..1, (N, 3) float32. Textures are looked up in the thing's own frame, and moved by
its number so that no two things look the same.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from goodsam.data.street.finish import (
    BODY,
    BRICK,
    CAB,
    CARGO,
    CHASSIS,
    COACH,
    GREENHOUSE,
    PLASTER,
    Facade,
    Leaf,
    Masonry,
    Plain,
    Vehicle,
)
from goodsam.data.street.look import Look
from goodsam.data.street.texture import billow, speckle

FRONT, BACK, LEFT, RIGHT, TOP = range(5)  # parts of a solid: its faces


@dataclass(frozen=True)
class Fragment:
    """N pixels that see things of one finish. Metres; x and y in the thing's frame, (N,) float32.

    albedo  (N, 3) float32, RGB in 0..1: the colour of the part, which a painter may start from
    part    (N,) uint8: face of a solid (FRONT to TOP, 5 bottom), or part of a flat shape
    x, y    along and across the thing, from its middle
    z       above the ground
    depth   from the camera
    own     number of the thing, from 1 on
    params  (P, N) float32: the fields of its finish, in their order
    colours (T, 10, 3) float32, RGB in 0..1: the colours of all T things, by number
    thing   (N,) int32: `own`, as an index into `colours`
    """

    albedo: np.ndarray
    part: np.ndarray
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    depth: np.ndarray
    own: np.ndarray
    params: np.ndarray
    colours: np.ndarray
    thing: np.ndarray

    def tint(self, pixels: np.ndarray, part: int) -> np.ndarray:
        """Colours (n, 3) of a part of the things behind `pixels`, a mask or n indices."""
        return self.colours[:, part].take(self.thing[pixels], axis=0)


def paint_plain(f: Fragment, look: Look) -> np.ndarray:
    """The part's colour, with a little grain."""
    grain = speckle(f.x * 60 + f.own * 37, (f.z + f.y) * 60) * 0.05
    return f.albedo * (1 + grain * look.texture)[:, None]


def paint_leaf(f: Fragment, look: Look) -> np.ndarray:
    """Foliage, in clumps."""
    clump = (
        speckle(f.x * 16 + f.own * 37, (f.z + f.y) * 16) * 0.2
        + billow(f.x * 22 + f.own * 13, f.z * 22) * 0.1
    )
    return f.albedo * np.clip(1 + clump * look.texture, 0.3, 1.8)[:, None]


def paint_masonry(f: Fragment, look: Look) -> np.ndarray:
    """Courses of stones with joints, piers, and a coping."""
    wall: Masonry[np.ndarray] = Masonry(*f.params)
    z = f.z
    s = f.x + f.y
    row = np.floor(z / wall.height)
    cell = s / wall.length + 0.5 * (row % 2)
    joint = ((z / wall.height) % 1 < 0.14) | (cell % 1 < 0.07)
    near = np.clip(1.3 - f.depth / 18, 0, 1)
    stone = speckle(np.floor(cell) * 7 + f.own, row * 11) * 0.1 * near
    grain = speckle(s * 40, z * 40 + f.own * 37) * 0.07 + billow(s * 12 + f.own * 17, z * 12) * 0.06
    shade = 1 + (stone + grain - wall.depth * near * joint) * look.texture
    shade += np.where((s / 3.2) % 1 < 0.13, np.float32(0.14), np.float32(0))
    shade += np.where(z > wall.top - 0.2, np.float32(0.3), np.float32(0))
    return f.albedo * shade[:, None]


def paint_facade(f: Fragment, look: Look) -> np.ndarray:
    """Walls with windows, shops and doors on the ground floor, a cornice; or a pitched roof."""
    wall: Facade[np.ndarray] = Facade(*f.params)
    z, own, pitch, base, top = f.z, f.own, wall.pitch, wall.base, wall.top
    side = f.part < TOP
    flank = f.part >= LEFT
    s = np.where(flank, f.x, f.y)
    half = np.where(flank, wall.hx, wall.hy)
    # the window's cell: its number, and the distances from its middle, in cells
    count = np.maximum(np.floor(2 * half / pitch), 1)
    cell = (s + half) / (2 * half) * count
    index = np.floor(cell)
    fu = np.abs(cell - index - 0.5)
    level = (z - base) / wall.floor
    storey = np.floor(level)
    fv = np.abs(level - storey - 0.5)
    near = np.clip(1.3 - f.depth / 28, 0, 1)
    grain = (
        speckle(s * 35 + own * 37, z * 35) * 0.05
        + billow(s * 9 + own * 37, z * 5 + own * 11) * 0.06
    )
    # bricks or concrete panels
    row = np.floor(z / 0.14)
    bricks = ((z / 0.14) % 1 < 0.2) | ((s / 0.42 + 0.5 * (row % 2)) % 1 < 0.08)
    joints = ((level % 1) < 0.035) | (fu > 0.485)
    close = np.clip(1.2 - f.depth / 14, 0, 1)
    panels = wall.texture > BRICK
    lines = bricks * ((wall.texture > PLASTER) * np.float32(0.16)) * close
    lines = np.where(panels, joints * np.float32(0.2), lines)
    visible = np.maximum(near, panels * np.float32(0.5))
    out = f.albedo * (1 + (grain - lines * visible) * look.texture)[:, None]
    ground = (z < base) & side
    trading = wall.trading > 0
    out[ground] = f.tint(ground, 6) * (1 + grain[ground] * look.texture)[:, None]
    # windows, shops and doors
    upper = (z > base) & (z < top - 0.45) & side
    ribbon = wall.ribbon > 0
    wide, tall = wall.wide, wall.tall
    window = upper & (fv < tall / 2) & (ribbon | (fu < wide / 2))
    rim = upper & (fv < tall / 2 + 0.045) & (ribbon | (fu < wide / 2 + 0.05)) & ~window
    rim |= window & ((fu < 0.022) | (np.abs(fv - 0.12) < 0.018)) & (near > 0.35)
    sill = (
        upper & (np.abs((level - storey) - 0.5 + tall / 2 + 0.05) < 0.04) & (fu < wide / 2 + 0.09)
    )
    shop = ground & (z > 0.5) & (z < base - 0.85) & (fu < 0.42) & trading
    door = ground & (z < 2.2) & (fu < 0.62 / pitch) & (index % 4 == (own % 3))
    rim |= sill & ~window
    out[rim] = f.tint(rim, 2)
    pane = np.flatnonzero(window | (shop & ~door))
    if pane.size:
        out[pane] = _panes(f, pane, index[pane], level[pane], storey[pane], look)
    out[door] = f.tint(door, 4)
    sign = ground & (z > base - 0.8) & (z < base - 0.25) & trading
    lettering = speckle(s[sign] * 9 + own[sign] * 37, z[sign] * 5) > 0.9
    out[sign] = np.where(lettering[:, None], f.tint(sign, 2), f.tint(sign, 3))
    cornice = side & ((z > top - 0.35) | (np.abs(z - base) < 0.12))
    out[cornice] = f.tint(cornice, 2) * 0.92
    out[f.part == TOP] = f.tint(f.part == TOP, 5)
    plinth = ground & (z < 0.4)
    out[plinth] *= 0.75
    # a pitched roof: tiles everywhere but the gables
    roof = wall.roof > 0
    tiles = 1 - 0.16 * ((z / 0.3) % 1 < 0.25) * near + grain * look.texture
    slopes = roof & flank
    out[slopes] = f.tint(slopes, 5) * tiles[slopes][:, None]
    gable = roof & ~flank
    out[gable] = f.tint(gable, 0) * (1 + grain[gable] * look.texture)[:, None]
    return out


def _panes(
    f: Fragment,
    pane: np.ndarray,
    index: np.ndarray,
    level: np.ndarray,
    storey: np.ndarray,
    look: Look,
) -> np.ndarray:
    """Glass of a building at the pixels `pane`: each window of a brightness, some with curtains."""
    up = level - storey
    v = speckle(index * 17 + f.own[pane] * 5, storey * 29)
    glass = f.tint(pane, 1) * (1 + 0.22 * v)[:, None]
    mirror = np.clip(0.12 + 0.5 * (up - 0.4) + 0.12 * v, 0, 0.6)
    glass += (look.sky_low * 0.9 - glass) * (mirror * 0.55)[:, None]
    curtain = (v > 0.9) & (up > 0.45)
    glass[curtain] = glass[curtain] * 0.5 + 0.35 * f.tint(pane[curtain], 2)
    return glass


def paint_vehicle(f: Fragment, look: Look) -> np.ndarray:
    """A part of a vehicle: trim, windows, lamps, grille, plate; ribs and livery of its cargo."""
    v: Vehicle[np.ndarray] = Vehicle(*f.params)
    x, y, z, own = f.x, f.y, f.z, f.own
    flank = (f.part == LEFT) | (f.part == RIGHT)
    ends = f.part < LEFT
    front = f.part == FRONT
    rise = (z - v.low) / (v.high - v.low)
    s = np.where(flank, x, y)
    out = f.albedo * (1 + 0.04 * billow(s * 14 + own * 37, z * 14) * look.texture)[:, None]

    def put(mask: np.ndarray, part: int, gain: float = 1.0) -> None:
        out[mask] = f.tint(mask, part) * gain

    body, house, coach = v.style == BODY, v.style == GREENHOUSE, v.style == COACH
    cargo, cab = v.style == CARGO, v.style == CAB
    put(flank & coach & (rise > 0.08) & (rise < 0.3), 2)
    put(flank & body & (np.abs(x - 0.1) < 0.018) | flank & body & (np.abs(x + 0.95) < 0.018), 3)
    put(flank & body & (np.abs(z - v.high + 0.14) < 0.025) & (np.abs((x % 1.05) - 0.25) < 0.1), 3)
    put((body & (z < v.low + 0.1)) | (coach & (z < v.low + 0.12)), 3)
    wheels = (np.abs(x) - v.arch) ** 2 + (z - v.radius) ** 2 < (1.18 * v.radius) ** 2
    put(flank & wheels & (v.arch > 0), 3, 0.6)
    # glass
    glass_low, glass_high = v.glass_low, v.glass_high
    edge = np.where(house, v.hy * (1 - 0.14 * rise), v.hy) - np.where(coach | cab, 0.1, 0.09)
    band = (z > glass_low) & (z < glass_high)
    post = ((x / np.maximum(v.pillar, 0.1)) % 1) * v.pillar < np.where(coach, 0.12, 0.09)
    glass = band & ((flank & ~post & (np.abs(x) < v.hx - 0.1)) | (ends & (np.abs(y) < edge)))
    glass |= coach & front & (z > glass_low - 0.35) & (z < glass_high) & (np.abs(y) < edge)
    doors = coach & (f.part == RIGHT) & (z > v.low + 0.15) & (z < glass_high)
    doors &= (x + 0.8) % 3.9 < 1.1
    glass |= doors & ((((x + 0.8) % 3.9) % 0.55) > 0.06)
    put(doors, 3)
    pane = np.flatnonzero(glass)
    if pane.size:
        tint = (
            f.tint(pane, 1)
            * (1 + 0.2 * speckle(s[pane] * 5 + own[pane] * 31, z[pane] * 3))[:, None]
        )
        up = (z[pane] - glass_low[pane]) / (glass_high - glass_low + 1e-3)[pane]
        mirror = np.where(house[pane], 0.34, 0.22) * np.clip(up, 0, 1)
        out[pane] = tint + (look.sky_low * 0.9 - tint) * mirror[:, None]
    board = coach & front & (z > glass_high + 0.08) & (z < v.high - 0.1) & (np.abs(y) < v.hy * 0.6)
    put(board, 3)
    put(board & (speckle(y * 14 + own * 3, z * 8) > 0.5), 4)
    # lamps, grille, plate
    lamp_z = np.where(body, v.low + 0.34, np.where(cargo, v.low + 0.18, v.low + 0.4))
    lamps = ends & (np.abs(np.abs(y) - v.hy + 0.26) < 0.17) & (np.abs(z - lamp_z) < 0.09)
    put(lamps & front & (body | coach | cab), 4)
    put(lamps & ~front & (body | coach | cargo), 5)
    put((body | cab) & front & (np.abs(y) < v.hy - 0.48) & (np.abs(z - v.low - 0.32) < 0.1), 3)
    put((body | coach) & ends & (np.abs(y) < 0.27) & (np.abs(z - v.low - 0.13) < 0.06), 6)
    # cargo: ribs, a patch of livery, doors behind
    ribs = cargo & flank & ((x / 0.62) % 1 < 0.1)
    out[ribs] *= 0.86
    logo = cargo & flank & (np.abs(x) < v.hx * 0.55) & (np.abs(rise - 0.55) < 0.2) & (v.logo > 0)
    put(logo & (billow(x * 14 + own * 3, z * 18) > -0.2), 2)
    put(cargo & (f.part == BACK) & (np.abs(y) < 0.025), 3)
    put(cargo & (rise < 0.035), 3)
    put(v.style == CHASSIS, 3, 0.7)
    return out


PAINTERS: dict[type, Callable[[Fragment, Look], np.ndarray]] = {
    Plain: paint_plain,
    Leaf: paint_leaf,
    Masonry: paint_masonry,
    Facade: paint_facade,
    Vehicle: paint_vehicle,
}
