"""By which windows whole spheres are seen: chosen by their proportions, and said aloud."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from goodsam.data.errors import InputError
from goodsam.data.panoramas import Sample, image_size
from goodsam.data.windows import has_aspect, is_sphere
from goodsam.pipeline.tell import say
from goodsam.stages.segformer.segment import SMALLEST_SIDE
from goodsam.stages.segformer.segmenter import Segmenter

Plan = Literal["auto", "own", "vertical", "tangent"]


def choose_plan(segmenter: Segmenter, samples: Sequence[Sample], plan: Plan) -> Segmenter:
    """The segmenter that sees these photographs by `plan`.

    auto: tangent windows where every photograph is 2:1 and the network has been told nothing of how
    to see them; its own way otherwise. Reads headers only. InputError for another plan.
    """
    if plan not in get_args(Plan):
        raise InputError(f"plan {plan!r}: use {', '.join(get_args(Plan))}")
    if plan == "own":
        return segmenter
    if plan != "auto":
        return segmenter.over_sphere(plan)
    sizes = _sizes(samples)
    _say_what_is_odd(segmenter, sizes)
    if not _all_spheres(sizes):  # or some so small that a network sees nothing in a window
        return segmenter
    if segmenter.mode == "direct" and segmenter.geometry is None and not segmenter.wrap:
        say(
            "2:1 photographs: seen from pole to pole by tangent windows; with --plan own each is "
            "seen as one picture"
        )
        return segmenter.over_sphere("tangent")
    geometry = segmenter.geometry
    if geometry is not None and geometry.fit and geometry.over_sphere() != geometry:
        say(
            f"2:1 photographs: labels cover the band that {segmenter.source} sees, 255 is above "
            "and below it; --plan tangent labels them from pole to pole"
        )
    return segmenter


def _say_what_is_odd(segmenter: Segmenter, sizes: Sequence[tuple[int, int]]) -> None:
    geometry = segmenter.geometry
    if geometry is None or geometry.fit:  # then what cannot be fitted is refused
        return
    aspect = geometry.windows.width / geometry.windows.height
    if odd := [size for size in sizes if not has_aspect(*size, aspect)]:
        whole = geometry.plan == "band" and any(is_sphere(*size) for size in odd)
        say(
            f"{len(odd)} of {len(sizes)} photographs have other proportions than the {geometry} "
            f"that {segmenter.source} was trained on; they are seen as they are, so expect poor "
            f"labels{'; --fit cuts the band from 2:1 ones' * whole}",
            always=True,
        )


def _sizes(samples: Sequence[Sample]) -> list[tuple[int, int]]:
    """Height and width of the photographs that can be read."""
    sizes = []
    for sample in samples:
        try:
            sizes.append(image_size(sample.image))
        except (InputError, OSError):
            continue  # it is named when its turn comes
    return sizes


def _all_spheres(sizes: Sequence[tuple[int, int]]) -> bool:
    """Whether all photographs, and at least one, are 2:1, and large enough."""
    return bool(sizes) and all(is_sphere(*size) and size[1] >= 4 * SMALLEST_SIDE for size in sizes)
