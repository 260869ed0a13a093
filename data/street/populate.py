"""Where everything goes: things of every class, proposed in view and kept where they belong.

How many there are depends on how much the camera sees, so that a picture holds things of every
class, near enough to be learnt. Big ones come first, as they need the room.
"""

import numpy as np

from goodsam.data.street import furniture, people, vehicles
from goodsam.data.street.primitives import Pose, Stage, Zone


def populate(stage: Stage) -> None:
    """Fill the streets inside the view."""
    _trams(stage)
    _buses(stage)
    _trucks(stage)
    _cars(stage)
    _two_wheelers(stage)
    _furniture(stage)
    for _ in range(_count(stage, 4.4, 11.0)):
        zone: Zone = "walk" if stage.chance(0.8) else "zebra"
        if (p := stage.spot(zone, 3.4, 11, 0.3, 0.3)) is not None:
            people.person(stage, p.x, p.y)
    for _ in range(_count(stage, 1.2, 4.0)):
        if (p := stage.spot("kerb", 5.0, 32, 0.5, 0.4)) is not None:
            furniture.tree(stage, p.x, p.y, stage.between(3.5, 8.0))


def _count(stage: Stage, pinhole: float, panorama: float) -> int:
    """How many to propose: about so many in a pinhole image or a panorama."""
    mean = panorama if stage.view.all_around else pinhole
    return int(mean * (0.55 + 0.9 * float(stage.rng.random())) + float(stage.rng.random()))


def _trams(stage: Stage) -> None:
    """Trams, on rails alone, their noses in view."""
    rails = stage.plan.rails
    if not rails:
        return
    for _ in range(_count(stage, 1.3, 1.6)):
        hx = stage.between(6.5, 11)
        for _ in range(10):
            x = stage.between(5 + hx, 22 + hx) * (1 if stage.chance(0.5) else -1)
            side = 1.0 if stage.chance(0.5) else -1.0
            y = side * rails[0]
            nose = x - np.sign(x) * hx
            if stage.view.sees(nose, y - stage.eye_y, 1.0) and stage.free(x, y, hx + 0.3, 1.35):
                vehicles.tram(stage, Pose(x, y, 0.0 if side < 0 else np.pi), hx)
                break


def _buses(stage: Stage) -> None:
    for _ in range(_count(stage, 0.5, 1.3)):
        hx = stage.between(4.2, 6.0)
        zone: Zone = "lane" if stage.chance(0.6) else "parked"
        if (p := stage.spot(zone, 6 + hx, 26, hx, 1.3)) is not None:
            vehicles.bus(stage, Pose(p.x, p.y, stage.heading(p)), hx)


def _trucks(stage: Stage) -> None:
    for _ in range(_count(stage, 0.75, 2.0)):
        hx = stage.between(2.6, 4.2)
        zone: Zone = "lane" if stage.chance(0.5) else "parked"
        if (p := stage.spot(zone, 4.5 + hx, 24, hx, 1.25)) is not None:
            yaw = stage.heading(p)
            vehicles.truck(stage, Pose(p.x, p.y, yaw + _turned(stage, zone)), hx)


def _cars(stage: Stage) -> None:
    for _ in range(_count(stage, 3.0, 8.0)):
        zone: Zone = "parked" if stage.chance(0.55) else "lane"
        if (p := stage.spot(zone, 5.5, 36, 2.4, 1.0)) is not None:
            yaw = stage.heading(p, 0.7 if zone == "lane" and stage.chance(0.15) else 0.06)
            vehicles.car(stage, Pose(p.x, p.y, yaw + _turned(stage, zone)))


def _turned(stage: Stage, zone: Zone) -> float:
    """Half a turn for some of those that are parked."""
    return np.pi if zone == "parked" and stage.chance(0.3) else 0


def _two_wheelers(stage: Stage) -> None:
    for motor, ridden, mean, far in (
        (False, True, (1.1, 3.0), 11),
        (True, True, (0.8, 2.2), 11),
        (True, False, (1.1, 3.2), 10),
        (False, False, (1.2, 3.5), 9),
    ):
        for _ in range(_count(stage, *mean)):
            zone: Zone
            if ridden:
                zone = "lane" if stage.chance(0.75) else "parked"
            else:
                zone = "parked" if stage.chance(0.4) else "walk"
            if (p := stage.spot(zone, 4.0, far, 0.75, 0.6)) is not None:
                people.two_wheeler(stage, p.x, p.y, motor=motor, ridden=ridden)


def _furniture(stage: Stage) -> None:
    """Lights, signs, lamps, posts and railings along the kerb."""
    for _ in range(_count(stage, 1.3, 3.5)):
        if (p := stage.spot("kerb", 4.2, 10, 0.3, 0.3)) is not None:
            furniture.light(stage, p.x, p.y)
    for _ in range(_count(stage, 1.7, 4.5)):
        if (p := stage.spot("kerb", 4.2, 11, 0.4, 0.3)) is not None:
            furniture.sign(stage, p.x, p.y)
    for _ in range(_count(stage, 1.1, 3.5)):
        if (p := stage.spot("kerb", 4.0, 24, 0.4, 0.3)) is not None:
            furniture.lamp(stage, p.x, p.y)
    for _ in range(_count(stage, 0.9, 2.6)):
        zone: Zone = "kerb" if stage.chance(0.7) else "walk"
        if (p := stage.spot(zone, 3.5, 12, 0.2, 0.2)) is not None:
            tall = stage.between(3.5, 8) if stage.chance(0.7) else stage.between(0.9, 1.3)
            furniture.post(stage, p.x, p.y, tall, furniture.pole_half(stage, p.x, p.y) * 1.3)
    for _ in range(_count(stage, 0.8, 2.2)):
        half = stage.between(2.0, 5.0)
        if (p := stage.spot("kerb", 4.0, 11, half, 0.15)) is not None:
            pose = Pose(p.x, p.y, np.pi / 2 if p.cross else 0.0)
            furniture.fence(stage, pose, half, stage.between(0.95, 1.2))
