"""Windows across and down, against loops over their pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from goodsam.data.errors import InputError
from goodsam.data.sphere import VerticalWindows, sphere_plan


@st.composite
def plans(draw):
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 24))
    window = draw(st.integers(1, height)), draw(st.integers(1, width))
    stride = draw(st.integers(1, window[0])), draw(st.integers(1, window[1]))
    return VerticalWindows(height, width, window, stride)


def numbered(plan):
    """Every pixel of a (2, H, W) sphere has a value of its own."""
    return np.arange(2 * plan.height * plan.width).reshape(2, plan.height, plan.width)


def naive_starts(length, window, stride, wrap):
    """Every stride; on a circle while below its length, else while a window fits, and the last."""
    if wrap:
        return [start for start in range(length) if start % stride == 0]
    fitting = [start for start in range(length - window + 1) if start % stride == 0]
    return fitting + [length - window] * (length - window not in fitting)


def naive_corners(plan):
    """Upper left corners, row by row."""
    tops = naive_starts(plan.height, plan.window[0], plan.stride[0], wrap=False)
    lefts = naive_starts(plan.width, plan.window[1], plan.stride[1], wrap=True)
    return [(top, left) for top in tops for left in lefts]


def naive_cut(plan, sphere):
    h, w = plan.window
    found = np.empty((len(naive_corners(plan)), len(sphere), h, w), sphere.dtype)
    for n, (top, left) in enumerate(naive_corners(plan)):
        for y in range(h):
            for x in range(w):
                found[n, :, y, x] = sphere[:, top + y, (left + x) % plan.width]
    return found


@given(plans())
def test_cut_is_the_pixels_around_the_circle_and_down(plan):
    sphere = numbered(plan)
    cut = naive_cut(plan, sphere)
    assert len(plan) == len(cut)
    np.testing.assert_array_equal(plan.cut(sphere), cut)
    np.testing.assert_array_equal(plan.cut(torch.from_numpy(sphere)).numpy(), cut)
    picture = np.moveaxis(sphere % 251, 0, -1).astype(np.uint8)
    expected = np.moveaxis(cut % 251, 1, -1)
    np.testing.assert_array_equal(plan.cut_images(picture), expected)


@given(plans())
def test_join_of_cut_is_the_sphere(plan):
    sphere = numbered(plan)
    np.testing.assert_array_equal(plan.join(plan.cut(sphere)), sphere)
    tensor = torch.from_numpy(sphere)
    assert torch.equal(plan.join(plan.cut(tensor)), tensor)


@given(plans())
def test_neighbours_share_what_both_show(plan):
    """Each overlap is all that the two windows have in common next to each other, exactly."""
    windows = plan.cut(numbered(plan))
    for overlap in plan.overlaps:
        left, right = plan.pair(windows, overlap)
        np.testing.assert_array_equal(left, right)
        h, w = plan.window
        whole = (h, overlap.shared) if overlap.axis == "across" else (overlap.shared, w)
        assert left.shape == (2, *whole)
        assert overlap.shared > 0


def test_a_sphere_has_windows_of_a_quarter_of_the_circle_and_half_overlaps():
    plan = sphere_plan("vertical", 16, 32)
    assert (plan.window, plan.stride, len(plan)) == ((8, 8), (4, 4), 24)
    pairs = {(o.first, o.second, o.axis, o.shared) for o in plan.overlaps}
    across = {(8 * r + c, 8 * r + (c + 1) % 8, "across", 4) for r in range(3) for c in range(8)}
    down = {(8 * r + c, 8 * r + 8 + c, "down", 4) for r in range(2) for c in range(8)}
    assert pairs == across | down
    assert len(plan.overlaps) == 40  # each once, those over the seam among them


def test_the_horizon_is_taken_from_the_middle_of_windows():
    plan = VerticalWindows.of(16, 32)
    assert plan.row_sources.tolist() == [0] * 6 + [1] * 4 + [2] * 6
    rows = np.repeat(np.arange(3), 8)[:, None, None, None] * np.ones((1, 8, 8), int)
    assert plan.join(rows)[0, :, 0].tolist() == plan.row_sources.tolist()


def test_what_makes_no_windows():
    with pytest.raises(InputError, match="higher than the sphere"):
        VerticalWindows(8, 16, (9, 4), (4, 2))
    with pytest.raises(InputError, match="leave"):
        VerticalWindows(8, 16, (4, 4), (5, 2))
    with pytest.raises(InputError, match="no 2:1 sphere"):
        sphere_plan("vertical", 400, 2048)
    with pytest.raises(InputError, match="expect 16 x 8"):
        VerticalWindows.of(8, 16).cut(np.zeros((3, 8, 15)))
