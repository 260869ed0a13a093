"""The street world: what every picture promises, and its geometry against the plain formulas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsam.data.errors import InputError
from goodsam.data.street.cast import Thing, bounds, cast, frustum, panoramic_camera, pinhole_camera
from goodsam.data.street.finish import PLAIN
from goodsam.data.street.labels import SKY_INSTANCE
from goodsam.data.street.look import Palette
from goodsam.data.street.picture import Picture, panorama, pinhole
from goodsam.data.street.primitives import View
from goodsam.data.street.scene import draw_scene
from goodsam.data.street.seeds import split_seed

SMALL = {"height": 50, "width": 256}


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    pinholes = [pinhole(split_seed("tuning", k), 80, 104) for k in range(8)]
    return pinholes + [panorama(split_seed("tuning", k), **SMALL) for k in range(6)]


def same(a: Picture, b: Picture) -> bool:
    return all(
        np.array_equal(getattr(a, k), getattr(b, k)) for k in ("image", "labels", "instances")
    )


@pytest.mark.parametrize("look", ["source", "random"])
def test_same_seed_same_pinhole(look):
    assert same(pinhole(5, 40, 52, look), pinhole(5, 40, 52, look))
    assert not same(pinhole(5, 40, 52, look), pinhole(6, 40, 52, look))


def test_same_seed_same_panorama():
    assert same(panorama(5, **SMALL), panorama(5, **SMALL))


def test_every_pixel_is_labelled(pictures):
    for picture in pictures:
        assert picture.image.dtype == np.uint8
        assert picture.labels.dtype == np.uint8
        assert picture.instances.dtype == np.uint16
        assert picture.image.shape == (*picture.labels.shape, 3)
        assert picture.labels.shape == picture.instances.shape
        assert picture.labels.max() < 19
        assert picture.instances.min() > 0


def test_all_classes_occur(pictures):
    counts = sum(np.bincount(p.labels.ravel(), minlength=19) for p in pictures)
    assert (counts > 0).sum() >= 17


def test_an_instance_has_one_label(pictures):
    for picture in pictures:
        pairs = np.unique(np.stack([picture.instances.ravel(), picture.labels.ravel()]), axis=1)
        assert len(np.unique(pairs[0])) == pairs.shape[1]


def test_pictures_are_neither_flat_nor_blown_out(pictures):
    for picture in pictures:
        assert picture.image.std() > 15
        assert (picture.image == 255).mean() < 0.2
        assert (picture.image == 0).mean() < 0.2


def test_the_seam_is_like_any_other_column():
    across, between, labels_across, labels_between = [], [], [], []
    for seed in range(12):
        picture = panorama(seed, 50, 256, gap=0.0)
        image = picture.image.astype(float)
        step = np.abs(np.roll(image, -1, 1) - image).mean((0, 2))
        change = (np.roll(picture.labels, -1, 1) != picture.labels).mean(0)
        across.append(step[-1])
        between.append(step[:-1].mean())
        labels_across.append(change[-1])
        labels_between.append(change[:-1].mean())
    assert np.mean(across) < 1.3 * np.mean(between)
    assert np.mean(labels_across) < 1.6 * np.mean(labels_between)


def test_gap_zero_is_the_source_and_the_gap_grows():
    source = panorama(3, **SMALL, look="source")
    assert same(panorama(3, **SMALL, gap=0.0), source)
    distance = [
        np.abs(
            panorama(3, **SMALL, gap=g).image.astype(float).mean((0, 1)) - source.image.mean((0, 1))
        ).sum()
        for g in (0.25, 0.6, 1.0)
    ]
    assert 0 < distance[0] < distance[1] < distance[2]


def test_looks_share_their_content():
    scenes = []
    for name in ("source", "random"):
        streams = [np.random.Generator(np.random.PCG64([9, k])) for k in range(2)]
        palette = Palette(streams[1], name, 0.0)
        scenes.append(draw_scene(streams[0], palette, View(0.3, 0.6)))
    placed = [[(t.x, t.y, t.yaw, t.half, t.labels) for t in s.things] for s in scenes]
    assert placed[0] == placed[1]
    assert not np.allclose(scenes[0].things[0].colours, scenes[1].things[0].colours)


def test_sizes_show_the_same_scene():
    small, large = panorama(4, 50, 256), panorama(4, 100, 512)
    assert (small.labels == large.labels[::2, ::2]).mean() > 0.9


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: pinhole(0, look="target"), "target"),
        (lambda: panorama(0, gap=1.5), "gap"),
        (lambda: panorama(0, look="night"), "night"),
        (lambda: pinhole(0, 4, 4), "4 x 4"),
    ],
)
def test_wrong_requests_are_refused(call, word):
    with pytest.raises(InputError, match=word):
        call()


# --- geometry: the traced solid against a march along the ray ------------------------------------

CAMERAS = [
    panoramic_camera(16, 64, 1.6, 0.7),
    pinhole_camera(24, 32, 1.6, 0.4, -0.1, 1.3),
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
    camera = panoramic_camera(20, 40, metres, 0.0)
    depth = cast(camera, [], (0.0, 0.0, 1.0)).depth
    below = camera.rays[2] < 0
    np.testing.assert_allclose(depth[below] * -camera.rays[2][below], metres, rtol=1e-5)
    assert np.isinf(depth[~below]).all()


def test_a_pinhole_sees_the_part_of_the_panorama_it_looks_at():
    thing = box(6, 1, 0.3, 1.5, 1.0, 2.0, 0.2)
    wide = cast(panoramic_camera(352, 1803, 1.6, 0.0), [thing], (0.0, 0.0, 1.0))
    camera = pinhole_camera(40, 60, 1.6, 0.0, 0.0, 1.0)
    narrow = cast(camera, [thing], (0.0, 0.0, 1.0))
    elevation = np.degrees(np.arcsin(camera.rays[2]))
    azimuth = np.degrees(np.arctan2(camera.rays[1], camera.rays[0]))
    rows = np.clip(((35.15 - elevation) / 70.3 * 352).astype(int), 0, 351)
    cols = ((0.5 - azimuth / 360) * 1803).astype(int) % 1803
    assert (wide.thing[rows, cols] == narrow.thing).mean() > 0.99


def test_nothing_stands_in_the_camera():
    for seed in range(6):
        picture = panorama(seed, 50, 256)
        # no thing fills a tenth of the full turn from the ground to the zenith
        top, bottom = picture.instances[0], picture.instances[-1]
        shared = [i for i in np.unique(top) if i > SKY_INSTANCE and i in bottom]
        for i in shared:
            assert (bottom == i).mean() < 0.1
