"""The colour pass: ground, sky, surfaces, light, haze and the sensor, once per pixel."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import gaussian_filter

from goodsam.data.street.cast import Buffers, Camera, Thing
from goodsam.data.street.look import Look
from goodsam.data.street.posts import DARK_LAMP
from goodsam.data.street.scene import (
    CAB,
    CAR,
    CARGO,
    CHASSIS,
    COACH,
    FACADE,
    GREENHOUSE,
    LEAF,
    MASONRY,
    PLAIN,
    ROAD,
    SIDEWALK,
    SKY,
    SKY_INSTANCE,
    TERRAIN,
    VEHICLE,
    Scene,
)
from goodsam.data.street.texture import billow, speckle

SHADE_CELLS = 512  # of the shadow map
SHADE_METRES = 32.0  # it reaches this far from the camera
SHADOW = 60  # of 255: the sunlight that a shadow leaves
BAND = 16_384  # pixels shaded at a time: what a core's cache holds of their arrays
COLOURS = 10
PARAMS = 10


def shadow_map(things: list[Thing], look: Look) -> tuple[np.ndarray, np.ndarray]:
    """Sunlight on the ground, and which things stand in a building's shadow.

    Returns (2, 512, 512) float32 over +-32 m, rows are y: the share of sunlight that arrives, and
    that of the sky's light near the feet of things; and (N,) float32, the sunlight on each thing.
    """
    sun = Image.new("L", (SHADE_CELLS, SHADE_CELLS), 255)
    touch = Image.new("L", (SHADE_CELLS, SHADE_CELLS), 255)
    draw, under = ImageDraw.Draw(sun), ImageDraw.Draw(touch)
    near = [t for t in things if t.low <= 3 and np.hypot(t.x, t.y) - max(t.half) <= SHADE_METRES]
    for thing in near:
        if thing.kind == FACADE:
            _cast_shadow(thing, look, draw, under)
    cell = SHADE_CELLS / (2 * SHADE_METRES)
    sunlit = np.ones(len(things), np.float32)
    for k, thing in enumerate(things):
        at = int((thing.x + SHADE_METRES) * cell), int((thing.y + SHADE_METRES) * cell)
        if thing.kind != FACADE and min(at) >= 0 and max(at) < SHADE_CELLS:
            sunlit[k] = sun.getpixel(at) / 255  # type: ignore[operator]
    for thing in near:
        if thing.kind != FACADE:
            _cast_shadow(thing, look, draw, under)
    sun = sun.filter(ImageFilter.BoxBlur(2))
    touch = touch.filter(ImageFilter.BoxBlur(3))
    return np.stack([np.asarray(sun), np.asarray(touch)]) * np.float32(1 / 255), sunlit


def _cast_shadow(
    thing: Thing, look: Look, draw: ImageDraw.ImageDraw, under: ImageDraw.ImageDraw
) -> None:
    """Its footprint, and the footprint swept along the light, on the two maps."""
    scale = SHADE_CELLS / (2 * SHADE_METRES)
    ca, sa = float(np.cos(thing.yaw)), float(np.sin(thing.yaw))
    crown = thing.kind == LEAF and thing.planes is None
    hx = thing.half[0]
    hy = hx if crown else max(thing.half[1], 0.08)
    foot = [
        (
            (thing.x + i * hx * ca - j * hy * sa + SHADE_METRES) * scale,
            (thing.y + i * hx * sa + j * hy * ca + SHADE_METRES) * scale,
        )
        for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]
    reach = min(thing.high, 14.0) / max(look.sun[2], 0.2) * scale
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
        under.polygon(foot, fill=90)


def _sample(shadows: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear look-up, 1 outside: (2, N)."""
    scale = SHADE_CELLS / (2 * SHADE_METRES)
    i = np.clip((x + SHADE_METRES) * scale - 0.5, 0, SHADE_CELLS - 2)
    j = np.clip((y + SHADE_METRES) * scale - 0.5, 0, SHADE_CELLS - 2)
    i0, j0 = i.astype(np.int32), j.astype(np.int32)
    fi, fj = i - np.floor(i), j - np.floor(j)
    flat = shadows.reshape(2, -1)
    at = j0 * SHADE_CELLS + i0
    low = flat[:, at] * (1 - fi) + flat[:, at + 1] * fi
    high = flat[:, at + SHADE_CELLS] * (1 - fi) + flat[:, at + SHADE_CELLS + 1] * fi
    inside = (np.abs(x) < SHADE_METRES - 0.2) & (np.abs(y) < SHADE_METRES - 0.2)
    return np.where(inside, low * (1 - fj) + high * fj, np.float32(1))


def shade(camera: Camera, scene: Scene, look: Look, buffers: Buffers) -> np.ndarray:
    """RGB in 0..1, (H, W, 3) float32; fills labels and instances of ground and sky."""
    _, rows, cols = camera.rays.shape
    image = np.empty((rows * cols, 3), np.float32)
    shadows, sunlit = shadow_map(buffers.things, look)
    tables = _tables(buffers.things, sunlit, look)
    for start in range(0, rows * cols, BAND):
        band = slice(start, min(start + BAND, rows * cols))
        _shade_band(image[band], band, camera, scene, look, buffers, tables, shadows)
    return image.reshape(rows, cols, 3)


def _shade_band(
    image: np.ndarray,
    band: slice,
    camera: Camera,
    scene: Scene,
    look: Look,
    buffers: Buffers,
    tables: "_Tables",
    shadows: np.ndarray,
) -> None:
    depth = buffers.depth.reshape(-1)[band]
    label, instance = buffers.label.reshape(-1)[band], buffers.instance.reshape(-1)[band]
    rays = camera.rays.reshape(3, -1)[:, band]
    empty = buffers.thing.reshape(-1)[band] == 0
    open_air = np.isinf(depth)
    sky, ground = np.flatnonzero(empty & open_air), np.flatnonzero(empty & ~open_air)
    if sky.size:
        image[sky] = _sky(rays[:, sky], look, scene)
        free = sky[label[sky] == 255]
        label[free], instance[free] = SKY, SKY_INSTANCE
    if ground.size:
        t = depth[ground]
        x, y = t * rays[0, ground], t * rays[1, ground]
        focal = camera.focal or camera.rays.shape[1]
        colour, name, number = _ground(x, y + np.float32(scene.camera_y), t, scene, look, focal)
        direct, touch = _sample(shadows, x, y)
        light = (look.ambient_rgb * 1.05)[:, None] * touch
        light += (look.sun_rgb * look.sun[2])[:, None] * direct
        image[ground] = colour * light.T
        free = np.flatnonzero(label[ground] == 255)
        label[ground[free]], instance[ground[free]] = name[free], number[free]
    _surfaces(image, band, np.flatnonzero(~empty), camera, look, buffers, tables)
    veil = np.exp(-look.haze * np.minimum(depth, 400))
    veil[sky] = 1
    image *= veil[:, None]
    image += (1 - veil)[:, None] * (look.sky_low * 0.95)


def _sky(rays: np.ndarray, look: Look, scene: Scene) -> np.ndarray:
    dx, dy, dz = rays
    up = np.clip(dz * 1.7, 0, 1)[:, None] ** 0.6
    colour = look.sky_low + (look.sky_top - look.sky_low) * up
    k = 90 / (dz + 0.18)
    shift = scene.cloud_shift
    cloud = billow(dx * k + shift, dy * k + shift) + 0.35 * speckle(
        dx * k * 1.5 + shift, dy * k * 1.5
    )
    cover = np.clip(cloud * 0.5 - 0.35 + look.clouds * 0.9, 0, 1) * (0.75 - 0.35 * look.clouds)
    white = look.sky_low * (1.02 + 0.05 * np.clip(cloud, -1, 1))[:, None]
    colour += (white - colour) * cover[:, None]
    glow = np.clip(dx * look.sun[0] + dy * look.sun[1] + dz * look.sun[2], 0, 1) ** 12
    return colour + (glow * 0.22 * (1 - 0.7 * look.clouds))[:, None] * look.sun_rgb


def _ground(
    x: np.ndarray, y: np.ndarray, depth: np.ndarray, scene: Scene, look: Look, focal: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Albedo (N, 3), label and instance (N,)."""
    plan = scene.plan
    side = np.abs(y)
    over = np.abs(x - plan.cross_x)
    a, b = side - plan.half, over - plan.cross_half
    kerb = np.minimum(a, b)  # < 0 on the road
    r = plan.corner
    inner = (a < r) & (b < r) & (kerb >= 0)
    kerb = np.where(inner, np.hypot(r - a, r - b) * -1 + r, kerb)
    kerb = np.where(inner, np.where(kerb < 0, kerb, np.minimum(kerb, np.minimum(a, b) + r)), kerb)
    road = kerb < 0
    to_main, to_cross = a - plan.walk, b - plan.cross_walk
    lawn = np.minimum(to_main, to_cross) > 0
    if plan.verge > 0:
        lawn |= (kerb > 0.25) & (a < plan.verge) & (b > 1.5)
    lawn &= ~road
    quadrant = (y > 0) * 2 + (x > plan.cross_x)

    colour = np.empty((x.size, 3), np.float32)
    fade = np.clip(1.4 - depth * (40 / focal) * 0.12, 0.15, 1) * look.texture
    fine = speckle(x * 55, y * 55)
    broad = billow(x * 12 + plan.shift, y * 12)
    # asphalt, with patches and worn lanes
    colour[:] = plan.asphalt
    colour *= (1 + (0.07 * fine + 0.05 * broad) * fade)[:, None]
    patch = billow(x * 4 + 90, y * 9 + plan.shift) > 1.3
    colour[patch & road] *= plan.patch
    crack = np.abs(billow(x * 7 + 30, y * 7 + plan.shift)) < 0.025
    colour[crack & road] *= 0.8
    paint = _markings(x, y, kerb, scene)
    worn = paint * np.clip(0.92 - 0.16 * np.maximum(fine, broad) * look.texture, 0.2, 1)
    colour += (plan.marking - colour) * worn[:, None]
    for rail in plan.rails:
        near = np.abs(side - rail)
        colour[(near < 0.62) & (over > -1) & road] *= 0.93
        colour[(np.abs(near - 0.62) < 0.055) & road] = plan.rail_colour
    # paving, slabs with joints
    walk = np.flatnonzero(~road & ~lawn)
    if walk.size:
        wx, wy = x[walk], y[walk]
        size = plan.slab
        row = np.floor(wy / size[1])
        cx = wx / size[0] + 0.5 * (row % 2)
        tile = speckle(np.floor(cx) * 7, row * 11) * 0.05
        joint = (np.minimum(cx % 1, 1 - cx % 1) * size[0] < 0.02) | (
            (wy / size[1]) % 1 * size[1] < 0.04
        )
        shade = 1 + (tile + 0.05 * fine[walk] + 0.05 * broad[walk] - 0.22 * joint) * fade[walk]
        colour[walk] = plan.paving[quadrant[walk]] * shade[:, None]
        edge = kerb[walk] < 0.22
        colour[walk[edge]] = plan.kerb * (1 + 0.06 * fine[walk[edge]] * look.texture)[:, None]
    gutter = (kerb < 0) & (kerb > -0.16)
    colour[gutter] *= 0.72
    green = np.flatnonzero(lawn)
    if green.size:
        blades = speckle(x[green] * 30, y[green] * 30) * 0.13 + broad[green] * 0.12
        colour[green] = plan.grass[quadrant[green]] * (1 + blades * fade[green])[:, None]
        bare = billow(x[green] * 9 + 200, y[green] * 9 + plan.shift) > 1.35
        colour[green[bare]] = plan.earth * (1 + blades[bare] * 0.6)[:, None]
    label = np.where(road, ROAD, np.where(lawn, TERRAIN, SIDEWALK)).astype(np.uint8)
    instance = np.where(road, 1, np.where(lawn, 6, 2) + quadrant).astype(np.uint16)
    return colour, label, instance


def _markings(x: np.ndarray, y: np.ndarray, kerb: np.ndarray, scene: Scene) -> np.ndarray:
    """Coverage of road paint, 0..1."""
    plan = scene.plan
    beyond = np.abs(x - plan.cross_x) - plan.cross_half  # from the mouth of the crossing
    main = (np.abs(y) < plan.half) & (beyond > plan.stop)
    paint = np.zeros(x.shape, bool)
    dash = (x / plan.dash) % 1 < 0.5
    if plan.centre == 1:
        paint |= main & (np.abs(y) < 0.09) & dash
    elif plan.centre == 2:
        paint |= main & (np.abs(np.abs(y) - 0.16) < 0.06)
    elif plan.centre == 3:
        paint |= main & (np.abs(y) < 0.09)
    if plan.lane > 0:
        paint |= main & (np.abs(np.abs(y) - plan.lane) < 0.07) & dash
    if plan.edge:
        paint |= main & (np.abs(kerb + 0.5) < 0.07)
    if plan.bays:
        bay = (np.abs(y) > plan.half - 2.1) & ((x / 5.6) % 1 < 0.02)
        paint |= main & (bay | (np.abs(np.abs(y) - plan.half + 2.1) < 0.05))
    for at in plan.zebras:
        stripe = (np.abs(x - at) < plan.zebra_half) & ((y / plan.zebra_pitch) % 1 < 0.52)
        paint = np.where(np.abs(x - at) < plan.zebra_half + 0.9, stripe & (kerb < -0.3), paint)
        stop = (np.abs(np.abs(x - at) - plan.zebra_half - 1.1) < 0.18) & (kerb < -0.2)
        paint |= stop & (y * np.sign(at - x) > 0) & plan.stop_lines
    across = (np.abs(x - plan.cross_x) < plan.cross_half) & (np.abs(y) > plan.half + 2)
    paint |= across & (np.abs(x - plan.cross_x) < 0.09) & ((y / plan.dash) % 1 < 0.5)
    if plan.zebra_cross:
        far = np.abs(np.abs(y) - plan.half - 2.2)
        paint |= across & (far < 1.5) & (((x - plan.cross_x) / plan.zebra_pitch) % 1 < 0.52)
    return paint.astype(np.float32)


@dataclass(frozen=True)
class _Tables:
    """What the shading looks up per thing; row 0 stands for ground and sky."""

    kind: np.ndarray  # (N,)
    colours: np.ndarray  # (N, COLOURS, 3)
    params: np.ndarray  # (PARAMS, N)
    place: np.ndarray  # (5, N): x, y, cos, sin of the yaw, whether it is solid
    light: np.ndarray  # (N, COLOURS): of a solid's faces
    sunlit: np.ndarray  # (N,)


def _tables(things: list[Thing], sunlit: np.ndarray, look: Look) -> _Tables:
    count = len(things) + 1
    kind = np.array([-1] + [t.kind for t in things], np.int8)
    colours = np.zeros((count, COLOURS, 3), np.float32)
    params = np.zeros((PARAMS, count), np.float32)
    place = np.zeros((5, count), np.float32)
    light = np.zeros((count, COLOURS), np.float32)
    sun = np.array(look.sun)
    for k, thing in enumerate(things, 1):
        colours[k, : len(thing.colours)] = thing.colours
        params[: len(thing.params), k] = thing.params
        ca, sa = np.cos(thing.yaw), np.sin(thing.yaw)
        place[:, k] = thing.x, thing.y, ca, sa, thing.planes is not None
        if thing.planes is not None:
            n = thing.planes[:, :3]
            across = (n[:, 0] * ca - n[:, 1] * sa) * sun[0] + (n[:, 0] * sa + n[:, 1] * ca) * sun[1]
            light[k, :6] = np.clip(across + n[:, 2] * sun[2], 0, 1)
    return _Tables(kind, colours, params, place, light, np.append(np.float32(1), sunlit))


def _surfaces(
    image: np.ndarray,
    band: slice,
    at: np.ndarray,
    camera: Camera,
    look: Look,
    buffers: Buffers,
    tables: _Tables,
) -> None:
    """Colour the pixels `at` of a band, those that see a thing, in place."""
    if not at.size:
        return
    colours, params, place, light = tables.colours, tables.params, tables.place, tables.light
    rays = camera.rays.reshape(3, -1)[:, band]
    which = buffers.thing.reshape(-1)[band][at]
    part = buffers.part.reshape(-1)[band][at]
    t = buffers.depth.reshape(-1)[band][at]
    px, py = t * rays[0, at], t * rays[1, at]
    z = t * rays[2, at] + np.float32(camera.height)
    ox, oy = px - place[0][which], py - place[1][which]
    ca, sa = place[2][which], place[3][which]
    lx = ox * ca + oy * sa
    ly = oy * ca - ox * sa
    solid = (place[4] > 0)[which]
    tone = buffers.tone.reshape(-1)[band][at]
    albedo = colours.reshape(-1, 3)[which * COLOURS + np.where(solid, 0, part)]
    direct = np.where(solid, light.ravel()[which * COLOURS + part], 0.42 + 0.42 * tone)
    direct *= tables.sunlit[which]
    # less sky from below, and near the ground
    flat = np.float32(0.9) + np.float32(0.18) * (part == 4)
    open_sky = np.where(solid, flat, 0.95 + 0.12 * tone)
    open_sky *= np.clip(0.72 + 0.28 * z / 0.9, 0.72, 1)
    mine = tables.kind[which]
    for code in np.unique(mine):
        pick = np.flatnonzero(mine == code)
        own = which[pick]
        albedo[pick] = _PAINTERS[code](
            albedo[pick],
            _Tints(colours, own),
            params[:, own],
            part[pick],
            lx[pick],
            ly[pick],
            z[pick],
            t[pick],
            own.astype(np.float32),
            look,
        )
    light_rgb = look.ambient_rgb * open_sky[:, None]
    light_rgb += look.sun_rgb * direct[:, None]
    # a lamp that is on outshines the light that falls on it
    first = params[0][which]  # of the lamps among a flat shape's parts
    light_rgb[~solid & (first > 0) & (part >= first) & (part < DARK_LAMP)] += 0.6
    albedo *= light_rgb
    image[at] = albedo


class _Tints:
    """Colours of the instances behind a list of pixels: tints(mask or indices, part)."""

    def __init__(self, colours: np.ndarray, own: np.ndarray) -> None:
        self._colours, self._own = colours, own

    def __call__(self, pixels: np.ndarray, part: int) -> np.ndarray:
        return self._colours[:, part].take(self._own[pixels], axis=0)

    def flag(self, part: int) -> np.ndarray:
        """Whether the part's red is above one half: a switch that a builder left there."""
        return (self._colours[:, part, 0] > 0.5)[self._own]


def _plain(albedo, colours, params, part, lx, ly, z, t, own, look):
    grain = speckle(lx * 60 + own * 37, (z + ly) * 60) * 0.05
    return albedo * (1 + grain * look.texture)[:, None]


def _leaf(albedo, colours, params, part, lx, ly, z, t, own, look):
    clump = (
        speckle(lx * 16 + own * 37, (z + ly) * 16) * 0.2 + billow(lx * 22 + own * 13, z * 22) * 0.1
    )
    return albedo * np.clip(1 + clump * look.texture, 0.3, 1.8)[:, None]


def _masonry(albedo, colours, params, part, lx, ly, z, t, own, look):
    """Courses of stones (params 0, 1: length, height; 2: joint depth), piers, and a coping."""
    length, high, depth, top = params[:4]
    s = lx + ly
    row = np.floor(z / high)
    cell = s / length + 0.5 * (row % 2)
    joint = ((z / high) % 1 < 0.14) | (cell % 1 < 0.07)
    near = np.clip(1.3 - t / 18, 0, 1)
    stone = speckle(np.floor(cell) * 7 + own, row * 11) * 0.1 * near
    grain = speckle(s * 40, z * 40 + own * 37) * 0.07 + billow(s * 12 + own * 17, z * 12) * 0.06
    shade = 1 + (stone + grain - depth * near * joint) * look.texture
    shade += np.where((s / 3.2) % 1 < 0.13, np.float32(0.14), np.float32(0))
    shade += np.where(z > top - 0.2, np.float32(0.3), np.float32(0))
    return albedo * shade[:, None]


def _facade(albedo, colours, params, part, lx, ly, z, t, own, look):
    """Colours: 0 wall, 1 glass, 2 trim, 3 awning, 4 door, 5 roof, 6 ground floor."""
    pitch, floor, wide, tall, base, top, style, brick, hx, hy = params
    side = part < 4
    flank = part >= 2
    s = np.where(flank, lx, ly)
    half = np.where(flank, hx, hy)
    count = np.maximum(np.floor(2 * half / pitch), 1)
    cell = (s + half) / (2 * half) * count
    index = np.floor(cell)
    fu = np.abs(cell - index - 0.5)
    level = (z - base) / floor
    storey = np.floor(level)
    fv = np.abs(level - storey - 0.5)
    out = albedo
    near = np.clip(1.3 - t / 28, 0, 1)
    grain = (
        speckle(s * 35 + own * 37, z * 35) * 0.05
        + billow(s * 9 + own * 37, z * 5 + own * 11) * 0.06
    )
    row = np.floor(z / 0.14)
    bricks = ((z / 0.14) % 1 < 0.2) | ((s / 0.42 + 0.5 * (row % 2)) % 1 < 0.08)
    panel = ((level % 1) < 0.035) | (fu > 0.485)
    close = np.clip(1.2 - t / 14, 0, 1)
    lines = bricks * ((brick > 0.5) * np.float32(0.16)) * close
    lines = np.where(brick > 1.5, panel * np.float32(0.2), lines)
    out = (
        out
        * (1 + (grain - lines * np.maximum(near, (brick > 1.5) * np.float32(0.5))) * look.texture)[
            :, None
        ]
    )
    ground = (z < base) & side
    trading = colours.flag(7)
    out[ground] = colours(ground, 6) * (1 + grain[ground] * look.texture)[:, None]
    upper = (z > base) & (z < top - 0.45) & side
    ribbon = style == 1
    window = upper & (fv < tall / 2) & (ribbon | (fu < wide / 2))
    rim = upper & (fv < tall / 2 + 0.045) & (ribbon | (fu < wide / 2 + 0.05)) & ~window
    rim |= window & ((fu < 0.022) | (np.abs(fv - 0.12) < 0.018)) & (near > 0.35)
    sill = (
        upper & (np.abs((level - storey) - 0.5 + tall / 2 + 0.05) < 0.04) & (fu < wide / 2 + 0.09)
    )
    shop = ground & (style != 2) & (z > 0.5) & (z < base - 0.85) & (fu < 0.42) & trading
    door = ground & (z < 2.2) & (fu < 0.62 / pitch) & (index % 4 == (own % 3))
    rim |= sill & ~window
    out[rim] = colours(rim, 2)
    pane = np.flatnonzero(window | (shop & ~door))
    if pane.size:
        v = speckle(index[pane] * 17 + own[pane] * 5, storey[pane] * 29)
        glass = colours(pane, 1) * (1 + 0.22 * v)[:, None]
        mirror = np.clip(0.12 + 0.5 * (level[pane] - storey[pane] - 0.4) + 0.12 * v, 0, 0.6)
        glass += (look.sky_low * 0.9 - glass) * (mirror * 0.55)[:, None]
        curtain = (v > 0.9) & ((level[pane] - storey[pane]) > 0.45)
        glass[curtain] = glass[curtain] * 0.5 + 0.35 * colours(pane[curtain], 2)
        out[pane] = glass
    out[door] = colours(door, 4)
    sign = ground & (z > base - 0.8) & (z < base - 0.25) & trading
    lettering = speckle(s[sign] * 9 + own[sign] * 37, z[sign] * 5) > 0.9
    out[sign] = np.where(lettering[:, None], colours(sign, 2), colours(sign, 3))
    cornice = side & ((z > top - 0.35) | (np.abs(z - base) < 0.12))
    out[cornice] = colours(cornice, 2) * 0.92
    out[part == 4] = colours(part == 4, 5)
    plinth = ground & (z < 0.4)
    out[plinth] *= 0.75
    roof = style == 9  # a pitched roof: tiles everywhere but the gables
    tiles = 1 - 0.16 * ((z / 0.3) % 1 < 0.25) * near + grain * look.texture
    slopes = roof & (part >= 2)
    out[slopes] = colours(slopes, 5) * tiles[slopes][:, None]
    gable = roof & (part < 2)
    out[gable] = colours(gable, 0) * (1 + grain[gable] * look.texture)[:, None]
    return out


def _vehicle(albedo, colours, params, part, lx, ly, z, t, own, look):
    """Colours: 0 paint, 1 glass, 2 second paint, 3 dark trim, 4 head, 5 tail lamps, 6 plate."""
    hx, hy, low, high, win_low, win_high, pillar, arch, radius, style = params
    flank = (part == 2) | (part == 3)
    ends = part < 2
    front = part == 0
    rise = (z - low) / (high - low)
    s = np.where(flank, lx, ly)
    out = albedo * (1 + 0.04 * billow(s * 14 + own * 37, z * 14) * look.texture)[:, None]

    def put(mask, k, gain=1.0):
        out[mask] = colours(mask, k) * gain

    car, house = style == CAR, style == GREENHOUSE
    coach, cargo, cab = style == COACH, style == CARGO, style == CAB
    put(flank & coach & (rise > 0.08) & (rise < 0.3), 2)
    put(flank & car & (np.abs(lx - 0.1) < 0.018) | flank & car & (np.abs(lx + 0.95) < 0.018), 3)
    put(flank & car & (np.abs(z - high + 0.14) < 0.025) & (np.abs((lx % 1.05) - 0.25) < 0.1), 3)
    put((car & (z < low + 0.1)) | (coach & (z < low + 0.12)), 3)
    wheels = (np.abs(lx) - arch) ** 2 + (z - radius) ** 2 < (1.18 * radius) ** 2
    put(flank & wheels & (arch > 0), 3, 0.6)
    # glass
    edge = np.where(house, hy * (1 - 0.14 * rise), hy) - np.where(coach | cab, 0.1, 0.09)
    band = (z > win_low) & (z < win_high)
    post = ((lx / np.maximum(pillar, 0.1)) % 1) * pillar < np.where(coach, 0.12, 0.09)
    glass = band & ((flank & ~post & (np.abs(lx) < hx - 0.1)) | (ends & (np.abs(ly) < edge)))
    glass |= coach & front & (z > win_low - 0.35) & (z < win_high) & (np.abs(ly) < edge)
    doors = coach & (part == 3) & (z > low + 0.15) & (z < win_high) & ((lx + 0.8) % 3.9 < 1.1)
    glass |= doors & ((((lx + 0.8) % 3.9) % 0.55) > 0.06)
    put(doors, 3)
    pane = np.flatnonzero(glass)
    if pane.size:
        tint = (
            colours(pane, 1)
            * (1 + 0.2 * speckle(s[pane] * 5 + own[pane] * 31, z[pane] * 3))[:, None]
        )
        mirror = np.clip((z[pane] - win_low[pane]) / (win_high - win_low + 1e-3)[pane], 0, 1)
        sky = look.sky_low * 0.9
        out[pane] = tint + (sky - tint) * (np.where(house[pane], 0.34, 0.22) * mirror)[:, None]
    board = coach & front & (z > win_high + 0.08) & (z < high - 0.1) & (np.abs(ly) < hy * 0.6)
    put(board, 3)
    put(board & (speckle(ly * 14 + own * 3, z * 8) > 0.5), 4)
    # lamps, grille, plate
    lamp_z = np.where(car, low + 0.34, np.where(cargo, low + 0.18, low + 0.4))
    lamps = ends & (np.abs(np.abs(ly) - hy + 0.26) < 0.17) & (np.abs(z - lamp_z) < 0.09)
    body = car | coach | cab | cargo
    put(lamps & front & ~cargo & body, 4)
    put(lamps & ~front & ~cab & body, 5)
    put((car | cab) & front & (np.abs(ly) < hy - 0.48) & (np.abs(z - low - 0.32) < 0.1), 3)
    put((car | coach) & ends & (np.abs(ly) < 0.27) & (np.abs(z - low - 0.13) < 0.06), 6)
    # cargo: ribs, a patch of livery, doors behind
    ribs = cargo & flank & ((lx / 0.62) % 1 < 0.1)
    out[ribs] *= 0.86
    logo = cargo & flank & (np.abs(lx) < hx * 0.55) & (np.abs(rise - 0.55) < 0.2) & (pillar > 0.5)
    put(logo & (billow(lx * 14 + own * 3, z * 18) > -0.2), 2)
    put(cargo & (part == 1) & (np.abs(ly) < 0.025), 3)
    put(cargo & (rise < 0.035), 3)
    put(style == CHASSIS, 3, 0.7)
    return out


_PAINTERS = {PLAIN: _plain, LEAF: _leaf, MASONRY: _masonry, FACADE: _facade, VEHICLE: _vehicle}


def develop(image: np.ndarray, look: Look, rng: np.random.Generator, cyclic: bool) -> np.ndarray:
    """The sensor: blur, white balance, contrast, noise; uint8 sRGB (H, W, 3)."""
    sigma = look.blur * image.shape[0] / 200
    edge = ("nearest", "wrap" if cyclic else "nearest")
    for k in range(3):
        image[..., k] = gaussian_filter(image[..., k], sigma, mode=edge, truncate=2.5)
    image *= look.gain
    grey = image.mean(-1, keepdims=True)
    image -= grey
    image *= look.saturation
    image += 0.5 + (grey - 0.5) * look.contrast
    grain = rng.standard_normal(image.shape, np.float32)
    grain *= look.noise * 0.6
    grain += rng.standard_normal((*image.shape[:2], 1), np.float32) * (look.noise * 0.6)
    image += grain
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
