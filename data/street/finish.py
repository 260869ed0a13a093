"""Finishes: which painter colours a thing, and the numbers that it needs.

A thing holds a `Facade[float]`; its painter (`painters`) gets the same fields as arrays, in a
`Facade[np.ndarray]`, one entry a pixel. Switches are 0 or 1. Lengths are in metres, heights from
the ground.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

Number = TypeVar("Number", float, np.ndarray)

BODY, GREENHOUSE, COACH, CARGO, CAB, CHASSIS = range(6)  # styles of Vehicle
PLASTER, BRICK, PANELS = range(3)  # textures of Facade


@dataclass(frozen=True)
class Plain:
    """One colour, with a little grain."""


@dataclass(frozen=True)
class Leaf:
    """Foliage, in clumps."""


@dataclass(frozen=True)
class Masonry(Generic[Number]):
    """A wall in courses of stones, with a coping."""

    length: Number  # of a stone
    height: Number  # of a course
    depth: Number  # of the joints, as a share of the light they lose
    top: Number  # of the wall


@dataclass(frozen=True)
class Facade(Generic[Number]):
    """A building. Colours: 0 wall, 1 glass, 2 trim, 3 awning, 4 door, 5 roof, 6 ground floor."""

    pitch: Number  # from window to window
    floor: Number  # from storey to storey
    wide: Number  # share of the pitch that is window
    tall: Number  # share of the storey that is window
    base: Number  # height of the ground floor
    top: Number
    hx: Number  # half extents
    hy: Number
    texture: Number  # PLASTER, BRICK or PANELS
    ribbon: Number  # switch: windows run on without piers
    trading: Number  # switch: shops on the ground floor
    roof: Number  # switch: a pitched roof, nothing else


@dataclass(frozen=True)
class Vehicle(Generic[Number]):
    """A part of a vehicle.

    Colours: 0 paint, 1 glass, 2 second paint, 3 dark trim, 4 head lamps, 5 tail lamps, 6 plate.
    """

    hx: Number  # half extents
    hy: Number
    low: Number
    high: Number
    glass_low: Number  # of the windows; above `high` where there are none
    glass_high: Number
    pillar: Number  # from pillar to pillar
    arch: Number  # of the wheels, from the middle; 0 for none
    radius: Number  # of the wheels
    logo: Number  # switch: a patch of livery on the flank
    style: Number  # BODY to CHASSIS


Finish = Plain | Leaf | Masonry[float] | Facade[float] | Vehicle[float]
FINISHES: tuple[type, ...] = (Plain, Leaf, Masonry, Facade, Vehicle)
PLAIN, LEAF = Plain(), Leaf()
