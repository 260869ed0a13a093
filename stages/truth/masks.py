"""The true instances as the masks of a SAM: a perfect one, or one that fails by stated amounts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from goodsam.data.cache import Identity, PanoramaMasks, SamCache, writing
from goodsam.data.files import file_hash
from goodsam.data.window_masks import WindowMasks, overlap_boundaries
from goodsam.data.windows import Windows
from goodsam.stages.truth.degrade import Degradation, degraded

NAME = "true instances"  # in the place of the hash of a SAM's weights


def true_masks(instances: np.ndarray, windows: Windows) -> list[WindowMasks]:
    """A mask of each instance that a window shows, for every window.

    instances: ids, integers (H, W) of the whole panorama; 0: none.
    """
    found = []
    for part in windows.cut(instances):
        ids = np.unique(part[part > 0])
        ones = np.ones(len(ids), dtype=np.float32)
        found.append(WindowMasks.of(part[None] == ids[:, None, None], ones, ones))
    return found


def cache_truth(
    panoramas: Mapping[str, tuple[Path, Path]],
    cache: Path,
    windows: Windows,
    degradation: Degradation | None = None,
) -> SamCache:
    """Make or complete a cache as stage 1 would write it, from the true instances.

    panoramas: name -> image and instance map. degradation: how they are made worse, drawn anew for
    each name; None: they are not. An overlap's boundaries are those of its two windows' masks.
    Raises InputError as `SamCache.create_or_resume` does.
    """
    settings = {} if degradation is None else asdict(degradation)
    identity = Identity(NAME, settings, "windows", windows, fit=False)
    hashes = {name: file_hash(image) for name, (image, _) in panoramas.items()}
    with writing(cache):
        store = SamCache.create_or_resume(cache, identity, hashes, {"masks": NAME})
        for name in store.missing():
            with Image.open(panoramas[name][1]) as file:
                instances = np.asarray(file)
            if degradation is None:
                masks = true_masks(instances, windows)
            else:
                masks = degraded(instances, windows, degradation, generator(degradation, name))
            store.write(
                name, PanoramaMasks(tuple(masks), tuple(overlap_boundaries(masks, windows)))
            )
    return store


def generator(degradation: Degradation, name: str) -> np.random.Generator:
    """What a panorama's failures are drawn from: the same for a seed and a name, always."""
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.default_rng([degradation.seed, int.from_bytes(digest[:8], "little")])
