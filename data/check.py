"""What a folder of images is, and what is wrong with it: `goodsam data check`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from goodsam.data.class_map import ClassMap
from goodsam.data.classes import (
    CITYSCAPES,
    IGNORE,
    MAPILLARY,
    NINETEEN,
    WILDPASS,
    Protocol,
)
from goodsam.data.errors import InputError
from goodsam.data.geometry import LEVELLED
from goodsam.data.panoramas import (
    Conversions,
    Placement,
    Sample,
    other_projection,
    placement_of,
    read_ids,
    read_image,
    read_truth,
    survey,
)
from goodsam.data.panoramas.indoor import protocol_at, rooms_of
from goodsam.data.windows import PAPER_HEIGHT, PAPER_WIDTH, is_band, is_sphere

PLAIN, WILDPASS_LAYOUT = "a plain folder", "WildPASS, leftImg8bit/val/cs/N, Mapillary ids"

# What the names below a data set's root look like; the first that fits all of them is the layout.
_NAMED = 5  # of the pictures that a note is about
_LAYOUTS = {
    "Cityscapes": r"leftImg8bit/[^/]+/[^/]+/[^/]+_leftImg8bit\.png",
    "DensePASS, leftImg8bit/val/N_.png": r"leftImg8bit/val/[^/]+_\.png",
    "DensePASS, leftImg8bit/val/cs/N_.png": r"leftImg8bit/val/cs/[^/]+_\.png",
    "DensePASS, leftImg8bit/val/cs/N.png": r"leftImg8bit/val/cs/[^/]+",
    "WildPASS2K, leftImg8bit/train/CITY/N": r"leftImg8bit/train/[^/]+/[^/]+",
    "WildPASS2K, leftImg8bit/CITY/N": r"leftImg8bit/[^/]+/[^/]+",
}
_ROOM_LAYOUTS = {
    "Stanford2D3D, area_N/pano": r".*/area_\d[ab]?/pano/rgb/[^/]+_rgb\.png",
    "Stanford2D3D's pinhole images, area_N/data": r".*/area_\d[ab]?/data/rgb/[^/]+_rgb\.png",
    "Structured3D, scene_N/2D_rendering/ROOM/panorama": r".*/scene_\d+/2D_rendering/.*/panorama/.*",
    "Structured3D's pinhole images, scene_N/2D_rendering/ROOM/perspective": (
        r".*/scene_\d+/2D_rendering/.*/perspective/.*"
    ),
}
# What the published sets hold, by the first word of the layout.
EXPECTED = {"DensePASS": 100, "WildPASS2K": 2000, "WildPASS": 500, "Stanford2D3D": 1413}


@dataclass
class Checked:
    """What `check` found.

    layout: in words. protocol: the --protocol that the labels are for, None without labels. sizes:
    images by (width, height). classes: label maps by the class that occurs in them. images_alone,
    labels_alone: keys of files without a partner. problems: one line each. not_taken: files beside
    the images that are left out, and why. placed: what cameras say of their images' crop and tilt.
    odd: images of proportions that --fit does not take.
    """

    layout: str
    images: int
    pairs: int
    protocol: str | None = None
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    images_alone: tuple[str, ...] = ()
    labels_alone: tuple[str, ...] = ()
    problems: list[str] = field(default_factory=list)
    not_taken: dict[str, str] = field(default_factory=dict)
    placed: dict[str, str] = field(default_factory=dict)
    conversions: Conversions = field(default_factory=Conversions)
    odd: list[str] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """What is worth knowing and no fault."""
        notes = []
        expected = EXPECTED.get(self.layout.partition(",")[0])
        if expected is not None and expected != self.images:
            notes.append(f"the published set has {expected} images")
        if len(self.sizes) > 1 and not all(is_sphere(h, w) for w, h in self.sizes):
            notes.append("images differ in size: pass --fit to cache-sam and predict")
        if self.odd and self.layout == PLAIN:
            first = ", ".join(self.odd[:_NAMED]) + ", ..." * (len(self.odd) > _NAMED)
            notes.append(
                f"{len(self.odd)} of neither 360° x 180° (2:1) nor 360° x 70.3° (512:100), which "
                f"cache-sam, predict and run refuse to fit; move them away: {first}"
            )
        if str(self.conversions):
            notes.append(str(self.conversions))
        return notes

    def to_json(self) -> dict[str, Any]:
        return {
            "layout": self.layout,
            "images": self.images,
            "pairs": self.pairs,
            "protocol": self.protocol,
            "sizes": {f"{w}x{h}": count for (w, h), count in self.sizes.most_common()},
            "classes": dict(self.classes),
            "images_without_labels": list(self.images_alone),
            "labels_without_images": list(self.labels_alone),
            "not_taken": self.not_taken,
            "placed": self.placed,
            "problems": self.problems,
            "notes": self.notes,
        }


def check(
    folder: Path,
    labels: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    class_map: ClassMap | None = None,
) -> Checked:
    """Recognise a folder's layout, pair its images with labels, and read every file once.

    class_map: what the labels' ids become; None: they are Cityscapes' or WildPASS's.
    Labels of rooms mean what their data set says.

    Raises InputError for a folder that holds no images, or whose names cannot be told apart.
    """
    found = survey(folder, labels)
    layout = recognise(found.samples)
    labelled = [sample for sample in found.samples if sample.labels is not None]
    truth_by = _protocol(labelled, class_map)
    if truth_by is WILDPASS:
        layout = WILDPASS_LAYOUT
    result = Checked(
        layout,
        found.images,
        len(labelled),
        protocol=truth_by.key if labelled else None,
        images_alone=found.images_alone,
        labels_alone=found.labels_alone,
    )
    result.problems += [f"no label map for the image {key}" for key in found.images_alone]
    result.not_taken = {str(f.path): f.why for f in found.not_taken}
    result.problems += [f"no image for the label map {key}" for key in found.labels_alone]
    for done, sample in enumerate(found.samples, 1):
        try:
            image = read_image(sample.image, result.conversions)
            height, width = image.shape[:2]
            result.sizes[width, height] += 1
            if (other := other_projection(image)) is not None:
                raise InputError(f"{sample.image}: {other}")
            where = placement_of(sample.image, (height, width), LEVELLED)
            if where is not None:
                result.placed[sample.name] = _placed(where, height, width)
            elif not (is_band(height, width) or is_sphere(height, width)):
                result.odd.append(sample.name)
            if sample.labels is not None:
                truth = _classes(sample, truth_by)
                if truth[1] != (height, width):
                    h, w = truth[1]
                    raise InputError(
                        f"{sample.labels}: {w} x {h}, its image is {width} x {height}; give a "
                        "label map of the image's size"
                    )
                result.classes.update(truth[0])
        except InputError as error:
            result.problems.append(str(error))
        progress(done, found.images)
    return result


def _protocol(labelled: list[Sample], class_map: ClassMap | None) -> Protocol:
    """What the labels of a data set mean, by their place and their ids."""
    for sample in labelled:
        if sample.labels is not None and rooms_of(sample.labels) is not None:
            return protocol_at(sample.labels)
    if class_map is not None:
        return class_map.protocol()
    return WILDPASS if any(map(_mapillary, labelled)) else NINETEEN


def _placed(where: Placement, height: int, width: int) -> str:
    """What a camera says of a photograph, and what becomes of it."""
    words = []
    if (height, width) != where.sphere:
        share = 100 * where.covered((height, width), (PAPER_HEIGHT, PAPER_WIDTH))
        words.append(
            f"cropped from {where.sphere[1]:.0f} x {where.sphere[0]:.0f}; --fit places it on its "
            f"sphere, of whose band it shows {share:.0f} %"
        )
    if not where.upright:
        words.append(
            f"tilted, pitch {where.pitch:g}, roll {where.roll:g} degrees; --fit and plans of "
            "spheres undo it, --no-level leaves it"
        )
    return "; ".join(words)


def recognise(samples: list[Sample]) -> str:
    """The layout that all names have in common, in words."""
    for layout, pattern in _LAYOUTS.items():
        if all(re.fullmatch(pattern, sample.name) for sample in samples):
            return layout
    for layout, pattern in _ROOM_LAYOUTS.items():
        if all(re.fullmatch(pattern, sample.image.absolute().as_posix()) for sample in samples):
            return layout
    if all(sample.name.startswith("leftImg8bit/") for sample in samples):
        return "images under leftImg8bit/, in no published arrangement"
    return PLAIN


def _mapillary(sample: Sample) -> bool:
    """Whether a label map holds WildPASS's Mapillary ids: all of its ids, and one no train id."""
    assert sample.labels is not None
    if sample.label_ids:
        return False
    try:
        ids = set(np.unique(read_ids(sample.labels)).tolist()) - {IGNORE}
        read_truth(sample.labels, WILDPASS)
    except InputError:
        return False
    return bool(ids & MAPILLARY.keys()) and max(ids) >= len(CITYSCAPES)


def _classes(sample: Sample, protocol: Protocol) -> tuple[set[str], tuple[int, int]]:
    path = sample.labels
    assert path is not None
    truth = read_truth(path, protocol, sample.label_ids)
    present = np.unique(truth[truth != IGNORE])
    height, width = truth.shape
    return {protocol.names[index] for index in present}, (height, width)
