"""Both networks can be trained on the truth."""

from __future__ import annotations

import numpy as np
from PIL import Image

from goodsam.data.panoramas import find_panoramas, read_image
from goodsam.data.street.write import truth_path, write_world
from goodsam.data.windows import Windows
from goodsam.pipeline.config import adapt_config
from goodsam.stages.adapt.reading import CachedPanoramas
from goodsam.stages.segformer.segmenter import Segmenter
from goodsam.stages.truth.masks import cache_truth
from goodsam.stages.truth.training import train_on_truth


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
