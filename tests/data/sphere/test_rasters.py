"""The rasters on which neighbours meet, for every plan, against loops over their pixels."""

import pickle

import numpy as np
import pytest
import torch

from goodsam.data.raster import Raster
from goodsam.data.sphere import TangentWindows, VerticalWindows
from goodsam.data.windows import Windows
from tests.data.sphere.gnomonic import naive_bilinear, naive_seen

TANGENT = [TangentWindows(16, 32), TangentWindows(16, 32, 110), TangentWindows(12, 32, 60, 25)]
CUT_OUT = [
    Windows(5, 16, 6, 4),
    Windows(5, 16, 6, 4, wrap=False),
    VerticalWindows.of(16, 32),
    VerticalWindows(10, 24, (5, 7), (3, 4)),
]
PLANS = TANGENT + CUT_OUT


def numbered(plan):
    return np.arange(2 * plan.height * plan.width).reshape(2, plan.height, plan.width)


def seen_by(plan):
    """Of each window (row, column) -> where it sees that pixel of the sphere."""
    found = []
    for window in range(len(plan)):
        places = {at: naive_seen(plan, window, *at) for at in np.ndindex(plan.height, plan.width)}
        found.append({at: place for at, place in places.items() if place is not None})
    return found


@pytest.mark.parametrize("plan", PLANS)
def test_a_raster_is_rows_and_columns_of_the_panorama(plan):
    panorama = numbered(plan)
    cut, tensors = plan.cut_overlaps(panorama), plan.cut_overlaps(torch.from_numpy(panorama))
    places = zip(plan.overlaps, plan.overlap_shapes, cut, tensors, strict=True)
    for overlap, shape, found, tensor in places:
        rows, columns = plan.overlap_pixels(overlap)
        assert (len(rows), columns.size) == shape
        naive = [[panorama[:, y, x] for x in columns[0]] for y in rows[:, 0]]
        np.testing.assert_array_equal(found, np.moveaxis(np.array(naive), -1, 0))
        np.testing.assert_array_equal(tensor.numpy(), found)
        assert (np.diff(rows[:, 0]) == 1).all()
        assert (np.diff(columns[0]) % plan.width == 1).all()


@pytest.mark.parametrize("plan", CUT_OUT)
def test_windows_that_are_cut_out_show_the_panorama_itself(plan):
    windows = plan.cut(numbered(plan))
    assert windows.shape[-2:] == plan.window_shape
    rasters = plan.cut_overlaps(numbered(plan))
    picture = np.moveaxis(numbered(plan) % 251, 0, -1).astype(np.uint8)
    pictures = plan.cut_overlap_images(picture)
    for overlap, raster, crop in zip(plan.overlaps, rasters, pictures, strict=True):
        for side in plan.pair(windows, overlap):
            np.testing.assert_array_equal(side, raster)
        for window, place in plan.meeting(overlap):
            np.testing.assert_array_equal(place.of(plan.reproject(windows)[window]), raster)
        assert plan.shown(overlap) is None
        np.testing.assert_array_equal(crop, np.moveaxis(raster % 251, 0, -1))
        assert crop.flags.c_contiguous
    np.testing.assert_array_equal(plan.cut_labels(numbered(plan)), windows)
    np.testing.assert_array_equal(plan.join_labels(windows), numbered(plan))
    assert not plan.resampled


def test_the_search_goes_along_what_neighbours_share():
    assert {Windows.of(8, 32).search(o) for o in Windows.of(8, 32).overlaps} == {"column"}
    assert {TANGENT[0].search(overlap) for overlap in TANGENT[0].overlaps} == {"column"}
    plan = VerticalWindows.of(16, 32)
    by_axis = {(overlap.axis, plan.search(overlap)) for overlap in plan.overlaps}
    assert by_axis == {("across", "column"), ("down", "row")}


@pytest.mark.parametrize("plan", PLANS)
def test_a_windows_pixel_is_made_of_the_panoramas(plan):
    panorama = numbered(plan).astype(float)
    for window, cut in enumerate(plan.cut(panorama)):
        rows, columns, shares = plan.made_of(window)
        assert (shares is None) == (not plan.resampled)
        values = panorama[:, rows, columns]
        made = values[:, 0] if shares is None else (values * shares).sum(axis=1)
        np.testing.assert_allclose(made, cut, rtol=1e-5)


@pytest.mark.parametrize("plan", TANGENT)
def test_tangent_windows_meet_on_the_least_raster_around_what_both_show(plan):
    seen = seen_by(plan)
    rng = np.random.default_rng(0)
    windows = rng.random((len(plan), 2, plan.size, plan.size))
    labels = rng.integers(1, 200, (len(plan), plan.size, plan.size)).astype(np.uint8)
    tensors = torch.from_numpy(windows)
    for overlap in plan.overlaps:
        both = seen[overlap[0]].keys() & seen[overlap[1]].keys()
        rows, columns = (axis.ravel().tolist() for axis in plan.overlap_pixels(overlap))
        shown = plan.shown(overlap)
        assert {(rows[y], columns[x]) for y, x in np.argwhere(shown)} == both
        assert shown.any(axis=1)[[0, -1]].all()
        whole_circle = len(columns) == plan.width
        assert whole_circle or shown.any(axis=0)[[0, -1]].all()
        sides = zip(overlap, plan.pair(windows, overlap), plan.pair(labels, overlap), strict=True)
        for (window, side, label), tensor in zip(sides, plan.pair(tensors, overlap), strict=True):
            assert (side[:, ~shown] == 0).all()
            assert (label[~shown] == 0).all()
            assert label.dtype == np.uint8
            for y, x in np.argwhere(shown)[::23]:
                place = seen[window][rows[y], columns[x]][:2]
                value = naive_bilinear(windows[window], *place)
                np.testing.assert_allclose(side[:, y, x], value, atol=1e-5)
                nearest = {tuple(round(at + e) for at in place) for e in (-1e-5, 1e-5)}
                assert label[y, x] in {labels[window][at] for at in nearest}
            np.testing.assert_allclose(tensor.numpy(), side, atol=1e-6)


@pytest.mark.parametrize("plan", TANGENT)
def test_a_window_is_reprojected_once_for_all_its_overlaps(plan):
    windows = torch.rand(len(plan), 3, plan.size, plan.size)
    reprojected = plan.reproject(windows)
    for overlap in plan.overlaps:
        shown = torch.from_numpy(plan.shown(overlap))
        for (window, place), side in zip(
            plan.meeting(overlap), plan.pair(windows, overlap), strict=True
        ):
            torch.testing.assert_close(place.of(reprojected[window]) * shown, side)


@pytest.mark.parametrize("plan", TANGENT)
def test_labels_are_joined_from_the_window_that_sees_a_pixel_best(plan):
    labels = np.random.default_rng(1).integers(0, 250, (len(plan), plan.size, plan.size))
    joined = plan.join_labels(labels.astype(np.uint8))
    tensor = plan.join_labels(torch.from_numpy(labels)[:, None])
    seen = seen_by(plan)
    for pixel in np.ndindex(joined.shape):
        places = [(window, *at[pixel]) for window, at in enumerate(seen) if pixel in at]
        most = max(weight for *_, weight in places)
        best = [(w, y, x) for w, y, x, weight in places if weight > most - 1e-6]
        either = {
            labels[w, round(y + e), round(x + d)]
            for w, y, x in best
            for e in (-1e-5, 1e-5)
            for d in (-1e-5, 1e-5)
        }
        assert joined[pixel] in either
    np.testing.assert_array_equal(tensor[0].numpy(), joined)


def test_windows_that_share_nothing_are_no_neighbours():
    cube = TangentWindows(24, 48, 90, 90)
    assert (len(cube), cube.overlaps, cube.overlap_shapes) == (6, (), ())
    sphere = np.full((24, 48), 0.3)
    np.testing.assert_allclose(cube.join(cube.cut(sphere)), sphere, atol=1e-6)
    plan = TangentWindows(16, 32, 80, 80)
    seen = seen_by(plan)
    assert plan.overlaps
    assert all(seen[first].keys() & seen[second].keys() for first, second in plan.overlaps)


def test_a_raster_goes_over_the_seam_and_past_the_circle():
    pixels = np.zeros((4, 10), bool)
    pixels[1:3, [8, 9, 0, 1]] = True
    raster = Raster.around(pixels)
    assert raster == Raster(1, 8, 2, 4)
    assert list(raster.runs(10)) == [(slice(0, 2), slice(8, 10)), (slice(2, 4), slice(0, 2))]
    whole = Raster.around(np.ones((4, 10), bool))
    assert whole == Raster(0, 0, 4, 10)
    wide = whole.wider([raster, Raster(0, 3, 2, 2)], 10)
    assert wide == Raster(0, 0, 3, 12)
    assert raster.within(wide, 10) == Raster(1, 8, 2, 4)
    assert list(wide.runs(10)) == [(slice(0, 10), slice(0, 10))]


def test_a_plan_travels_without_what_it_remembers():
    plan = TangentWindows(64, 128)
    assert plan.overlaps
    packed = pickle.dumps(plan)
    assert len(packed) < 500
    assert pickle.loads(packed) == plan
    assert pickle.loads(packed).overlaps == plan.overlaps
