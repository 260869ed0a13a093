"""The masks of a perfect SAM: what the instances say, and a cache that is gone on with."""

from __future__ import annotations

import numpy as np
from PIL import Image

from goodsam.data.panoramas import find_panoramas, read_image
from goodsam.data.street.picture import panorama
from goodsam.data.street.seeds import split_seed
from goodsam.data.street.write import truth_path, write_world
from goodsam.data.window_masks import overlap_boundaries
from goodsam.data.windows import Windows
from goodsam.pipeline.config import adapt_config
from goodsam.stages.adapt.reading import CachedPanoramas
from goodsam.stages.segformer.segmenter import Segmenter
from goodsam.stages.truth import cache_truth, train_on_truth, true_masks

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


def test_both_networks_learn_the_true_labels(tmp_path):
    write_world(tmp_path, source=0, unlabelled=1, test=0, seed=1, height=64, truth=True)
    (sample,) = find_panoramas(tmp_path / "unlabelled")
    path = truth_path(tmp_path, "labels", "unlabelled", sample.name)
    instances = truth_path(tmp_path, "instances", "unlabelled", sample.name)
    image, windows = read_image(sample.image), Windows.of(64, 328)
    cache = cache_truth({sample.name: (sample.image, instances)}, tmp_path / "c.zarr", windows)
    panoramas = CachedPanoramas(tmp_path / "unlabelled", cache, [sample.name])
    rates = ("teacher_lr=1.0e-4", "student_lr=1.0e-3", "warmup=0", "steps=5")
    told: list[tuple[int, int]] = []
    train_on_truth(
        panoramas,
        {sample.name: path},
        tmp_path,
        adapt_config("demo", rates),
        lambda step, steps: told.append((step, steps)),
    )
    assert told[-1] == (5, 5)
    truth = np.asarray(Image.open(path))

    def right(model):
        return (Segmenter.load(model)(image) == truth).mean()

    assert right(tmp_path / "student") > right("street-student") + 0.01
    assert right(tmp_path / "teacher_assistant") > right("street-ta") + 0.01
