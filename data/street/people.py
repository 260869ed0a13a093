"""People on foot, and two-wheelers with and without riders. Metres."""

from goodsam.data.street import bodies, labels
from goodsam.data.street.primitives import Pose, Stage


def person(stage: Stage, x: float, y: float) -> None:
    """Someone on foot, one in seven a child."""
    tall = stage.between(1.55, 1.98) if stage.chance(0.85) else stage.between(1.05, 1.4)
    colours = stage.palette("skin", "cloth", "trousers", "hair", "black", "cloth")
    stage.flat(
        x,
        y,
        bodies.person(stage.rng, tall),
        half=0.3 * tall,
        high=tall * 1.02,
        label=labels.PERSON,
        colours=colours,
    )


def two_wheeler(stage: Stage, x: float, y: float, *, motor: bool, ridden: bool) -> None:
    """A bicycle or a motorcycle, its rider an instance of its own."""
    scale = stage.between(1.0, 1.15)
    shape = bodies.two_wheeler(stage.rng, motor, ridden, scale)
    helmet = "cloth" if stage.chance(0.5) else "paint"
    rider = ("skin", "cloth", "trousers", "hair", "black", helmet)
    colours = stage.palette(*rider, "paint", "tyre", "steel", "black")
    if motor:
        colours[8] *= 0.8
    vehicle = labels.MOTORCYCLE if motor else labels.BICYCLE
    machine = stage.instance()
    names, numbers = [vehicle] * 10, [machine] * 10
    if ridden:
        names[:6], numbers[:6] = [labels.RIDER] * 6, [stage.instance()] * 6
    stage.upright(
        Pose(x, y, stage.facing(x, y) + stage.between(-0.6, 0.6)),
        shape,
        half=1.05 * scale,
        high=(2.1 if ridden else 1.3) * scale,
        labels=tuple(names),
        instances=tuple(numbers),
        colours=colours,
    )
