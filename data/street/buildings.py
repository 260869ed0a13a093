"""Buildings, and the lots on which they stand along both streets. Metres and radians."""

from dataclasses import replace

import numpy as np

from goodsam.data.street import furniture, labels
from goodsam.data.street.cast import frustum
from goodsam.data.street.finish import BRICK, PANELS, PLASTER, Facade
from goodsam.data.street.primitives import Pose, Stage

END = 78.0  # metres to the far end of the street


def building(stage: Stage, pose: Pose, hx: float, hy: float, high: float) -> None:
    """A building of half extents `hx`, `hy`, its walls `high`; some with a roof or a tower."""
    n, r = stage.instance(), stage.rng.random(12)
    material = ("plaster", "brick", "concrete", "plaster")[int(r[0] * 4)]
    floor = 2.9 + 0.7 * float(r[1])
    wide, tall = 0.36 + 0.32 * float(r[4]), 0.42 + 0.26 * float(r[5])
    if r[3] > 0.9:  # curtain wall
        wide, tall = 0.88, 0.84
    lower = material if r[7] < 0.5 else "concrete"
    # the eighth colour is drawn only so that those after it stay what they were
    colours = stage.palette(material, "glass", "trim", "awning", "door", "roof", lower, "white")
    dwelling = 0.14 <= r[3] < 0.5
    facade = Facade[float](
        pitch=1.9 + 1.9 * float(r[2]),
        floor=floor,
        wide=wide,
        tall=tall,
        base=3.3 + 1.0 * float(r[6]),
        top=high,
        hx=hx,
        hy=hy,
        texture={"plaster": PLASTER, "brick": BRICK, "concrete": PANELS}[material],
        ribbon=bool(r[3] < 0.14),
        trading=bool(r[8] < 0.45) and not dwelling,
        roof=False,
    )

    def solid(
        half: tuple[float, float], low: float, finish: Facade[float], planes: np.ndarray | None
    ) -> None:
        stage.solid(
            pose,
            half=half,
            low=low,
            high=finish.top,
            label=labels.BUILDING,
            instance=n,
            finish=finish,
            colours=colours,
            planes=planes,
        )

    solid((hx, hy), 0, facade, None)
    if r[9] < 0.45 and high < 13:  # a pitched roof; the ridge along local x
        top = high + stage.between(1.8, 3.6)
        hip = float(r[10] < 0.4) * hy * 0.8
        planes = frustum(
            high, top, (-hx - 0.2, -hx - 0.2 + hip), (hx + 0.2, hx + 0.2 - hip), (hy + 0.3, 0.05)
        )
        roof = replace(facade, top=top, hx=hx + 0.2, hy=hy + 0.3, roof=True)
        solid((hx + 0.3, hy + 0.4), high, roof, planes)
    elif r[9] > 0.85:  # a set-back storey on top
        top = high + floor * stage.between(1.0, 2.5)
        tower = replace(facade, top=top, hx=hx * 0.7, hy=hy * 0.7)
        solid((hx * 0.7, hy * 0.7), high - 0.01, tower, None)


def lot(stage: Stage, *, along: float, width: float, edge: float, side: float, cross: bool) -> None:
    """A lot of `width` whose front lies `edge` from the axis of its street, on one `side`.

    `along` is the middle of its front on that axis; `side` is 1 or -1. A house or a park, most
    with a garden and a fence, a wall or a hedge before it. Left out where nobody would see it.
    """

    def place(a: float, b: float) -> tuple[float, float]:
        return (stage.plan.cross_x + side * b, a) if cross else (a, side * b)

    yaw = np.pi / 2 if cross else 0.0
    x, y = place(along, edge + 5)
    if stage.distance(x, y) > 30 and not stage.view.sees(x, y - stage.eye_y, 1.6):
        return
    garden = stage.chance(0.76)
    setback = stage.between(2.5, 9.0) if garden else stage.between(0.0, 0.3)
    park = stage.chance(0.2)
    depth = stage.between(8, 13)
    if not park:
        high = stage.between(3.6, 8) if stage.chance(0.4) else stage.between(8, 20)
        inset = stage.between(0.0, 1.6) if garden else 0.02
        pose = Pose(*place(along, edge + setback + depth / 2), yaw)
        building(stage, pose, width / 2 - inset, depth / 2, high)
    if not garden and not park:
        return
    front = Pose(*place(along, edge + 0.35), yaw)
    half = width / 2 - stage.between(0.0, 1.2)
    kind = float(stage.rng.random())
    if kind < 0.4:
        furniture.fence(stage, front, half, stage.between(1.1, 2.0))
    elif kind < 0.8:
        furniture.wall(stage, front, half, stage.between(1.1, 2.4))
    elif kind < 0.88:
        furniture.hedge(stage, front, half, stage.between(0.8, 1.8))
    room = 12.0 if park else setback - 0.8
    for _ in range(int(stage.rng.integers(1, 3)) + 2 * park):
        back = 1.2 + (room - 1.2) * float(stage.rng.random())
        x, y = place(along + (stage.between(-0.4, 0.4)) * width, edge + max(back, 1.2))
        if stage.chance(0.55) and (park or setback > 4.5):
            furniture.tree(stage, x, y, stage.between(3.5, 8.5))
        else:
            furniture.bush(stage, x, y)


def line_streets(stage: Stage) -> None:
    """Lots along both sides of both streets, and what closes the streets' ends."""
    plan, between = stage.plan, stage.between
    reach = plan.cross_half + plan.cross_walk
    middle = plan.cross_x if plan.crosses else 0.0
    for side in (-1.0, 1.0):
        for way in (-1.0, 1.0):
            at = reach if plan.crosses else 0.0
            edge = plan.half + plan.walk
            while way * middle + at < END:
                width = between(9, 19)
                along = middle + way * (at + width / 2)
                lot(stage, along=along, width=width, edge=edge, side=side, cross=False)
                at += width + (between(0.5, 4.0) if stage.chance(0.3) else 0.0)
            if plan.crosses:
                at = edge + 21
                while at < 62:
                    width = between(10, 18)
                    along = side * (at + width / 2)
                    lot(stage, along=along, width=width, edge=reach, side=way, cross=True)
                    at += width
    for way in (-1.0, 1.0):
        for off in (-17.0, 0.0, 17.0):
            if stage.chance(0.75):
                pose = Pose(way * (END + between(8, 14)), off + between(-3, 3), np.pi / 2)
                building(stage, pose, between(7, 11), 5, between(6, 18))
            else:
                furniture.tree(stage, way * (END + 3), off, between(8, 12))
    if plan.crosses:
        for way in (-1.0, 1.0):
            pose = Pose(plan.cross_x + between(-4, 4), way * 74)
            building(stage, pose, 14, 5, between(7, 18))
    # houses behind the lots close the horizon
    for _ in range(10):
        a = between(0, 2 * np.pi)
        x, y = 48 * float(np.cos(a)), 48 * float(np.sin(a))
        if abs(y) > plan.half + plan.walk + 24 and abs(x - plan.cross_x) > reach + 24:
            building(stage, Pose(x, y), between(6, 10), 6, between(9, 22))
