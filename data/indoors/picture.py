"""Pictures of rooms: one seed, one room, seen as a whole sphere or by a pinhole camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from goodsam.data.classes import IGNORE
from goodsam.data.errors import InputError
from goodsam.data.indoors.furnish import draw_room, palette
from goodsam.data.indoors.paint import light, texture
from goodsam.data.indoors.room import SHELL, Box, Finish, Room
from goodsam.data.rooms import STANFORD
from goodsam.data.street.cast import pinhole_camera
from goodsam.data.street.look import draw_look
from goodsam.data.street.picture import DEFAULT_GAP, Picture
from goodsam.data.street.sensor import develop

TRIPOD = 15.0  # degrees around the lowest point of a sphere that are black: the camera's own foot
Seed = Sequence[int]


@dataclass
class _Seen:
    """What pixels see, N of them. Filled from thing to thing, the nearest stays."""

    depth: np.ndarray  # (N,) float32, metres
    instance: np.ndarray  # (N,) uint16
    box: np.ndarray  # (N,) int32, index of the room's boxes; -1 for its own sides
    normal: np.ndarray  # (3, N) float32, of the surface
    place: np.ndarray  # (2, N) float32, metres on the surface


def sphere(seed: Seed, height: int, gap: float = DEFAULT_GAP) -> Picture:
    """A room as a whole sphere: `height` x 2 `height`, its tripod black and without a label.

    seed: numbers of 0 or more. gap: how far its look is from that of the pinhole images, 0 to 1.
    Labels are indices of `STANFORD`. InputError for a gap outside 0 to 1 or less than 16 pixels.
    """
    _check(height, gap)
    elevation = np.pi * (0.5 - (np.arange(height) + 0.5) / height)
    azimuth = -2 * np.pi * ((np.arange(2 * height) + 0.5) / (2 * height) - 0.5)
    flat = np.cos(elevation)[:, None]
    up = np.broadcast_to(np.sin(elevation)[:, None], (height, 2 * height))
    rays = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), up]).astype(np.float32)
    picture = _render(seed, 0, rays, gap, cyclic=True)
    foot = elevation < np.radians(TRIPOD - 90)
    picture.image[foot], picture.labels[foot], picture.instances[foot] = 0, IGNORE, 0
    return picture


def pinhole(seed: Seed, view: int, height: int) -> Picture:
    """A square pinhole image in the room of a sphere, in the source's look; `view`: which of many.

    Its field of view is 60 to 90 degrees. InputError for less than 16 pixels.
    """
    _check(height, 0.0)
    lens = np.random.Generator(np.random.PCG64([*seed, 9, view]))
    camera = pinhole_camera(
        height,
        height,
        metres=0.0,
        yaw=float(lens.uniform(0, 2 * np.pi)),
        pitch=float(lens.uniform(-0.35, 0.2)),
        fov=float(np.radians(lens.uniform(60, 90))),
    )
    return _render(seed, 1 + view, camera.rays, 0.0, cyclic=False)


def room_of(seed: Seed, gap: float = 0.0) -> Room:
    """The room that pictures of a seed show; what is in it does not depend on the gap."""
    return draw_room(_stream(seed, 0), palette(_stream(seed, 1), gap))


def _check(height: int, gap: float) -> None:
    if not 0 <= gap <= 1:
        raise InputError(f"gap {gap}: outside 0 to 1")
    if height < 16:
        raise InputError(f"picture of {height} rows: take at least 16")


def _stream(seed: Seed, *of: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([*seed, *of]))


def _render(seed: Seed, view: int, rays: np.ndarray, gap: float, *, cyclic: bool) -> Picture:
    room = room_of(seed, gap)
    look = draw_look(_stream(seed, 2), "target" if cyclic else "source", gap)
    _, rows, columns = rays.shape
    seen = _look_around(room, rays.reshape(3, -1))
    image = _colours(room, seen, rays.reshape(3, -1)).reshape(rows, columns, 3)
    classes = np.array([IGNORE, *(STANFORD.index(name) for name in room.names)], np.uint8)
    return Picture(
        develop(image, look, _stream(seed, 3, view), cyclic),
        classes[seen.instance].reshape(rows, columns),
        seen.instance.reshape(rows, columns),
    )


def _look_around(room: Room, rays: np.ndarray) -> _Seen:
    """What each of the unit rays (3, N) from the camera hits first."""
    seen = _sides(room, rays)
    for number, box in enumerate(room.boxes):
        _hit(seen, room, rays, number, box)
    return seen


def _sides(room: Room, rays: np.ndarray) -> _Seen:
    """The room without anything in it: its six sides, from within."""
    outward = np.where(rays < 0, np.float32(-1), np.float32(1))
    half = np.array([*room.half, 0])[:, None] * outward
    half[2] = np.where(rays[2] < 0, 0, room.height)
    origin = np.array(room.camera)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(rays == 0, np.inf, (half - origin) / rays)
    axis = distance.argmin(0)
    depth = distance.min(0).astype(np.float32)
    points = origin + depth * rays
    index = np.arange(rays.shape[1])
    lower = outward[axis, index] < 0
    normal = np.zeros_like(rays)
    normal[axis, index] = -outward[axis, index]
    return _Seen(
        depth=depth,
        instance=np.choose(axis, [3 + lower, 5 + lower, 2 - lower]).astype(np.uint16),
        box=np.full(rays.shape[1], -1, np.int32),
        normal=normal,
        place=_on_surface(points, axis),
    )


def _hit(seen: _Seen, room: Room, rays: np.ndarray, number: int, box: Box) -> None:
    """Let a box be seen where it is nearer than what was."""
    cos, sin = np.float32(np.cos(box.yaw)), np.float32(np.sin(box.yaw))
    ox, oy = room.camera[0] - box.x, room.camera[1] - box.y
    middle, tall = (box.low + box.high) / 2, (box.high - box.low) / 2
    origin = np.array([ox * cos + oy * sin, oy * cos - ox * sin, room.camera[2] - middle])[:, None]
    turned = np.stack([rays[0] * cos + rays[1] * sin, rays[1] * cos - rays[0] * sin, rays[2]])
    turned[turned == 0] = 1e-9  # never parallel to a side
    half = np.array([*box.half, tall])[:, None]
    one, other = (-half - origin) / turned, (half - origin) / turned
    enters = np.minimum(one, other)
    near, far = enters.max(0), np.maximum(one, other).min(0)
    at = np.flatnonzero((near < far) & (near > 0) & (near < seen.depth))
    if not at.size:
        return
    axis = enters[:, at].argmax(0)
    index = np.arange(at.size)
    local = np.zeros((3, at.size), np.float32)
    local[axis, index] = -np.sign(turned[axis, at])
    seen.depth[at] = near[at]
    seen.instance[at], seen.box[at] = box.instance, number
    seen.normal[:, at] = np.stack(
        [local[0] * cos - local[1] * sin, local[0] * sin + local[1] * cos, local[2]]
    )
    seen.place[:, at] = _on_surface(origin + near[at] * turned[:, at], axis)


def _on_surface(points: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """(2, N): where points (3, N) lie on the sides that stand across `axis`, (N,)."""
    x, y, z = points
    return np.stack([np.where(axis == 0, y, x), np.where(axis == 2, y, z)]).astype(np.float32)


def _colours(room: Room, seen: _Seen, rays: np.ndarray) -> np.ndarray:
    """float32 (N, 3), RGB in 0..1."""
    image = np.empty((rays.shape[1], 3), np.float32)
    own = seen.box.astype(np.int64)
    own[own < 0] = -seen.instance[own < 0].astype(np.int64)
    for number in np.unique(own):
        at = np.flatnonzero(own == number)
        if number < 0:
            side = SHELL[-number - 1]
            colour, finish = room.colours[side], room.finishes[side]
        else:
            box = room.boxes[number]
            colour, finish = box.colour, box.finish
        image[at] = _painted(colour, finish, seen.place[:, at], int(number))
    points = np.array(room.camera)[:, None] + seen.depth * rays
    image *= light(points, seen.normal, room.height)[:, None]
    return image


def _painted(colour: np.ndarray, finish: Finish, place: np.ndarray, own: int) -> np.ndarray:
    factor = texture(finish, place[0], place[1], abs(own))
    return colour * (factor if factor.ndim == 2 else factor[:, None])
