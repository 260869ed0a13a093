"""A panorama to masks: each of its windows, and the overlap of two neighbours, through SAM."""

from __future__ import annotations

import numpy as np

from goodsam.data.cache import BoundaryMode, PanoramaMasks
from goodsam.data.sphere import VerticalWindows, WindowPlan
from goodsam.data.window_masks import mask_boundaries, overlap_boundaries
from goodsam.data.windows import Windows
from goodsam.stages.sam.generate import MaskGenerator


def panorama_masks(
    image: np.ndarray,
    plan: WindowPlan,
    boundaries: BoundaryMode,
    generator: MaskGenerator,
    ignored: np.ndarray | None = None,
) -> PanoramaMasks:
    """uint8 (H, W, 3) -> the masks of each window, and the boundary map B_SAM of each overlap.

    Windows and overlap crops are given to SAM as images of their own: SAM's own crops of a panorama
    would drop all that touches their edges. ignored: bool (H, W); SAM sees what is there, and the
    masks are cut. Of tangent windows boundaries come from the windows alone.
    """
    windows = generator(list(plan.cut_images(image)))
    if ignored is not None:
        windows = [m.without(i) for m, i in zip(windows, plan.cut_labels(ignored), strict=True)]
    if boundaries == "windows":
        derived = overlap_boundaries(windows, plan, ignored)
        return PanoramaMasks(tuple(windows), tuple(derived))
    assert isinstance(plan, Windows | VerticalWindows)  # an `Identity` has no other
    crops = generator(plan.cut_overlap_images(image))
    parts = [None] * len(crops) if ignored is None else plan.cut_overlaps(ignored)
    maps = [
        mask_boundaries(masks if part is None else masks.without(part), part)
        for masks, part in zip(crops, parts, strict=True)
    ]
    return PanoramaMasks(tuple(windows), tuple(maps))
