"""Eq. 1, 2 and 4 to 7 against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.adapt.losses import (
    boundary_loss,
    consistency_loss,
    ensemble_loss,
    whole_image_loss,
)

SEEDS = st.integers(0, 2**32 - 1)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    top = logits.max()
    return logits - top - math.log(np.exp(logits - top).sum())


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, lambda_=st.floats(0, 2))
def test_ensemble_loss(seed, lambda_):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(2, 4, 3, 5))
    ensemble = rng.choice([0, 1, 2, 3, 255], size=(2, 3, 5))
    ensemble[0, 0, 0] = 1  # at least one pixel counts
    weight = rng.integers(2, size=(2, 3, 5)).astype(float)
    total, counted = 0.0, 0
    for n, y, x in np.ndindex(2, 3, 5):
        if ensemble[n, y, x] != 255:
            ce = -log_softmax(logits[n, :, y, x])[ensemble[n, y, x]]
            total += ce + lambda_ * weight[n, y, x] * ce
            counted += 1
    tensors = [torch.from_numpy(a) for a in (logits, ensemble, weight)]
    assert ensemble_loss(*tensors, lambda_).item() == pytest.approx(total / counted, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, maps=st.integers(1, 2), reduction=st.sampled_from(["printed", "balanced"]))
def test_boundary_loss(seed, maps, reduction):
    rng = np.random.default_rng(seed)
    refined = rng.random((3, 4, 5)) < 0.3
    refined[1] = False  # C_o = 0 contributes nothing, but counts in the mean
    soft = rng.random((maps, 3, 4, 5))
    per_overlap = []
    for o in range(3):
        on = int(refined[o].sum())
        off = refined[o].size - on
        value = 0.0
        for b in soft[:, o]:
            for y, x in np.ndindex(4, 5):
                gap = abs(float(refined[o, y, x]) - b[y, x])
                if reduction == "printed":
                    value += gap / on if on else 0.0
                else:
                    value += gap / (on if refined[o, y, x] else off) if on else 0.0
        per_overlap.append(value)
    loss = boundary_loss(torch.from_numpy(refined), list(torch.from_numpy(soft)), reduction)
    assert loss.item() == pytest.approx(sum(per_overlap) / 3, abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, targets=st.sampled_from(["soft", "hard"]))
def test_whole_image_loss(seed, targets):
    rng = np.random.default_rng(seed)
    student, teacher = rng.normal(size=(2, 1, 4, 3, 5))
    total = 0.0
    for y, x in np.ndindex(3, 5):
        goal = np.exp(log_softmax(teacher[0, :, y, x]))
        if targets == "hard":
            goal = np.eye(4)[goal.argmax()]
        total -= (goal * log_softmax(student[0, :, y, x])).sum()
    loss = whole_image_loss(torch.from_numpy(student), torch.from_numpy(teacher), targets)
    assert loss.item() == pytest.approx(total / 15, abs=1e-6)


def test_consistency_loss_is_a_mean_square_with_gradient_through_both_sides():
    torch.manual_seed(0)
    left, right = torch.rand(2, 1, 3, 2, 2, requires_grad=True).unbind(0)
    left.retain_grad()
    right.retain_grad()
    loss = consistency_loss(left, right)
    loss.backward()
    expected = sum((a - b) ** 2 for a, b in zip(left.flatten(), right.flatten(), strict=True)) / 12
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
    assert torch.allclose(left.grad, -right.grad)
    assert left.grad.abs().sum() > 0


def test_the_teacher_gets_no_gradient_from_the_whole_image_loss():
    student = torch.randn(1, 3, 2, 2, requires_grad=True)
    teacher = torch.randn(1, 3, 2, 2, requires_grad=True)
    whole_image_loss(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad is not None


@pytest.mark.parametrize("reduction", ["printed", "balanced"])
def test_gradients_by_finite_differences(reduction):
    torch.manual_seed(0)
    refined = torch.rand(2, 3, 4) < 0.4
    soft = torch.rand(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda s: boundary_loss(refined, (s,), reduction).double(), soft
    )
    logits = torch.randn(1, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    ensemble, weight = torch.randint(3, (1, 2, 4)), torch.rand(1, 2, 4).round()
    assert torch.autograd.gradcheck(lambda x: ensemble_loss(x, ensemble, weight), logits)
