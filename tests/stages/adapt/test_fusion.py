"""The fusion rules on cells against twins written from docs/method.md, loops over masks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsam.data.window_masks import WindowMasks
from goodsam.stages.adapt.fusion import FusionConfig, MaskBatch, fuse


def entropy(p: np.ndarray) -> float:
    return -sum(v * math.log(v) for v in p if v > 0)


def ctcf_label(
    mask: np.ndarray, labels: np.ndarray, p_CHW: np.ndarray, config: FusionConfig
) -> tuple[int, float]:
    classes, area = len(p_CHW), int(mask.sum())
    count = [int((labels[mask] == c).sum()) for c in range(classes)]
    by_frequency = sorted(range(classes), key=lambda c: (-count[c], c))
    scale = mask.size / (400 * 512)
    medium = config.medium[0] * scale <= area <= config.medium[1] * scale
    theta = config.theta_medium if medium else config.theta_other
    if count[by_frequency[0]] / area >= theta:
        return by_frequency[0], 1.0
    best, least = -1, math.inf
    for c in by_frequency[:3]:
        if count[c] == 0:
            continue
        pixels = p_CHW[:, mask & (labels == c)].T.astype(np.float64)
        if config.entropy == "mean":
            h = sum(entropy(p) for p in pixels) / len(pixels)
        else:
            h = entropy(pixels.mean(axis=0))
        if h < least - 1e-12:
            best, least = c, h
    return best, 0.0


def paint(
    labels: np.ndarray, masks: np.ndarray, chosen: list[tuple[int, float] | None], keep: bool
) -> tuple[np.ndarray, np.ndarray]:
    ensemble = labels.copy() if keep else np.full_like(labels, 255)
    weight = np.zeros(labels.shape)
    for m in sorted(range(len(masks)), key=lambda m: -int(masks[m].sum())):
        if chosen[m] is not None:
            ensemble[masks[m]], weight[masks[m]] = chosen[m]
    return ensemble, weight


def ctcf(labels, p_CHW, masks, config):
    return [ctcf_label(mask, labels, p_CHW, config) if mask.any() else None for mask in masks]


def ssa(labels, p_CHW, masks, config):
    def majority(mask: np.ndarray) -> tuple[int, float]:
        count = [int((labels[mask] == c).sum()) for c in range(len(p_CHW))]
        return count.index(max(count)), 1.0

    return [majority(mask) if mask.any() else None for mask in masks]


def sepl(labels, p_CHW, masks, config):
    chosen: list[tuple[int, float] | None] = [None] * len(masks)
    for c in range(len(p_CHW)):
        region = labels == c
        for m, mask in enumerate(masks):
            if chosen[m] is not None or not mask.any() or not region.any():
                continue
            shared = int((mask & region).sum())
            if shared / mask.sum() > 0.5 or shared / region.sum() >= 0.85:
                chosen[m] = (c, 1.0)
    return chosen


TWINS: dict[str, Callable] = {"ctcf": ctcf, "ssa": ssa, "sepl": sepl}


def random_window(
    rng: np.random.Generator, masks: int, classes: int, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Masks that overlap, nest and leave holes; logits in blobs with noise."""
    found = np.zeros((masks, height, width), bool)
    for mask in found:
        y, x = rng.integers(height), rng.integers(width)
        mask[y : y + rng.integers(1, height), x : x + rng.integers(1, width)] = True
        mask &= rng.random(mask.shape) > 0.2
    logits = rng.normal(size=(classes, height // 3 + 1, width // 3 + 1)).repeat(3, 1).repeat(3, 2)
    logits = 2 * logits[:, :height, :width] + rng.normal(size=(classes, height, width))
    return found, logits.astype(np.float32)


def batch_of(windows: list[np.ndarray]) -> MaskBatch:
    return MaskBatch.of([WindowMasks.of(m, np.ones(len(m)), np.ones(len(m))) for m in windows])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    counts=st.lists(st.integers(0, 7), min_size=1, max_size=3),
    classes=st.integers(2, 6),
    rule=st.sampled_from(["ctcf", "ssa", "sepl"]),
    reading=st.sampled_from(["mean", "of_mean"]),
    uncovered=st.sampled_from(["keep", "ignore"]),
)
def test_equals_the_loop_over_masks(seed, counts, classes, rule, reading, uncovered):
    rng = np.random.default_rng(seed)
    height, width = int(rng.integers(4, 20)), int(rng.integers(4, 20))
    # the medium range in px of a 400 x 512 window, put where these small masks lie
    limit = 400 * 512 / (height * width)
    config = FusionConfig(
        rule=rule, entropy=reading, uncovered=uncovered, medium=(int(9 * limit), int(80 * limit))
    )
    windows = [random_window(rng, n, classes, height, width) for n in counts]
    logits = torch.from_numpy(np.stack([w[1] for w in windows]))
    ensemble, weight = fuse(logits, batch_of([w[0] for w in windows]), config)
    for n, (masks, _) in enumerate(windows):
        labels = logits[n].argmax(0).numpy()
        p = logits[n].softmax(0).numpy()
        chosen = TWINS[rule](labels, p, masks, config)
        expected, expected_weight = paint(labels, masks, chosen, uncovered == "keep")
        np.testing.assert_array_equal(ensemble[n].numpy(), expected)
        np.testing.assert_array_equal(weight[n].numpy(), expected_weight)


def one_mask(labels: list[int], confidence: list[float], **settings) -> tuple[int, float]:
    """Fuse one row of pixels under one mask: each has its label with the given logit."""
    logits = torch.zeros(1, 5, 1, len(labels))
    for x, (label, value) in enumerate(zip(labels, confidence, strict=True)):
        logits[0, label, 0, x] = value
    masks = batch_of([np.ones((1, 1, len(labels)), bool)])
    ensemble, weight = fuse(logits, masks, FusionConfig(**settings))
    assert len(set(ensemble.flatten().tolist())) == 1
    return int(ensemble[0, 0, 0]), float(weight[0, 0, 0])


@pytest.mark.parametrize(
    ("labels", "confidence", "expected"),
    [
        ([1, 1, 2], [1, 1, 9], (1, 1.0)),  # 2/3 >= 0.5: the majority, trusted
        ([1, 1, 2, 3], [1, 1, 9, 2], (1, 1.0)),  # exactly 0.5 is enough
        ([1, 1, 2, 3, 4], [1, 1, 9, 2, 2], (2, 0.0)),  # 0.4: the surest of the first three
        ([1, 1, 2, 3, 4], [1, 1, 2, 2, 9], (2, 0.0)),  # 4 is fourth: equal counts, lower id first
        ([3, 3, 1, 1, 2], [5, 5, 5, 5, 5], (1, 0.0)),  # equal entropy: the more frequent, lower id
    ],
)
def test_ctcf_by_hand(labels, confidence, expected):
    assert one_mask(labels, confidence, medium=(0, 0)) == expected


def test_theta_depends_on_the_area():
    row = ([1, 1, 2], [1, 1, 9])
    # 3 px of a 3 px window: put them inside the medium range, whose threshold is 0.7
    assert one_mask(*row, medium=(0, 400 * 512)) == (2, 0.0)


def test_smaller_mask_wins_and_uncovered_pixels():
    labels = np.array([[0, 0, 0, 1, 1, 2]])
    logits = torch.from_numpy(np.eye(3, dtype=np.float32)[labels].transpose(2, 0, 1)[None] * 5)
    large, small = np.zeros((1, 6), bool), np.zeros((1, 6), bool)
    large[0, :5], small[0, 3:5] = True, True
    for order in itertools.permutations([large, small]):
        ensemble, weight = fuse(logits, batch_of([np.stack(order)]), FusionConfig())
        assert ensemble.tolist() == [[[0, 0, 0, 1, 1, 2]]]
        assert weight.tolist() == [[[1, 1, 1, 1, 1, 0]]]
    left_out, _ = fuse(logits, batch_of([np.stack([large])]), FusionConfig(uncovered="ignore"))
    assert left_out.tolist() == [[[0, 0, 0, 0, 0, 255]]]


def test_no_gradient():
    logits = torch.randn(1, 4, 6, 6, requires_grad=True)
    ensemble, weight = fuse(logits, batch_of([np.ones((1, 6, 6), bool)]))
    assert not ensemble.requires_grad
    assert not weight.requires_grad


def test_pairs_of_masks_and_cells_number_all_windows_through():
    rng = np.random.default_rng(3)
    windows = [random_window(rng, count, 2, 9, 12)[0] for count in (3, 0, 5)]
    windows[0][1] = False  # an empty mask is left out
    batch = batch_of(windows)
    left = [mask for window in windows for mask in window if mask.any()]
    assert sorted(batch.area.tolist()) == sorted(int(mask.sum()) for mask in left)
    for m in range(len(left)):
        cells = batch.cell_of[batch.mask_of == m]
        assert batch.cell_of[batch.first[m]] == cells[0]
        inside = torch.isin(batch.cells[batch.window_of[m]], cells.int())
        assert any(np.array_equal(inside.numpy(), mask) for mask in left)
    # the smaller one first, within a window
    for n in range(3):
        area = batch.area[batch.window_of == n]
        assert torch.equal(area, area.sort().values)


def test_equal_entropies_are_equal_however_many_pixels_there_are():
    """Three pixels of one label, seven of another, each as sure: the more frequent one wins."""
    for value in (0.1, 0.7, 1.3, 2.9):
        labels = [3] * 7 + [1] * 3 + [0, 2, 4, 0, 2, 4]
        assert one_mask(labels, [value] * 16, medium=(0, 0)) == (3, 0.0)


@pytest.mark.gpu
@pytest.mark.parametrize("rule", ["ctcf", "ssa", "sepl"])
def test_a_gpu_gives_the_same(rule):
    rng = np.random.default_rng(0)
    windows = [random_window(rng, 20, 19, 64, 80) for _ in range(4)]
    logits = torch.from_numpy(np.stack([w[1] for w in windows]))
    batch = batch_of([w[0] for w in windows])
    device = torch.device("cuda")
    here = fuse(logits, batch, FusionConfig(rule=rule))
    there = fuse(logits.to(device), batch.pin_memory().to(device), FusionConfig(rule=rule))
    for a, b in zip(here, there, strict=True):
        assert torch.equal(a, b.cpu())


def test_without_a_rule_the_labels_are_the_tas_own():
    rng = np.random.default_rng(0)
    windows = [random_window(rng, n, 4, 8, 9) for n in (2, 3)]
    logits = torch.from_numpy(np.stack([w[1] for w in windows]))
    batch = batch_of([w[0] for w in windows])
    ensemble, weight_map = fuse(logits, batch, FusionConfig(rule="none"))
    assert torch.equal(ensemble, logits.argmax(1))
    assert not weight_map.any()
