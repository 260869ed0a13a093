"""The masks of a perfect SAM: what the instances say, and a cache that is gone on with."""

from __future__ import annotations

import numpy as np
from PIL import Image

from data.panoramas import find_panoramas
from data.street import instances_path, panorama, split_seed, write_world
from data.window_masks import overlap_boundaries
from data.windows import Windows
from pipeline.truth import cache_truth, true_masks

WINDOWS = Windows.of(40, 204)


def test_each_instance_of_a_window_is_one_mask():
    instances = panorama(split_seed("tuning", 3), 40, 204).instances
    found = true_masks(instances, WINDOWS)
    assert len(found) == len(WINDOWS)
    for part, masks in zip(WINDOWS.cut(instances), found, strict=True):
        again = np.zeros_like(part)
        for mask in masks.masks():
            (own,) = np.unique(part[mask])  # of one instance
            assert (mask == (part == own)).all()  # and all of it
            again[mask] = own
        np.testing.assert_array_equal(again, part)


def test_the_cache_holds_them_and_is_completed(tmp_path):
    write_world(tmp_path, source=0, unlabelled=2, test=0, seed=1, height=40, instances=True)
    panoramas = {
        sample.name: (sample.image, instances_path(tmp_path, "unlabelled", sample.name))
        for sample in find_panoramas(tmp_path / "unlabelled")
    }
    store, names = tmp_path / "truth.zarr", sorted(panoramas)
    cache_truth({names[0]: panoramas[names[0]]}, store, WINDOWS)
    cache = cache_truth(panoramas, store, WINDOWS)
    assert cache.names == names
    assert not cache.missing()
    for name in names:
        instances = np.asarray(Image.open(panoramas[name][1]))
        record, expected = cache.read(name), true_masks(instances, WINDOWS)
        for ours, theirs in zip(record.windows, expected, strict=True):
            np.testing.assert_array_equal(ours.masks(), theirs.masks())
        boundaries = overlap_boundaries(expected, WINDOWS)
        for ours, theirs in zip(record.boundaries, boundaries, strict=True):
            np.testing.assert_array_equal(ours, theirs)
