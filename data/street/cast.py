"""Cameras, solids and the geometry pass: what every pixel sees, and how far away.

The street frame is in metres: x along the main street, y to its left, z up, the ground at z = 0.
The camera stands over the origin. Each thing is traced only inside its bounds on the screen, from
far to near, against a depth buffer; colours come later, once per pixel (`shade`).
"""

import math
from dataclasses import dataclass

import numpy as np

from goodsam.data.street.finish import Finish
from goodsam.data.street.labels import NO_LABEL
from goodsam.data.street.shapes import GAP, NONE, Shape

NEAR = 0.2
VERTICAL_FOV = 70.3  # degrees, of a panorama


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Unit rays of every pixel, and where a point of the street falls on the screen."""

    height: float  # metres above the ground
    yaw: float  # heading, radians from x to y
    pitch: float  # radians, up positive; 0 for a panorama
    focal: float  # pixels; 0 for a panorama
    rays: np.ndarray  # (3, H, W) float32
    vertical: float = VERTICAL_FOV  # degrees, of a panorama

    @property
    def panoramic(self) -> bool:
        return self.focal == 0


def panoramic_camera(
    height: int, width: int, *, metres: float, yaw: float, vertical: float = VERTICAL_FOV
) -> Camera:
    """Equirectangular: rows from +35.15 to -35.15 degrees, columns clockwise all around.

    `metres` above the ground; `yaw`, radians, is the heading of the middle column. `vertical`, the
    field of view, degrees, is 180 for a whole sphere.
    """
    elevation = np.radians(vertical) * (0.5 - (np.arange(height) + 0.5) / height)
    azimuth = yaw - 2 * np.pi * ((np.arange(width) + 0.5) / width - 0.5)
    up = np.broadcast_to(np.sin(elevation)[:, None], (height, width))
    flat = np.cos(elevation)[:, None]
    rays = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), up]).astype(np.float32)
    return Camera(height=metres, yaw=yaw, pitch=0.0, focal=0.0, rays=rays, vertical=vertical)


def pinhole_camera(
    height: int, width: int, *, metres: float, yaw: float, pitch: float, fov: float
) -> Camera:
    """Perspective with a horizontal field of view of `fov` radians.

    `metres` above the ground; heading `yaw` and `pitch` (up positive) in radians.
    """
    focal = width / 2 / np.tan(fov / 2)
    right = (np.arange(width) + 0.5 - width / 2) / focal
    down = (np.arange(height) + 0.5 - height / 2)[:, None] / focal
    forward = np.cos(pitch) + down * np.sin(pitch)
    up = np.sin(pitch) - down * np.cos(pitch)
    rays = np.stack(
        [
            forward * np.cos(yaw) + right * np.sin(yaw),
            forward * np.sin(yaw) - right * np.cos(yaw),
            np.broadcast_to(up, (height, width)),
        ]
    )
    rays /= np.sqrt((rays**2).sum(0))
    rays = rays.astype(np.float32)
    return Camera(height=metres, yaw=yaw, pitch=pitch, focal=float(focal), rays=rays)


@dataclass(frozen=True, kw_only=True)
class Thing:
    """A solid (a frustum: `planes`) or a flat upright shape (`shape`), placed and coloured.

    Metres, in the street frame. `labels` and `instances` are per part of a flat shape, or one for
    all parts; a solid has one of each. The parts of a solid are its planes.
    """

    x: float
    y: float
    yaw: float  # radians, of the local x axis; a flat shape spans it
    half: tuple[float, float]  # half extents along local x and y
    low: float
    high: float
    labels: tuple[int, ...]
    instances: tuple[int, ...]
    finish: Finish
    colours: np.ndarray  # (<= 10, 3), by part or as the finish says
    lamps: int = 0  # the first part of a flat shape that shines; 0 for none
    planes: np.ndarray | None = None  # (6, 4): n . p <= d, outward; +x -x +y -y top bottom
    shape: Shape | None = None


def frustum(
    low: float,
    high: float,
    back: tuple[float, float],
    front: tuple[float, float],
    side: tuple[float, float],
) -> np.ndarray:
    """Planes (6, 4) of a box that leans, as in `Thing`, from z = `low` to `high`, metres.

    `back`, `front` and `side` are its extents (low, high): x of the back, x of the front, and half
    its width.
    """
    rise = high - low
    planes = []
    for normal, (a, b) in (
        ((1, 0), front),
        ((-1, 0), (-back[0], -back[1])),
        ((0, 1), side),
        ((0, -1), side),
    ):
        length = math.hypot(rise, a - b)
        out, up = rise / length, (a - b) / length
        # (a, low) lies on the plane
        planes.append([normal[0] * out, normal[1] * out, up, out * a + up * low])
    planes += [[0, 0, 1, high], [0, 0, -1, -low]]
    return np.array(planes)


@dataclass
class Buffers:
    """What every pixel sees: arrays of (H, W), filled by `cast`; `things` from far to near."""

    depth: np.ndarray  # float32, metres; infinite in the sky
    thing: np.ndarray  # int32, number in `things` from 1 on; 0 for ground and sky
    part: np.ndarray  # uint8, of the thing
    tone: np.ndarray  # float32, -1 turned from the sun .. 1 to it; flat shapes alone
    label: np.ndarray  # uint8, NO_LABEL where ground and sky are still to be told apart
    instance: np.ndarray  # uint16, 0 there
    things: list[Thing]


Rectangle = tuple[int, int, int, int]  # row0, row1, col0, col1
Ahead = list[tuple[float, float]]  # corners of a footprint, metres forward and to the right


def bounds(camera: Camera, thing: Thing) -> list[Rectangle]:
    """Screen rectangles (row0, row1, col0, col1) that hold the thing; two at the seam."""
    ca, sa = math.cos(thing.yaw), math.sin(thing.yaw)
    hx, hy = thing.half
    corners = [
        (thing.x + i * hx * ca - j * hy * sa, thing.y + i * hx * sa + j * hy * ca)
        for i in (-1, 1)
        for j in (-1, 1)
    ]
    cy, sy = math.cos(camera.yaw), math.sin(camera.yaw)
    ahead = [(x * cy + y * sy, x * sy - y * cy) for x, y in corners]
    low, high = thing.low - camera.height, thing.high - camera.height
    if not camera.panoramic:
        return _pinhole_bounds(camera, ahead, low, high)
    # nearest point of the footprint, in its own frame
    ox, oy = -thing.x * ca - thing.y * sa, thing.x * sa - thing.y * ca
    near = max(math.hypot(max(abs(ox) - hx, 0), max(abs(oy) - hy, 0)), NEAR)
    return _panoramic_bounds(camera, ahead, near, low, high)


def _panoramic_bounds(
    camera: Camera, ahead: Ahead, near: float, low: float, high: float
) -> list[Rectangle]:
    """`near` is the distance to the footprint; `low` and `high` count from the camera."""
    _, rows, cols = camera.rays.shape
    far = max(math.hypot(f, r) for f, r in ahead)
    scale = rows / math.radians(camera.vertical)
    top = math.atan2(high, near if high > 0 else far)
    bottom = math.atan2(low, near if low < 0 else far)
    row0 = max(int(rows / 2 - top * scale) - 1, 0)
    row1 = min(int(rows / 2 - bottom * scale) + 2, rows)
    middle = math.atan2(sum(r for _, r in ahead) / 4, sum(f for f, _ in ahead) / 4)
    turn = [(math.atan2(r, f) - middle + math.pi) % (2 * math.pi) - math.pi for f, r in ahead]
    if near <= NEAR or max(turn) - min(turn) > 3.2:
        return [(row0, row1, 0, cols)]
    col0 = math.floor((middle + min(turn) + math.pi) / (2 * math.pi) * cols) - 1
    col1 = math.floor((middle + max(turn) + math.pi) / (2 * math.pi) * cols) + 2
    if row1 <= row0:
        return []
    if col1 - col0 >= cols:
        return [(row0, row1, 0, cols)]
    col0, col1 = col0 % cols, (col1 - 1) % cols + 1
    if col0 < col1:
        return [(row0, row1, col0, col1)]
    return [(row0, row1, col0, cols), (row0, row1, 0, col1)]


def _pinhole_bounds(camera: Camera, ahead: Ahead, low: float, high: float) -> list[Rectangle]:
    _, rows, cols = camera.rays.shape
    cp, sp = math.cos(camera.pitch), math.sin(camera.pitch)
    us, vs = [], []
    for f, r in ahead:
        for z in (low, high):
            depth = f * cp + z * sp
            if depth < NEAR:
                # behind the lens: the whole side of the screen it leans to is possible
                us.append(math.copysign(1e4, r))
                vs += [-1e4, 1e4]
                continue
            us.append(camera.focal * r / depth)
            vs.append(camera.focal * (f * sp - z * cp) / depth)
    if all(f * cp + max(high * sp, low * sp) < NEAR for f, _ in ahead):
        return []
    row0 = max(math.floor(min(vs) + rows / 2) - 1, 0)
    row1 = min(math.ceil(max(vs) + rows / 2) + 1, rows)
    col0 = max(math.floor(min(us) + cols / 2) - 1, 0)
    col1 = min(math.ceil(max(us) + cols / 2) + 1, cols)
    return [(row0, row1, col0, col1)] if row1 > row0 and col1 > col0 else []


def cast(camera: Camera, things: list[Thing], sun: tuple[float, float, float]) -> Buffers:
    """The geometry pass; `sun` is the unit direction to the sun.

    Ground and sky are left to the colour pass: thing 0, depth to the ground.
    """
    _, rows, cols = camera.rays.shape
    up = camera.rays[2]
    with np.errstate(divide="ignore"):
        ground = np.where(up < 0, -camera.height / np.minimum(up, -1e-6), np.inf)
    out = Buffers(
        depth=ground.astype(np.float32),
        thing=np.zeros((rows, cols), np.int32),
        part=np.zeros((rows, cols), np.uint8),
        tone=np.zeros((rows, cols), np.float32),
        label=np.full((rows, cols), NO_LABEL, np.uint8),
        instance=np.zeros((rows, cols), np.uint16),
        things=sorted(things, key=lambda t: -math.hypot(t.x, t.y)),
    )
    for number, thing in enumerate(out.things, 1):
        for row0, row1, col0, col1 in bounds(camera, thing):
            window = (slice(row0, row1), slice(col0, col1))
            trace = _trace_solid if thing.planes is not None else _trace_flat
            trace(camera, thing, number, sun, window, out)
    return out


def _trace_solid(
    camera: Camera,
    thing: Thing,
    number: int,
    sun: tuple[float, float, float],
    window: tuple[slice, slice],
    out: Buffers,
) -> None:
    """The ray is inside the convex solid between the last plane entered and the first one left."""
    dx, dy, dz = camera.rays[(slice(None), *window)]
    assert thing.planes is not None
    ca, sa = float(np.cos(thing.yaw)), float(np.sin(thing.yaw))
    enter = np.full(dx.shape, NEAR, np.float32)
    leave = out.depth[window].copy()
    face = np.full(dx.shape, NONE, np.uint8)
    for k, (nx, ny, nz, d) in enumerate(thing.planes.tolist()):
        wx, wy = nx * ca - ny * sa, nx * sa + ny * ca
        space = d + wx * thing.x + wy * thing.y - nz * camera.height
        if abs(wx) + abs(wy) < 1e-9:
            slope = dz * nz
        else:
            slope = dx * wx
            slope += dy * wy
            if nz:
                slope += dz * nz
        if space < 0:  # the camera is outside of this plane: the ray must enter through it
            slope[slope > -1e-9] = -1e-9
            t = space / slope
            later = t > enter
            np.copyto(enter, t, where=later)
            face[later] = k
        else:
            slope[slope < 1e-9] = 1e-9
            np.minimum(leave, space / slope, out=leave)
    hit = (enter < leave) & (face != NONE)
    if not hit.any():
        return
    out.depth[window][hit] = enter[hit]
    out.thing[window][hit] = number
    out.part[window][hit] = face[hit]
    out.label[window][hit] = thing.labels[0]
    out.instance[window][hit] = thing.instances[0]


def _trace_flat(
    camera: Camera,
    thing: Thing,
    number: int,
    sun: tuple[float, float, float],
    window: tuple[slice, slice],
    out: Buffers,
) -> None:
    dx, dy, dz = camera.rays[(slice(None), *window)]
    assert thing.shape is not None
    ax, ay = float(np.cos(thing.yaw)), float(np.sin(thing.yaw))
    nx, ny = -ay, ax
    away = nx * thing.x + ny * thing.y
    if away < 0:
        nx, ny, away = -nx, -ny, -away
    slope = dx * nx
    slope += dy * ny
    t = away / np.maximum(slope, 1e-6)
    u = t * (dx * ax + dy * ay)
    u -= thing.x * ax + thing.y * ay
    v = t * dz
    v += camera.height
    part, tone = thing.shape(u, v, sun[0] * ax + sun[1] * ay)
    hit = (part != NONE) & (t < out.depth[window])
    if not hit.any():
        return
    local = part & (GAP - 1)
    if len(thing.labels) == 1:
        out.label[window][hit] = thing.labels[0]
        out.instance[window][hit] = thing.instances[0]
    else:
        out.label[window][hit] = np.array(thing.labels, np.uint8)[local[hit]]
        out.instance[window][hit] = np.array(thing.instances, np.uint16)[local[hit]]
    hit &= part < GAP
    out.depth[window][hit] = t[hit]
    out.thing[window][hit] = number
    out.part[window][hit] = local[hit]
    out.tone[window][hit] = tone[hit]
