"""SAM's boundaries on the rasters of a sphere's plans, from the windows' masks, against loops."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsam.data.sphere import TangentWindows, VerticalWindows
from goodsam.data.window_masks import WindowMasks, overlap_boundaries

VERTICAL = [VerticalWindows.of(8, 16), VerticalWindows(9, 12, (4, 5), (3, 2))]
TANGENT = [TangentWindows(16, 32), TangentWindows(16, 32, 110)]


def random_masks(plan, seed):
    """bool (n, 2, h, w): in each window two masks of large pieces."""
    rng = np.random.default_rng(seed)
    h, w = plan.window_shape
    coarse = rng.random((len(plan), 2, -(-h // 3), -(-w // 3))) < 0.4
    return coarse.repeat(3, axis=2).repeat(3, axis=3)[..., :h, :w]


def naive_boundary(mask, counts):
    """Pixels of a mask with a 4-neighbour outside it; pixels that do not count are none."""
    found = np.zeros(mask.shape, bool)
    for y, x in np.argwhere(mask & counts):
        around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        inside = [n for n in around if 0 <= n[0] < mask.shape[0] and 0 <= n[1] < mask.shape[1]]
        found[y, x] = any(counts[n] and not mask[n] for n in inside)
    return found


def of(masks):
    return [WindowMasks.of(m, np.ones(len(m)), np.ones(len(m))) for m in masks]


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(VERTICAL), st.integers(0, 2**32 - 1), st.booleans())
def test_boundaries_of_windows_that_are_cut_out(plan, seed, leave_out):
    """Those of each window, cut to what it shares: its pixels are the sphere's own."""
    masks = random_masks(plan, seed)
    ignored = np.random.default_rng(seed).random((plan.height, plan.width)) < 0.2
    kept = plan.cut_labels(~ignored) if leave_out else np.ones((len(plan), *plan.window), bool)
    of_window = np.array(
        [
            np.logical_or.reduce([naive_boundary(mask, counts) for mask in window])
            for window, counts in zip(masks, kept, strict=True)
        ]
    )
    found = overlap_boundaries(of(masks), plan, ignored if leave_out else None)
    for overlap, boundary in zip(plan.overlaps, found, strict=True):
        np.testing.assert_array_equal(boundary, np.logical_or(*plan.pair(of_window, overlap)))


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(TANGENT), st.integers(0, 2**32 - 1), st.booleans())
def test_boundaries_of_tangent_windows(plan, seed, leave_out):
    """Masks come to the sphere's pixels first; what not both windows show makes no boundary."""
    masks = random_masks(plan, seed)
    ignored = np.random.default_rng(seed).random((plan.height, plan.width)) < 0.2
    found = overlap_boundaries(of(masks), plan, ignored if leave_out else None)
    rasters = plan.cut_overlaps(~ignored)
    for overlap, boundary, kept in zip(plan.overlaps, found, rasters, strict=True):
        counts = plan.shown(overlap) & (kept if leave_out else True)
        sides = plan.pair(masks, overlap)
        expected = np.logical_or.reduce(
            [naive_boundary(mask, counts) for side in sides for mask in side]
        )
        np.testing.assert_array_equal(boundary, expected)
        assert not boundary[~counts].any()


def pieces(pixels):
    """How many pieces pixels fall into, each a neighbour of the next, corners too."""
    left, count = {tuple(at) for at in np.argwhere(pixels)}, 0
    while left:
        edge, count = [left.pop()], count + 1
        while edge:
            y, x = edge.pop()
            around = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= around
            edge += around
    return count


def test_a_straight_edge_of_a_mask_stays_one_thin_line():
    """Finer at their rims than the sphere, windows' own boundaries would fall into pieces."""
    plan = TangentWindows(64, 128)
    across = np.arange(plan.size)
    masks = np.zeros((len(plan), 1, plan.size, plan.size), bool)
    masks[:] = across[:, None] < across[None] * 0.7 + 3
    nothing = np.zeros_like(masks)
    own = np.array([naive_boundary(mask, np.ones_like(mask)) for mask in masks[:, 0]])
    torn = 0
    for i, overlap in enumerate(plan.overlaps):
        one = of([masks[k] if k == overlap[0] else nothing[k] for k in range(len(plan))])
        boundary = overlap_boundaries(one, plan)[i]
        side, _ = plan.pair(masks[:, 0], overlap)
        if boundary.any() and pieces(side) == 1 and pieces(~side & plan.shown(overlap)) == 1:
            assert pieces(boundary) == 1
            torn += pieces(plan.pair(own, overlap)[0]) > 1
        squares = boundary[1:, 1:] & boundary[1:, :-1] & boundary[:-1, 1:] & boundary[:-1, :-1]
        assert squares.sum() <= 0.1 * boundary.sum()  # at corners of the line alone
    assert torn > 10
