"""Street furniture and plants, put in place: posts, lamps, lights, signs, fences, trees. Metres."""

import numpy as np

from goodsam.data.street import labels, plants, posts
from goodsam.data.street.finish import LEAF, Masonry
from goodsam.data.street.primitives import Pose, Stage


def pole_half(stage: Stage, x: float, y: float) -> float:
    """Half a pole's thickness: more than life, and nearly four pixels across at the least."""
    return max(stage.between(0.065, 0.11), 0.0115 * stage.distance(x, y))


def post(stage: Stage, x: float, y: float, height: float, half: float) -> None:
    """A bare pole."""
    stage.flat(
        x,
        y,
        posts.pole(height, half),
        half=half,
        high=height,
        label=labels.POLE,
        colours=stage.palette("pole"),
    )


def _before(stage: Stage, x: float, y: float, metres: float) -> tuple[float, float]:
    """The place `metres` before (x, y), as the camera sees it."""
    near = 1 - metres / stage.distance(x, y)
    return x * near, stage.eye_y + (y - stage.eye_y) * near


def light(stage: Stage, x: float, y: float) -> None:
    """A traffic light on its pole."""
    half = pole_half(stage, x, y)
    bottom = stage.between(2.1, 3.0)
    wide, tall = stage.between(0.3, 0.38), stage.between(1.2, 1.55)
    post(stage, x, y, bottom + 0.1, half)
    colours = stage.palette("lightbox", "lightrim", "red", "yellow", "green", "black")
    bright = 1.0 / max(float(colours[2:5].max()), 0.3)
    if stage.palette.natural:
        colours[2:5] = np.clip(colours[2:5] * bright * 1.15, 0, 1)
    stage.flat(
        *_before(stage, x, y, 0.12),
        posts.traffic_light(stage.rng, bottom, wide, tall),
        half=wide,
        low=bottom,
        high=bottom + tall,
        label=labels.LIGHT,
        colours=colours,
        turn=stage.between(-0.25, 0.25),
        lamps=2,
    )


def sign(stage: Stage, x: float, y: float) -> None:
    """A traffic sign on its pole."""
    half = pole_half(stage, x, y)
    size = stage.between(0.42, 0.6)
    centre = stage.between(2.0, 2.7)
    post(stage, x, y, centre + size * 0.6, half * 0.85)
    fields = ("white", "blue", "yellow", "green", "red", "white", "steel")
    field = fields[int(stage.rng.integers(7))]
    rim = "red" if field in ("white", "yellow") and stage.chance(0.7) else "white"
    mark = "white"
    if field not in ("blue", "green", "red"):
        mark = ("black", "red", "blue")[int(stage.rng.integers(3))]
    stage.flat(
        *_before(stage, x, y, 0.1),
        posts.sign(stage.rng, centre, size),
        half=size * 2.4,
        low=centre - size,
        high=centre + size,
        label=labels.SIGN,
        colours=stage.palette(rim, field, mark),
        turn=stage.between(-0.35, 0.35),
    )


def lamp(stage: Stage, x: float, y: float) -> None:
    """A street lamp."""
    height, half = stage.between(4.5, 7.5), pole_half(stage, x, y)
    stage.flat(
        x,
        y,
        posts.street_lamp(stage.rng, height, half),
        half=2.6,
        high=height + 0.2,
        label=labels.POLE,
        colours=stage.palette("pole", "lamp_head"),
        turn=stage.between(-0.6, 0.6),
        lamps=1,
    )


def tree(stage: Stage, x: float, y: float, tall: float) -> None:
    """A tree `tall` metres high."""
    width = min(tall * stage.between(0.22, 0.34), 2.1)
    stage.flat(
        x,
        y,
        plants.tree(stage.rng, tall, width),
        half=width * 1.25,
        high=tall * 1.1,
        label=labels.PLANT,
        colours=stage.palette("leaf", "bark"),
        finish=LEAF,
    )


def bush(stage: Stage, x: float, y: float) -> None:
    """A bush, 0.7 to 1.9 m high."""
    tall, half = stage.between(0.7, 1.9), stage.between(0.6, 1.4)
    stage.flat(
        x,
        y,
        plants.bush(stage.rng, tall, half),
        half=half * 1.3,
        high=tall * 1.15,
        label=labels.PLANT,
        colours=stage.palette("leaf"),
        finish=LEAF,
    )


def fence(stage: Stage, pose: Pose, half: float, tall: float) -> None:
    """A fence along the pose's x axis, `half` to either side."""
    colours = stage.palette("fence", "fence")
    if stage.chance(0.6):
        colours[1] = colours[0] * 0.85
    stage.upright(
        pose,
        posts.fence(stage.rng, tall, half),
        half=half,
        high=tall,
        labels=(labels.FENCE,),
        instances=(stage.instance(),),
        colours=colours,
    )


def wall(stage: Stage, pose: Pose, half: float, tall: float) -> None:
    """A wall along the pose's x axis: brick, stone, concrete panels or plaster."""
    style = int(stage.rng.integers(4))  # in the order above
    material = ("brick", "wall", "concrete", "wall")[style]
    length, height, depth = (
        (0.42, 0.16, 0.2),
        (0.75, 0.34, 0.22),
        (2.4, 1.1, 0.18),
        (30.0, 9.0, 0.0),
    )[style]
    stage.solid(
        pose,
        half=(half, 0.16),
        low=0,
        high=tall,
        label=labels.WALL,
        instance=stage.instance(),
        finish=Masonry(length=length, height=height, depth=depth, top=tall),
        colours=stage.palette(material),
    )


def hedge(stage: Stage, pose: Pose, half: float, tall: float) -> None:
    """A clipped hedge along the pose's x axis."""
    stage.solid(
        pose,
        half=(half, 0.4),
        low=0,
        high=tall,
        label=labels.PLANT,
        instance=stage.instance(),
        finish=LEAF,
        colours=stage.palette("leaf"),
    )
