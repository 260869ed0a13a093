"""Ground and sky: their colours, and which region of the ground a point lies in.

N points each; x and y in metres in the plan's frame, colours RGB in 0..1, (N, 3) float32.
"""

from dataclasses import dataclass

import numpy as np

from goodsam.data.street.labels import (
    ROAD,
    ROAD_INSTANCE,
    SIDEWALK,
    SIDEWALK_INSTANCE,
    TERRAIN,
    TERRAIN_INSTANCE,
)
from goodsam.data.street.look import Look
from goodsam.data.street.plan import Plan
from goodsam.data.street.texture import billow, speckle


def paint_sky(rays: np.ndarray, look: Look, shift: float) -> np.ndarray:
    """Colours along the rays (3, N): a gradient, clouds moved by `shift` texels, a glow."""
    dx, dy, dz = rays
    up = np.clip(dz * 1.7, 0, 1)[:, None] ** 0.6
    colour = look.sky_low + (look.sky_top - look.sky_low) * up
    k = 90 / (dz + 0.18)
    cloud = billow(dx * k + shift, dy * k + shift) + 0.35 * speckle(
        dx * k * 1.5 + shift, dy * k * 1.5
    )
    cover = np.clip(cloud * 0.5 - 0.35 + look.clouds * 0.9, 0, 1) * (0.75 - 0.35 * look.clouds)
    white = look.sky_low * (1.02 + 0.05 * np.clip(cloud, -1, 1))[:, None]
    colour += (white - colour) * cover[:, None]
    glow = np.clip(dx * look.sun[0] + dy * look.sun[1] + dz * look.sun[2], 0, 1) ** 12
    return colour + (glow * 0.22 * (1 - 0.7 * look.clouds))[:, None] * look.sun_rgb


@dataclass(frozen=True)
class Ground:
    """N points of the ground, and all that their colours depend on; the arrays are (N,)."""

    x: np.ndarray
    y: np.ndarray
    kerb: np.ndarray  # metres from the kerb, negative on the road
    road: np.ndarray  # bool
    lawn: np.ndarray  # bool; what is neither is paved
    quadrant: np.ndarray  # 0 to 3, of the crossing
    fine: np.ndarray  # rough noise
    broad: np.ndarray  # smooth noise
    fade: np.ndarray  # strength of the textures, less in the distance

    def labels(self) -> tuple[np.ndarray, np.ndarray]:
        """Label uint8 and instance uint16, (N,) each."""
        label = np.where(self.road, ROAD, np.where(self.lawn, TERRAIN, SIDEWALK))
        region = np.where(self.lawn, TERRAIN_INSTANCE, SIDEWALK_INSTANCE) + self.quadrant
        instance = np.where(self.road, ROAD_INSTANCE, region)
        return label.astype(np.uint8), instance.astype(np.uint16)


def ground_at(
    x: np.ndarray, y: np.ndarray, depth: np.ndarray, *, plan: Plan, look: Look, focal: float
) -> Ground:
    """The ground at N points, `depth` metres from a camera whose focal length is `focal` px."""
    kerb = _kerb(x, y, plan)
    road = kerb < 0
    a, b = np.abs(y) - plan.half, np.abs(x - plan.cross_x) - plan.cross_half
    lawn = np.minimum(a - plan.walk, b - plan.cross_walk) > 0
    if plan.verge > 0:
        lawn |= (kerb > 0.25) & (a < plan.verge) & (b > 1.5)
    lawn &= ~road
    return Ground(
        x=x,
        y=y,
        kerb=kerb,
        road=road,
        lawn=lawn,
        quadrant=(y > 0) * 2 + (x > plan.cross_x),
        fine=speckle(x * 55, y * 55),
        broad=billow(x * 12 + plan.shift, y * 12),
        fade=np.clip(1.4 - depth * (40 / focal) * 0.12, 0.15, 1) * look.texture,
    )


def _kerb(x: np.ndarray, y: np.ndarray, plan: Plan) -> np.ndarray:
    """Metres from the kerb, which is rounded at the corners; negative on the road."""
    a, b = np.abs(y) - plan.half, np.abs(x - plan.cross_x) - plan.cross_half
    kerb = np.minimum(a, b)
    r = plan.corner
    inner = (a < r) & (b < r) & (kerb >= 0)
    kerb = np.where(inner, np.hypot(r - a, r - b) * -1 + r, kerb)
    return np.where(inner, np.where(kerb < 0, kerb, np.minimum(kerb, np.minimum(a, b) + r)), kerb)


def paint_ground(ground: Ground, plan: Plan, look: Look) -> np.ndarray:
    """Albedo: asphalt and its markings, rails, paving, kerb, gutter and lawn."""
    colour = _asphalt(ground, plan, look)
    _paving(colour, ground, plan, look)
    gutter = (ground.kerb < 0) & (ground.kerb > -0.16)
    colour[gutter] *= 0.72
    _lawn(colour, ground, plan)
    return colour


def _asphalt(ground: Ground, plan: Plan, look: Look) -> np.ndarray:
    """Asphalt with patches, cracks and worn paint, and rails; everywhere, as if all were road."""
    x, y, road = ground.x, ground.y, ground.road
    colour = np.empty((x.size, 3), np.float32)
    colour[:] = plan.colours.asphalt
    colour *= (1 + (0.07 * ground.fine + 0.05 * ground.broad) * ground.fade)[:, None]
    patch = billow(x * 4 + 90, y * 9 + plan.shift) > 1.3
    colour[patch & road] *= plan.patch
    crack = np.abs(billow(x * 7 + 30, y * 7 + plan.shift)) < 0.025
    colour[crack & road] *= 0.8
    worn = np.clip(0.92 - 0.16 * np.maximum(ground.fine, ground.broad) * look.texture, 0.2, 1)
    paint = _markings(ground, plan) * worn
    colour += (plan.colours.marking - colour) * paint[:, None]
    for rail in plan.rails:
        near = np.abs(np.abs(y) - rail)
        colour[(near < 0.62) & road] *= 0.93
        colour[(np.abs(near - 0.62) < 0.055) & road] = plan.colours.rail
    return colour


def _paving(colour: np.ndarray, ground: Ground, plan: Plan, look: Look) -> None:
    """Slabs with joints, in rows of half a slab's shift, and the kerb."""
    walk = np.flatnonzero(~ground.road & ~ground.lawn)
    if not walk.size:
        return
    x, y, fine = ground.x[walk], ground.y[walk], ground.fine[walk]
    length, width = plan.slab
    row = np.floor(y / width)
    column = x / length + 0.5 * (row % 2)
    tile = speckle(np.floor(column) * 7, row * 11) * 0.05
    joint = (np.minimum(column % 1, 1 - column % 1) * length < 0.02) | (
        (y / width) % 1 * width < 0.04
    )
    grain = tile + 0.05 * fine + 0.05 * ground.broad[walk] - 0.22 * joint
    shade = 1 + grain * ground.fade[walk]
    colour[walk] = plan.colours.paving[ground.quadrant[walk]] * shade[:, None]
    edge = ground.kerb[walk] < 0.22
    colour[walk[edge]] = plan.colours.kerb * (1 + 0.06 * fine[edge] * look.texture)[:, None]


def _lawn(colour: np.ndarray, ground: Ground, plan: Plan) -> None:
    """Grass with bare earth here and there."""
    green = np.flatnonzero(ground.lawn)
    if not green.size:
        return
    x, y = ground.x[green], ground.y[green]
    blades = speckle(x * 30, y * 30) * 0.13 + ground.broad[green] * 0.12
    grass = plan.colours.grass[ground.quadrant[green]]
    colour[green] = grass * (1 + blades * ground.fade[green])[:, None]
    bare = billow(x * 9 + 200, y * 9 + plan.shift) > 1.35
    colour[green[bare]] = plan.colours.earth * (1 + blades[bare] * 0.6)[:, None]


def _markings(ground: Ground, plan: Plan) -> np.ndarray:
    """Coverage of road paint, 0..1, (N,) float32."""
    x, y, kerb, marks = ground.x, ground.y, ground.kerb, plan.markings
    side = np.abs(y)
    beyond = np.abs(x - plan.cross_x) - plan.cross_half  # from the mouth of the crossing
    main = (side < plan.half) & (beyond > marks.stop)
    paint = np.zeros(x.shape, bool)
    dash = (x / marks.dash) % 1 < 0.5
    if marks.centre == 1:
        paint |= main & (side < 0.09) & dash
    elif marks.centre == 2:
        paint |= main & (np.abs(side - 0.16) < 0.06)
    elif marks.centre == 3:
        paint |= main & (side < 0.09)
    if marks.lane > 0:
        paint |= main & (np.abs(side - marks.lane) < 0.07) & dash
    if marks.edge:
        paint |= main & (np.abs(kerb + 0.5) < 0.07)
    if marks.bays:
        bay = (side > plan.half - 2.1) & ((x / 5.6) % 1 < 0.02)
        paint |= main & (bay | (np.abs(side - plan.half + 2.1) < 0.05))
    for at in marks.zebras:
        stripe = (np.abs(x - at) < marks.zebra_half) & ((y / marks.zebra_pitch) % 1 < 0.52)
        paint = np.where(np.abs(x - at) < marks.zebra_half + 0.9, stripe & (kerb < -0.3), paint)
        stop = (np.abs(np.abs(x - at) - marks.zebra_half - 1.1) < 0.18) & (kerb < -0.2)
        paint |= stop & (y * np.sign(at - x) > 0) & marks.stop_lines
    across = (np.abs(x - plan.cross_x) < plan.cross_half) & (side > plan.half + 2)
    paint |= across & (np.abs(x - plan.cross_x) < 0.09) & ((y / marks.dash) % 1 < 0.5)
    if marks.zebra_cross:
        far = np.abs(side - plan.half - 2.2)
        paint |= across & (far < 1.5) & (((x - plan.cross_x) / marks.zebra_pitch) % 1 < 0.52)
    return paint.astype(np.float32)
