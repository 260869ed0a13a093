"""The world of rooms on disk, in the folders, names and colours of Stanford2D3D."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from goodsam.data.alone import alone
from goodsam.data.errors import InputError
from goodsam.data.files import check_folder, write_whole, written_aside
from goodsam.data.indoors.picture import pinhole, room_of, sphere
from goodsam.data.panoramas.indoor import LABEL_NAMES
from goodsam.data.ranges import COUNT_OR_NONE, SEED, SHARE, check_range
from goodsam.data.street.picture import DEFAULT_GAP, Picture

AREAS = ("1", "2", "3", "4", "5a", "5b", "6")
UNKNOWN = "<UNK>_0_<UNK>_0_0"
MISSING = (13, 13, 13)  # the colour of what has no label
MARK = {"Source": "goodsam rooms"}  # a text chunk of each picture
_MOST = 65_536  # names that two channels of a colour can tell apart


def write_rooms(
    out: Path,
    *,
    rooms: int,
    seed: int,
    pinholes: int = 0,
    height: int = 200,
    gap: float = DEFAULT_GAP,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write `rooms` rooms to each of the seven areas of Stanford2D3D, below `out`.

    Of each room a panorama, `height` x 2 `height`, at area_N/pano/{rgb,semantic}/, and `pinholes`
    square images of `height` at area_N/data/{rgb,semantic}/; what the colours of the labels mean is
    in assets/semantic_labels.json. Files that are there are kept, and an image is written after its
    labels. progress: is told (done, total) rooms.

    Raises InputError for numbers that make no sense, for more things than the labels can tell
    apart, and where `out` holds another world: of another seed, height, gap or number of rooms.
    """
    for name, count in (("rooms", rooms), ("pinholes", pinholes)):
        check_range(name, count, COUNT_OR_NONE)
    check_range("seed", seed, SEED)
    check_range("gap", gap, SHARE)
    check_folder(out)
    places = [(area, number) for area in range(len(AREAS)) for number in range(rooms)]
    names = [UNKNOWN]
    first: dict[tuple[int, int], int] = {}
    for area, number in places:
        first[area, number] = len(names)
        # areas 5a and 5b share their number: rooms are counted over the whole world
        names += _names(_seed(seed, area, number), AREAS[area], area * rooms + number + 1)
    if len(names) > _MOST:
        raise InputError(f"{rooms} rooms an area: {len(names)} things, the most is {_MOST}")
    with alone(out):
        for name, content in (
            ("world.json", {"seed": seed, "height": height, "gap": gap}),
            (LABEL_NAMES, names),
        ):
            _claim(out / "assets" / name, json.dumps(content))
        for done, (area, number) in enumerate(places, 1):
            room = area * rooms + number + 1
            stem = f"camera_{area:016x}{number:016x}_office_{room}_frame"
            folder, of_room = out / f"area_{AREAS[area]}", _seed(seed, area, number)
            start = first[area, number]
            _write(
                folder / "pano",
                f"{stem}_equirectangular_domain",
                partial(sphere, of_room, height, gap),
                start,
            )
            for view in range(pinholes):
                _write(
                    folder / "data",
                    f"{stem}_{view}_domain",
                    partial(pinhole, of_room, view, height),
                    start,
                )
            progress(done, len(places))


def _seed(seed: int, area: int, number: int) -> tuple[int, int, int]:
    return seed, area, number


def _names(seed: tuple[int, int, int], area: str, room: int) -> list[str]:
    """What the things of a room are called: class, number of its kind, room, its number, area."""
    counts: dict[str, int] = {}
    found = []
    for name in room_of(seed).names:
        counts[name] = counts.get(name, 0) + 1
        found.append(f"{name}_{counts[name]}_office_{room}_{area[0]}")
    return found


def _claim(path: Path, content: str) -> None:
    """Write a file that says which world it is. InputError where one of another world lies."""
    if path.exists() and path.read_text() != content:
        raise InputError(f"{path}: of another world; give another folder, or remove it")
    write_whole(path, content)


def _write(folder: Path, stem: str, render: Callable[[], Picture], first: int) -> None:
    """Write the labels and the image of a picture whose first thing has the name `first`."""
    image = folder / "rgb" / f"{stem}_rgb.png"
    if image.exists():
        return
    picture = render()
    _save(folder / "semantic" / f"{stem}_semantic.png", label_colours(picture.instances, first))
    _save(image, picture.image)


def label_colours(instances: np.ndarray, first: int) -> np.ndarray:
    """uint16 (H, W) instances from 1 on, 0 for none -> uint8 (H, W, 3), as Stanford2D3D has them.

    first: the index of the name of instance 1.
    """
    index = instances.astype(np.int32) + first - 1
    colours = np.stack([np.zeros_like(index), index >> 8, index & 255], axis=-1).astype(np.uint8)
    colours[instances == 0] = MISSING
    return colours


def _save(path: Path, pixels: np.ndarray) -> None:
    mark = PngInfo()
    for key, value in MARK.items():
        mark.add_text(key, value)
    with written_aside(path) as aside:
        Image.fromarray(pixels).save(aside, format="PNG", pnginfo=mark)
