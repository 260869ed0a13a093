"""Where two windows meet: Eq. 1, 2, 5 and 7 and Fig. 3 against loops over the pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsam.data.sphere import TangentWindows, VerticalWindows
from goodsam.data.windows import Windows
from goodsam.stages.adapt.losses import consistency_loss, log_p_in_windows
from goodsam.stages.adapt.overlaps import (
    Reprojected,
    refined_boundaries,
    student_boundary_loss,
    teacher_boundary_loss,
)
from goodsam.stages.adapt.prediction import Prediction
from tests.data.sphere.gnomonic import naive_bilinear, naive_place
from tests.stages.adapt import rasters

SEEDS = st.integers(0, 2**32 - 1)
VERTICAL = VerticalWindows(8, 16, (4, 5), (3, 3))
TANGENT = TangentWindows(16, 32)
PLANS = [Windows(5, 16, 6, 4), VERTICAL, TANGENT, TangentWindows(12, 24, 110)]
REDUCTIONS = st.sampled_from(["printed", "balanced"])


def predictions(plan, seed, classes=3):
    """Logits of all windows, float64, in pieces of two pixels."""
    rng = np.random.default_rng(seed)
    h, w = plan.window_shape
    coarse = rng.normal(size=(len(plan), classes, -(-h // 2), -(-w // 2)))
    pieces = coarse.repeat(2, axis=2).repeat(2, axis=3)[..., :h, :w]
    return torch.from_numpy(3 * pieces + rng.normal(size=pieces.shape))


def kept_of(plan, seed):
    if seed % 2:
        return None
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.random((plan.height, plan.width)) < 0.7)


def counted(plan, overlap, shown, kept):
    return shown if kept is None else shown & kept.numpy()[plan.overlap_pixels(overlap)]


def sam_of(plan, seed):
    rng = np.random.default_rng(seed)
    return [rng.random(shape) < 0.15 for shape in plan.overlap_shapes]


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(PLANS), SEEDS)
def test_consistency_is_that_of_the_pixels_that_both_show(plan, seed):
    p, kept = predictions(plan, seed).softmax(1), kept_of(plan, seed)
    squares = []
    for overlap in plan.overlaps:
        left, right, shown = rasters.meet(plan, overlap, p.numpy())
        counts = counted(plan, overlap, shown, kept)
        squares.append(((left - right) ** 2)[:, counts].ravel())
    expected = np.concatenate(squares).mean()
    assert consistency_loss(plan.reproject(p), plan, kept).item() == pytest.approx(expected, 1e-5)


@pytest.mark.parametrize("plan", [VERTICAL, TangentWindows(8, 16, 110, 80)])
def test_the_gradient_of_consistency_goes_through_both_windows(plan):
    p = predictions(plan, 2, classes=2).requires_grad_()
    kept = kept_of(plan, 2)

    def loss(x):
        return consistency_loss(plan.reproject(x), plan, kept)

    assert torch.autograd.gradcheck(loss, p, fast_mode=True)
    consistency_loss(plan.reproject(p), plan, kept).backward()
    assert (p.grad.abs().amax(dim=(1, 2, 3)) > 0).all()


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(PLANS), SEEDS, st.floats(0, 1))
def test_boundaries_are_refined_along_the_axis_of_the_plan(plan, seed, alpha):
    limit = None if seed % 3 else seed % 5
    prediction, sam = Prediction.of(predictions(plan, seed)), sam_of(plan, seed)
    found = refined_boundaries(
        Reprojected.of(prediction, plan), list(map(torch.from_numpy, sam)), alpha, limit
    )
    for overlap, boundary, refined in zip(plan.overlaps, sam, found, strict=True):
        left, right, shown = rasters.meet(plan, overlap, prediction.probabilities.numpy())
        axis = plan.search(overlap)
        expected = rasters.refined(left, right, shown, boundary, axis, alpha, limit)
        np.testing.assert_array_equal(refined.numpy(), expected)
        assert not refined.numpy()[~shown].any()


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(PLANS), SEEDS, REDUCTIONS)
def test_boundary_losses_are_those_of_the_edges_between_pixels_that_both_show(
    plan, seed, reduction
):
    prediction, kept = Prediction.of(predictions(plan, seed)), kept_of(plan, seed)
    rng = np.random.default_rng(seed)
    whole = torch.from_numpy(rng.normal(scale=3, size=(1, 3, plan.height, plan.width)))
    student = Prediction.of(whole)
    reference = sam_of(plan, seed + 1)
    if plan.resampled:
        reference = [r & plan.shown(o) for r, o in zip(reference, plan.overlaps, strict=True)]
    of_teacher, of_student = [], []
    cut = plan.cut_overlaps(student.probabilities[0].numpy())
    for overlap, ref, crop in zip(plan.overlaps, reference, cut, strict=True):
        left, right, shown = rasters.meet(plan, overlap, prediction.probabilities.numpy())
        counts = counted(plan, overlap, shown, kept)
        both = [rasters.soft(side, shown) for side in (left, right)]
        of_teacher.append(rasters.boundary_loss(ref, both, counts, reduction))
        own = [rasters.soft(crop, shown)]
        of_student.append(rasters.boundary_loss(ref, own, counts, reduction))
    refined = list(map(torch.from_numpy, reference))
    meeting = Reprojected.of(prediction, plan)
    ours = teacher_boundary_loss(meeting, refined, reduction, kept)
    assert ours.item() == pytest.approx(np.mean(of_teacher), rel=1e-5)
    ours = student_boundary_loss(student, plan, refined, reduction, kept)
    assert ours.item() == pytest.approx(np.mean(of_student), rel=1e-5)


@pytest.mark.parametrize("plan", PLANS)
def test_the_students_windows_are_its_panorama_sampled_as_the_plan_cuts(plan):
    torch.manual_seed(0)
    log_p = torch.randn(1, 4, plan.height, plan.width, dtype=torch.float64).log_softmax(1)
    labels = torch.tensor([0, 1, 2, 3, 255])[torch.randint(5, (len(plan), *plan.window_shape))]
    ours = log_p_in_windows(labels, log_p, plan)
    own = labels.masked_fill(labels == 255, 0)
    expected = plan.cut(log_p.exp()[0]).gather(1, own[:, None])[:, 0].log()
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("plan", [TANGENT, TangentWindows(12, 24, 110)])
def test_a_tangent_window_of_the_student_looks_where_the_projection_says(plan):
    torch.manual_seed(1)
    log_p = torch.randn(1, 4, plan.height, plan.width, dtype=torch.float64).log_softmax(1)
    labels = torch.randint(4, (len(plan), *plan.window_shape))
    ours = log_p_in_windows(labels, log_p, plan).exp()
    around = np.pad(log_p.exp()[0].numpy(), ((0, 0), (0, 0), (1, 1)), mode="wrap")
    for k, y, x in list(np.ndindex(ours.shape))[::11]:
        row, column = naive_place(plan, k, y, x)
        if 0 <= row <= plan.height - 1:  # past a pole `cut` has a twin of its own
            value = naive_bilinear(around[labels[k, y, x]], row, column % plan.width + 1)
            assert ours[k, y, x].item() == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("plan", [VERTICAL, TangentWindows(8, 16, 110, 80)])
def test_the_gradient_of_the_students_windows(plan):
    torch.manual_seed(0)
    logits = torch.randn(1, 3, plan.height, plan.width, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(3, (len(plan), *plan.window_shape))

    def total(x):
        weight = torch.linspace(0.5, 2, labels.numel(), dtype=x.dtype).view(labels.shape)
        return (log_p_in_windows(labels, x.log_softmax(1), plan) * weight).mean()

    assert torch.autograd.gradcheck(total, logits)
    total(logits).backward()
    assert (logits.grad != 0).all()
