"""Scores of the method's parts on labelled panoramas: what demo and ablations compare."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from goodsam.data.cache import SamCache
from goodsam.data.panoramas import Sample, read_image, read_labels
from goodsam.stages.adapt.fusion import FusionConfig
from goodsam.stages.pseudo_labels import ensemble
from goodsam.stages.score.confusion import Scores, confusion
from goodsam.stages.segformer.segmenter import Segmenter


def ensemble_labels(
    teacher: Segmenter, image: np.ndarray, cache: SamCache, name: str, config: FusionConfig
) -> np.ndarray:
    """uint8 (H, W): the ensemble of a panorama, from the windows that tile it."""
    return ensemble(teacher, image, cache, name, config).labels.cpu().numpy()


def ensemble_scores(
    teacher: Segmenter, samples: Sequence[Sample], cache: SamCache, config: FusionConfig
) -> Scores:
    """The ensemble's labels of all samples, each of which has a truth, scored as predictions."""
    classes = len(teacher.names)
    matrix = np.zeros((classes, classes + 1), dtype=np.int64)
    for sample in samples:
        assert sample.labels is not None
        image, truth = read_image(sample.image), read_labels(sample.labels, classes)
        labels = ensemble_labels(teacher, image, cache, sample.name, config)
        matrix += confusion(labels, truth, classes)
    return Scores(matrix, teacher.names)
