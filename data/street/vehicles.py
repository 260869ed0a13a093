"""Cars, trucks, buses and trams: frustums in a row, on wheels. Metres and radians."""

from dataclasses import dataclass

import numpy as np

from goodsam.data.street import labels, posts, shapes
from goodsam.data.street.cast import frustum
from goodsam.data.street.finish import BODY, CAB, CARGO, CHASSIS, COACH, GREENHOUSE, Vehicle
from goodsam.data.street.primitives import Pose, Stage

NO_GLASS = (9.0, 9.0)


@dataclass(frozen=True)
class _Assembly:
    """A vehicle being built: its middle, and the label and instance of all its parts."""

    stage: Stage
    pose: Pose
    label: int
    instance: int

    def part(
        self,
        style: int,
        colours: np.ndarray,
        *,
        half: tuple[float, float],
        z: tuple[float, float],
        ahead: float = 0,
        glass: tuple[float, float] = NO_GLASS,
        pillar: float = 9.0,
        arch: float = 0.0,
        radius: float = 0.3,
        logo: bool = False,
        slant: tuple[float, float, float] = (0, 0, 0),
    ) -> None:
        """A frustum `ahead` of the middle, from z[0] up to z[1].

        `slant` insets its top at the back, the front and the sides; `glass` is the windows' z.
        """
        pose, (hx, hy) = self.pose, half
        self.stage.solid(
            Pose(
                float(pose.x + ahead * np.cos(pose.yaw)),
                float(pose.y + ahead * np.sin(pose.yaw)),
                pose.yaw,
            ),
            half=half,
            low=z[0],
            high=z[1],
            label=self.label,
            instance=self.instance,
            finish=Vehicle(
                hx=hx,
                hy=hy,
                low=z[0],
                high=z[1],
                glass_low=glass[0],
                glass_high=glass[1],
                pillar=pillar,
                arch=arch,
                radius=radius,
                logo=logo,
                style=style,
            ),
            colours=colours,
            planes=frustum(*z, (-hx, -hx + slant[0]), (hx, hx - slant[1]), (hy, hy - slant[2])),
        )

    def wheels(self, ahead: list[float], hy: float, radius: float) -> None:
        """Discs on the flank that the camera sees, `hy` from the middle."""
        x, y, yaw = self.pose.x, self.pose.y, self.pose.yaw
        ca, sa = float(np.cos(yaw)), float(np.sin(yaw))
        side = 1.0 if (-sa) * (0 - x) + ca * (self.stage.eye_y - y) > 0 else -1.0
        colours = self.stage.palette("tyre", "steel")
        for a in ahead:
            self.stage.upright(
                Pose(
                    x + a * ca - side * (hy + 0.02) * sa,
                    y + a * sa + side * (hy + 0.02) * ca,
                    yaw,
                ),
                posts.wheel(radius),
                half=radius,
                high=2 * radius,
                labels=(self.label,),
                instances=(self.instance,),
                colours=colours,
            )


def _assembly(stage: Stage, pose: Pose, label: int) -> _Assembly:
    return _Assembly(stage, pose, label, stage.instance())


def _livery(stage: Stage, material: str) -> np.ndarray:
    """The colours of a `Vehicle` finish, painted in `material`."""
    return stage.palette(material, "glass", "livery", "black", "lamp_head", "lamp_tail", "white")


def car(stage: Stage, pose: Pose) -> None:
    """A hatchback, saloon, estate, off-roader, van or pickup, 3.7 to 5.1 m long."""
    build = _assembly(stage, pose, labels.CAR)
    colours, r = _livery(stage, "paint"), stage.rng.random(8)
    body = int(r[0] * 6)  # in the order above
    hx = (1.95, 2.2, 2.25, 2.15, 2.35, 2.45)[body] * (0.95 + 0.1 * float(r[1]))
    hy = (0.86, 0.9, 0.9, 0.95, 0.97, 0.96)[body]
    low = (0.22, 0.2, 0.2, 0.32, 0.25, 0.34)[body]
    belt = (0.88, 0.86, 0.88, 1.05, 1.1, 1.02)[body] * (0.97 + 0.06 * float(r[2]))
    top = (1.5, 1.42, 1.46, 1.8, 2.1, 1.78)[body] * (0.97 + 0.06 * float(r[3]))
    radius = (0.31, 0.32, 0.32, 0.38, 0.34, 0.39)[body]
    arch = hx * 0.62
    build.part(
        BODY,
        colours,
        half=(hx, hy),
        z=(low, belt),
        arch=arch,
        radius=radius,
        slant=(0.06, 0.12, 0.05),
    )
    back = (-0.97, -0.72, -0.97, -0.96, -0.98, -0.18)[body] * hx
    front = (0.42, 0.42, 0.42, 0.44, 0.72, 0.4)[body] * hx
    mid, length = (front + back) / 2, (front - back) / 2
    rear_slant = (0.35, 0.55, 0.3, 0.15, 0.06, 0.1)[body]
    build.part(
        GREENHOUSE,
        colours,
        ahead=mid,
        half=(length, hy - 0.05),
        z=(belt - 0.03, top),
        glass=(belt + 0.05, top - 0.1),
        pillar=length * (0.62 + 0.3 * float(r[4])),
        slant=(rear_slant, (0.6, 0.65, 0.65, 0.45, 0.5, 0.5)[body], 0.16),
    )
    build.part(CHASSIS, colours, half=(hx - 0.25, hy - 0.12), z=(0.06, low + 0.02))
    build.wheels([-arch, arch], hy, radius)


def truck(stage: Stage, pose: Pose, hx: float) -> None:
    """A truck 2 `hx` long: a cab, and behind it a box, a dumper or planks on a flat bed."""
    build = _assembly(stage, pose, labels.TRUCK)
    colours, r = _livery(stage, "cargo"), stage.rng.random(6)
    cab_colours = colours.copy()
    cab_colours[0] = stage.palette("paint")[0]
    hy, cab = 1.22, 0.95
    height = 2.7 + 0.8 * float(r[0])
    cab_top = min(height - 0.1, 2.5 + 0.5 * float(r[1]))
    build.part(
        CAB,
        cab_colours,
        ahead=hx - cab,
        half=(cab, hy - 0.04),
        z=(0.4, cab_top),
        glass=(1.45, cab_top - 0.3),
        pillar=3.0,
        slant=(0, 0.25, 0.05),
    )
    back = hx - cab - 0.08
    ahead = -cab - 0.04
    kind = int(r[2] * 4)
    if kind < 2:  # a box
        build.part(
            CARGO, colours, ahead=ahead, half=(back, hy), z=(0.85, height), logo=bool(r[3] < 0.6)
        )
    elif kind == 2:  # a dumper: leaning sides
        slant = (-0.25, 0.1, -0.12)
        build.part(CARGO, colours, ahead=ahead, half=(back, hy), z=(0.8, 1.9), slant=slant)
        build.part(
            CHASSIS,
            stage.palette("earth", "earth", "earth", "earth"),
            ahead=-cab,
            half=(back * 0.9, hy * 0.8),
            z=(1.85, 2.3),
            slant=(back * 0.5, back * 0.5, 0.7),
        )
    else:  # planks on a flat bed
        build.part(CARGO, colours, ahead=ahead, half=(back, hy), z=(0.8, 1.1))
        build.part(
            CARGO,
            _livery(stage, "cargo"),
            ahead=-cab - 0.2,
            half=(back * 0.8, hy * 0.86),
            z=(1.08, 1.9 + 0.6 * float(r[4])),
        )
    build.part(CHASSIS, colours, half=(hx - 0.3, hy - 0.25), z=(0.25, 0.86))
    axles = [hx - 1.0, -hx + 0.9] + ([-hx + 1.95] if hx > 3.2 else [])
    build.wheels(axles, hy, 0.48)


def bus(stage: Stage, pose: Pose, hx: float) -> None:
    """A bus 2 `hx` long, one in five a double-decker."""
    build = _assembly(stage, pose, labels.BUS)
    colours, r = _livery(stage, "livery"), stage.rng.random(4)
    high = 2.95 + 0.25 * float(r[0])
    arch = hx * 0.6
    build.part(
        COACH,
        colours,
        half=(hx, 1.26),
        z=(0.3, high),
        glass=(1.25, high - 0.55),
        pillar=1.25 + 0.4 * float(r[2]),
        arch=arch,
        radius=0.48,
        slant=(0.05, 0.12, 0.04),
    )
    if r[1] < 0.2:
        build.part(
            COACH,
            colours,
            half=(hx - 0.1, 1.22),
            z=(high - 0.02, high + 1.3),
            glass=(high + 0.25, high + 0.95),
            pillar=1.5,
            slant=(0.05, 0.15, 0.06),
        )
    build.part(CHASSIS, colours, half=(hx - 0.3, 1.1), z=(0.08, 0.32))
    build.wheels([-arch, arch], 1.26, 0.48)


def tram(stage: Stage, pose: Pose, hx: float) -> None:
    """Two or three carriages, 2 `hx` in all: dark joints, tapered noses, skirts to the rails."""
    build = _assembly(stage, pose, labels.TRAIN)
    colours = _livery(stage, "livery")
    count = 2 if hx < 9 else 3
    high = 3.3 + stage.between(-0.1, 0.2)
    length = hx / count
    for k in range(count):
        build.part(
            COACH,
            colours,
            ahead=(2 * k + 1 - count) * length,
            half=(length - 0.15, 1.2),
            z=(0.14, high),
            glass=(1.35, high - 0.7),
            pillar=1.9,
            slant=(0.7 if k == 0 else 0.0, 0.7 if k == count - 1 else 0.0, 0.12),
        )
    build.part(CHASSIS, colours, half=(hx - 1.0, 1.05), z=(0.12, high - 0.12))
    build.part(CHASSIS, colours, half=(1.0, 0.7), z=(high - 0.02, high + 0.28))
    pantograph = shapes.limbs(
        [
            (0, high + 0.2, 0.45, high + 0.6, 0.05, 0.05, 0),
            (0.45, high + 0.6, 0, high + 0.95, 0.05, 0.05, 0),
            (-0.5, high + 0.97, 0.5, high + 0.97, 0.05, 0.05, 0),
        ]
    )
    stage.flat(
        pose.x,
        pose.y,
        pantograph,
        half=0.6,
        low=high + 0.1,
        high=high + 1.05,
        label=labels.TRAIN,
        colours=stage.palette("steel"),
        instance=build.instance,
    )
