"""The pictures that exports are compared and calibrated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from goodsam.data.classes import CITYSCAPES, Protocol, protocol_for
from goodsam.data.errors import InputError
from goodsam.data.panoramas import Sample, read_image, read_truth
from goodsam.data.street.picture import panorama, sphere
from goodsam.data.street.seeds import split_seed
from goodsam.data.windows import PAPER_HEIGHT, panorama_width
from goodsam.stages.segformer.segment import SMALLEST_SIDE
from goodsam.stages.segformer.segmenter import Segmenter

COMPARED = 2  # the last views, on which an export is compared; of more, the others calibrate
CALIBRATING = 8  # views at most
_LARGEST = 2**21  # pixels of a view: runtimes that calibrate on 2 megapixels take 10 GB


@dataclass(frozen=True)
class View:
    """What a network sees of a photograph, uint8 (H, W, 3); its truth, uint8 (H, W), or None."""

    image: np.ndarray
    truth: np.ndarray | None = None


def views_of(segmenter: Segmenter, samples: Sequence[Sample]) -> list[View]:
    """What a network sees of photographs, of ten at most, evenly chosen; of none: rendered streets.

    With truth where there are label maps of the views' own size, but not by a class map. InputError
    for an image or label map that cannot be read, and for an image that is too small or too large.
    """
    if not samples:
        return rendered_views(segmenter, COMPARED)
    protocol = protocol_for(None, segmenter.names)
    count = min(len(samples), CALIBRATING + COMPARED)
    chosen = (samples[index * len(samples) // count] for index in range(count))
    return [_view(segmenter, sample, protocol) for sample in chosen]


def _view(segmenter: Segmenter, sample: Sample, protocol: Protocol) -> View:
    image = read_image(sample.image)
    view = segmenter.view(image, segmenter.placement(sample.image, image.shape[:2]))
    height, width = view.shape[:2]
    if segmenter.geometry is None and height * width > _LARGEST:
        raise InputError(
            f"{sample.image}: {width} x {height} is not resized, and would take tens of gigabytes; "
            "take a network that fits photographs (--fit, a run), or photographs of 2 megapixels"
        )
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(f"{sample.image}: {width} x {height}, a side is below {SMALLEST_SIDE} px")
    if sample.labels is None or segmenter.class_map is not None:  # whose ids would they be?
        return View(view)
    truth = read_truth(sample.labels, protocol, sample.label_ids)
    return View(view, truth if truth.shape == view.shape[:2] else None)


def rendered_views(segmenter: Segmenter, count: int) -> list[View]:
    """Street panoramas of the size that the network was trained on, or of 400 x 2048; spheres where
    it was trained on them.

    With truth if the network has Cityscapes' classes.
    """
    geometry = segmenter.geometry
    height = PAPER_HEIGHT if geometry is None else geometry.windows.height
    width = panorama_width(height) if geometry is None else geometry.windows.width
    seeds = (split_seed("tuning", index, 0) for index in range(count))
    if geometry is not None and geometry.plan != "band":
        pictures = [sphere(seed, height) for seed in seeds]
    else:
        pictures = [panorama(seed, height, width) for seed in seeds]
    known = segmenter.names == CITYSCAPES
    return [View(picture.image, picture.labels if known else None) for picture in pictures]
