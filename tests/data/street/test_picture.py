"""What every picture of the street world promises."""

import numpy as np
import pytest

from goodsam.data.errors import InputError
from goodsam.data.street.labels import ROAD, SKY, SKY_INSTANCE
from goodsam.data.street.look import Palette
from goodsam.data.street.picture import Picture, panorama, pinhole, sphere
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


def test_nothing_stands_in_the_camera():
    for seed in range(6):
        picture = panorama(seed, 50, 256)
        # no thing fills a tenth of the full turn from the ground to the zenith
        top, bottom = picture.instances[0], picture.instances[-1]
        shared = [i for i in np.unique(top) if i > SKY_INSTANCE and i in bottom]
        for i in shared:
            assert (bottom == i).mean() < 0.1


def test_a_sphere_shows_the_panoramas_street_and_what_is_above_and_below():
    """Rows of 512 on a sphere are those of 200 in the band, but for 0.04 %."""
    band, whole = panorama(5, 100, 512), sphere(5, 256)
    assert whole.labels.shape == (256, 512)
    middle = slice(78, 178)
    assert (whole.labels[middle] == band.labels).mean() > 0.99
    away = np.abs(whole.image[middle].astype(int) - band.image)
    assert away.mean() < 12  # noise, drawn anew
    assert (whole.labels[0] == SKY).all()
    assert (whole.labels[-1] == ROAD).all()  # under the camera, which stands in a lane
    with pytest.raises(InputError, match="outside 0 to 1"):
        sphere(5, 64, gap=2)
