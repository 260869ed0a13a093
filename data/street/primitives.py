"""The stage on which a street is built: free places, and the flats and solids that stand there.

What is built reads the stage's one stream of random numbers, in the order of the code; every
picture depends on that order. Positions are metres in the plan's frame, angles radians.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from goodsam.data.street.cast import Thing, frustum
from goodsam.data.street.finish import PLAIN, Finish
from goodsam.data.street.labels import FIRST_INSTANCE
from goodsam.data.street.look import Palette
from goodsam.data.street.plan import Plan
from goodsam.data.street.shapes import Shape

CLEAR = 2.5  # metres around the camera that stay free
TRIES = 14  # at a free place, before a thing is left out

Zone = Literal["lane", "parked", "kerb", "walk", "zebra"]


@dataclass(frozen=True)
class View:
    """Where the camera looks: heading and half its field of view in radians."""

    yaw: float
    half_fov: float

    @property
    def all_around(self) -> bool:
        return self.half_fov > 3

    def sees(self, x: float, y: float, margin: float = 0.92) -> bool:
        """Whether (x, y), metres from the camera, is within `margin` times the field of view."""
        turn = (np.arctan2(y, x) - self.yaw + np.pi) % (2 * np.pi) - np.pi
        return bool(abs(turn) <= self.half_fov * margin) or self.all_around


@dataclass(frozen=True)
class Pose:
    """A place in metres, and the heading of a thing's local x axis in radians."""

    x: float
    y: float
    yaw: float = 0.0


@dataclass(frozen=True)
class Spot:
    """A free place in metres, and whether it belongs to the crossing street."""

    x: float
    y: float
    cross: bool


class Stage:
    """Holds the things built so far, gives each its instance, and keeps them apart.

    The camera stands at (0, eye_y), and things are kept in its frame.
    """

    def __init__(
        self, rng: np.random.Generator, palette: Palette, view: View, plan: Plan, eye_y: float
    ) -> None:
        self.rng, self.palette, self.view, self.plan = rng, palette, view, plan
        self.eye_y = eye_y
        self.things: list[Thing] = []
        self._taken: list[tuple[float, float, float, float]] = []
        self._next = FIRST_INSTANCE

    def between(self, low: float, high: float) -> float:
        """A uniform number."""
        return low + (high - low) * float(self.rng.random())

    def chance(self, p: float) -> bool:
        """True with probability `p`."""
        return bool(self.rng.random() < p)

    def instance(self) -> int:
        """A new instance's id."""
        self._next += 1
        return self._next - 1

    def distance(self, x: float, y: float) -> float:
        """Metres from the camera, on the ground."""
        return float(np.hypot(x, y - self.eye_y))

    def facing(self, x: float, y: float) -> float:
        """The heading of a flat shape at (x, y) that faces the camera."""
        return float(np.arctan2(y - self.eye_y, x)) - np.pi / 2

    def free(self, x: float, y: float, rx: float, ry: float) -> bool:
        """Take the rectangle of half extents rx, ry if it is free, and clear of the camera."""
        if abs(x) < rx + CLEAR and abs(y - self.eye_y) < ry + CLEAR * 0.9:
            return False
        for ox, oy, sx, sy in self._taken:
            if abs(x - ox) < rx + sx and abs(y - oy) < ry + sy:
                return False
        self._taken.append((x, y, rx, ry))
        return True

    def spot(self, zone: Zone, near: float, far: float, rx: float, ry: float) -> Spot | None:
        """Take a free place of a zone in view, about `near` to `far` metres away; None: none found.

        rx, ry: half extents along and across its street.
        """
        plan = self.plan
        for _ in range(TRIES):
            r = self.rng.random(6)
            distance = near + (far - near) * float(r[0]) ** 1.3
            azimuth = self.view.yaw + (2 * r[1] - 1) * self.view.half_fov * 0.85
            x, y = distance * float(np.cos(azimuth)), distance * float(np.sin(azimuth)) + self.eye_y
            cross = bool(r[2] < 0.3) and plan.crosses
            if zone == "zebra" and not plan.markings.zebras:
                return None
            x, y = self._moved(zone, x, y, cross, ry, r)
            # beside one road must not mean on the other
            a, b = abs(y) - plan.half, abs(x - plan.cross_x) - plan.cross_half
            if zone in ("kerb", "walk") and min(a, b) < 0.3:
                continue
            if zone == "parked" and ((b if not cross else a) < plan.corner + rx + 3.5):
                continue
            ux, uy = (ry, rx) if cross else (rx, ry)
            dx, dy = x, y - self.eye_y
            if not near * 0.9 <= float(np.hypot(dx, dy)) <= far * 1.2 or not self.view.sees(dx, dy):
                continue
            if self.free(x, y, ux + 0.15, uy + 0.15):
                return Spot(x, y, cross)
        return None

    def _moved(
        self, zone: Zone, x: float, y: float, cross: bool, ry: float, r: np.ndarray
    ) -> tuple[float, float]:
        """The place of a zone nearest to (x, y), `r` deciding what it leaves open."""
        plan, zebras = self.plan, self.plan.markings.zebras
        along, off = (y, x - plan.cross_x) if cross else (x, y)
        half = plan.cross_half if cross else plan.half
        walk = plan.cross_walk if cross else plan.walk
        side = 1.0 if off > 0 else -1.0
        if zone == "lane":
            off = side * (half * (0.32 + 0.12 * float(r[3])))
        elif zone == "parked":
            off = side * (half - ry - 0.15)
        elif zone == "kerb":
            off = side * (half + 0.4 + 0.25 * float(r[3]))
        elif zone == "walk":
            off = side * (half + 0.9 + max(walk - 1.5, 0.2) * float(r[3]))
        else:  # zebras are on the main street
            along = zebras[int(r[3] * len(zebras))] + (r[4] - 0.5) * 2.0
            return along, half * 0.92 * (2 * float(r[5]) - 1)
        return (off + plan.cross_x, along) if cross else (along, off)

    def heading(self, spot: Spot, wild: float = 0.04) -> float:
        """Along the street as its traffic goes, on the right, give or take `wild` radians."""
        side = spot.y if not spot.cross else -(spot.x - self.plan.cross_x)
        turn = np.pi / 2 if spot.cross else 0.0
        turn += 0.0 if side < 0 else np.pi
        return turn + self.between(-wild, wild)

    def flat(
        self,
        x: float,
        y: float,
        shape: Shape,
        *,
        half: float,
        high: float,
        label: int,
        colours: np.ndarray,
        low: float = 0,
        finish: Finish = PLAIN,
        turn: float = 0.0,
        instance: int | None = None,
        lamps: int = 0,
    ) -> None:
        """A flat shape that faces the camera, but for `turn`; parts from `lamps` on shine."""
        self.upright(
            Pose(x, y, self.facing(x, y) + turn),
            shape,
            half=half,
            low=low,
            high=high,
            labels=(label,),
            instances=(self.instance() if instance is None else instance,),
            colours=colours,
            finish=finish,
            lamps=lamps,
        )

    def upright(
        self,
        pose: Pose,
        shape: Shape,
        *,
        half: float,
        high: float,
        labels: tuple[int, ...],
        instances: tuple[int, ...],
        colours: np.ndarray,
        low: float = 0,
        finish: Finish = PLAIN,
        lamps: int = 0,
    ) -> None:
        """A flat shape from `low` to `high`, `half` to either side along its local x axis."""
        self.things.append(
            Thing(
                x=pose.x,
                y=pose.y - self.eye_y,
                yaw=pose.yaw,
                half=(half, 0.0),
                low=low,
                high=high,
                labels=labels,
                instances=instances,
                finish=finish,
                colours=colours,
                lamps=lamps,
                shape=shape,
            )
        )

    def solid(
        self,
        pose: Pose,
        *,
        half: tuple[float, float],
        low: float,
        high: float,
        label: int,
        instance: int,
        finish: Finish,
        colours: np.ndarray,
        planes: np.ndarray | None = None,
    ) -> None:
        """A box of half extents `half`, or the frustum that `planes` bound inside of it."""
        if planes is None:
            hx, hy = half
            planes = frustum(low, high, (-hx, -hx), (hx, hx), (hy, hy))
        self.things.append(
            Thing(
                x=pose.x,
                y=pose.y - self.eye_y,
                yaw=pose.yaw,
                half=half,
                low=low,
                high=high,
                labels=(label,),
                instances=(instance,),
                finish=finish,
                colours=colours,
                planes=planes,
            )
        )
