"""Eq. 1, 2 and 4 to 7 against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsam.data.windows import Windows
from goodsam.stages.adapt.losses import (
    boundary_loss,
    consistency_loss,
    ensemble_loss,
    log_p_in_windows,
    log_p_of,
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
    logits, ensemble, weight = (torch.from_numpy(a) for a in (logits, ensemble, weight))
    log_p = log_p_of(ensemble, logits.log_softmax(1))
    loss = ensemble_loss(log_p, ensemble, weight, lambda_)
    assert loss.item() == pytest.approx(total / counted, abs=1e-6)


@pytest.mark.parametrize("stride", [8, 5, 3])
def test_log_p_in_windows_is_that_of_the_windows_cut_out(stride):
    torch.manual_seed(0)
    windows = Windows(3, 16, 8, stride)
    log_p = torch.randn(1, 4, 3, 16, dtype=torch.float64, requires_grad=True)
    ensemble = torch.tensor([0, 1, 2, 3, 255])[torch.randint(5, (len(windows), 3, 8))]
    ours = log_p_in_windows(ensemble, log_p, windows)
    assert torch.equal(ours, log_p_of(ensemble, windows.cut(log_p[0])))
    assert torch.autograd.gradcheck(lambda x: log_p_in_windows(ensemble, x, windows), log_p)


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
@given(seed=SEEDS, reduction=st.sampled_from(["printed", "balanced"]))
def test_boundary_loss_of_some_pixels(seed, reduction):
    """As if the others were not there: two columns are ignored, or cut off."""
    rng = np.random.default_rng(seed)
    refined = torch.from_numpy(rng.random((3, 4, 5)) < 0.4)
    soft = torch.from_numpy(rng.random((3, 4, 5)))
    kept = torch.ones(3, 4, 5, dtype=torch.bool)
    kept[..., 3:] = False
    loss = boundary_loss(refined, [soft], reduction, kept)
    expected = boundary_loss(refined[..., :3], [soft[..., :3]], reduction)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_the_other_losses_of_some_pixels(seed):
    rng = np.random.default_rng(seed)
    kept = torch.from_numpy(rng.random((3, 16)) < 0.7)
    student, teacher = torch.from_numpy(rng.normal(size=(2, 1, 4, 3, 16)))
    total = [
        -(teacher.softmax(1) * student.log_softmax(1))[0, :, y, x].sum().item()
        for y, x in kept.nonzero()
    ]
    loss = whole_image_loss(student.log_softmax(1), teacher.softmax(1), kept)
    assert loss.item() == pytest.approx(sum(total) / max(1, len(total)), abs=1e-6)

    windows = Windows(3, 16, 8, 5)
    p = torch.from_numpy(rng.normal(size=(len(windows), 4, 3, 8))).requires_grad_()
    squares = []
    for overlap in windows.overlaps:
        for c, y, x in np.ndindex(4, 3, overlap.width):
            if kept[y, windows.overlap_columns(overlap)[x]]:
                left = p[overlap.left, c, y, windows.window - overlap.width + x].item()
                squares.append((left - p[overlap.right, c, y, x].item()) ** 2)
    expected = sum(squares) / max(1, len(squares))
    assert consistency_loss(p, windows, kept).item() == pytest.approx(expected, abs=1e-6)
    assert torch.autograd.gradcheck(lambda x: consistency_loss(x, windows, kept), p)


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
    student, teacher = torch.from_numpy(student), torch.from_numpy(teacher)
    p = teacher.softmax(1)
    if targets == "hard":
        p = torch.nn.functional.one_hot(teacher.argmax(1), 4).movedim(-1, 1).double()
    loss = whole_image_loss(student.log_softmax(1), p)
    assert loss.item() == pytest.approx(total / 15, abs=1e-6)


@pytest.mark.parametrize(("stride", "wrap"), [(4, True), (3, True), (5, True), (4, False)])
def test_consistency_loss(stride, wrap):
    windows = Windows(3, 16, 8, stride, wrap)
    torch.manual_seed(0)
    p = torch.randn(len(windows), 4, 3, 8, dtype=torch.float64, requires_grad=True)
    total, count = 0.0, 0
    for overlap in windows.overlaps:
        for c, y, x in np.ndindex(4, 3, overlap.width):
            left = p[overlap.left, c, y, windows.window - overlap.width + x].item()
            total += (left - p[overlap.right, c, y, x].item()) ** 2
            count += 1
    assert consistency_loss(p, windows).item() == pytest.approx(total / count, abs=1e-6)
    # through both sides
    assert torch.autograd.gradcheck(lambda x: consistency_loss(x, windows), p)


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
    ensemble[0, 0, 0] = 255

    def of_logits(x: torch.Tensor) -> torch.Tensor:
        return ensemble_loss(log_p_of(ensemble, x.log_softmax(1)), ensemble, weight)

    assert torch.autograd.gradcheck(of_logits, logits)
