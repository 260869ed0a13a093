"""Rooms: where Stanford2D3D and Structured3D keep panoramas and labels, and what the labels mean.

    Stanford2D3D    area_1/pano/rgb/X_rgb.png, area_1/pano/semantic/X_semantic.png; pinhole images
                    the same under data/. A colour of a label is the base-256 number of a line of
                    `assets/semantic_labels.json`, which begins with the class.
    Structured3D    scene_00000/2D_rendering/ROOM/panorama/full/rgb_rawlight.png, semantic.png; also
                    with less furniture and in other light. Labels are the 40 ids of NYUv2.

Labels lie beside their images, not in a folder of their own, and their ids are those of no other
data set: a protocol says which it is for (`Protocol.rooms`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from goodsam.data.classes import IGNORE, NINETEEN, Protocol
from goodsam.data.errors import InputError
from goodsam.data.panoramas.read import read_image
from goodsam.data.rooms import (
    PROTOCOLS_OF_ROOMS,
    STANFORD,
    STANFORD_THIRTEEN,
    STRUCTURED_EIGHT,
)
from goodsam.data.strangers import parse_json, read_bounded

if TYPE_CHECKING:
    from goodsam.data.panoramas.find import Sample

Rooms = Literal["stanford2d3d", "structured3d"]

_AREA = r".*/area_(?P<area>\d[ab]?)/(?P<kind>pano|data)/"
_SCENE = (
    r"(?P<room>.*/scene_\d+/2D_rendering/[^/]+)/"
    r"(?P<kind>panorama|perspective)/(?P<furniture>full|simple|empty)/(?P<position>\d+/)?"
)
_PHOTOGRAPHS = (
    re.compile(_AREA + r"rgb/[^/]+_rgb\.png"),
    re.compile(_SCENE + r"rgb_(?P<light>raw|warm|cold)light\.png"),
)
_LABELS: dict[Rooms, re.Pattern[str]] = {
    "stanford2d3d": re.compile(_AREA + r"semantic/[^/]+_semantic\.png"),
    "structured3d": re.compile(_SCENE + r"semantic\.png"),
}
# One picture of a room, where it was rendered several times: the first of these.
_FURNITURE, _LIGHT = ("full", "simple", "empty"), ("raw", "warm", "cold")

TITLES: dict[Rooms, str] = {"stanford2d3d": "Stanford2D3D", "structured3d": "Structured3D"}
_ALL_CLASSES = {"stanford2d3d": STANFORD_THIRTEEN, "structured3d": STRUCTURED_EIGHT}
LABEL_NAMES = "semantic_labels.json"

FOLDS = {1: ("5a", "5b"), 2: ("2", "4"), 3: ("1", "3", "6")}
"""The areas of Stanford2D3D that each fold is tested on; it is trained on all others."""


def rooms_of(labels: Path) -> Rooms | None:
    """Which data set of rooms a label map belongs to, by its path; None for any other."""
    path = labels.absolute().as_posix()
    return next((rooms for rooms, pattern in _LABELS.items() if pattern.fullmatch(path)), None)


def protocol_at(labels: Path) -> Protocol:
    """All that a label map says, by its place: the classes of a data set of rooms, or the 19."""
    rooms = rooms_of(labels)
    return NINETEEN if rooms is None else _ALL_CLASSES[rooms]


def room_photographs(files: Iterable[Path]) -> list[Path]:
    """The images among all files of a data set of rooms; none where the files are no such set.

    Pinhole images only where there are no panoramas; of a room that was rendered with more and less
    furniture and in several lights, the fullest in raw light.
    """
    found: dict[tuple[str, ...], tuple[tuple[int, int], Path]] = {}
    panoramas: dict[Path, bool] = {}
    for path in files:
        name = path.absolute().as_posix()
        match = next((m for p in _PHOTOGRAPHS if (m := p.fullmatch(name))), None)
        if match is None:
            continue
        at = match.groupdict()
        panoramas[path] = at["kind"] in {"pano", "panorama"}
        key: tuple[str, ...] = (name,)
        rank = 0, 0
        if "room" in at:
            key = at["room"], at["kind"], at["position"] or ""
            rank = _FURNITURE.index(at["furniture"]), _LIGHT.index(at["light"])
        if key not in found or rank < found[key][0]:
            found[key] = rank, path
    wanted = any(panoramas.values())
    return [path for _, path in found.values() if panoramas[path] == wanted]


def all_room_photographs(files: Sequence[Path]) -> bool:
    """Whether every one of some files is an image of a data set of rooms."""
    return all(any(p.fullmatch(f.absolute().as_posix()) for p in _PHOTOGRAPHS) for f in files)


def labels_beside(image: Path) -> Path:
    """Where the label map of an image of a data set of rooms lies, if it has one."""
    if image.name.endswith("_rgb.png"):
        return image.parents[1] / "semantic" / f"{image.name.removesuffix('_rgb.png')}_semantic.png"
    return image.parent / "semantic.png"


def _image_beside(labels: Path) -> Path:
    """The image of a label map of Stanford2D3D."""
    return labels.parents[1] / "rgb" / f"{labels.name.removesuffix('_semantic.png')}_rgb.png"


def fold(samples: Iterable[Sample], number: int) -> tuple[list[Sample], list[Sample]]:
    """The panoramas of Stanford2D3D that a fold trains on and those that it is tested on.

    InputError for an image of no area, and where one of the two is empty.
    """
    parts: tuple[list[Sample], list[Sample]] = ([], [])
    for sample in samples:
        match = _PHOTOGRAPHS[0].fullmatch(sample.image.absolute().as_posix())
        if match is None:
            raise InputError(f"{sample.image}: not below area_N/pano/rgb/, as in Stanford2D3D")
        parts[match["area"] in FOLDS[number]].append(sample)
    for part, what in zip(parts, ("to train on", "to test on"), strict=True):
        if not part:
            raise InputError(
                f"fold {number} of Stanford2D3D: no panoramas {what}; it is tested on "
                f"{', '.join(f'area_{area}' for area in FOLDS[number])} and trained on the others"
            )
    return parts


def refuse_another(labels: Path, protocol: Protocol | None) -> None:
    """InputError for a label map of another data set than a protocol is for; None: any outdoors."""
    rooms, wanted = rooms_of(labels), None if protocol is None else protocol.rooms
    if rooms == wanted:
        return
    if rooms is not None:
        keys = [key for key, one in PROTOCOLS_OF_ROOMS.items() if one.rooms == rooms]
        raise InputError(
            f"{labels}: a label map of {TITLES[rooms]}, whose ids are those of rooms; score it "
            f"with --protocol {' or '.join(keys)}"
        )
    assert protocol is not None
    raise InputError(
        f"{labels}: not where {protocol.rooms} has its labels, which the protocol {protocol.key} "
        "is for; keep the data set's folders as they are"
    )


def read_stanford(labels: Path) -> np.ndarray:
    """uint8 (H, W): `stanford_ids` of a label map, its image and its names. InputError if wrong."""
    classes, colours = stanford_classes(labels), read_image(labels)
    photograph = read_image(_image_beside(labels))
    if photograph.shape != colours.shape:
        (h, w), (ph, pw) = colours.shape[:2], photograph.shape[:2]
        raise InputError(f"{labels}: {w} x {h}, its image is {pw} x {ph}; take the set as it comes")
    try:
        return stanford_ids(colours, photograph, classes)
    except InputError as error:
        raise InputError(f"{labels}: {error}") from error


def stanford_ids(colours: np.ndarray, photograph: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """uint8 (H, W): the class of each pixel in the order of `STANFORD`, 255 where it has none.

    colours: uint8 (H, W, 3), R * 65536 + G * 256 + B an index of `classes`, uint8 (N,); with any
    red nothing is known (#0D0D0D). photograph: uint8 (H, W, 3), black where the camera saw nothing.
    InputError for an index beyond `classes`.
    """
    known = colours[..., 0] == 0
    index = np.where(known, colours[..., 1].astype(np.int32) * 256 + colours[..., 2], 0)
    if index.max(initial=0) >= len(classes):
        raise InputError(
            f"index {index.max()} is beyond the {len(classes)} names of {LABEL_NAMES}; take the "
            "file that belongs to the data set"
        )
    return np.where(known & photograph.any(axis=-1), classes[index], np.uint8(IGNORE))


def stanford_classes(labels: Path) -> np.ndarray:
    """uint8 (N,): the class, in the order of `STANFORD`, of each name of `semantic_labels.json`.

    labels: a label map, above whose area the file lies, in `assets/` or not. InputError if not.
    """
    root = labels.absolute().parents[3]
    places = [folder / LABEL_NAMES for folder in (root / "assets", root)]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise InputError(
            f"{places[0]}: not there, and without it nobody knows what the labels mean; it comes "
            "with the data set, and lies at github.com/alexsax/2D-3D-Semantics"
        )
    return _classes(path)


@cache
def _classes(path: Path) -> np.ndarray:
    try:
        names = parse_json(read_bounded(path))
        first = [str(name).partition("_")[0] for name in names]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: cannot be read as a list of names ({error})") from error
    if unknown := sorted(set(first) - {*STANFORD, "<UNK>"}):
        raise InputError(f"{path}: {unknown[0]!r} is none of the 13 classes of Stanford2D3D")
    ids = [STANFORD.index(name) if name in STANFORD else IGNORE for name in first]
    return np.array(ids, np.uint8)
