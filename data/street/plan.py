"""The plan of the ground: two streets, their pavements, lawns, markings and materials.

Metres. The main street runs along x, its middle at y = 0; another one crosses it at `cross_x`, or
lies far out of sight. `goodsam.data.street.ground` paints a plan.
"""

from dataclasses import dataclass

import numpy as np

from goodsam.data.street.look import Palette

FAR_AWAY = 500.0  # metres: where the crossing is when there is none


@dataclass(frozen=True, kw_only=True)
class Markings:
    """Paint on the road."""

    centre: int  # line in the middle: 0 none, 1 dashed, 2 double, 3 solid
    dash: float  # from dash to dash
    lane: float  # from the middle to the lines between lanes; 0 for none
    edge: bool  # a line along the kerb
    bays: bool  # parking bays
    zebras: tuple[float, ...]  # x of the crossings on foot over the main street
    zebra_half: float
    zebra_pitch: float  # from stripe to stripe
    zebra_cross: bool  # zebras over the crossing street too
    stop_lines: bool
    stop: float  # from the mouth of the crossing to where the main street's lines begin


@dataclass(frozen=True, kw_only=True)
class GroundColours:
    """RGB in 0..1, (3,) each, or (4, 3): one per quadrant of the crossing."""

    asphalt: np.ndarray
    marking: np.ndarray
    kerb: np.ndarray
    paving: np.ndarray  # (4, 3)
    grass: np.ndarray  # (4, 3)
    earth: np.ndarray
    rail: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The ground. Half widths are those of the roads, `walk` widths run from kerb to lots."""

    half: float
    walk: float
    verge: float  # of lawn along the kerb; 0 for none
    cross_x: float
    cross_half: float
    cross_walk: float
    corner: float  # radius of the kerb
    rails: tuple[float, ...]  # from the middle to the middle of a tram's track
    slab: tuple[float, float]  # of the paving: length and width
    patch: float  # brightness of mended asphalt
    shift: float  # of the textures, texels
    markings: Markings
    colours: GroundColours

    @property
    def crosses(self) -> bool:
        """Whether a second street crosses within sight."""
        return abs(self.cross_x) < 60


def draw_plan(rng: np.random.Generator, palette: Palette) -> Plan:
    """Draw a plan: 32 numbers of `rng`, and the ground's colours from `palette`."""
    r = rng.random(32)
    half = 3.9 + 2.8 * float(r[0])
    walk = 2.8 + 3.2 * float(r[1])
    crossing = bool(r[2] < 0.72)
    cross_half = 3.2 + 2.2 * float(r[3])
    cross_x = (9 + 22 * float(r[4])) * (1 if r[5] < 0.5 else -1) if crossing else FAR_AWAY
    zebras: list[float] = []
    if crossing and r[6] < 0.75:
        zebras = [cross_x + s * (cross_half + 2.9) for s in (-1, 1)]
    elif r[6] < 0.5:
        zebras = [float(-20 + 40 * r[7])]
    tram = bool(r[8] < 0.55)
    half = max(half, 4.8) if tram else half
    asphalt, marking, kerb, earth, rail = palette("asphalt", "marking", "kerb", "earth", "steel")
    paving, grass = palette(*["paving"] * 5), palette(*["grass"] * 4)
    return Plan(
        half=half,
        walk=walk,
        verge=1.2 + 0.8 * float(r[27]) if r[9] < 0.4 and walk > 3.6 else 0.0,
        cross_x=cross_x,
        cross_half=cross_half,
        cross_walk=2.0 + 1.6 * float(r[10]),
        corner=1.5 + 2.5 * float(r[11]),
        rails=(1.75,) if tram else (),
        slab=(0.5 + 0.8 * float(r[21]), 0.5 + 0.5 * float(r[22])),
        patch=0.78 + 0.36 * float(r[23]),
        shift=400 * float(r[24]),
        markings=Markings(
            centre=0 if tram else int(r[16] * 4),
            dash=4.0 + 4.0 * float(r[20]),
            lane=half * 0.5 if half > 5.6 and r[17] < 0.6 else 0.0,
            edge=bool(r[18] < 0.5),
            bays=bool(r[19] < 0.3),
            zebras=tuple(zebras),
            zebra_half=1.3 + 0.6 * float(r[12]),
            zebra_pitch=0.9 + 0.3 * float(r[13]),
            zebra_cross=bool(r[14] < 0.6),
            stop_lines=bool(r[15] < 0.7),
            stop=2.0 if not zebras else 5.4,
        ),
        colours=GroundColours(
            asphalt=asphalt,
            marking=marking,
            kerb=kerb,
            paving=0.75 * paving[0] + 0.25 * paving[1:],
            grass=grass,
            earth=earth,
            rail=rail,
        ),
    )
