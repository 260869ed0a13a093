"""Class-balanced confidence against a loop over classes."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsam.stages.adapt.beyond.confidence import STEPS, Thresholds, above, most_confident


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), levels=st.integers(1, 6), share=st.sampled_from((0.1, 0.5, 1.0))
)
def test_the_most_confident_pixels_of_each_class_one_by_one(seed, levels, share):
    rng = np.random.default_rng(seed)
    labels = rng.choice((0, 1, 4, 255), size=(2, 5, 7))
    confidence = rng.integers(levels, size=labels.shape) / levels  # with many that are equal
    expected = np.zeros(labels.size, dtype=bool)
    for label in (0, 1, 4):
        places = np.flatnonzero(labels.ravel() == label)
        ranked = sorted(places, key=lambda place: (confidence.ravel()[place], place), reverse=True)
        expected[ranked[: math.ceil(len(ranked) * share)]] = True
    found = most_confident(torch.from_numpy(confidence), torch.from_numpy(labels), share)
    np.testing.assert_array_equal(found.numpy().ravel(), expected)


def test_thresholds_are_a_part_of_a_running_mean_of_where_the_class_was_seen():
    thresholds = Thresholds(("road", "car"), 0.5)
    assert thresholds.values().tolist() == [0, 0]
    rows = [(0.8, 0.0), (0.6, 0.4), (0.7, 0.0)]
    for road, car in rows:
        thresholds.see({"confidence/road": road, "confidence/car": car})
    np.testing.assert_allclose(thresholds.values(), [0.35, 0.2], rtol=1e-6)
    for _ in range(10 * STEPS):  # what is long past does not count
        thresholds.see({"confidence/road": 0.2, "confidence/car": 0.0})
    np.testing.assert_allclose(thresholds.values(), [0.1, 0.2], rtol=1e-3)


def test_pixels_below_the_threshold_of_their_class_are_left_out():
    confidence = torch.tensor([[[0.5, 0.3, 0.5, 0.9]]])
    ensemble = torch.tensor([[[0, 0, 1, 255]]])
    found = above(confidence, ensemble, torch.tensor([0.4, 0.6]))
    assert found.tolist() == [[[True, False, False, False]]]
