"""Whose labels, and when they are renewed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from goodsam.data.window_masks import WindowMasks
from goodsam.stages.adapt.beyond.labeller import LABELLER, TEACHER, Gate, alignment, follow_teacher
from goodsam.stages.adapt.fusion import MaskBatch
from goodsam.stages.adapt.labels import predict_labels
from goodsam.stages.segformer.build import build_segformer
from goodsam.stages.segformer.segment import segment


def moves(gate: Gate, gains: list[float]) -> list[int]:
    """The steps after which the labeller follows."""
    rows = ({TEACHER: 0.5 + gain, LABELLER: 0.5} for gain in gains)
    return [step for step, row in enumerate(rows, start=1) if gate.see(row)]


def test_a_labeller_follows_every_so_often():
    assert moves(Gate(1, False), [0.0] * 4) == [1, 2, 3, 4]
    assert moves(Gate(3, False), [-1.0] * 10) == [3, 6, 9]


def test_a_gated_labeller_follows_only_where_the_ta_gained_since_the_last_time():
    gains = [0.2, -0.1, 0.0, 0.1, -0.2, 0.0, -0.9, 0.5, 0.5, 0.0, 0.0, 0.0]
    assert moves(Gate(3, True), gains) == [3, 9]


def test_following_is_a_moving_average():
    slow, fast = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    before, target = slow.weight.clone(), fast.weight.clone()
    follow_teacher(slow, fast, 0.9)
    torch.testing.assert_close(slow.weight, 0.9 * before + 0.1 * target)
    follow_teacher(slow, fast, 0.0)
    assert torch.equal(slow.weight, target)
    assert torch.equal(fast.weight, target)


def test_alignment_is_the_mean_iou_with_the_majority_over_the_labellers_classes():
    rng = np.random.default_rng(0)
    stacks = rng.random((2, 3, 5, 6)) < 0.4
    masks = MaskBatch.of([WindowMasks.of(s, np.ones(3), np.ones(3)) for s in stacks])
    labels = rng.integers(4, size=(2, 5, 6))
    reference = rng.integers(3, size=(2, 5, 6))  # never names class 3
    fused = labels.copy()
    for window in range(2):
        for m in sorted(range(3), key=lambda m: (-stacks[window, m].sum(), m)):
            own = labels[window][stacks[window, m]]
            fused[window][stacks[window, m]] = np.bincount(own, minlength=4).argmax()
    ious = [
        ((labels == c) & (fused == c)).sum() / ((labels == c) | (fused == c)).sum()
        for c in range(3)
    ]
    found = alignment(torch.tensor(labels, dtype=torch.uint8), torch.tensor(reference), masks, 4)
    assert found.item() == pytest.approx(np.mean(ious))


def test_a_forgotten_class_counts_as_nothing():
    masks = MaskBatch.of([WindowMasks.of(np.ones((1, 2, 2), bool), np.ones(1), np.ones(1))])
    reference = torch.tensor([[[0, 0], [0, 1]]], dtype=torch.uint8)
    assert alignment(torch.zeros_like(reference), reference, masks, 2).item() == 0.5


def test_labels_of_mirrored_windows_too_are_the_mean_of_both():
    torch.manual_seed(0)
    network = build_segformer("w16", ("road", "car", "sky")).eval()
    with torch.no_grad():
        network.decode_head.classifier.weight *= 300
        pieces = torch.randn(2, 3, 32, 64)
        clean = segment(network, pieces).softmax(dim=1)
        other = segment(network, pieces.flip(-1)).softmax(dim=1).flip(-1)
    found = predict_labels(network, pieces, mirrored=True)
    torch.testing.assert_close(found.probabilities, (clean + other) / 2)
    assert torch.equal(found.labels.long(), ((clean + other) / 2).argmax(dim=1))
    alone = predict_labels(network, pieces, mirrored=False)
    torch.testing.assert_close(alone.probabilities, clean)
