"""The geometry pass: the traced solid against a march along the ray, and other plain formulas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsam.data.street.cast import Thing, bounds, cast, frustum, panoramic_camera, pinhole_camera
from goodsam.data.street.finish import PLAIN

CAMERAS = [
    panoramic_camera(16, 64, metres=1.6, yaw=0.7),
    pinhole_camera(24, 32, metres=1.6, yaw=0.4, pitch=-0.1, fov=1.3),
]


def box(x: float, y: float, yaw: float, hx: float, hy: float, high: float, lean: float) -> Thing:
    planes = frustum(0.2, high, (-hx, -hx + lean), (hx, hx - lean), (hy, hy - lean / 2))
    return Thing(
        x=x, y=y, yaw=yaw, half=(hx, hy), low=0.2, high=high, labels=(2,), instances=(11,),
        finish=PLAIN, colours=np.ones((1, 3)), planes=planes,
    )  # fmt: skip


boxes = st.builds(
    box,
    x=st.floats(-9, 9), y=st.floats(4.5, 9), yaw=st.floats(0, 6.2), hx=st.floats(0.6, 2.0),
    hy=st.floats(0.6, 1.5), high=st.floats(1.0, 5.0), lean=st.floats(0, 0.5),
)  # fmt: skip


def march(camera, thing: Thing) -> np.ndarray:
    """Distance to the solid by small steps: the first point of the ray inside all planes."""
    steps = np.arange(0.3, 15, 0.03)
    points = camera.rays[..., None] * steps
    x, y = points[0] - thing.x, points[1] - thing.y
    z = points[2] + camera.height
    ca, sa = np.cos(thing.yaw), np.sin(thing.yaw)
    local = np.stack([x * ca + y * sa, y * ca - x * sa, z])
    inside = np.all(np.einsum("kc,chws->khws", thing.planes[:, :3], local)
                    <= thing.planes[:, 3, None, None, None], axis=0)  # fmt: skip
    inside &= z > 0
    return np.where(inside.any(-1), steps[inside.argmax(-1)], np.inf)


@pytest.mark.parametrize("camera", CAMERAS, ids=["panorama", "pinhole"])
@settings(max_examples=15, deadline=None)
@given(thing=boxes)
def test_a_solid_is_where_a_march_finds_it(camera, thing):
    traced = cast(camera, [thing], (0.0, 0.0, 1.0))
    expected = march(camera, thing)
    seen = traced.thing == 1
    # rays that graze an edge may fall between two steps
    assert (seen != np.isfinite(expected)).mean() < 0.02
    both = seen & np.isfinite(expected)
    assert np.abs(traced.depth[both] - expected[both]).max(initial=0) < 0.05


@pytest.mark.parametrize("camera", CAMERAS, ids=["panorama", "pinhole"])
@settings(max_examples=25, deadline=None)
@given(thing=boxes)
def test_bounds_hold_all_of_a_thing(camera, thing):
    expected = np.isfinite(march(camera, thing))
    inside = np.zeros_like(expected)
    for row0, row1, col0, col1 in bounds(camera, thing):
        inside[row0:row1, col0:col1] = True
    assert not (expected & ~inside).any()


@pytest.mark.parametrize("metres", [1.4, 2.5])
def test_the_ground_lies_where_its_ray_meets_it(metres):
    camera = panoramic_camera(20, 40, metres=metres, yaw=0.0)
    depth = cast(camera, [], (0.0, 0.0, 1.0)).depth
    below = camera.rays[2] < 0
    np.testing.assert_allclose(depth[below] * -camera.rays[2][below], metres, rtol=1e-5)
    assert np.isinf(depth[~below]).all()


def test_a_pinhole_sees_the_part_of_the_panorama_it_looks_at():
    thing = box(6, 1, 0.3, 1.5, 1.0, 2.0, 0.2)
    wide = cast(panoramic_camera(352, 1803, metres=1.6, yaw=0.0), [thing], (0.0, 0.0, 1.0))
    camera = pinhole_camera(40, 60, metres=1.6, yaw=0.0, pitch=0.0, fov=1.0)
    narrow = cast(camera, [thing], (0.0, 0.0, 1.0))
    elevation = np.degrees(np.arcsin(camera.rays[2]))
    azimuth = np.degrees(np.arctan2(camera.rays[1], camera.rays[0]))
    rows = np.clip(((35.15 - elevation) / 70.3 * 352).astype(int), 0, 351)
    cols = ((0.5 - azimuth / 360) * 1803).astype(int) % 1803
    assert (wide.thing[rows, cols] == narrow.thing).mean() > 0.99
