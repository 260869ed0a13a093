"""What stands in a room, and where: everything is drawn from one stream of random numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from goodsam.data.indoors.room import SHELL, TRIES, Finish, Part, Room, put

# RGB, 0..255: those of the source, and of the look at gap 1.
_MATERIALS = {
    "wall": (
        [(222, 218, 208), (206, 210, 212), (214, 200, 176)],
        [(176, 188, 196), (196, 164, 140)],
    ),
    "ceiling": ([(236, 236, 232), (226, 226, 222)], [(206, 198, 184), (190, 196, 204)]),
    "floor": ([(128, 96, 70), (110, 112, 116), (150, 132, 108)], [(96, 84, 92), (150, 108, 84)]),
    "wood": ([(150, 108, 70), (112, 78, 52), (186, 150, 108)], [(120, 72, 60), (168, 124, 72)]),
    "door": ([(136, 96, 62), (196, 192, 184), (92, 70, 54)], [(110, 92, 80), (164, 112, 96)]),
    "metal": ([(150, 152, 156), (70, 72, 76)], [(128, 116, 112), (84, 74, 80)]),
    "cloth": (
        [(60, 78, 120), (140, 52, 48), (92, 96, 100), (70, 104, 84)],
        [(120, 92, 60), (96, 70, 112)],
    ),
    "glass": ([(196, 220, 236), (176, 200, 216)], [(226, 200, 164), (206, 176, 150)]),
    "white": ([(240, 240, 238), (228, 230, 232)], [(226, 214, 196), (214, 206, 200)]),
    "thing": (
        [(196, 60, 50), (40, 90, 160), (220, 190, 70), (60, 130, 80), (40, 40, 44)],
        [(170, 90, 60), (90, 80, 130)],
    ),
}

Palette = Callable[..., np.ndarray]


def palette(rng: np.random.Generator, gap: float) -> Palette:
    """Colours of materials, (N, 3) float32 in 0..1: the source's at gap 0, blended in RGB."""

    def colours(*materials: str) -> np.ndarray:
        found = []
        for name in materials:
            ends = [
                np.array(choices[int(rng.integers(len(choices)))]) for choices in _MATERIALS[name]
            ]
            found.append(((1 - gap) * ends[0] + gap * ends[1]) / 255 * rng.uniform(0.88, 1.08))
        return np.clip(found, 0.02, 1).astype(np.float32)

    return colours


def draw_room(rng: np.random.Generator, colour: Palette) -> Room:
    """A room of 4 to 9 metres with all that is in it, and a camera at the height of eyes."""
    half = (float(rng.uniform(2.2, 4.5)), float(rng.uniform(2.0, 3.6)))
    height = float(rng.uniform(2.5, 3.4))
    camera = (
        float(rng.uniform(-0.4, 0.4)) * half[0],
        float(rng.uniform(-0.4, 0.4)) * half[1],
        float(rng.uniform(1.3, 1.7)),
    )
    shell = dict(zip(("floor", "ceiling", "wall"), colour("floor", "ceiling", "wall"), strict=True))
    floors: tuple[Finish, ...] = ("tiles", "boards", "plain")
    floor = floors[int(rng.integers(3))]
    room = Room(half, height, camera, shell, {"floor": floor, "ceiling": "tiles", "wall": "plain"})
    for name in SHELL:
        room.instance(name)
    _on_walls(room, rng, colour)
    if rng.random() < 0.6:
        y = float(rng.uniform(-0.6, 0.6)) * half[1]
        beam = Part(0, 0, half[0], 0.15, height - float(rng.uniform(0.2, 0.35)), height)
        put(room, "beam", (0, y, 0), [beam], colour("wall"))
    if rng.random() < 0.6:
        _stand(room, rng, "column", (0.22, 0.22), [Part(0, 0, 0.2, 0.2, 0, height)], colour("wall"))
    _bookcases(room, rng, colour)
    _sofas(room, rng, colour)
    _tables(room, rng, colour)
    for _ in range(int(rng.integers(3, 7))):
        size, tall = rng.uniform(0.12, 0.3, 2), float(rng.uniform(0.15, 0.6))
        parts = [Part(0, 0, float(size[0]), float(size[1]), 0, tall)]
        _stand(room, rng, "clutter", (0.32, 0.32), parts, colour("thing"))
    return room


def _on_walls(room: Room, rng: np.random.Generator, colour: Palette) -> None:
    """A door, windows and a board, each on a stretch of wall of its own."""
    free = [(side, place) for side in range(4) for place in (-0.5, 0.5)]
    rng.shuffle(free)
    windows, boards = int(rng.integers(1, 3)), int(rng.integers(1, 3))
    for name in ("door", *("window",) * windows, *("board",) * boards):
        side, place = free.pop()
        along, across = room.half if side < 2 else room.half[::-1]
        shift = float(place) * along
        wall = across if side % 2 else -across
        at = (shift, wall, 0.0) if side < 2 else (wall, shift, float(np.pi / 2))
        if name == "door":
            parts = [
                Part(0, 0, 0.52, 0.05, 0, 2.12, 1),
                Part(0, 0, 0.45, 0.08, 0, 2.05, 0, "wood"),
                Part(0.36, 0, 0.05, 0.13, 0.98, 1.06, 2),
            ]
            put(room, name, at, parts, colour("door", "white", "metal"))
            room.taken.append((at[0], at[1], 0.8, 0.8))
        elif name == "window":
            half, low = min(float(rng.uniform(0.5, 0.9)), 0.4 * along), float(rng.uniform(0.8, 1.0))
            parts = [
                Part(0, 0, half + 0.06, 0.05, low - 0.06, 2.16, 1),
                Part(0, 0, half, 0.07, low, 2.1, 0, "panes"),
            ]
            put(room, name, at, parts, colour("glass", "white"))
        else:
            half = min(float(rng.uniform(0.5, 1.0)), 0.4 * along)
            parts = [
                Part(0, 0, half + 0.04, 0.03, 0.96, 2.04, 1),
                Part(0, 0, half, 0.05, 1.0, 2.0, 0, "writing"),
            ]
            put(room, name, at, parts, colour("white", "metal"))


def _stand(
    room: Room,
    rng: np.random.Generator,
    name: str,
    size: tuple[float, float],
    parts: list[Part],
    colours: np.ndarray,
    *,
    at_wall: bool = False,
) -> tuple[float, float, float] | None:
    """Put a thing of half extents `size` at a free place; where: x, y, yaw, None for nowhere."""
    for _ in range(TRIES):
        turn = int(rng.integers(4))
        rx, ry = size if turn % 2 == 0 else size[::-1]
        x, y = (float(rng.uniform(-1, 1)) * (room.half[k] - (rx, ry)[k]) for k in (0, 1))
        if at_wall:  # its back, at its own -y, to the wall
            x, y = (
                (x, -room.half[1] + ry),
                (room.half[0] - rx, y),
                (x, room.half[1] - ry),
                (-room.half[0] + rx, y),
            )[turn]
        x, y = x * 0.999, y * 0.999
        if room.free(x, y, rx, ry):
            at = (x, y, turn * float(np.pi / 2))
            put(room, name, at, parts, colours)
            return at
    return None


def _bookcases(room: Room, rng: np.random.Generator, colour: Palette) -> None:
    for _ in range(int(rng.integers(1, 4))):
        half, high = float(rng.uniform(0.4, 0.9)), float(rng.uniform(1.4, 2.2))
        parts = [
            Part(0, 0, half, 0.16, 0, high, 0, "wood"),
            Part(0, 0.02, half - 0.04, 0.16, 0.1, high - 0.06, 1, "books"),
        ]
        size = (half, 0.19)
        _stand(room, rng, "bookcase", size, parts, colour("wood", "thing"), at_wall=True)


def _sofas(room: Room, rng: np.random.Generator, colour: Palette) -> None:
    for _ in range(int(rng.integers(1, 3))):
        half = float(rng.uniform(0.5, 1.0))
        parts = [
            Part(0, 0, half, 0.4, 0.08, 0.42),
            Part(0, -0.3, half, 0.1, 0.42, 0.85),
            *(Part(side * (half - 0.08), 0, 0.08, 0.4, 0.42, 0.62) for side in (-1, 1)),
        ]
        _stand(room, rng, "sofa", (half, 0.42), parts, colour("cloth"), at_wall=True)


def _tables(room: Room, rng: np.random.Generator, colour: Palette) -> None:
    """Tables with clutter on them and chairs around."""
    for _ in range(int(rng.integers(1, 4))):
        hx, hy, high = float(rng.uniform(0.5, 0.9)), float(rng.uniform(0.35, 0.5)), 0.74
        legs = [Part(i * (hx - 0.06), j * (hy - 0.06), 0.03, 0.03, 0, high - 0.04, 1)
                for i in (-1, 1) for j in (-1, 1)]  # fmt: skip
        top = Part(0, 0, hx, hy, high - 0.04, high, 0, "wood")
        at = _stand(room, rng, "table", (hx, hy), [top, *legs], colour("wood", "metal"))
        if at is None:
            continue
        for _ in range(int(rng.integers(0, 3))):
            x, y = (float(rng.uniform(-0.8, 0.8)) * (half - 0.1) for half in (hx, hy))
            tall = float(rng.uniform(0.04, 0.35))
            put(room, "clutter", at, [Part(x, y, 0.1, 0.08, high, high + tall)], colour("thing"))
    for _ in range(int(rng.integers(2, 6))):
        legs = [Part(i * 0.19, j * 0.19, 0.02, 0.02, 0, 0.42, 1) for i in (-1, 1) for j in (-1, 1)]
        parts = [
            Part(0, 0, 0.22, 0.22, 0.42, 0.48),
            Part(0, -0.2, 0.22, 0.03, 0.48, 0.92),
            *legs,
        ]
        _stand(room, rng, "chair", (0.24, 0.24), parts, colour("cloth", "metal"))
