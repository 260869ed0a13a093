"""A scene: the plan of the ground, and every thing that stands on it.

A scene is drawn from its own stream of random numbers, whatever the look. `View` says which part of
it the camera sees, so that each picture holds things of every class, near enough to be learnt:
a thing is proposed at a distance and an azimuth inside the view, moved to where its kind belongs
(lane, kerb, pavement) and kept if it is still in view and the place is free.
"""

from dataclasses import dataclass

import numpy as np

from goodsam.data.street.buildings import line_streets
from goodsam.data.street.cast import Thing
from goodsam.data.street.look import Palette
from goodsam.data.street.plan import Plan, draw_plan
from goodsam.data.street.populate import populate
from goodsam.data.street.primitives import Stage, View


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A plan, and the things on it in the camera's frame."""

    plan: Plan
    camera_y: float  # metres from the main street's middle to the camera, which stands at x = 0
    cloud_shift: float  # of the clouds' texture, texels
    things: list[Thing]


def draw_scene(rng: np.random.Generator, palette: Palette, view: View) -> Scene:
    """Build the street around a camera that stands in a lane."""
    plan = draw_plan(rng, palette)
    camera_y = (0.3 + 0.35 * float(rng.random())) * plan.half * (1 if rng.random() < 0.5 else -1)
    cloud_shift = float(rng.random()) * 400
    stage = Stage(rng, palette, view, plan, camera_y)
    populate(stage)
    line_streets(stage)
    return Scene(plan=plan, camera_y=camera_y, cloud_shift=cloud_shift, things=stage.things)
