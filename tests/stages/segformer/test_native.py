"""Back to the photograph's pixels: against loops over them, straight from the formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsam.stages.segformer.native import native_labels, native_maps, native_mask


def naive_maps(p_CHW: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Each pixel's probabilities by bilinear interpolation, the circle closed; then the largest."""
    (height, width), (_, h, w) = size, p_CHW.shape
    band = 1.0 if abs(width / height / (w / h) - 1) <= 0.03 else 2 * h / w
    top = height * (1 - band) / 2
    labels, confidence = np.full(size, 255, np.uint8), np.zeros(size)
    for row in range(height):
        place = (row + 0.5 - top) / (height * band)
        if not 0 < place < 1:
            continue
        y = min(max(place * h - 0.5, 0), h - 1)
        y0 = min(int(y), max(h - 2, 0))
        y1 = min(y0 + 1, h - 1)
        for column in range(width):
            x = (column + 0.5) / width * w - 0.5
            x0 = math.floor(x)
            upper, lower = (
                p_CHW[:, yy, x0 % w] * (1 - (x - x0)) + p_CHW[:, yy, (x0 + 1) % w] * (x - x0)
                for yy in (y0, y1)
            )
            shares = upper * (1 - (y - y0)) + lower * (y - y0)
            labels[row, column], confidence[row, column] = shares.argmax(), shares.max()
    return labels, confidence


@settings(max_examples=30, deadline=None)
@given(
    h=st.integers(4, 12),
    scale=st.floats(0.6, 3.5),
    sphere=st.booleans(),
    seed=st.integers(0, 99),
)
def test_labels_are_those_of_the_formula(h, scale, sphere, seed):
    w = round(h * 5.12)
    height = max(2, round((w / 2 if sphere else h) * scale))
    width = 2 * height if sphere else round(height * w / h)
    p = np.random.default_rng(seed).dirichlet(np.ones(4), (h, w)).transpose(2, 0, 1)
    found = native_maps(torch.from_numpy(p)[None], (height, width), ["confidence"])
    labels, confidence = naive_maps(p, (height, width))
    assert (found.labels[0] == labels).all()
    assert np.abs(found.confidence[0] - 255 * confidence).max() <= 0.51


def test_the_same_size_is_left_as_it_is():
    p = torch.rand(2, 3, 10, 51)
    assert (native_labels(p, (10, 51)) == p.argmax(dim=1).numpy()).all()


def test_in_parts_as_at_once(monkeypatch):
    p = torch.rand(1, 3, 10, 51)
    whole = native_labels(p, (40, 80))
    monkeypatch.setattr("goodsam.stages.segformer.native._ELEMENTS", 1)
    assert (native_labels(p, (40, 80)) == whole).all()


@pytest.mark.parametrize("size", [(40, 80), (20, 102), (10, 51)])
def test_what_is_unseen_has_no_label(size):
    mask = np.zeros((10, 51), bool)
    mask[8:, :5] = True
    unseen = native_mask(mask, size, (10, 51))
    labels = native_labels(torch.rand(1, 3, 10, 51), size)[0]
    outside = labels == 255
    assert (unseen & outside == outside).all()
    rows = np.flatnonzero(~outside[:, -1])
    inside = unseen[rows]
    share = inside.mean()
    assert share == pytest.approx(mask.mean(), abs=0.02)
    assert not inside[0].any()
    assert inside[-1, 0]
    assert (native_mask(None, size, (10, 51)) == outside).all()
