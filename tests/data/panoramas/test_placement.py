"""Photographs on the sphere: against another's geometry, a loop over pixels, and the definition."""

from __future__ import annotations

import math

import numpy as np
import py360convert
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from goodsam.data.errors import InputError
from goodsam.data.panoramas.placement import Placement, upright_band

SPHERE = (256, 512)


@pytest.fixture(scope="module")
def level():
    """A smooth sphere, float64 (256, 512, 3), 0 to 255."""
    noise = np.random.default_rng(0).random((*SPHERE, 3))
    modes = ("nearest", "wrap")
    smooth = np.stack([gaussian_filter(noise[..., c], 6, mode=modes) for c in range(3)], axis=-1)
    smooth -= smooth.min()
    return smooth / smooth.max() * 255


def tilted(level, placement):
    """What a camera of this pose sees: each of its pixels is looked up on the upright sphere."""
    y, x = placement.band_places(SPHERE, SPHERE)
    around = np.pad(level, ((0, 0), (1, 1), (0, 0)), mode="wrap")
    channels = [
        map_coordinates(around[..., c], [y, x + 1], order=1, mode="nearest") for c in range(3)
    ]
    return np.stack(channels, axis=-1)


@pytest.mark.parametrize(("pitch", "roll"), [(20, 0), (0, 30), (-35, 15), (10, -100)])
def test_a_tilted_camera_sees_what_py360convert_says(level, pitch, roll):
    seen = tilted(level, Placement(SPHERE, pitch=pitch, roll=roll))
    ahead = py360convert.e2p(seen, 60, 0, 0, (64, 64))
    expected = py360convert.e2p(level, 60, 0, pitch, (64, 64), in_rot_deg=roll)
    assert np.abs(ahead - expected).mean() < 0.3
    other = py360convert.e2p(level, 60, 0, -pitch, (64, 64), in_rot_deg=-roll)
    assert np.abs(ahead - other).mean() > 5


@pytest.mark.parametrize(("pitch", "roll"), [(20, 0), (0, 30), (-35, 15)])
def test_pitch_and_roll_are_undone(level, pitch, roll):
    placement = Placement(SPHERE, pitch=pitch, roll=roll)
    photograph = tilted(level, placement).round().astype(np.uint8)
    band = upright_band(photograph, (100, 512), placement)
    assert band.shape == (100, 512, 3)
    assert np.abs(band - level[78:178]).mean() < 1


def test_a_cropped_panorama_lies_where_it_says(level):
    whole = level.round().astype(np.uint8)
    crop = whole[60:200, 100:400]
    placement = Placement(SPHERE, top=60, left=100)
    band = upright_band(crop, (100, 512), placement)
    assert np.abs(band[:, 102:398].astype(float) - whole[78:178, 102:398]).max() <= 4
    assert (band[:, :96] == 0).all()
    assert (band[:, 404:] == 0).all()
    assert placement.covered(crop.shape[:2], (100, 512)) == pytest.approx(300 / 512, abs=0.02)
    # over the back of the sphere
    wrapped = np.concatenate([whole[:, 400:], whole[:, :200]], axis=1)
    band = upright_band(wrapped, (100, 512), Placement(SPHERE, left=400))
    assert np.abs(band[:, 3:197].astype(float) - whole[78:178, 3:197]).max() <= 4
    assert (band[:, 204:396] == 0).all()


def test_a_large_photograph_is_reduced_without_moving(level):
    whole = level.round().astype(np.uint8)
    band = upright_band(whole, (20, 102), Placement(SPHERE, pitch=1e-9))
    rows = slice(round(128 - 256 * 20 / 102), round(128 + 256 * 20 / 102))
    blocks = whole[rows, :510].reshape(20, -1, 102, 5, 3).mean(axis=(1, 3))
    assert np.abs(band - blocks).mean() < 4


def naive_band_place(row, column, placement, size, fitted):
    """One pixel of a photograph, straight from the definition in the module."""
    latitude = (0.5 - (placement.top + row + 0.5) / placement.sphere[0]) * math.pi
    longitude = ((placement.left + column + 0.5) / placement.sphere[1] - 0.5) * 2 * math.pi
    right = math.cos(latitude) * math.sin(longitude)
    up, ahead = math.sin(latitude), math.cos(latitude) * math.cos(longitude)
    r, p = math.radians(placement.roll), math.radians(placement.pitch)
    # the picture's horizon is turned counterclockwise: turn the picture clockwise
    right, up = right * math.cos(r) + up * math.sin(r), up * math.cos(r) - right * math.sin(r)
    up, ahead = up * math.cos(p) + ahead * math.sin(p), ahead * math.cos(p) - up * math.sin(p)
    degrees = math.degrees(math.asin(max(-1, min(1, up))))
    height = 360 * fitted[0] / fitted[1]
    y = (0.5 - degrees / height) * fitted[0] - 0.5
    return y, (math.atan2(right, ahead) / (2 * math.pi) + 0.5) % 1 * fitted[1] - 0.5


def test_the_way_back_is_that_of_the_definition_and_of_the_way_there():
    placement, size, fitted = Placement((40, 80), 5, 20, 12, -30), (30, 50), (10, 52)
    y, x = placement.band_places(size, fitted)
    for row, column in ((0, 0), (17, 31), (29, 49)):
        expected = naive_band_place(row, column, placement, size, fitted)
        assert (y[row, column], x[row, column]) == pytest.approx(expected)
    rows, columns = placement.photograph_places(size, fitted)
    for line, place in ((5, 30), (2, 7)):
        row, column = rows[line, place], columns[line, place]
        there = naive_band_place(row, column, placement, size, fitted)
        assert there == pytest.approx((line, place))
    straight = Placement((40, 80), 5, 20)
    by_rows, by_columns = straight.band_rows_and_columns(size, fitted)
    y, x = straight.band_places(size, fitted)
    assert y == pytest.approx(np.broadcast_to(by_rows[:, None], size))
    assert x == pytest.approx(np.broadcast_to(by_columns[None], size))


def test_the_horizon_turns_counterclockwise_with_the_roll():
    """GPano's words: at a positive roll what lies right of the middle on the horizon is higher."""
    rows, columns = Placement((180, 360), roll=30).photograph_places((180, 360), (180, 360))
    middle = rows[90, 180]
    assert rows[90, 200] < middle - 5
    assert columns[90, 200] > columns[90, 180]
    rows, _ = Placement((180, 360), pitch=30).photograph_places((180, 360), (180, 360))
    assert rows[90, 180] == pytest.approx(middle + 30, abs=1)  # the horizon is below the middle


def test_a_band_of_more_than_a_sphere():
    with pytest.raises(InputError, match="more than a sphere"):
        upright_band(np.zeros((20, 40, 3), np.uint8), (30, 50), Placement((20, 40), pitch=5))
