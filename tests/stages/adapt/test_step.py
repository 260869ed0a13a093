"""The step: which loss reaches which network, and that a switched-off loss is gone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from data.window_masks import WindowMasks, overlap_boundaries
from data.windows import Windows
from stages.adapt.fusion import MaskBatch
from stages.adapt.models import build_segformer, segment
from stages.adapt.step import LossWeights, StepConfig, adaptation_step

WINDOWS = Windows(32, 128, 32, 16)
NAMES = ("road", "car", "sky")
TEACHER_TERMS = {"teacher_windows", "consistency", "teacher_boundary"}
STUDENT_TERMS = {"whole_image", "student_windows", "student_boundary"}


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    return build_segformer("w16", NAMES).eval(), build_segformer("w16", NAMES).eval()


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    masks = []
    for _ in range(len(WINDOWS)):
        stack = np.zeros((4, 32, 32), bool)
        for mask in stack:
            y, x = rng.integers(24, size=2)
            mask[y : y + 8, x : x + 8] = True
        masks.append(WindowMasks.of(stack, np.ones(4), np.ones(4)))
    boundaries = [torch.from_numpy(b) for b in overlap_boundaries(masks, WINDOWS)]
    image = torch.from_numpy(rng.normal(size=(1, 3, 32, 128)).astype(np.float32))
    return image, MaskBatch.of(masks), boundaries


def gradients(network: torch.nn.Module) -> float:
    return sum(p.grad.abs().sum().item() for p in network.parameters() if p.grad is not None)


def run(networks, inputs, windows=WINDOWS, **weights):
    config = StepConfig(weights=LossWeights(**weights))
    for network in networks:
        network.zero_grad()
    return adaptation_step(*networks, *inputs, windows, config)


def test_each_loss_reaches_its_own_network_only(networks, inputs):
    teacher, student = networks
    outcome = run(networks, inputs)
    assert set(outcome.terms) == TEACHER_TERMS | STUDENT_TERMS
    outcome.student.backward(retain_graph=True)
    assert gradients(teacher) == 0
    assert gradients(student) > 0
    student.zero_grad()
    outcome.teacher.backward()
    assert gradients(teacher) > 0
    assert gradients(student) == 0


@pytest.mark.parametrize("name", sorted(TEACHER_TERMS | STUDENT_TERMS))
def test_each_loss_can_be_switched_off(networks, inputs, name):
    outcome = run(networks, inputs, **{name: 0.0})
    assert set(outcome.terms) == (TEACHER_TERMS | STUDENT_TERMS) - {name}


def test_totals_are_weighted_sums(networks, inputs):
    weights = {f.name: w for f, w in zip(dataclasses.fields(LossWeights), range(1, 7), strict=True)}
    outcome = run(networks, inputs, **weights)
    for total, names in ((outcome.teacher, TEACHER_TERMS), (outcome.student, STUDENT_TERMS)):
        expected = sum(weights[name] * outcome.terms[name].item() for name in names)
        assert total.item() == pytest.approx(expected, rel=1e-5)


def test_no_overlaps_no_overlap_losses(networks, inputs):
    image, _, _ = inputs
    windows = Windows(32, 128, 32, 32)
    masks = MaskBatch.of([WindowMasks.of(np.zeros((0, 32, 32), bool), np.ones(0), np.ones(0))] * 4)
    outcome = run(networks, (image, masks, []), windows)
    assert set(outcome.terms) == {"teacher_windows", "whole_image", "student_windows"}
    # no mask anywhere: the ensemble is the TA's own label, trusted nowhere
    assert torch.equal(outcome.ensemble, outcome.teacher_labels.long())
    assert outcome.weight_map.sum() == 0


def test_overlaps_of_unequal_width_weigh_by_pixels_and_by_overlap(networks):
    windows = Windows(32, 128, 48, 40)  # overlaps of 8, 8, 8 and 40 columns
    assert len({overlap.width for overlap in windows.overlaps}) == 2
    rng = np.random.default_rng(1)
    stack = np.zeros((1, 32, 48), bool)
    stack[0, 8:24, 4:40] = True
    masks = [WindowMasks.of(stack, np.ones(1), np.ones(1))] * len(windows)
    boundaries = [torch.from_numpy(b) for b in overlap_boundaries(masks, windows)]
    image = torch.from_numpy(rng.normal(size=(1, 3, 32, 128)).astype(np.float32))
    outcome = run(networks, (image, MaskBatch.of(masks), boundaries), windows)
    with torch.no_grad():
        p = segment(networks[0], windows.cut(image[0])).softmax(1)
    pairs = [windows.pair(p, overlap) for overlap in windows.overlaps]
    squares = torch.cat([((a - b) ** 2).flatten() for a, b in pairs])
    assert outcome.terms["consistency"].item() == pytest.approx(squares.mean().item(), rel=1e-5)
    assert [tuple(r.shape) for r in outcome.refined] == [(32, o.width) for o in windows.overlaps]
