"""Pictures of the street world: one seed, one look, one camera."""

from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from goodsam.data.errors import InputError
from goodsam.data.street.cast import VERTICAL_FOV, cast, panoramic_camera, pinhole_camera
from goodsam.data.street.look import LookName, Palette, draw_look
from goodsam.data.street.primitives import View
from goodsam.data.street.scene import draw_scene
from goodsam.data.street.sensor import develop
from goodsam.data.street.shade import shade

DEFAULT_GAP = 0.45


@dataclass(frozen=True)
class Picture:
    """A rendered picture and what is in it.

    image: uint8 (H, W, 3) sRGB. labels: uint8 (H, W) Cityscapes train ids, 255 none.
    instances: uint16 (H, W), an id of its own for every thing and every region of stuff, 0 none.
    tilt: of a whole sphere's camera, degrees; None for other pictures.
    """

    image: np.ndarray
    labels: np.ndarray
    instances: np.ndarray
    tilt: float | None = None


def pinhole(seed: int, height: int = 200, width: int = 256, look: LookName = "source") -> Picture:
    """A perspective picture from a car: horizontal field of view 60 to 90 degrees, little pitch.

    `look`: "source", the labelled domain, or "random", every colour, light and texture drawn
    wildly. Raises InputError for another look or a size below 8 pixels.
    """
    if look == "target":
        raise InputError("look 'target': a pinhole image has the source's look or a random one")
    return _render(seed, height, width, look=look, gap=0.0, cyclic=False)


def panorama(
    seed: int,
    height: int = 200,
    width: int = 1024,
    gap: float = DEFAULT_GAP,
    look: LookName = "target",
) -> Picture:
    """An equirectangular picture, 360 x 70.3 degrees, whose first column follows its last.

    The target look is the source's at `gap` 0 and far from it at 1: palette (blended in RGB),
    light, haze, texture, noise and the camera's height. Raises InputError for an unknown look, a
    gap outside 0 to 1, or a size below 8 pixels.
    """
    if not 0 <= gap <= 1:
        raise InputError(f"gap {gap}: outside 0 to 1")
    gap = gap if look == "target" else 0.0
    return _render(seed, height, width, look=look, gap=gap, cyclic=True)


def sphere(
    seed: int, height: int = 512, gap: float = DEFAULT_GAP, look: LookName = "target"
) -> Picture:
    """The same street as `panorama` shows, from the zenith to the ground under the camera.

    `height` x 2 `height` px, 360 x 180 degrees. Noise is drawn anew: there are more pixels.
    """
    if not 0 <= gap <= 1:
        raise InputError(f"gap {gap}: outside 0 to 1")
    gap = gap if look == "target" else 0.0
    seen = _render(seed, height, 2 * height, look=look, gap=gap, cyclic=True, vertical=180.0)
    return replace(seen, tilt=0.0)


def _render(
    seed: int,
    height: int,
    width: int,
    *,
    look: LookName,
    gap: float,
    cyclic: bool,
    vertical: float = VERTICAL_FOV,
) -> Picture:
    if look not in get_args(LookName):
        raise InputError(f"look {look!r}: unknown; take source, target or random")
    if min(height, width) < 8:
        raise InputError(f"picture of {height} x {width}: take at least 8 x 8 pixels")
    # one stream each, so that content, colours, light and camera do not move one another
    streams = [np.random.Generator(np.random.PCG64([seed, k])) for k in range(5)]
    content, colours, light, lens, sensor = streams
    drawn = draw_look(light, look, gap)
    palette = Palette(colours, look, gap)
    r = lens.random(8)
    if cyclic:
        yaw = float(2 * np.pi * r[0])
        view = View(yaw, np.pi)
    else:
        fov = float(np.radians(60 + 30 * r[1]))
        along = float(r[2]) < 0.55
        yaw = float(np.radians(64 * (r[0] - 0.5))) if along else float(2 * np.pi * r[0])
        yaw += np.pi if r[3] < 0.5 else 0.0
        view = View(yaw, fov / 2)
    scene = draw_scene(content, palette, view)
    metres = 1.5 + 0.25 * float(r[4]) + drawn.raise_m
    if cyclic:
        camera = panoramic_camera(height, width, metres=metres, yaw=yaw, vertical=vertical)
    else:
        pitch = float(np.radians(-5 + 8 * r[5]))
        camera = pinhole_camera(height, width, metres=metres, yaw=yaw, pitch=pitch, fov=fov)
    buffers = cast(camera, scene.things, drawn.sun)
    share = VERTICAL_FOV / vertical
    image = develop(shade(camera, scene, drawn, buffers), drawn, sensor, cyclic, share)
    return Picture(image, buffers.label, buffers.instance)
