"""Looks of the street world: palettes, light, weather and sensor, and the gap between two of them.

A look is drawn from its own random stream, so one scene keeps its content under every look. The
target's numbers are `(1 - gap) * source + gap * far`, colours included (blended in RGB).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

LookName = Literal["source", "target", "random"]

# Colours (RGB, 0..255) of every material: the source's, and those at gap 1.
MATERIALS: dict[str, tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]] = {
    "asphalt": ([(92, 93, 96), (78, 79, 83), (106, 105, 104)], [(118, 104, 90), (98, 84, 78)]),
    "paving": (
        [(150, 146, 140), (132, 130, 130), (164, 152, 136), (142, 122, 110)],
        [(168, 142, 118), (128, 112, 108), (176, 158, 140)],
    ),
    "kerb": ([(176, 174, 168), (152, 150, 148)], [(190, 170, 146), (148, 130, 124)]),
    "grass": (
        [(92, 124, 62), (110, 130, 70), (84, 110, 60), (138, 130, 88), (122, 104, 80)],
        [(158, 138, 74), (136, 112, 66), (118, 116, 84), (150, 120, 92)],
    ),
    "marking": ([(226, 226, 222), (208, 206, 200)], [(232, 214, 176), (206, 186, 160)]),
    "plaster": (
        [
            (196, 180, 152),
            (178, 170, 160),
            (206, 196, 178),
            (184, 158, 128),
            (160, 164, 168),
            (200, 170, 140),
            (172, 176, 160),
            (214, 210, 204),
        ],
        [(196, 140, 132), (172, 134, 150), (200, 168, 110), (120, 96, 90), (176, 112, 96)],
    ),
    "brick": (
        [(150, 90, 72), (128, 80, 68), (166, 112, 84), (120, 96, 86), (140, 104, 92)],
        [(112, 62, 66), (164, 84, 58), (92, 62, 62), (178, 122, 92)],
    ),
    "concrete": (
        [(146, 146, 144), (124, 126, 130), (164, 160, 152), (108, 108, 110)],
        [(158, 130, 112), (112, 100, 104), (176, 154, 136)],
    ),
    "glass": ([(58, 70, 84), (44, 52, 62), (82, 98, 112)], [(84, 72, 66), (60, 48, 54)]),
    "trim": (
        [(222, 220, 212), (96, 90, 84), (186, 178, 166), (70, 62, 58)],
        [(226, 200, 172), (96, 70, 62)],
    ),
    "roof": ([(132, 72, 58), (88, 84, 84), (104, 78, 66)], [(150, 74, 44), (92, 64, 66)]),
    "awning": (
        [(168, 44, 40), (40, 84, 130), (44, 110, 76), (208, 160, 52), (90, 60, 110)],
        [(190, 80, 40), (92, 64, 104), (128, 100, 48)],
    ),
    "door": ([(92, 62, 44), (60, 72, 84), (56, 84, 64)], [(118, 62, 44), (82, 58, 70)]),
    "fence": (
        [(122, 92, 66), (86, 90, 92), (62, 66, 64), (168, 160, 148), (70, 98, 78), (150, 112, 76)],
        [(140, 84, 60), (104, 84, 86), (172, 144, 110)],
    ),
    "wall": (
        [(158, 152, 142), (140, 100, 82), (176, 168, 150), (124, 122, 118), (188, 176, 156)],
        [(170, 126, 102), (130, 98, 98), (190, 156, 112)],
    ),
    "pole": (
        [(112, 116, 118), (84, 88, 90), (60, 70, 66), (150, 150, 148), (126, 98, 72)],
        [(122, 100, 90), (80, 62, 64), (158, 132, 112)],
    ),
    "lightbox": (
        [(36, 38, 38), (52, 56, 52), (40, 60, 48), (206, 166, 44)],
        [(58, 42, 44), (74, 62, 44), (170, 122, 40)],
    ),
    "lightrim": ([(228, 228, 224), (36, 38, 38), (60, 62, 60)], [(216, 190, 166), (58, 42, 44)]),
    "red": ([(196, 34, 36), (178, 44, 44)], [(206, 76, 40), (160, 42, 62)]),
    "blue": ([(36, 84, 172), (30, 96, 190)], [(74, 76, 150), (60, 96, 124)]),
    "yellow": ([(236, 196, 44), (226, 180, 60)], [(214, 156, 56), (200, 170, 84)]),
    "green": ([(28, 120, 78), (36, 104, 64)], [(70, 108, 62), (98, 110, 50)]),
    "white": ([(234, 234, 232), (220, 220, 220)], [(236, 214, 188), (214, 194, 176)]),
    "black": ([(30, 30, 32), (42, 42, 44)], [(48, 36, 36), (58, 48, 46)]),
    "steel": ([(140, 142, 144), (118, 120, 122)], [(150, 126, 114), (122, 106, 100)]),
    "leaf": (
        [(62, 104, 46), (82, 118, 52), (52, 88, 48), (104, 126, 58), (76, 100, 66), (120, 116, 52)],
        [(146, 120, 48), (120, 84, 44), (104, 108, 60), (160, 98, 50)],
    ),
    "bark": ([(92, 72, 56), (78, 66, 58), (112, 96, 80)], [(104, 70, 54), (82, 58, 54)]),
    "skin": (
        [(222, 178, 148), (190, 140, 108), (134, 92, 68), (92, 64, 50)],
        [(220, 164, 130), (176, 116, 88), (110, 72, 58)],
    ),
    "hair": (
        [(52, 38, 30), (30, 26, 26), (150, 114, 70), (150, 148, 146)],
        [(72, 44, 34), (40, 30, 32), (150, 116, 90)],
    ),
    "cloth": (
        [
            (176, 50, 48),
            (48, 72, 120),
            (44, 48, 54),
            (210, 206, 198),
            (70, 104, 76),
            (206, 160, 70),
            (122, 82, 112),
            (100, 104, 110),
            (150, 112, 80),
            (86, 140, 170),
        ],
        [
            (150, 70, 56),
            (92, 78, 108),
            (64, 52, 54),
            (214, 182, 150),
            (112, 104, 66),
            (196, 128, 60),
            (128, 84, 96),
        ],
    ),
    "trousers": (
        [(48, 60, 88), (40, 42, 46), (96, 84, 70), (70, 74, 80), (128, 118, 102)],
        [(78, 62, 78), (54, 44, 46), (124, 96, 74)],
    ),
    "paint": (
        [
            (186, 188, 190),
            (38, 40, 44),
            (232, 232, 230),
            (150, 32, 34),
            (40, 66, 120),
            (104, 108, 112),
            (70, 92, 70),
            (196, 168, 120),
            (60, 110, 150),
            (212, 150, 50),
            (96, 60, 48),
            (120, 140, 100),
        ],
        [
            (196, 172, 156),
            (62, 46, 50),
            (226, 204, 184),
            (150, 62, 44),
            (96, 74, 116),
            (128, 108, 98),
            (104, 104, 64),
            (204, 138, 124),
            (132, 84, 118),
        ],
    ),
    "livery": (
        [
            (188, 48, 40),
            (226, 190, 60),
            (232, 230, 226),
            (46, 92, 150),
            (60, 124, 84),
            (210, 120, 44),
            (120, 124, 130),
        ],
        [(170, 82, 52), (204, 154, 84), (226, 200, 176), (104, 88, 132), (116, 118, 72)],
    ),
    "cargo": (
        [
            (222, 222, 218),
            (176, 178, 180),
            (60, 92, 140),
            (160, 60, 50),
            (208, 182, 90),
            (98, 120, 96),
            (120, 100, 84),
        ],
        [(222, 190, 176), (168, 140, 132), (112, 92, 124), (152, 84, 60), (196, 170, 120)],
    ),
    "tyre": ([(34, 34, 36), (46, 45, 45)], [(52, 40, 40), (60, 50, 48)]),
    "lamp_head": ([(250, 246, 226)], [(255, 226, 176)]),
    "lamp_tail": ([(176, 30, 28)], [(180, 60, 36)]),
    "earth": ([(112, 92, 74)], [(132, 96, 72)]),
}


_ROW = {material: row for row, material in enumerate(MATERIALS)}
_MOST = max(len(colours) for pair in MATERIALS.values() for colours in pair)
_COUNT = np.array([[len(pair[k]) for pair in MATERIALS.values()] for k in (0, 1)])
_TABLE = (
    np.array(  # (2, materials, most, 3): padded with each list's first colour
        [[(pair[k] + pair[k][:1] * _MOST)[:_MOST] for pair in MATERIALS.values()] for k in (0, 1)],
        np.float32,
    )
    / 255
)


@dataclass(frozen=True, kw_only=True)
class Look:
    """Light, weather and sensor of a picture. Colours are RGB factors or values in 0..1."""

    sun: tuple[float, float, float]  # unit direction to the sun, street frame
    sun_rgb: np.ndarray  # (3,)
    ambient_rgb: np.ndarray  # (3,)
    sky_top: np.ndarray  # (3,)
    sky_low: np.ndarray  # (3,)
    clouds: float  # 0 clear, 1 overcast
    haze: float  # per metre
    texture: float  # contrast of all textures
    contrast: float
    saturation: float
    gain: np.ndarray  # (3,) white balance and exposure
    noise: float  # standard deviation, 0..1
    blur: float  # pixels at 200 rows
    raise_m: float  # metres added to the camera's height


class Palette:
    """Draws a colour of a material for one instance, in the look's blend of source and target.

    Both colours are always drawn, so that the stream does not depend on the gap.
    """

    def __init__(self, rng: np.random.Generator, name: LookName, gap: float) -> None:
        self._rng, self._name, self._gap = rng, name, gap
        self.natural = name != "random"

    def __call__(self, *materials: str) -> np.ndarray:
        """RGB in 0..1, one row per material, (N, 3) float32."""
        r = self._rng.random((len(materials), 12), np.float32)
        if self.natural:
            rows = [_ROW[m] for m in materials]
            ends = []
            for k in (0, 1):
                base = _TABLE[k, rows, (r[:, k] * _COUNT[k, rows]).astype(np.intp)]
                level = 1 + 0.28 * (r[:, 2 + k, None] - 0.5)
                ends.append(base * level + 0.05 * (r[:, 4 + 3 * k : 7 + 3 * k] - 0.5))
            colours = (1 - self._gap) * ends[0] + self._gap * ends[1]
            return np.clip(colours, 0.02, 1).astype(np.float32)
        # grey to vivid, dark to light: colour must tell nothing about the class
        grey = r[:, :1]
        return 0.05 + 0.9 * (grey + (r[:, 1:4] - grey) * r[:, 4:5])


def draw_look(rng: np.random.Generator, name: LookName, gap: float) -> Look:
    """Draw light, weather and sensor; `gap` counts for the target alone."""
    r = rng.random(40)

    def span(k: int, low: float, high: float) -> float:
        return low + (high - low) * float(r[k])

    azimuth = span(0, 0, 2 * np.pi)
    wild = name == "random"
    g = gap if name == "target" else 0.0
    height = np.radians(
        span(1, 15, 70) if wild else (1 - g) * span(1, 32, 62) + g * span(1, 20, 40)
    )
    sun = (
        float(np.cos(height) * np.cos(azimuth)),
        float(np.cos(height) * np.sin(azimuth)),
        float(np.sin(height)),
    )
    if wild:
        cover = span(2, 0, 1)
        tint = 0.75 + 0.5 * r[3:6]
        return Look(
            sun=sun,
            sun_rgb=(span(6, 0.1, 1.0) * tint).astype(np.float32),
            ambient_rgb=(span(7, 0.4, 0.85) * (0.8 + 0.4 * r[8:11])).astype(np.float32),
            sky_top=(r[11:14] * 0.9 + 0.05).astype(np.float32),
            sky_low=(r[14:17] * 0.9 + 0.05).astype(np.float32),
            clouds=cover,
            haze=span(17, 0.0, 0.025),
            texture=span(18, 0.2, 2.2),
            contrast=span(19, 0.6, 1.5),
            saturation=span(20, 0.3, 1.5),
            gain=(span(21, 0.7, 1.25) * (0.88 + 0.24 * r[22:25])).astype(np.float32),
            noise=span(25, 0.0, 0.06),
            blur=span(26, 0.3, 1.0),
            raise_m=span(27, -0.2, 1.4),
        )

    def mix(source: object, far: object) -> np.ndarray:
        return ((1 - g) * np.asarray(source) + g * np.asarray(far)).astype(np.float32)

    cover = span(2, 0.0, 1.0)
    strength = 0.72 - 0.5 * cover
    jitter = 0.96 + 0.08 * r[3:6]
    blue = np.array([0.40, 0.58, 0.84]) * span(7, 0.85, 1.1)
    overcast = np.array([0.74, 0.77, 0.80])
    top = blue + (overcast - blue) * cover
    low = np.array([0.80, 0.86, 0.92]) * span(8, 0.92, 1.04)
    far_top = np.array([0.86, 0.74, 0.60]) * span(9, 0.75, 1.05)
    far_low = np.array([0.95, 0.82, 0.70]) * span(10, 0.85, 1.03)
    return Look(
        sun=sun,
        sun_rgb=mix(
            strength * np.array([1.0, 0.96, 0.88]), strength * np.array([0.95, 0.66, 0.42])
        ),
        ambient_rgb=mix(
            (0.50 + 0.28 * cover) * np.array([0.95, 1.0, 1.07]) * jitter,
            (0.50 + 0.2 * cover) * np.array([1.08, 0.97, 0.90]) * jitter,
        ),
        sky_top=mix(top, far_top),
        sky_low=mix(low, far_low),
        clouds=cover,
        haze=float(mix(span(17, 0.001, 0.006), span(17, 0.012, 0.028))),
        texture=float(mix(1.0, span(18, 1.2, 1.9))),
        contrast=float(mix(span(19, 0.95, 1.1), span(19, 0.7, 0.85))),
        saturation=float(mix(1.0, 0.7)),
        gain=mix(span(21, 0.92, 1.08) * np.ones(3), span(21, 0.78, 1.0) * np.ones(3)),
        noise=float(mix(span(25, 0.006, 0.02), span(25, 0.05, 0.085))),
        blur=float(mix(0.5, span(26, 0.6, 0.9))),
        raise_m=float(mix(0.0, span(27, 0.6, 1.2))),
    )
