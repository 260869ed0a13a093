"""Boundary maps and their refinement against twins written from docs/method.md, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsam.stages.adapt.boundary import (
    CLASSES_TOGETHER,
    boundary_of_edges,
    edges,
    hard_boundary,
    refine_boundary,
    soft_boundary,
)
from goodsam.stages.adapt.prediction import Prediction

SEEDS = st.integers(0, 2**32 - 1)


def neighbours(y: int, x: int, height: int, width: int) -> list[tuple[int, int]]:
    around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
    return [(v, u) for v, u in around if 0 <= v < height and 0 <= u < width]


def hard_twin(labels: np.ndarray) -> np.ndarray:
    found = np.zeros(labels.shape, bool)
    for y, x in np.ndindex(*labels.shape):
        found[y, x] = any(labels[n] != labels[y, x] for n in neighbours(y, x, *labels.shape))
    return found


def soft_twin(p_CHW: np.ndarray) -> np.ndarray:
    size = p_CHW.shape[1:]
    found = np.zeros(size)
    for y, x in np.ndindex(*size):
        for v, u in neighbours(y, x, *size):
            found[y, x] = max(found[y, x], 0.5 * np.abs(p_CHW[:, y, x] - p_CHW[:, v, u]).sum())
    return found


def refine_twin(left, right, sam, d_left, d_right, alpha, limit=None) -> np.ndarray:
    refined = np.zeros(left.shape, bool)
    for y, x in np.argwhere(left):
        if right[y, x] and sam[y, x]:
            refined[y, x] = True
            continue
        rows = np.flatnonzero(sam[:, x])
        if len(rows):
            q = min(rows, key=lambda row: (abs(row - y), row))  # of two equally near, the upper
            near = limit is None or abs(q - y) <= limit
            if near and (d_left[q, x] < alpha or d_right[q, x] < alpha):
                refined[q, x] = True
                continue
        refined[y, x] = True
    return refined


def random_prediction(rng: np.random.Generator, classes: int, size: tuple[int, int]) -> np.ndarray:
    blobs = rng.normal(size=(classes, *size)).repeat(2, 1).repeat(2, 2)[:, : size[0], : size[1]]
    logits = torch.from_numpy(3 * blobs + rng.normal(size=(classes, *size)))
    return logits.softmax(0).numpy()


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, classes=st.integers(2, 5), alpha=st.floats(0, 1))
def test_refined_boundary_equals_the_loop(seed, classes, alpha):
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(1, 14)), int(rng.integers(1, 9)))
    left, right = (random_prediction(rng, classes, size) for _ in range(2))
    sam = rng.random(size) < rng.random()
    limit = None if rng.random() < 0.5 else int(rng.integers(0, 5))
    tensors = [torch.from_numpy(p)[None] for p in (left, right)]
    hard = [hard_boundary(p.argmax(1)) for p in tensors]
    difference = [Prediction.of(p.log()).margin() for p in tensors]
    refined = refine_boundary(*hard, torch.from_numpy(sam)[None], *difference, alpha, limit)
    expected = refine_twin(
        *(hard_twin(p.argmax(0)) for p in (left, right)),
        sam,
        *(np.sort(p, 0)[-1] - np.sort(p, 0)[-2] for p in (left, right)),
        alpha,
        limit,
    )
    np.testing.assert_array_equal(refined[0].numpy(), expected)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, classes=st.integers(2, 5))
def test_soft_boundary_equals_the_loop(seed, classes):
    rng = np.random.default_rng(seed)
    p = random_prediction(rng, classes, (int(rng.integers(1, 10)), int(rng.integers(1, 10))))
    soft = soft_boundary(torch.from_numpy(p)[None])[0].numpy()
    np.testing.assert_allclose(soft, soft_twin(p), atol=1e-12)
    assert soft.min() >= 0
    assert soft.max() <= 1 + 1e-12


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, classes=st.integers(2, 5))
def test_soft_equals_hard_on_one_hot(seed, classes):
    rng = np.random.default_rng(seed)
    labels = torch.from_numpy(rng.integers(classes, size=(2, 7, 6)))
    one_hot = torch.nn.functional.one_hot(labels, classes).movedim(-1, 1).double()
    assert torch.equal(soft_boundary(one_hot), hard_boundary(labels).double())
    np.testing.assert_array_equal(hard_boundary(labels)[0].numpy(), hard_twin(labels[0].numpy()))


def test_soft_boundary_gradient():
    torch.manual_seed(0)
    logits = torch.randn(1, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: soft_boundary(x.softmax(1)), logits)


def test_edges_of_a_circle_lead_over_the_seam():
    torch.manual_seed(0)
    p = torch.randn(1, 3, 4, 6, dtype=torch.float64, requires_grad=True)
    turned = [edges(p.softmax(1).roll(-k, dims=-1), cyclic=True) for k in (0, 2)]
    assert torch.equal(turned[0][0].roll(-2, dims=-1), turned[1][0])
    assert torch.equal(turned[0][1].roll(-2, dims=-1), turned[1][1])
    open_ = edges(p.softmax(1))[0]
    assert torch.equal(turned[0][0][..., :-1], open_)
    assert torch.autograd.gradcheck(lambda x: edges(x.softmax(1), cyclic=True), p)


@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("together", [2, 256])
def test_edges_of_several_classes_at_once_are_the_same(together, cyclic, monkeypatch):
    """As on a GPU, in groups of which the last may be smaller."""
    torch.manual_seed(0)
    p = torch.randn(2, 5, 4, 6, dtype=torch.float64).softmax(1).requires_grad_()
    weight = torch.randn(2, 4, 6, dtype=torch.float64)

    def found():
        across, down = edges(p, cyclic)
        total = (across * weight[..., : across.shape[-1]]).sum() + (down * weight[:, 1:]).sum()
        return across, down, *torch.autograd.grad(total, p)

    one_by_one = found()
    monkeypatch.setitem(CLASSES_TOGETHER, "cpu", together)
    for a, b in zip(one_by_one, found(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_crop_of_the_edges_is_the_boundary_of_the_crop():
    p = torch.randn(2, 3, 5, 9, dtype=torch.float64).softmax(1)
    across, down = edges(p)
    cropped = boundary_of_edges(across[..., 3:7], down[..., 3:8])
    assert torch.equal(cropped, soft_boundary(p[..., 3:8]))


@pytest.mark.parametrize("height", [5500, 40])
def test_columns_too_high_for_short_numbers(height):
    left = torch.zeros(1, height, 1, dtype=torch.bool)
    sam = left.clone()
    left[0, 3], sam[0, height - 1] = True, True
    unsure = torch.zeros(1, height, 1)
    moved = refine_boundary(left, left, sam, unsure, unsure)
    assert moved.nonzero().tolist() == [[0, height - 1, 0]]
    stays = refine_boundary(left, left, sam, unsure, unsure, max_vertical_distance=height - 5)
    assert stays.nonzero().tolist() == [[0, 3, 0]]


@pytest.mark.gpu
def test_a_gpu_gives_the_same():
    torch.manual_seed(0)
    left, right, sam = torch.rand(3, 4, 50, 30).unbind(0)
    maps = (left < 0.2, right < 0.2, sam < 0.1, torch.rand(4, 50, 30), torch.rand(4, 50, 30))
    there = refine_boundary(*(map_.cuda() for map_ in maps))
    assert torch.equal(refine_boundary(*maps), there.cpu())
    p = torch.randn(4, 5, 50, 30).softmax(1)
    torch.testing.assert_close(soft_boundary(p.cuda()).cpu(), soft_boundary(p))
