"""True instances made worse: each failure by the amount that is stated, and nothing else."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsam.data.errors import InputError
from goodsam.data.street.picture import panorama
from goodsam.data.street.seeds import split_seed
from goodsam.data.windows import Windows
from goodsam.stages.score.masks import AREAS
from goodsam.stages.truth.degrade import (
    DEMO_SAM,
    NONE,
    Degradation,
    degraded,
    moved_outline,
    neighbours,
    of_quality,
)
from goodsam.stages.truth.masks import true_masks

WINDOWS = Windows(200, 1024, 256, 256)  # windows that touch
ALWAYS = (1.0,) * len(NONE)


def worse(instances, degradation, windows=WINDOWS, seed=0):
    rng = np.random.default_rng(seed)
    return [masks.masks() for masks in degraded(instances, windows, degradation, rng)]


def squares(side, gap, height=200, width=1024):
    """A grid of squares that no window of 256 cuts, ids from 1; gap: px between them."""
    rows, columns = np.mgrid[:height, :width]
    step = side + gap
    per_window, down = 256 // step, height // step
    across = columns % 256 // step
    ids = rows // step * (per_window * 4) + columns // 256 * per_window + across + 1
    inside = (rows % step < side) & (columns % 256 % step < side)
    return np.where(inside & (rows // step < down) & (across < per_window), ids, 0)


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), wrap=st.booleans())
def test_without_failures_they_are_the_true_masks(seed, wrap):
    instances = np.random.default_rng(seed).choice([0, 3, 7, 500, 9], (6, 40)).astype(np.uint16)
    windows = Windows.of(6, 40, wrap=wrap)
    for degradation in (Degradation(), of_quality(1), replace(DEMO_SAM.scaled(0), seed=3)):
        ours = degraded(instances, windows, degradation, np.random.default_rng(seed))
        for own, true in zip(ours, true_masks(instances, windows), strict=True):
            np.testing.assert_array_equal(own.masks(), true.masks())
            np.testing.assert_array_equal(own.predicted_iou, true.predicted_iou)


@pytest.mark.parametrize(("index", "side"), [(0, 15), (1, 16), (1, 31), (2, 32), (2, 49), (3, 51)])
def test_things_are_missing_as_often_as_is_stated_of_their_size(index, side):
    missing = tuple(0.3 if i == index else 0.9 for i in range(len(NONE)))
    instances = squares(side, gap=1)
    things = len(np.unique(instances)) - 1
    found, draws = 0, 1000 // things + 1
    for seed in range(draws):
        kept = worse(instances, Degradation(missing=missing), seed=seed)
        found += sum(len(masks) for masks in kept)
        assert all(mask.sum() == side**2 for masks in kept for mask in masks)
    deviation = np.sqrt(0.3 * 0.7 / (things * draws))
    assert found / (things * draws) == pytest.approx(0.7, abs=4 * deviation)


@pytest.mark.parametrize("height", [100, 200, 400])
def test_sizes_are_shares_of_the_window(height):
    windows = Windows.of(height, height * 512 // 100)
    limit = math.ceil(AREAS[0] * height**2 / 200**2)
    for area, found in ((limit - 1, 0), (limit, 1)):
        instances = np.zeros((windows.height, windows.width), int)
        instances[np.unravel_index(np.arange(area), (windows.height, 10))] = 1
        (masks, *_) = worse(instances, Degradation(missing=(1.0, 0, 0, 0, 0)), windows)
        assert len(masks) == found


@pytest.mark.parametrize("side", [8, 20, 40, 60, 150])
@pytest.mark.parametrize("loss", [0.05, 0.3])
def test_outlines_are_moved_until_the_iou_is_the_stated_one(side, loss):
    instances = squares(side, gap=20)
    reached = []
    for part, masks in zip(
        WINDOWS.cut(instances), worse(instances, Degradation(moved=(loss,) * 5)), strict=True
    ):
        ids = np.unique(part[part > 0])
        assert masks.shape == (len(ids), *part.shape)  # each inside its window
        reached += [iou(mask, part == one) for mask, one in zip(masks, ids, strict=True)]
    assert min(reached) >= 1 - loss
    assert np.mean(reached) < 1 - loss + max(0.02, 2 / side**2)
    assert any((mask & (part == 0)).any() for mask in masks)  # some grow somewhere


def test_an_outline_goes_as_far_as_the_iou_allows():
    rows, columns = np.mgrid[:80, :90]
    disc = (rows - 40) ** 2 + (columns - 45) ** 2 < 30**2
    for field in (np.ones(disc.shape), -np.ones(disc.shape), np.sin(columns / 9)):
        for least in (0.6, 0.9, 1.0):
            moved = moved_outline(disc, field, least)
            assert iou(moved, disc) >= least
            assert iou(moved, disc) < least + 0.1  # a ring of one pixel is 7 % of the disc
            assert not (moved & ~disc)[field < 0].any()
            assert not (disc & ~moved)[field > 0].any()
    everything = np.ones((4, 5), bool)
    assert moved_outline(everything, -np.ones((4, 5)), 0.5) is everything


@pytest.mark.parametrize("left", [150, 1010])  # the second one lies across the seam
def test_windows_that_show_the_same_of_a_thing_agree(left):
    windows, side, room = Windows(200, 1024, 256, 64), 40, 20
    instances = np.zeros((200, 1024), int)
    instances[60:110, (left + np.arange(side)) % 1024] = 1
    found = worse(instances, Degradation(moved=(0.25,) * 5, parts=ALWAYS), windows)
    seen = []
    for start, masks in zip(windows.starts, found, strict=True):
        first = (left - start) % 1024 - room
        if 0 <= first <= 256 - side - 2 * room:
            seen.append(masks[..., first : first + side + 2 * room])
    assert len(seen) > 1
    for masks in seen[1:]:
        np.testing.assert_array_equal(masks, seen[0])


def test_parts_are_masks_beside_the_whole():
    instances = squares(40, gap=10)
    for true, masks in zip(
        true_masks(instances, WINDOWS), worse(instances, Degradation(parts=ALWAYS)), strict=True
    ):
        triples = masks.reshape(len(true), 3, *masks.shape[1:])
        for (whole, one, other), mask in zip(triples, true.masks(), strict=True):
            np.testing.assert_array_equal(whole, mask)
            assert not (one & other).any()
            np.testing.assert_array_equal(one | other, mask)
            assert min(one.sum(), other.sum()) > 0


def test_neighbours_that_touch_are_one_mask():
    instances = np.zeros((200, 1024), int)
    instances[50:60, 40:60] = 1
    instances[50:60, 60:80] = 2  # touches 1
    instances[50:60, 90:99] = 3  # touches none
    instances[90:99, 1020:] = 4
    instances[90:99, :9] = 5  # touches 4 across the seam
    merging = Degradation(merged=ALWAYS)
    first, second, third, fourth = worse(instances, merging)
    np.testing.assert_array_equal(first, _masks(instances[:, :256], (1, 2), (3,), (5,)))
    np.testing.assert_array_equal(fourth, _masks(instances[:, 768:], (4,)))
    assert not len(second)
    assert not len(third)
    shifted = Windows(200, 1024, 256, 128)
    *_, seam = worse(instances, merging, shifted)
    np.testing.assert_array_equal(seam, _masks(shifted.cut(instances)[-1], (1, 2), (3,), (4, 5)))


def _masks(part, *groups):
    """In any order: as `worse` has them, by the id that stays."""
    found = [np.isin(part, group) for group in groups]
    return np.array(found)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10_000))
def test_a_neighbour_is_one_that_a_thing_touches(seed):
    rng = np.random.default_rng(seed)
    things = rng.choice(6, (4, 9), p=[0.6, 0.08, 0.08, 0.08, 0.08, 0.08])
    found = neighbours(things, 6, rng)
    touching = {thing: set() for thing in range(6)}
    for row in range(4):
        for column in range(9):
            for other in (things[row, (column + 1) % 9], things[min(row + 1, 3), column]):
                if 0 != other != things[row, column] != 0:
                    touching[things[row, column]].add(other)
                    touching[other].add(things[row, column])
    for thing, others in touching.items():
        assert found[thing] in (others or {0})


def test_of_several_neighbours_the_one_with_the_longer_border_is_likelier():
    things = np.array([[0, 2, 0, 0], [0, 1, 3, 0], [0, 1, 3, 0], [0, 1, 3, 0]])
    found = [neighbours(things, 4, np.random.default_rng(seed))[1] for seed in range(2000)]
    assert np.mean(np.array(found) == 3) == pytest.approx(0.75, abs=0.04)


def test_the_same_draws_give_the_same_masks_and_others_give_others():
    instances = panorama(split_seed("tuning", 3), 64, 328).instances
    windows = Windows.of(64, 328)
    first, again, other = (worse(instances, DEMO_SAM, windows, seed) for seed in (1, 1, 2))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert any(len(a) != len(b) or (a != b).any() for a, b in zip(first, other, strict=True))


def test_qualities_lie_between_the_demo_sam_and_the_truth():
    assert of_quality(0) == DEMO_SAM
    assert of_quality(1) == Degradation()
    half = of_quality(0.5)
    for name, amounts in DEMO_SAM.amounts().items():
        assert half.amounts()[name] == tuple(amount / 2 for amount in amounts)
        alone = half.alone(name)
        assert {n for n, own in alone.amounts().items() if any(own)} == {name}
        assert alone.amounts()[name] == half.amounts()[name]


def test_amounts_that_there_are_not():
    with pytest.raises(InputError, match="missing"):
        Degradation(missing=(0.0, 0.1))
    with pytest.raises(InputError, match=r"parts .*between 0 and 1"):
        Degradation(parts=(0.0, 0.0, 0.0, 0.0, 1.5))
    with pytest.raises(InputError, match=r"quality 1\.1"):
        of_quality(1.1)
