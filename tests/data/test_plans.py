"""Plans of windows as JSON: the same again, or refused before they take memory."""

from __future__ import annotations

import json
import math

import pytest

from goodsam.data import plans
from goodsam.data.errors import InputError
from goodsam.data.geometry import Geometry, Pose, windows_text
from goodsam.data.plans import check_plan, plan_json, plan_name, read_plan, resized_plan
from goodsam.data.sphere import TangentWindows, VerticalWindows
from goodsam.data.windows import Windows

BAND = {"height": 6, "width": 16, "window": 6, "stride": 4, "wrap": True}
VERTICAL = {"plan": "vertical", "height": 8, "width": 16, "window": [4, 4], "stride": [2, 2]}
TANGENT = {"plan": "tangent", "height": 16, "width": 32, "fov": 90.0, "stride": 45.0}
MADE = [
    (BAND, Windows(6, 16, 6, 4)),
    (VERTICAL, VerticalWindows.of(8, 16)),
    (TANGENT, TangentWindows(16, 32)),
    ({**TANGENT, "fov": 100.0, "stride": 40.0}, TangentWindows(16, 32, 100, 40)),
]


@pytest.mark.parametrize(("values", "plan"), MADE)
def test_a_plan_comes_back(values, plan):
    assert plan_json(plan) == values
    assert list(plan_json(plan)) == list(values)  # the order is that of the bytes
    back = read_plan(json.loads(json.dumps(plan_json(plan))))
    assert back == plan
    assert type(back) is type(plan)
    geometry = Geometry(plan, fit=True, pose=Pose(pitch=3))
    assert Geometry.from_json(json.loads(json.dumps(geometry.to_json()))) == geometry


@pytest.mark.parametrize(
    ("values", "change"),
    [
        (BAND, {"plan": "band"}),
        (BAND, {"plan": None}),
        (BAND, {"plan": ["tangent"]}),
        (BAND, {"plan": "horizontal"}),
        (BAND, {"surplus": 1}),
        (BAND, {"wrap": 1}),
        (VERTICAL, {"plan": "tangent"}),
        (VERTICAL, {"width": 17}),
        (VERTICAL, {"height": 8.0}),
        (VERTICAL, {"height": True}),
        (VERTICAL, {"window": [4]}),
        (VERTICAL, {"window": [4, 4, 4]}),
        (VERTICAL, {"window": [9, 4]}),
        (VERTICAL, {"window": [4, 17]}),
        (VERTICAL, {"window": [4, 4.0]}),
        (VERTICAL, {"window": 4}),
        (VERTICAL, {"stride": [0, 2]}),
        (VERTICAL, {"stride": [2, -1]}),
        (VERTICAL, {"stride": [5, 2]}),
        (VERTICAL, {"wrap": True}),
        (VERTICAL, {"height": 2**20, "width": 2**21}),
        (VERTICAL, {"height": 512, "width": 1024, "window": [256, 256], "stride": [1, 1]}),
        (VERTICAL, {"height": 512, "width": 1024, "window": [512, 1024], "stride": [1, 4]}),
        (TANGENT, {"plan": "vertical"}),
        (TANGENT, {"width": 34}),
        (TANGENT, {"height": -16, "width": -32}),
        (TANGENT, {"height": 4, "width": 8}),
        (TANGENT, {"fov": 90}),
        (TANGENT, {"fov": 20.0}),
        (TANGENT, {"fov": 180.0}),
        (TANGENT, {"fov": math.nan}),
        (TANGENT, {"stride": math.nan}),
        (TANGENT, {"stride": 0.0}),
        (TANGENT, {"stride": 91.0}),
        (TANGENT, {"stride": 1e-300}),
        (TANGENT, {"stride": 0.5}),
        (TANGENT, {"fov": 30.0, "stride": 30.0}),  # it leaves parts of the sphere out
        (TANGENT, {"height": 2**20, "width": 2**21}),
        (TANGENT, {"height": 10**400, "width": 2 * 10**400}),
        (TANGENT, {"height": 740, "width": 1480, "fov": 30.0, "stride": 3.5}),
    ],
)
def test_what_is_no_plan(values, change):
    with pytest.raises((InputError, TypeError, ValueError, KeyError)):
        read_plan({**values, **change})
    for missing in values:
        with pytest.raises((InputError, TypeError, ValueError, KeyError)):
            read_plan({name: value for name, value in values.items() if name != missing})
    with pytest.raises(InputError):
        Geometry.from_json(
            {**Geometry(Windows(6, 16, 6, 4)).to_json(), "windows": {**values, **change}}
        )


def test_nothing_is_made_of_numbers_that_are_too_large(monkeypatch):
    def never(*numbers):
        raise AssertionError

    monkeypatch.setattr(plans, "TangentWindows", never)
    monkeypatch.setattr(plans, "_tangent", never)
    for change in ({"height": 2048, "width": 4096}, {"stride": 1.0}, {"height": 9, "width": 20}):
        with pytest.raises(InputError):
            read_plan({**TANGENT, **change})
    with pytest.raises(AssertionError):
        read_plan(TANGENT)


@pytest.mark.parametrize(("fov", "stride"), [(90, 45), (90, 30), (60, 20), (110, 70), (40, 13.3)])
def test_windows_are_counted_without_making_them(fov, stride):
    plan = TangentWindows(32, 64, fov, stride)
    assert plans._tangent_count(plan.stride) == len(plan)


@pytest.mark.parametrize("stride", [(2, 2), (3, 5), (4, 4), (1, 7)])
@pytest.mark.parametrize("window", [(4, 7), (8, 16), (5, 8)])
def test_rows_and_columns_are_counted(window, stride):
    if stride[0] <= window[0] and stride[1] <= window[1]:
        plan = VerticalWindows(8, 16, window, stride)
        assert plans._vertical_count((8, 16), window[0], stride) == len(plan)


def test_a_plan_that_was_made_is_held_against_the_same_bounds():
    check_plan(TangentWindows(16, 32))
    for plan in (
        TangentWindows(9, 20),
        VerticalWindows.of(8, 18),
        Windows(2**20, 2**20, 1024, 512),
    ):
        with pytest.raises(InputError):
            Geometry(plan)
        with pytest.raises(InputError):
            check_plan(plan)


def test_a_plan_is_resized_in_proportion():
    assert resized_plan(VerticalWindows.of(8, 16), 16, 32) == VerticalWindows.of(16, 32)
    assert resized_plan(TangentWindows(16, 32, 100, 40), 32, 64) == TangentWindows(32, 64, 100, 40)
    assert resized_plan(Windows.of(8, 40), 16, 80) == Windows.of(16, 80)
    plan = TangentWindows(16, 32)
    assert resized_plan(plan, 16, 32) is plan


def test_it_is_called_by_name():
    assert [plan_name(plan) for _, plan in MADE] == ["band", "vertical", "tangent", "tangent"]
    assert windows_text(TangentWindows(16, 32)) == "22 windows of 90° every 45°"
    assert windows_text(VerticalWindows.of(8, 16)) == "24 windows of 4 x 4 every 2 x 2 px"
    geometry = Geometry(TangentWindows(16, 32), fit=True, pose=Pose(roll=-2))
    assert str(geometry) == (
        "spheres of 32 x 16, --plan tangent --height 16, 22 windows of 90° every 45°, --roll -2"
    )
    assert str(Geometry(VerticalWindows.of(8, 16))).endswith(", all of that size")
