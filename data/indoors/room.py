"""A room: the inside of a box, and the boxes that stand in it.

Metres; the floor is z = 0, the middle of the room x = y = 0. Labels are indices of `STANFORD`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from goodsam.data.rooms import STANFORD

Finish = Literal["plain", "tiles", "boards", "wood", "books", "panes", "writing"]
TRIES = 20  # at a free place, before a thing is left out
CLEAR = 0.7  # metres around the camera that stay free


@dataclass(frozen=True, kw_only=True)
class Box:
    """A part of a thing, turned by `yaw` radians. half: half extents along its own x and y."""

    x: float
    y: float
    yaw: float
    half: tuple[float, float]
    low: float
    high: float
    label: int
    instance: int  # from 1 on
    colour: np.ndarray  # (3,) RGB in 0..1
    finish: Finish = "plain"


@dataclass
class Room:
    """What is in a room, with an instance for each thing; walls, floor and ceiling come first.

    half: half the room's length and width. colours, finishes: of floor, ceiling and walls.
    camera: x, y, z.
    """

    half: tuple[float, float]
    height: float
    camera: tuple[float, float, float]
    colours: dict[str, np.ndarray]
    finishes: dict[str, Finish]
    boxes: list[Box] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # the class of each instance, from 1 on
    taken: list[tuple[float, float, float, float]] = field(default_factory=list)

    def instance(self, name: str) -> int:
        """A new thing of a class: its number."""
        self.names.append(name)
        return len(self.names)

    def free(self, x: float, y: float, rx: float, ry: float) -> bool:
        """Take a rectangle of half extents rx, ry, if it is inside, free, and off the camera."""
        if abs(x) + rx > self.half[0] or abs(y) + ry > self.half[1]:
            return False
        camera = (self.camera[0], self.camera[1], CLEAR, CLEAR)
        for ox, oy, sx, sy in (camera, *self.taken):
            if abs(x - ox) < rx + sx and abs(y - oy) < ry + sy:
                return False
        self.taken.append((x, y, rx, ry))
        return True


@dataclass(frozen=True)
class Part:
    """A box of a thing in the thing's own frame: its middle, half extents, and from where to where.

    colour: which of the thing's colours.
    """

    x: float
    y: float
    hx: float
    hy: float
    low: float
    high: float
    colour: int = 0
    finish: Finish = "plain"


def put(
    room: Room, name: str, at: tuple[float, float, float], parts: list[Part], colours: np.ndarray
) -> None:
    """Add a thing of a class. at: x, y and yaw of its frame; colours: (K, 3)."""
    x, y, yaw = at
    cos, sin = float(np.cos(yaw)), float(np.sin(yaw))
    number = room.instance(name)
    for part in parts:
        room.boxes.append(
            Box(
                x=x + part.x * cos - part.y * sin,
                y=y + part.x * sin + part.y * cos,
                yaw=yaw,
                half=(part.hx, part.hy),
                low=part.low,
                high=part.high,
                label=STANFORD.index(name),
                instance=number,
                colour=colours[part.colour],
                finish=part.finish,
            )
        )


SHELL = ("floor", "ceiling", "wall", "wall", "wall", "wall")
"""The classes of a room's own six sides, instances 1 to 6: walls at +x, -x, +y and -y."""
