"""Class-balanced confidence against a loop over classes."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsam.stages.adapt.beyond.confidence import most_confident


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
