"""What a photograph says of its own projection: Google's GPano fields in its XMP."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from pathlib import Path

from goodsam.data.errors import InputError
from goodsam.data.geometry import Pose
from goodsam.data.panoramas.placement import Placement
from goodsam.data.panoramas.read import read_xmp
from goodsam.data.windows import is_sphere

_NAMESPACE = "{http://ns.google.com/photos/1.0/panorama/}"
_LEAST = 0.1  # degrees: less of pitch or roll is less than a pixel of the band
_MOST_XMP = 2**20  # bytes


def placement_of(path: Path, size: tuple[int, int], pose: Pose) -> Placement | None:
    """Where a photograph of `size` (height, width) lies on its sphere.

    None where there is nothing to undo: it shows the whole sphere, or a band of it, upright. Pitch
    and roll are those that its camera wrote, unless `pose` says otherwise. Raises InputError for
    GPano fields that contradict each other or the picture, and for a projection that is none of
    ours.
    """
    fields = read_gpano(path)
    try:
        whole = _cropped(fields, size)
        pitch, roll = pose.pitch, pose.roll
        if pose.level and (_PITCH in fields or _ROLL in fields):
            pitch, roll = _number(fields, _PITCH, 0, 90), _number(fields, _ROLL, 0, 180)
    except ValueError as error:
        raise InputError(
            f"{path}: its GPano XMP says {error}; correct it, or remove it with "
            f"`exiftool -XMP-GPano:all= {path.name}`"
        ) from error
    if whole is None:
        return posed(size, pitch, roll)
    pitch, roll = (0.0 if abs(angle) < _LEAST else angle for angle in (pitch, roll))
    return Placement(*whole, pitch, roll)


def posed(size: tuple[int, int], pitch: float, roll: float) -> Placement | None:
    """Where a picture of `size` (height, width) all around lies; None if the camera stood straight.

    What is no sphere is taken for a band around the horizon, with square pixels.
    """
    if max(abs(pitch), abs(roll)) < _LEAST:
        return None
    height, width = size
    sphere = float(height) if is_sphere(height, width) else width / 2
    return Placement((sphere, float(width)), (sphere - height) / 2, 0.0, pitch, roll)


def read_gpano(path: Path) -> dict[str, str]:
    """The GPano fields of an image, empty where it has none. InputError for torn XMP with GPano."""
    xmp = read_xmp(path)
    if b"GPano" not in xmp and _NAMESPACE[1:-1].encode() not in xmp:
        return {}
    try:
        if len(xmp) > _MOST_XMP or b"<!DOCTYPE" in xmp or b"<!ENTITY" in xmp:
            raise ET.ParseError("it is no plain XMP")
        root = ET.fromstring(xmp[: xmp.rindex(b">") + 1])
    except (ET.ParseError, ValueError) as error:
        raise InputError(
            f"{path}: its XMP cannot be read ({error}); remove it with `exiftool -XMP= {path.name}`"
        ) from error
    fields = {}
    for element in root.iter():
        for name, value in element.attrib.items():
            if name.startswith(_NAMESPACE):
                fields[name.removeprefix(_NAMESPACE)] = value
        if str(element.tag).startswith(_NAMESPACE):
            fields[str(element.tag).removeprefix(_NAMESPACE)] = (element.text or "").strip()
    return fields


_PITCH, _ROLL = "PosePitchDegrees", "PoseRollDegrees"
_CROP = (
    "FullPanoHeightPixels",
    "FullPanoWidthPixels",
    "CroppedAreaImageHeightPixels",
    "CroppedAreaImageWidthPixels",
    "CroppedAreaTopPixels",
    "CroppedAreaLeftPixels",
)


def _cropped(
    fields: dict[str, str], size: tuple[int, int]
) -> tuple[tuple[float, float], float, float] | None:
    """The sphere's size, top and left in the picture's own pixels; None if it is the whole sphere.

    ValueError, in words, for fields that cannot be true.
    """
    projection = fields.get("ProjectionType", "equirectangular")
    if projection != "equirectangular":
        raise ValueError(f"ProjectionType {projection}, and only equirectangular is taken")
    if not any(name in fields for name in _CROP):
        return None
    full_h, full_w, h, w, top, left = (_number(fields, name, None) for name in _CROP)
    said = f"{w:g} x {h:g} at {left:g}, {top:g} of {full_w:g} x {full_h:g}"
    if min(full_h, full_w, h, w) < 1 or not is_sphere(int(full_h), int(full_w)):
        raise ValueError(f"{said}, which is no part of a 2:1 sphere")
    if top < 0 or left < 0 or top + h > full_h + 1 or w > full_w or left >= full_w:
        raise ValueError(f"{said}, which does not lie in it")
    down, across = size[0] / h, size[1] / w
    if abs(down / across - 1) > 0.02:
        raise ValueError(f"{said}, and the picture is {size[1]} x {size[0]}")
    if h >= full_h - 1 and w >= full_w - 1:
        return None
    return (full_h * down, full_w * across), top * down, left * across


def _number(fields: dict[str, str], name: str, default: float | None, most: float = 2**31) -> float:
    text = fields.get(name)
    if text is None and default is not None:
        return default
    try:
        value = float(text if text is not None else "nothing")
    except ValueError:
        value = math.nan
    if not abs(value) <= most:
        raise ValueError(f"{name} {text}")
    return value
