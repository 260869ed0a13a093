"""The true instances as masks, and a cache of them that is gone on with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from goodsam.data.errors import InputError
from goodsam.data.panoramas import find_panoramas
from goodsam.data.street.picture import panorama
from goodsam.data.street.seeds import split_seed
from goodsam.data.street.write import truth_path, write_world
from goodsam.data.window_masks import overlap_boundaries
from goodsam.data.windows import Windows
from goodsam.stages.truth.degrade import DEMO_SAM, degraded
from goodsam.stages.truth.masks import cache_truth, generator, true_masks

WINDOWS = Windows.of(40, 208)


def test_each_instance_of_a_window_is_one_mask():
    instances = panorama(split_seed("tuning", 3), 40, 208).instances
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
    write_world(tmp_path, source=0, unlabelled=2, test=0, seed=1, height=40, truth=True)
    panoramas = {
        sample.name: (sample.image, truth_path(tmp_path, "instances", "unlabelled", sample.name))
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


def test_a_cache_of_worse_masks_is_another_and_says_how(tmp_path):
    write_world(tmp_path, source=0, unlabelled=2, test=0, seed=1, height=40, truth=True)
    panoramas = {
        sample.name: (sample.image, truth_path(tmp_path, "instances", "unlabelled", sample.name))
        for sample in find_panoramas(tmp_path / "unlabelled")
    }
    store = tmp_path / "worse.zarr"
    cache = cache_truth(panoramas, store, WINDOWS, DEMO_SAM)
    for name, (_, path) in panoramas.items():
        rng = generator(DEMO_SAM, name)
        expected = degraded(np.asarray(Image.open(path)), WINDOWS, DEMO_SAM, rng)
        for ours, theirs in zip(cache.read(name).windows, expected, strict=True):
            np.testing.assert_array_equal(ours.masks(), theirs.masks())
    assert cache.identity.settings["missing"] == list(DEMO_SAM.missing)
    for other in (None, DEMO_SAM.scaled(0.5), replace(DEMO_SAM, seed=1)):
        with pytest.raises(InputError):
            cache_truth(panoramas, store, WINDOWS, other)


def test_each_seed_and_name_has_draws_of_its_own():
    kinds = [(seed, name) for seed in (0, 1) for name in ("a/0.png", "b/0.png")]
    first = {generator(replace(DEMO_SAM, seed=seed), name).random() for seed, name in kinds}
    assert len(first) == len(kinds)
    assert generator(DEMO_SAM, "a/0.png").random() in first
