"""Tangent windows, against loops straight from the formulas and against py360convert."""

import math

import numpy as np
import py360convert
import pytest
import torch

from goodsam.data.errors import InputError
from goodsam.data.sphere import TangentWindows
from tests.data.sphere.gnomonic import (
    naive_bilinear,
    naive_direction,
    naive_pixel,
    naive_place,
    naive_seen,
)

PLAN = TangentWindows(8, 32)  # rows so high that windows at the poles look past them


def smooth(height, width, k):
    """A picture that is smooth on the sphere, poles and seam too; its waves are W / k px long."""
    latitude = (0.5 - (np.arange(height)[:, None] + 0.5) / height) * np.pi
    longitude = ((np.arange(width) + 0.5) / width - 0.5) * 2 * np.pi
    x, y, z = naive_direction(latitude, longitude)
    return np.sin(k * x + 1) * np.cos(k * y) * np.sin(k * z + 0.5)


def naive_cut(plan, sphere, nearest=False):
    found = np.empty((len(plan), plan.size, plan.size), sphere.dtype)
    for window, y, x in np.ndindex(found.shape):
        row, column = naive_place(plan, window, y, x)
        if nearest:
            found[window, y, x] = naive_pixel(sphere, round(row), round(column))
            continue
        top, left = math.floor(row), math.floor(column)
        found[window, y, x] = sum(
            naive_pixel(sphere, top + i, left + j)
            * (1 - abs(top + i - row))
            * (1 - abs(left + j - column))
            for i in (0, 1)
            for j in (0, 1)
        )
    return found


def naive_join(plan, windows):
    """Each pixel: the mean over all windows that show it, by how near it is to their middle."""
    found = np.empty((plan.height, plan.width))
    for row, column in np.ndindex(found.shape):
        total = weights = 0.0
        for window, seen in enumerate(windows):
            if (at := naive_seen(plan, window, row, column)) is not None:
                y, x, weight = at
                total, weights = total + weight * naive_bilinear(seen, y, x), weights + weight
        found[row, column] = total / weights
    return found


def test_cut_is_bilinear_where_the_gnomonic_projection_says():
    sphere = np.random.default_rng(0).random((8, 32))
    expected = naive_cut(PLAN, sphere)
    np.testing.assert_allclose(PLAN.cut(sphere), expected, atol=1e-9)
    tensor = PLAN.cut(torch.from_numpy(sphere)[None])
    np.testing.assert_allclose(tensor[:, 0].numpy(), expected, atol=1e-9)


def test_labels_are_those_of_the_nearest_pixel():
    labels = np.random.default_rng(1).integers(0, 19, (8, 32)).astype(np.uint8)
    cut = PLAN.cut_labels(labels)
    assert cut.dtype == np.uint8
    # a place half way between two pixels may round to either
    assert (cut == naive_cut(PLAN, labels, nearest=True)).mean() > 0.99


def test_join_is_the_weighted_mean_of_the_windows_that_show_a_pixel():
    windows = np.random.default_rng(2).random((len(PLAN), PLAN.size, PLAN.size))
    expected = naive_join(PLAN, windows)
    np.testing.assert_allclose(PLAN.join(windows), expected, atol=1e-5)
    joined = PLAN.join(torch.from_numpy(windows)[:, None].float())
    np.testing.assert_allclose(joined[0].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("fov", [60, 90, 110])
def test_windows_are_those_of_py360convert(fov):
    plan = TangentWindows(64, 128, fov)
    picture = np.random.default_rng(3).integers(0, 256, (64, 128, 3)).astype(np.uint8)
    # its field of view is from the first pixel's middle to the last one's
    reach = math.tan(math.radians(fov / 2)) * (plan.size - 1) / plan.size
    between = 2 * math.degrees(math.atan(reach))
    square = (plan.size, plan.size)
    for window, (latitude, longitude) in zip(plan.cut_images(picture), plan.centres, strict=True):
        theirs = py360convert.e2p(picture, between, longitude, latitude, square).astype(int)
        assert np.abs(theirs - window).max() <= 1


@pytest.mark.parametrize(("waves", "bound"), [(16, 0.056), (8, 0.014), (4, 0.0038)])
def test_join_of_cut_loses_what_bilinear_twice_loses(waves, bound):
    """A quarter as much where waves are twice as long; the bounds are those of docs/sphere.md."""
    sphere = smooth(128, 256, waves)
    plan = TangentWindows(128, 256)
    assert np.abs(plan.join(plan.cut(sphere)) - sphere).max() <= bound


@pytest.mark.parametrize("fov", [60, 90, 120])
def test_what_is_of_one_value_stays_so_at_poles_and_seam(fov):
    plan = TangentWindows(32, 64, fov)
    sphere = np.full((2, 32, 64), 0.3)
    np.testing.assert_allclose(plan.join(plan.cut(sphere)), sphere, atol=1e-6)


def test_neighbours_see_the_same_places_alike():
    plan = TangentWindows(128, 256)
    windows = plan.cut(smooth(128, 256, 4))
    degrees = plan.centres
    assert {(0, n) for n in range(1, 7)} < set(plan.overlaps)  # from the pole to all around it
    across = [(a, b) for a, b in plan.overlaps if (degrees[[a, b], 0] == 0).all()]
    assert len(across) == 8  # around the horizon, over the seam too
    for overlap in plan.overlaps:
        left, right = plan.pair(windows, overlap)
        assert left.shape == right.shape
        assert left.size > 1000
        assert np.abs(left - right).max() < 0.03  # half a pixel at their rims


def test_labels_of_neighbours_stay_labels():
    plan = TangentWindows(64, 128)
    labels = (np.arange(64)[:, None] // 16 + np.zeros(128)).astype(np.uint8)
    left, right = plan.pair(plan.cut_labels(labels), plan.overlaps[0])
    assert left.dtype == np.uint8
    assert (left == right).mean() > 0.95


def test_what_makes_no_windows():
    with pytest.raises(InputError, match="use 30 to 150"):
        TangentWindows(64, 128, 170)
    with pytest.raises(InputError, match="use 0 to 60"):
        TangentWindows(64, 128, 60, 90)
    with pytest.raises(InputError, match="leave parts of the sphere out"):
        TangentWindows(64, 128, 60, 60)
    with pytest.raises(InputError, match="expect 32 x 8"):
        PLAN.cut(np.zeros((3, 8, 31)))
