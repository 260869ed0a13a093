"""Masks of a perfect SAM: the true instances of the street world, in the place of SAM's.

They tell what the method gives apart from what the demo SAM, three hours of two cores, cannot see.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from data.cache_format import Identity, PanoramaMasks
from data.panoramas import file_hash
from data.sam_cache import SamCache, writing
from data.window_masks import WindowMasks, overlap_boundaries
from data.windows import Windows

NAME = "true instances"  # in the place of the hash of a SAM's weights


def true_masks(instances: np.ndarray, windows: Windows) -> list[WindowMasks]:
    """Instance ids (H, W), 0: none, to one mask of each instance that a window has a part of."""
    found = []
    for part in windows.cut(instances):
        ids = np.unique(part[part > 0])
        ones = np.ones(len(ids), dtype=np.float32)
        found.append(WindowMasks.of(part[None] == ids[:, None, None], ones, ones))
    return found


def cache_truth(
    panoramas: Mapping[str, tuple[Path, Path]], cache: Path, windows: Windows
) -> SamCache:
    """A cache as stage 1 would write it, made or completed. panoramas: name -> image, instances.

    An overlap's boundaries are those of its two windows' masks. Raises InputError as
    `SamCache.create_or_resume` does.
    """
    identity = Identity(NAME, {}, "windows", windows, fit=False)
    hashes = {name: file_hash(image) for name, (image, _) in panoramas.items()}
    with writing(cache):
        store = SamCache.create_or_resume(cache, identity, hashes, {"masks": NAME})
        for name in store.missing():
            with Image.open(panoramas[name][1]) as file:
                masks = true_masks(np.asarray(file), windows)
            store.write(
                name, PanoramaMasks(tuple(masks), tuple(overlap_boundaries(masks, windows)))
            )
    return store
