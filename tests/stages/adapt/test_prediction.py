"""A prediction's forms against numpy's, pixel by pixel."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsam.stages.adapt.prediction import Prediction, argmax_labels


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 6))
def test_forms_of_a_prediction(seed, classes):
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=3, size=(2, classes, 3, 4))
    prediction = Prediction.of(torch.from_numpy(logits))
    assert prediction.classes == classes
    for n, y, x in np.ndindex(2, 3, 4):
        p = np.exp(logits[n, :, y, x] - logits[n, :, y, x].max())
        p /= p.sum()
        ordered = np.sort(p)
        assert prediction.labels[n, y, x] == p.argmax()
        assert abs(prediction.margin()[n, y, x] - (ordered[-1] - ordered[-2])) < 1e-12
        assert abs(prediction.entropy()[n, y, x] + (p * np.log(p)).sum()) < 1e-12


def test_of_equal_logits_the_first_is_the_label():
    logits = torch.zeros(1, 4, 1, 3)
    logits[0, 1:, 0, 1] = 2
    logits[0, 3, 0, 2] = 1
    assert argmax_labels(logits).tolist() == [[[0, 1, 3]]]


def test_logits_of_16_bits_are_made_float32():
    prediction = Prediction.of(torch.randn(1, 3, 2, 2, dtype=torch.bfloat16))
    assert prediction.probabilities.dtype == torch.float32
    torch.testing.assert_close(prediction.probabilities.sum(1), torch.ones(1, 2, 2))
