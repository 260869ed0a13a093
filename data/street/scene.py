"""What stands in a street: the plan of the ground, the buildings, and everything in between.

A scene is drawn from its own stream of random numbers, whatever the look. `View` says which part of
it the camera sees, so that each picture holds things of every class, near enough to be learnt:
a thing is proposed at a distance and an azimuth inside the view, moved to where its kind belongs
(lane, kerb, pavement, garden) and kept if it is still in view and the place is free.
"""

from dataclasses import dataclass, field

import numpy as np

from goodsam.data.street import bodies, plants, posts, shapes
from goodsam.data.street.cast import Thing, frustum
from goodsam.data.street.look import Palette
from goodsam.data.street.shapes import Shape

ROAD, SIDEWALK, BUILDING, WALL, FENCE, POLE, LIGHT, SIGN, PLANT, TERRAIN = range(10)
SKY, PERSON, RIDER, CARS, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE = range(10, 19)

PLAIN, LEAF, MASONRY, FACADE, VEHICLE = range(5)  # how a thing is painted
CAR, GREENHOUSE, COACH, CARGO, CAB, CHASSIS = range(6)  # styles of VEHICLE

SKY_INSTANCE = 10
FIRST_INSTANCE = 11  # 1 road, 2 to 5 sidewalks, 6 to 9 terrain, 10 sky
CLEAR = 2.5  # metres around the camera that stay free
END = 78.0  # metres to the far end of the street


@dataclass(frozen=True)
class View:
    """Where the camera looks: heading and half its field of view in radians."""

    yaw: float
    half_fov: float

    def sees(self, x: float, y: float, margin: float = 0.92) -> bool:
        turn = (np.arctan2(y, x) - self.yaw + np.pi) % (2 * np.pi) - np.pi
        return bool(abs(turn) <= self.half_fov * margin) or self.half_fov > 3


@dataclass(frozen=True)
class Plan:
    """The ground: y = 0 is the main street's middle, shifted so that the camera is at the origin.

    Metres. `half` and `cross_half` are half the roads' widths, `walk` the width from kerb to lots.
    """

    half: float
    walk: float
    verge: float
    cross_x: float
    cross_half: float
    cross_walk: float
    corner: float
    zebras: tuple[float, ...]
    zebra_half: float
    zebra_pitch: float
    zebra_cross: bool
    stop_lines: bool
    stop: float
    centre: int
    lane: float
    edge: bool
    bays: bool
    dash: float
    rails: tuple[float, ...]
    slab: tuple[float, float]
    patch: float
    shift: float
    asphalt: np.ndarray
    marking: np.ndarray
    kerb: np.ndarray
    paving: np.ndarray  # (4, 3) per quadrant
    grass: np.ndarray  # (4, 3)
    earth: np.ndarray
    rail_colour: np.ndarray


@dataclass
class Scene:
    """A plan, and the things on it in the camera's frame: `camera_y` is the camera's place."""

    plan: Plan
    cloud_shift: float
    camera_y: float = 0.0
    things: list[Thing] = field(default_factory=list)


class _Builder:
    """Draws things, gives each its instance, and keeps them apart."""

    def __init__(
        self, rng: np.random.Generator, palette: Palette, view: View, plan: Plan, eye_y: float
    ) -> None:
        self.rng, self.palette, self.view, self.plan = rng, palette, view, plan
        self.eye_y = eye_y
        self.things: list[Thing] = []
        self.taken: list[tuple[float, float, float, float]] = []
        self.next = FIRST_INSTANCE

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * float(self.rng.random())

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def instance(self) -> int:
        self.next += 1
        return self.next - 1

    def colours(self, *materials: str) -> np.ndarray:
        return self.palette(*materials)

    def free(self, x: float, y: float, rx: float, ry: float, take: bool = True) -> bool:
        """Whether the rectangle is free, and clear of the camera; takes it if so."""
        if abs(x) < rx + CLEAR and abs(y - self.eye_y) < ry + CLEAR * 0.9:
            return False
        for ox, oy, sx, sy in self.taken:
            if abs(x - ox) < rx + sx and abs(y - oy) < ry + sy:
                return False
        if take:
            self.taken.append((x, y, rx, ry))
        return True

    def spot(
        self, zone: str, near: float, far: float, rx: float, ry: float
    ) -> tuple[float, float, bool] | None:
        """A free place of a zone in view: x, y, and whether it is on the crossing street."""
        plan = self.plan
        for _ in range(14):
            r = self.rng.random(6)
            distance = near + (far - near) * float(r[0]) ** 1.3
            azimuth = self.view.yaw + (2 * r[1] - 1) * self.view.half_fov * 0.85
            x, y = distance * float(np.cos(azimuth)), distance * float(np.sin(azimuth)) + self.eye_y
            cross = bool(r[2] < 0.3) and abs(plan.cross_x) < 60
            along, off = (y, x - plan.cross_x) if cross else (x, y)
            half = plan.cross_half if cross else plan.half
            walk = plan.cross_walk if cross else plan.walk
            s = 1.0 if off > 0 else -1.0
            if zone == "lane":
                lane = half * (0.32 + 0.12 * float(r[3]))
                off = s * lane
            elif zone == "parked":
                off = s * (half - ry - 0.15)
            elif zone == "kerb":
                off = s * (half + 0.4 + 0.25 * float(r[3]))
            elif zone == "walk":
                off = s * (half + 0.9 + max(walk - 1.5, 0.2) * float(r[3]))
            elif zone == "garden":
                off = s * (half + walk + 0.9 + ry + 1.6 * float(r[3]))
            elif zone == "zebra":
                if not plan.zebras:
                    return None
                along = plan.zebras[int(r[3] * len(plan.zebras))] + (r[4] - 0.5) * 2.0
                off = half * 0.92 * (2 * float(r[5]) - 1)
            x, y = (off + plan.cross_x, along) if cross else (along, off)
            if zone == "zebra" and cross:
                x, y = along, off
            # beside one road must not mean on the other
            a, b = abs(y) - plan.half, abs(x - plan.cross_x) - plan.cross_half
            if zone in ("kerb", "walk", "garden") and min(a, b) < 0.3:
                continue
            if zone == "garden" and min(a - plan.walk, b - plan.cross_walk) < 0.3:
                continue
            if zone == "parked" and ((b if not cross else a) < plan.corner + rx + 3.5):
                continue
            ux, uy = (ry, rx) if cross else (rx, ry)
            dx, dy = x, y - self.eye_y
            if not near * 0.9 <= float(np.hypot(dx, dy)) <= far * 1.2 or not self.view.sees(dx, dy):
                continue
            if self.free(x, y, ux + 0.15, uy + 0.15):
                return x, y, cross
        return None

    def flat(
        self,
        x: float,
        y: float,
        shape: Shape,
        half: float,
        low: float,
        high: float,
        label: int,
        colours: np.ndarray,
        kind: int = PLAIN,
        turn: float = 0.0,
        instance: int | None = None,
        lamps: int = 0,
    ) -> None:
        """A flat shape that faces the camera, but for `turn`; parts from `lamps` on shine."""
        yaw = float(np.arctan2(y - self.eye_y, x)) - np.pi / 2 + turn
        number = self.instance() if instance is None else instance
        self.things.append(
            Thing(
                x,
                y - self.eye_y,
                yaw,
                (half, 0.0),
                low,
                high,
                (label,),
                (number,),
                kind,
                colours,
                (float(lamps),),
                shape=shape,
            )
        )

    def solid(
        self,
        x: float,
        y: float,
        yaw: float,
        half: tuple[float, float],
        low: float,
        high: float,
        label: int,
        instance: int,
        kind: int,
        colours: np.ndarray,
        params: tuple[float, ...],
        planes: np.ndarray | None = None,
    ) -> None:
        if planes is None:
            hx, hy = half
            planes = frustum(low, high, (-hx, -hx), (hx, hx), (hy, hy))
        self.things.append(
            Thing(
                x,
                y - self.eye_y,
                yaw,
                half,
                low,
                high,
                (label,),
                (instance,),
                kind,
                colours,
                params,
                planes,
            )
        )

    # --- vehicles -------------------------------------------------------------------------------

    def part(
        self,
        at: tuple[float, float, float],
        ahead: tuple[float, float],
        half: tuple[float, float],
        z: tuple[float, float],
        style: int,
        label: int,
        number: int,
        colours: np.ndarray,
        glass: tuple[float, float] = (9, 9),
        pillar: float = 9.0,
        arch: float = 0.0,
        radius: float = 0.3,
        slant: tuple[float, float, float] = (0, 0, 0),
    ) -> None:
        """A frustum of a vehicle, `ahead` of its middle; `slant` insets back, front and sides."""
        x, y, yaw = at
        cx, cy = x + ahead[0] * np.cos(yaw), y + ahead[0] * np.sin(yaw)
        hx, hy = half
        planes = frustum(*z, (-hx, -hx + slant[0]), (hx, hx - slant[1]), (hy, hy - slant[2]))
        self.solid(
            float(cx),
            float(cy),
            yaw,
            half,
            *z,
            label,
            number,
            VEHICLE,
            colours,
            (hx, hy, *z, *glass, pillar, arch, radius, style),
            planes,
        )

    def wheels(
        self,
        at: tuple[float, float, float],
        ahead: list[float],
        hy: float,
        radius: float,
        label: int,
        number: int,
    ) -> None:
        """Discs on the flank that the camera sees."""
        x, y, yaw = at
        ca, sa = float(np.cos(yaw)), float(np.sin(yaw))
        side = 1.0 if (-sa) * (0 - x) + ca * (self.eye_y - y) > 0 else -1.0
        colours = self.colours("tyre", "steel")
        for a in ahead:
            wx = x + a * ca - side * (hy + 0.02) * sa
            wy = y + a * sa + side * (hy + 0.02) * ca
            self.things.append(
                Thing(
                    wx,
                    wy - self.eye_y,
                    yaw,
                    (radius, 0.0),
                    0,
                    2 * radius,
                    (label,),
                    (number,),
                    PLAIN,
                    colours,
                    shape=posts.wheel(radius),
                )
            )

    def livery(self, material: str) -> np.ndarray:
        return self.colours(material, "glass", "livery", "black", "lamp_head", "lamp_tail", "white")

    def car(self, x: float, y: float, yaw: float) -> None:
        n, colours, r = self.instance(), self.livery("paint"), self.rng.random(8)
        at = (x, y, yaw)
        body = int(r[0] * 6)  # hatchback, saloon, estate, off-roader, van, pickup
        hx = (1.95, 2.2, 2.25, 2.15, 2.35, 2.45)[body] * (0.95 + 0.1 * float(r[1]))
        hy = (0.86, 0.9, 0.9, 0.95, 0.97, 0.96)[body]
        low = (0.22, 0.2, 0.2, 0.32, 0.25, 0.34)[body]
        belt = (0.88, 0.86, 0.88, 1.05, 1.1, 1.02)[body] * (0.97 + 0.06 * float(r[2]))
        top = (1.5, 1.42, 1.46, 1.8, 2.1, 1.78)[body] * (0.97 + 0.06 * float(r[3]))
        radius = (0.31, 0.32, 0.32, 0.38, 0.34, 0.39)[body]
        arch = hx * 0.62
        self.part(
            at,
            (0, 0),
            (hx, hy),
            (low, belt),
            CAR,
            CARS,
            n,
            colours,
            arch=arch,
            radius=radius,
            slant=(0.06, 0.12, 0.05),
        )
        back = (-0.97, -0.72, -0.97, -0.96, -0.98, -0.18)[body] * hx
        front = (0.42, 0.42, 0.42, 0.44, 0.72, 0.4)[body] * hx
        mid, length = (front + back) / 2, (front - back) / 2
        rear_slant = (0.35, 0.55, 0.3, 0.15, 0.06, 0.1)[body]
        self.part(
            at,
            (mid, 0),
            (length, hy - 0.05),
            (belt - 0.03, top),
            GREENHOUSE,
            CARS,
            n,
            colours,
            glass=(belt + 0.05, top - 0.1),
            pillar=length * (0.62 + 0.3 * float(r[4])),
            slant=(rear_slant, (0.6, 0.65, 0.65, 0.45, 0.5, 0.5)[body], 0.16),
        )
        self.part(at, (0, 0), (hx - 0.25, hy - 0.12), (0.06, low + 0.02), CHASSIS, CARS, n, colours)
        self.wheels(at, [-arch, arch], hy, radius, CARS, n)

    def truck(self, x: float, y: float, yaw: float, hx: float) -> None:
        n, colours, r = self.instance(), self.livery("cargo"), self.rng.random(6)
        cab_colours = colours.copy()
        cab_colours[0] = self.palette("paint")[0]
        at = (x, y, yaw)
        hy, cab = 1.22, 0.95
        height = 2.7 + 0.8 * float(r[0])
        cab_top = min(height - 0.1, 2.5 + 0.5 * float(r[1]))
        self.part(
            at,
            (hx - cab, 0),
            (cab, hy - 0.04),
            (0.4, cab_top),
            CAB,
            TRUCK,
            n,
            cab_colours,
            glass=(1.45, cab_top - 0.3),
            pillar=3.0,
            slant=(0, 0.25, 0.05),
        )
        back = hx - cab - 0.08
        kind = int(r[2] * 4)
        if kind < 2:  # a box
            self.part(
                at,
                (-cab - 0.04, 0),
                (back, hy),
                (0.85, height),
                CARGO,
                TRUCK,
                n,
                colours,
                pillar=float(r[3] < 0.6),
            )
        elif kind == 2:  # a dumper: leaning sides
            self.part(
                at,
                (-cab - 0.04, 0),
                (back, hy),
                (0.8, 1.9),
                CARGO,
                TRUCK,
                n,
                colours,
                pillar=0,
                slant=(-0.25, 0.1, -0.12),
            )
            self.part(
                at,
                (-cab, 0),
                (back * 0.9, hy * 0.8),
                (1.85, 2.3),
                CHASSIS,
                TRUCK,
                n,
                self.colours("earth", "earth", "earth", "earth"),
                slant=(back * 0.5, back * 0.5, 0.7),
            )
        else:  # planks on a flat bed
            self.part(
                at, (-cab - 0.04, 0), (back, hy), (0.8, 1.1), CARGO, TRUCK, n, colours, pillar=0
            )
            load = self.livery("cargo")
            self.part(
                at,
                (-cab - 0.2, 0),
                (back * 0.8, hy * 0.86),
                (1.08, 1.9 + 0.6 * float(r[4])),
                CARGO,
                TRUCK,
                n,
                load,
                pillar=0,
            )
        self.part(at, (0, 0), (hx - 0.3, hy - 0.25), (0.25, 0.86), CHASSIS, TRUCK, n, colours)
        places = [hx - 1.0, -hx + 0.9] + ([-hx + 1.95] if hx > 3.2 else [])
        self.wheels(at, places, hy, 0.48, TRUCK, n)

    def bus(self, x: float, y: float, yaw: float, hx: float) -> None:
        n, colours, r = self.instance(), self.livery("livery"), self.rng.random(4)
        at = (x, y, yaw)
        high = 2.95 + 0.25 * float(r[0])
        double = bool(r[1] < 0.2)
        arch = hx * 0.6
        self.part(
            at,
            (0, 0),
            (hx, 1.26),
            (0.3, high),
            COACH,
            BUS,
            n,
            colours,
            glass=(1.25, high - 0.55),
            pillar=1.25 + 0.4 * float(r[2]),
            arch=arch,
            radius=0.48,
            slant=(0.05, 0.12, 0.04),
        )
        if double:
            self.part(
                at,
                (0, 0),
                (hx - 0.1, 1.22),
                (high - 0.02, high + 1.3),
                COACH,
                BUS,
                n,
                colours,
                glass=(high + 0.25, high + 0.95),
                pillar=1.5,
                slant=(0.05, 0.15, 0.06),
            )
        self.part(at, (0, 0), (hx - 0.3, 1.1), (0.08, 0.32), CHASSIS, BUS, n, colours)
        self.wheels(at, [-arch, arch], 1.26, 0.48, BUS, n)

    def tram(self, x: float, y: float, yaw: float, hx: float) -> None:
        """Two or three carriages with dark joints, tapered noses, skirts down to the rails."""
        n, colours = self.instance(), self.livery("livery")
        at = (x, y, yaw)
        count = 2 if hx < 9 else 3
        high = 3.3 + self.between(-0.1, 0.2)
        length = hx / count
        for k in range(count):
            mid = (2 * k + 1 - count) * length
            nose = (0.7 if k == 0 else 0.0, 0.7 if k == count - 1 else 0.0, 0.12)
            self.part(
                at,
                (mid, 0),
                (length - 0.15, 1.2),
                (0.14, high),
                COACH,
                TRAIN,
                n,
                colours,
                glass=(1.35, high - 0.7),
                pillar=1.9,
                slant=nose,
            )
        self.part(at, (0, 0), (hx - 1.0, 1.05), (0.12, high - 0.12), CHASSIS, TRAIN, n, colours)
        self.part(at, (0, 0), (1.0, 0.7), (high - 0.02, high + 0.28), CHASSIS, TRAIN, n, colours)
        arm = self.colours("steel")
        cx, cy = x, y
        mast = shapes.limbs(
            [
                (0, high + 0.2, 0.45, high + 0.6, 0.05, 0.05, 0),
                (0.45, high + 0.6, 0, high + 0.95, 0.05, 0.05, 0),
                (-0.5, high + 0.97, 0.5, high + 0.97, 0.05, 0.05, 0),
            ]
        )
        self.flat(cx, cy, mast, 0.6, high + 0.1, high + 1.05, TRAIN, arm, instance=n)

    # --- people and two-wheelers ----------------------------------------------------------------

    def person(self, x: float, y: float) -> None:
        tall = self.between(1.55, 1.98) if self.chance(0.85) else self.between(1.05, 1.4)
        colours = self.colours("skin", "cloth", "trousers", "hair", "black", "cloth")
        self.flat(x, y, bodies.person(self.rng, tall), 0.3 * tall, 0, tall * 1.02, PERSON, colours)

    def two_wheeler(self, x: float, y: float, motor: bool, ridden: bool) -> None:
        scale = self.between(1.0, 1.15)
        shape = bodies.two_wheeler(self.rng, motor, ridden, scale)
        colours = self.colours(
            "skin",
            "cloth",
            "trousers",
            "hair",
            "black",
            "cloth" if self.chance(0.5) else "paint",
            "paint",
            "tyre",
            "steel",
            "black",
        )
        if motor:
            colours[8] *= 0.8
        vehicle = MOTORCYCLE if motor else BICYCLE
        machine = self.instance()
        labels, numbers = [vehicle] * 10, [machine] * 10
        if ridden:
            man = self.instance()
            labels[:6], numbers[:6] = [RIDER] * 6, [man] * 6
        yaw = float(np.arctan2(y - self.eye_y, x)) - np.pi / 2 + self.between(-0.6, 0.6)
        self.things.append(
            Thing(
                x,
                y - self.eye_y,
                yaw,
                (1.05 * scale, 0.0),
                0,
                (2.1 if ridden else 1.3) * scale,
                tuple(labels),
                tuple(numbers),
                PLAIN,
                colours,
                shape=shape,
            )
        )

    # --- street furniture -----------------------------------------------------------------------

    def pole_half(self, x: float, y: float) -> float:
        """Half a pole's thickness: more than life, and nearly four pixels across at the least."""
        return max(self.between(0.065, 0.11), 0.0115 * float(np.hypot(x, y - self.eye_y)))

    def post(self, x: float, y: float, height: float, half: float) -> None:
        self.flat(x, y, posts.pole(height, half), half, 0, height, POLE, self.colours("pole"))

    def light(self, x: float, y: float) -> None:
        half = self.pole_half(x, y)
        bottom = self.between(2.1, 3.0)
        wide, tall = self.between(0.3, 0.38), self.between(1.2, 1.55)
        self.post(x, y, bottom + 0.1, half)
        colours = self.colours("lightbox", "lightrim", "red", "yellow", "green", "black")
        bright = 1.0 / max(float(colours[2:5].max()), 0.3)
        if self.palette.natural:
            colours[2:5] = np.clip(colours[2:5] * bright * 1.15, 0, 1)
        d = float(np.hypot(x, y - self.eye_y))
        fx, fy = x * (1 - 0.12 / d), self.eye_y + (y - self.eye_y) * (1 - 0.12 / d)
        self.flat(
            fx,
            fy,
            posts.traffic_light(self.rng, bottom, wide, tall),
            wide,
            bottom,
            bottom + tall,
            LIGHT,
            colours,
            turn=self.between(-0.25, 0.25),
            lamps=2,
        )

    def sign(self, x: float, y: float) -> None:
        half = self.pole_half(x, y)
        size = self.between(0.42, 0.6)
        centre = self.between(2.0, 2.7)
        self.post(x, y, centre + size * 0.6, half * 0.85)
        field = ("white", "blue", "yellow", "green", "red", "white", "steel")[
            int(self.rng.integers(7))
        ]
        rim = "red" if field in ("white", "yellow") and self.chance(0.7) else "white"
        mark = (
            "white"
            if field in ("blue", "green", "red")
            else ("black", "red", "blue")[int(self.rng.integers(3))]
        )
        d = float(np.hypot(x, y - self.eye_y))
        fx, fy = x * (1 - 0.1 / d), self.eye_y + (y - self.eye_y) * (1 - 0.1 / d)
        self.flat(
            fx,
            fy,
            posts.sign(self.rng, centre, size),
            size * 2.4,
            centre - size,
            centre + size,
            SIGN,
            self.colours(rim, field, mark),
            turn=self.between(-0.35, 0.35),
        )

    def lamp(self, x: float, y: float) -> None:
        height, half = self.between(4.5, 7.5), self.pole_half(x, y)
        colours = self.colours("pole", "lamp_head")
        self.flat(
            x,
            y,
            posts.street_lamp(self.rng, height, half),
            2.6,
            0,
            height + 0.2,
            POLE,
            colours,
            turn=self.between(-0.6, 0.6),
            lamps=1,
        )

    def tree(self, x: float, y: float, tall: float) -> None:
        width = min(tall * self.between(0.22, 0.34), 2.1)
        self.flat(
            x,
            y,
            plants.tree(self.rng, tall, width),
            width * 1.25,
            0,
            tall * 1.1,
            PLANT,
            self.colours("leaf", "bark"),
            LEAF,
        )

    def bush(self, x: float, y: float) -> None:
        tall, half = self.between(0.7, 1.9), self.between(0.6, 1.4)
        self.flat(
            x,
            y,
            plants.bush(self.rng, tall, half),
            half * 1.3,
            0,
            tall * 1.15,
            PLANT,
            self.colours("leaf"),
            LEAF,
        )

    def fence(self, x: float, y: float, yaw: float, half: float, tall: float) -> None:
        colours = self.colours("fence", "fence")
        if self.chance(0.6):
            colours[1] = colours[0] * 0.85
        self.things.append(
            Thing(
                x,
                y - self.eye_y,
                yaw,
                (half, 0.0),
                0,
                tall,
                (FENCE,),
                (self.instance(),),
                PLAIN,
                colours,
                shape=posts.fence(self.rng, tall, half),
            )
        )

    def wall(self, x: float, y: float, yaw: float, half: float, tall: float) -> None:
        style = int(self.rng.integers(4))  # brick, stone, concrete panels, plaster
        stones = ((0.42, 0.16, 0.2), (0.75, 0.34, 0.22), (2.4, 1.1, 0.18), (30.0, 9.0, 0.0))[style]
        material = ("brick", "wall", "concrete", "wall")[style]
        thick = 0.16
        self.solid(
            x,
            y,
            yaw,
            (half, thick),
            0,
            tall,
            WALL,
            self.instance(),
            MASONRY,
            self.colours(material),
            (*stones, tall),
        )

    def hedge(self, x: float, y: float, yaw: float, half: float, tall: float) -> None:
        self.solid(
            x, y, yaw, (half, 0.4), 0, tall, PLANT, self.instance(), LEAF, self.colours("leaf"), ()
        )

    # --- buildings ------------------------------------------------------------------------------

    def building(self, x: float, y: float, yaw: float, hx: float, hy: float, high: float) -> None:
        n, r = self.instance(), self.rng.random(12)
        material = ("plaster", "brick", "concrete", "plaster")[int(r[0] * 4)]
        brick = {"brick": 1.0, "concrete": 2.0, "plaster": 0.0}[material]
        floor = 2.9 + 0.7 * float(r[1])
        pitch = 1.9 + 1.9 * float(r[2])
        style = 1 if r[3] < 0.14 else (2 if r[3] < 0.5 else 0)
        wide, tall = 0.36 + 0.32 * float(r[4]), 0.42 + 0.26 * float(r[5])
        if r[3] > 0.9:  # curtain wall
            wide, tall = 0.88, 0.84
        base = 3.3 + 1.0 * float(r[6])
        colours = self.colours(
            material,
            "glass",
            "trim",
            "awning",
            "door",
            "roof",
            material if r[7] < 0.5 else "concrete",
            "white",
        )
        colours[7] = 1.0 if r[8] < 0.45 and style != 2 else 0.0
        params = (pitch, floor, wide, tall, base, high, style, brick, hx, hy)
        self.solid(x, y, yaw, (hx, hy), 0, high, BUILDING, n, FACADE, colours, params)
        if r[9] < 0.45 and high < 13:  # a pitched roof; the ridge along local x
            rise = self.between(1.8, 3.6)
            planes = frustum(
                high,
                high + rise,
                (-hx - 0.2, -hx - 0.2 + float(r[10] < 0.4) * hy * 0.8),
                (hx + 0.2, hx + 0.2 - float(r[10] < 0.4) * hy * 0.8),
                (hy + 0.3, 0.05),
            )
            flat = (pitch, floor, wide, tall, base, high + rise, 9.0, brick, hx + 0.2, hy + 0.3)
            self.solid(
                x,
                y,
                yaw,
                (hx + 0.3, hy + 0.4),
                high,
                high + rise,
                BUILDING,
                n,
                FACADE,
                colours,
                flat,
                planes,
            )
        elif r[9] > 0.85:  # a set-back storey on top
            tower = high + floor * self.between(1.0, 2.5)
            self.solid(
                x,
                y,
                yaw,
                (hx * 0.7, hy * 0.7),
                high - 0.01,
                tower,
                BUILDING,
                n,
                FACADE,
                colours,
                (*params[:5], tower, *params[6:8], hx * 0.7, hy * 0.7),
            )

    def lot(self, along: float, width: float, edge: float, side: float, cross: bool) -> None:
        """A lot of `width` whose front lies `edge` from the axis of its street, on one `side`."""

        def place(a: float, b: float) -> tuple[float, float]:
            return (self.plan.cross_x + side * b, a) if cross else (a, side * b)

        yaw = np.pi / 2 if cross else 0.0
        x, y = place(along, edge + 5)
        if float(np.hypot(x, y - self.eye_y)) > 30 and not self.view.sees(x, y - self.eye_y, 1.6):
            return
        garden = self.chance(0.76)
        setback = self.between(2.5, 9.0) if garden else self.between(0.0, 0.3)
        park = self.chance(0.2)
        depth = self.between(8, 13)
        if not park:
            high = self.between(3.6, 8) if self.chance(0.4) else self.between(8, 20)
            x, y = place(along, edge + setback + depth / 2)
            inset = self.between(0.0, 1.6) if garden else 0.02
            self.building(x, y, yaw, width / 2 - inset, depth / 2, high)
        if not garden and not park:
            return
        x, y = place(along, edge + 0.35)
        half = width / 2 - self.between(0.0, 1.2)
        kind = float(self.rng.random())
        if kind < 0.4:
            self.fence(x, y, yaw, half, self.between(1.1, 2.0))
        elif kind < 0.8:
            self.wall(x, y, yaw, half, self.between(1.1, 2.4))
        elif kind < 0.88:
            self.hedge(x, y, yaw, half, self.between(0.8, 1.8))
        room = 12.0 if park else setback - 0.8
        for _ in range(int(self.rng.integers(1, 3)) + 2 * park):
            back = 1.2 + (room - 1.2) * float(self.rng.random())
            x, y = place(along + (self.between(-0.4, 0.4)) * width, edge + max(back, 1.2))
            if self.chance(0.55) and (park or setback > 4.5):
                self.tree(x, y, self.between(3.5, 8.5))
            else:
                self.bush(x, y)

    def city(self) -> None:
        """Lots along both sides of both streets, and what closes the street's ends."""
        plan = self.plan
        crossing = abs(plan.cross_x) < 60
        reach = plan.cross_half + plan.cross_walk
        middle = plan.cross_x if crossing else 0.0
        for side in (-1.0, 1.0):
            for way in (-1.0, 1.0):
                at = reach if crossing else 0.0
                while way * middle + at < END:
                    width = self.between(9, 19)
                    along = middle + way * (at + width / 2)
                    self.lot(along, width, plan.half + plan.walk, side, False)
                    at += width + (self.between(0.5, 4.0) if self.chance(0.3) else 0.0)
                if crossing:
                    at = plan.half + plan.walk + 21
                    while at < 62:
                        width = self.between(10, 18)
                        self.lot(side * (at + width / 2), width, reach, way, True)
                        at += width
        for way in (-1.0, 1.0):
            for off in (-17.0, 0.0, 17.0):
                if self.chance(0.75):
                    self.building(
                        way * (END + self.between(8, 14)),
                        off + self.between(-3, 3),
                        np.pi / 2,
                        self.between(7, 11),
                        5,
                        self.between(6, 18),
                    )
                else:
                    self.tree(way * (END + 3), off, self.between(8, 12))
        if crossing:
            for way in (-1.0, 1.0):
                self.building(
                    plan.cross_x + self.between(-4, 4), way * 74, 0.0, 14, 5, self.between(7, 18)
                )
        # trees and houses behind the lots close the horizon
        for _ in range(10):
            a = self.between(0, 2 * np.pi)
            x, y = 48 * float(np.cos(a)), 48 * float(np.sin(a))
            if abs(y) > plan.half + plan.walk + 24 and abs(x - plan.cross_x) > reach + 24:
                self.building(x, y, 0.0, self.between(6, 10), 6, self.between(9, 22))

    def populate(self) -> None:
        """Things of every class inside the view, big ones first."""
        plan, view = self.plan, self.view
        wide = view.half_fov > 3

        def count(pinhole: float, panorama: float) -> int:
            mean = panorama if wide else pinhole
            return int(mean * (0.55 + 0.9 * float(self.rng.random())) + float(self.rng.random()))

        def heading(cross: bool, y_or_x: float, wild: float = 0.04) -> float:
            turn = np.pi / 2 if cross else 0.0
            turn += 0.0 if y_or_x < 0 else np.pi
            return turn + self.between(-wild, wild)

        if plan.rails:
            for _ in range(count(1.3, 1.6)):
                hx = self.between(6.5, 11)
                for _ in range(10):
                    x = self.between(5 + hx, 22 + hx) * (1 if self.chance(0.5) else -1)
                    side = 1.0 if self.chance(0.5) else -1.0
                    y = side * plan.rails[0]
                    nose = x - np.sign(x) * hx
                    if view.sees(nose, y - self.eye_y, 1.0) and self.free(x, y, hx + 0.3, 1.35):
                        self.tram(x, y, 0.0 if side < 0 else np.pi, hx)
                        break
        for _ in range(count(0.5, 1.3)):
            hx = self.between(4.2, 6.0)
            zone = "lane" if self.chance(0.6) else "parked"
            if (p := self.spot(zone, 6 + hx, 26, hx, 1.3)) is not None:
                self.bus(
                    p[0], p[1], heading(p[2], p[1] if not p[2] else -(p[0] - plan.cross_x)), hx
                )
        for _ in range(count(0.75, 2.0)):
            hx = self.between(2.6, 4.2)
            zone = "lane" if self.chance(0.5) else "parked"
            if (p := self.spot(zone, 4.5 + hx, 24, hx, 1.25)) is not None:
                yaw = heading(p[2], p[1] if not p[2] else -(p[0] - plan.cross_x))
                self.truck(
                    p[0], p[1], yaw + (np.pi if zone == "parked" and self.chance(0.3) else 0), hx
                )
        for _ in range(count(3.0, 8.0)):
            zone = "parked" if self.chance(0.55) else "lane"
            if (p := self.spot(zone, 5.5, 36, 2.4, 1.0)) is not None:
                wild = 0.7 if zone == "lane" and self.chance(0.15) else 0.06
                yaw = heading(p[2], p[1] if not p[2] else -(p[0] - plan.cross_x), wild)
                self.car(p[0], p[1], yaw + (np.pi if zone == "parked" and self.chance(0.3) else 0))
        for motor, ridden, mean, far in (
            (False, True, (1.1, 3.0), 11),
            (True, True, (0.8, 2.2), 11),
            (True, False, (1.1, 3.2), 10),
            (False, False, (1.2, 3.5), 9),
        ):
            for _ in range(count(*mean)):
                zone = (
                    ("lane" if self.chance(0.75) else "parked")
                    if ridden
                    else ("parked" if self.chance(0.4) else "walk")
                )
                if (p := self.spot(zone, 4.0, far, 0.75, 0.6)) is not None:
                    self.two_wheeler(p[0], p[1], motor, ridden)
        for _ in range(count(1.3, 3.5)):
            if (p := self.spot("kerb", 4.2, 10, 0.3, 0.3)) is not None:
                self.light(p[0], p[1])
        for _ in range(count(1.7, 4.5)):
            if (p := self.spot("kerb", 4.2, 11, 0.4, 0.3)) is not None:
                self.sign(p[0], p[1])
        for _ in range(count(1.1, 3.5)):
            if (p := self.spot("kerb", 4.0, 24, 0.4, 0.3)) is not None:
                self.lamp(p[0], p[1])
        for _ in range(count(0.9, 2.6)):
            if (
                p := self.spot("kerb" if self.chance(0.7) else "walk", 3.5, 12, 0.2, 0.2)
            ) is not None:
                tall = self.between(3.5, 8) if self.chance(0.7) else self.between(0.9, 1.3)
                self.post(p[0], p[1], tall, self.pole_half(p[0], p[1]) * 1.3)
        for _ in range(count(0.8, 2.2)):  # railings along the kerb
            half = self.between(2.0, 5.0)
            if (p := self.spot("kerb", 4.0, 11, half, 0.15)) is not None:
                self.fence(p[0], p[1], np.pi / 2 if p[2] else 0.0, half, self.between(0.95, 1.2))
        for _ in range(count(4.4, 11.0)):
            zone = "walk" if self.chance(0.8) else "zebra"
            if (p := self.spot(zone, 3.4, 11, 0.3, 0.3)) is not None:
                self.person(p[0], p[1])
        for _ in range(count(1.2, 4.0)):
            if (p := self.spot("kerb", 5.0, 32, 0.5, 0.4)) is not None:
                self.tree(p[0], p[1], self.between(3.5, 8.0))


def _draw_plan(rng: np.random.Generator, palette: Palette) -> Plan:
    r = rng.random(32)
    half = 3.9 + 2.8 * float(r[0])
    walk = 2.8 + 3.2 * float(r[1])
    crossing = bool(r[2] < 0.72)
    cross_half = 3.2 + 2.2 * float(r[3])
    cross_x = (9 + 22 * float(r[4])) * (1 if r[5] < 0.5 else -1) if crossing else 500.0
    zebras: list[float] = []
    if crossing and r[6] < 0.75:
        zebras = [cross_x + s * (cross_half + 2.9) for s in (-1, 1)]
    elif r[6] < 0.5:
        zebras = [float(-20 + 40 * r[7])]
    tram = bool(r[8] < 0.55)
    half = max(half, 4.8) if tram else half
    colours = palette("asphalt", "marking", "kerb", "earth", "steel")
    paving, grass = palette(*["paving"] * 5), palette(*["grass"] * 4)
    return Plan(
        half,
        walk,
        1.2 + 0.8 * float(r[27]) if r[9] < 0.4 and walk > 3.6 else 0.0,
        cross_x,
        cross_half,
        2.0 + 1.6 * float(r[10]),
        1.5 + 2.5 * float(r[11]),
        tuple(zebras),
        1.3 + 0.6 * float(r[12]),
        0.9 + 0.3 * float(r[13]),
        bool(r[14] < 0.6),
        bool(r[15] < 0.7),
        2.0 if not zebras else 5.4,
        0 if tram else int(r[16] * 4),
        half * 0.5 if half > 5.6 and r[17] < 0.6 else 0.0,
        bool(r[18] < 0.5),
        bool(r[19] < 0.3),
        4.0 + 4.0 * float(r[20]),
        (1.75,) if tram else (),
        (0.5 + 0.8 * float(r[21]), 0.5 + 0.5 * float(r[22])),
        0.78 + 0.36 * float(r[23]),
        400 * float(r[24]),
        colours[0],
        colours[1],
        colours[2],
        0.75 * paving[0] + 0.25 * paving[1:],
        grass,
        colours[3],
        colours[4],
    )


def draw_scene(rng: np.random.Generator, palette: Palette, view: View) -> Scene:
    """Build the street around a camera that stands in a lane."""
    plan = _draw_plan(rng, palette)
    eye_y = (0.3 + 0.35 * float(rng.random())) * plan.half * (1 if rng.random() < 0.5 else -1)
    shift = float(rng.random()) * 400
    build = _Builder(rng, palette, view, plan, eye_y)
    build.populate()
    build.city()
    return Scene(plan, shift, eye_y, build.things)
