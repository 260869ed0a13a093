"""The colour pass: ground, sky and surfaces with their light, shadows and haze, once per pixel."""

from dataclasses import astuple, dataclass, fields

import numpy as np

from goodsam.data.street.cast import VERTICAL_FOV, Buffers, Camera, Thing
from goodsam.data.street.finish import FINISHES
from goodsam.data.street.ground import ground_at, paint_ground, paint_sky
from goodsam.data.street.labels import NO_LABEL, SKY, SKY_INSTANCE
from goodsam.data.street.look import Look
from goodsam.data.street.painters import PAINTERS, TOP, Fragment
from goodsam.data.street.posts import DARK_LAMP
from goodsam.data.street.scene import Scene
from goodsam.data.street.shadows import sample, shadow_map

BAND = 16_384  # pixels shaded at a time: what a core's cache holds of their arrays
COLOURS = 10  # of a thing, at most
PARAMS = max(len(fields(finish)) for finish in FINISHES)


@dataclass(frozen=True)
class _Tables:
    """What the shading looks up per thing, (N,) of them; row 0 stands for ground and sky."""

    finish: np.ndarray  # (N,) int8, index into FINISHES
    colours: np.ndarray  # (N, COLOURS, 3)
    params: np.ndarray  # (PARAMS, N): the fields of the finish
    place: np.ndarray  # (5, N): x, y, cos, sin of the yaw, whether it is solid
    light: np.ndarray  # (N, COLOURS): sunlight on a solid's faces
    lamps: np.ndarray  # (N,): the first part that shines, 0 for none
    sunlit: np.ndarray  # (N,): share of the sunlight that buildings leave


@dataclass(frozen=True)
class _Pass:
    """All that a band of pixels is coloured from."""

    camera: Camera
    scene: Scene
    look: Look
    buffers: Buffers
    tables: _Tables
    shadows: np.ndarray  # as of `shadow_map`


def shade(camera: Camera, scene: Scene, look: Look, buffers: Buffers) -> np.ndarray:
    """RGB in 0..1, (H, W, 3) float32; fills labels and instances of ground and sky."""
    _, rows, cols = camera.rays.shape
    image = np.empty((rows * cols, 3), np.float32)
    shadows, sunlit = shadow_map(buffers.things, look)
    tables = _tables(buffers.things, sunlit, look)
    drawn = _Pass(camera, scene, look, buffers, tables, shadows)
    for start in range(0, rows * cols, BAND):
        band = slice(start, min(start + BAND, rows * cols))
        _shade_band(image[band], band, drawn)
    return image.reshape(rows, cols, 3)


def _tables(things: list[Thing], sunlit: np.ndarray, look: Look) -> _Tables:
    count = len(things) + 1
    finish = np.array([-1] + [FINISHES.index(type(t.finish)) for t in things], np.int8)
    colours = np.zeros((count, COLOURS, 3), np.float32)
    params = np.zeros((PARAMS, count), np.float32)
    place = np.zeros((5, count), np.float32)
    light = np.zeros((count, COLOURS), np.float32)
    sun = np.array(look.sun)
    for k, thing in enumerate(things, 1):
        colours[k, : len(thing.colours)] = thing.colours
        numbers = astuple(thing.finish)
        params[: len(numbers), k] = numbers
        ca, sa = np.cos(thing.yaw), np.sin(thing.yaw)
        place[:, k] = thing.x, thing.y, ca, sa, thing.planes is not None
        if thing.planes is not None:
            n = thing.planes[:, :3]
            across = (n[:, 0] * ca - n[:, 1] * sa) * sun[0] + (n[:, 0] * sa + n[:, 1] * ca) * sun[1]
            light[k, :6] = np.clip(across + n[:, 2] * sun[2], 0, 1)
    return _Tables(
        finish=finish,
        colours=colours,
        params=params,
        place=place,
        light=light,
        lamps=np.array([0] + [t.lamps for t in things], np.float32),
        sunlit=np.append(np.float32(1), sunlit),
    )


def _shade_band(image: np.ndarray, band: slice, drawn: _Pass) -> None:
    """Colour the pixels `band`, counted row by row, into `image`."""
    camera, scene, look, buffers = drawn.camera, drawn.scene, drawn.look, drawn.buffers
    depth = buffers.depth.reshape(-1)[band]
    label, instance = buffers.label.reshape(-1)[band], buffers.instance.reshape(-1)[band]
    rays = camera.rays.reshape(3, -1)[:, band]
    empty = buffers.thing.reshape(-1)[band] == 0
    open_air = np.isinf(depth)
    sky, bare = np.flatnonzero(empty & open_air), np.flatnonzero(empty & ~open_air)
    if sky.size:
        image[sky] = paint_sky(rays[:, sky], look, scene.cloud_shift)
        free = sky[label[sky] == NO_LABEL]
        label[free], instance[free] = SKY, SKY_INSTANCE
    if bare.size:
        t = depth[bare]
        x, y = t * rays[0, bare], t * rays[1, bare]
        # of a panorama the rows of the paper's band, whatever else of the sphere it shows
        focal = camera.focal or camera.rays.shape[1] * (VERTICAL_FOV / camera.vertical)
        street_y = y + np.float32(scene.camera_y)
        ground = ground_at(x, street_y, t, plan=scene.plan, look=look, focal=focal)
        direct, touch = sample(drawn.shadows, x, y)
        light = (look.ambient_rgb * 1.05)[:, None] * touch
        light += (look.sun_rgb * look.sun[2])[:, None] * direct
        image[bare] = paint_ground(ground, scene.plan, look) * light.T
        names, numbers = ground.labels()
        free = np.flatnonzero(label[bare] == NO_LABEL)
        label[bare[free]], instance[bare[free]] = names[free], numbers[free]
    _surfaces(image, band, np.flatnonzero(~empty), drawn)
    veil = np.exp(-look.haze * np.minimum(depth, 400))
    veil[sky] = 1
    image *= veil[:, None]
    image += (1 - veil)[:, None] * (look.sky_low * 0.95)


def _surfaces(image: np.ndarray, band: slice, at: np.ndarray, drawn: _Pass) -> None:
    """Colour the pixels `at` of a band, those that see a thing, in place."""
    if not at.size:
        return
    camera, look, buffers, tables = drawn.camera, drawn.look, drawn.buffers, drawn.tables
    rays = camera.rays.reshape(3, -1)[:, band]
    which = buffers.thing.reshape(-1)[band][at]
    part = buffers.part.reshape(-1)[band][at]
    t = buffers.depth.reshape(-1)[band][at]
    tone = buffers.tone.reshape(-1)[band][at]
    px, py = t * rays[0, at], t * rays[1, at]
    z = t * rays[2, at] + np.float32(camera.height)
    place = tables.place
    ox, oy = px - place[0][which], py - place[1][which]
    ca, sa = place[2][which], place[3][which]
    lx = ox * ca + oy * sa
    ly = oy * ca - ox * sa
    solid = (place[4] > 0)[which]
    albedo = tables.colours.reshape(-1, 3)[which * COLOURS + np.where(solid, 0, part)]
    direct = np.where(solid, tables.light.ravel()[which * COLOURS + part], 0.42 + 0.42 * tone)
    direct *= tables.sunlit[which]
    # less sky from below, and near the ground
    flat = np.float32(0.9) + np.float32(0.18) * (part == TOP)
    open_sky = np.where(solid, flat, 0.95 + 0.12 * tone)
    open_sky *= np.clip(0.72 + 0.28 * z / 0.9, 0.72, 1)
    mine = tables.finish[which]
    for code in np.unique(mine):
        finish = FINISHES[code]
        pick = np.flatnonzero(mine == code)
        thing = which[pick]
        fragment = Fragment(
            albedo=albedo[pick],
            part=part[pick],
            x=lx[pick],
            y=ly[pick],
            z=z[pick],
            depth=t[pick],
            own=thing.astype(np.float32),
            params=tables.params[: len(fields(finish)), thing],
            colours=tables.colours,
            thing=thing,
        )
        albedo[pick] = PAINTERS[finish](fragment, look)
    light_rgb = look.ambient_rgb * open_sky[:, None]
    light_rgb += look.sun_rgb * direct[:, None]
    # a lamp that is on outshines the light that falls on it
    first = tables.lamps[which]
    light_rgb[~solid & (first > 0) & (part >= first) & (part < DARK_LAMP)] += 0.6
    albedo *= light_rgb
    image[at] = albedo
