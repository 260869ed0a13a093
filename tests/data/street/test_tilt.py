"""Spheres of the street world on disk, upright and of a leaning camera."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from goodsam.data.errors import InputError
from goodsam.data.street.picture import Picture, panorama, sphere
from goodsam.data.street.seeds import split_seed
from goodsam.data.street.tilt import tilted
from goodsam.data.street.write import truth_path, write_world

COUNTS = {"source": 1, "unlabelled": 1, "test": 1, "seed": 4, "height": 13}  # spheres of 64 x 32


def places(height: int, degrees: float, heading: int) -> np.ndarray:
    """int (H, W, 2): the upright sphere's pixel at each of a leaning one's, by the formulas."""
    width, lean = 2 * height, math.radians(degrees)
    found = np.zeros((height, width, 2), int)
    axis = 2 * math.pi * (heading + 0.5 * width) / width  # leans along this meridian
    for row in range(height):
        for column in range(width):
            up = (0.5 - (row + 0.5) / height) * math.pi
            along = (column + 0.5) / width * 2 * math.pi - axis
            x, z = math.cos(up) * math.sin(along), math.cos(up) * math.cos(along)
            y, z = (
                math.sin(up) * math.cos(lean) - z * math.sin(lean),
                math.sin(up) * math.sin(lean) + z * math.cos(lean),
            )
            turned = (math.atan2(x, z) + axis) / (2 * math.pi)
            found[row, column] = (
                int((0.5 - math.asin(max(-1, min(1, y))) / math.pi) * height),
                int(turned * width) % width if turned >= 0 else int(turned * width - 1) % width,
            )
    return found


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
    return image


def test_labels_lean_as_the_formulas_say():
    rng, height, seed = np.random.default_rng(0), 16, 9
    heading = int(np.random.Generator(np.random.PCG64([seed, 5])).integers(2 * height))
    labels = rng.integers(0, 19, (height, 2 * height)).astype(np.uint8)
    image = np.repeat(labels[..., None] * 10, 3, axis=2)
    leaning = tilted(Picture(image, labels, labels.astype(np.uint16)), 20, seed)
    at = places(height, 20, heading)
    alike = leaning.labels == labels[at[..., 0], at[..., 1]]
    assert alike.mean() > 0.99  # but for places halfway between two pixels
    np.testing.assert_array_equal(leaning.instances, leaning.labels)
    assert (leaning.labels != labels).mean() > 0.5


def test_image_and_labels_lean_alike():
    half = np.zeros((32, 64), np.uint8)
    half[16:] = 1
    image = np.repeat(half[..., None] * 200, 3, axis=2)
    leaning = tilted(Picture(image, half, half.astype(np.uint16)), 10, 3)
    assert ((leaning.image[..., 0] > 100) == leaning.labels).mean() > 0.98
    horizon = leaning.labels.argmax(axis=0)
    assert horizon.max() - horizon.min() == pytest.approx(20 / 180 * 32, abs=1.5)


def test_upright_is_the_picture_itself_and_the_seed_says_whereto():
    seen = sphere(5, 32)
    assert tilted(seen, 0, 1) is seen
    one, again, other = tilted(seen, 5, 1), tilted(seen, 5, 1), tilted(seen, 5, 2)
    np.testing.assert_array_equal(one.image, again.image)
    assert (one.labels != other.labels).any()
    assert (seen.tilt, one.tilt, panorama(5, 13, 64).tilt) == (0, 5, None)


def test_a_world_of_spheres_says_what_it_is(tmp_path):
    write_world(tmp_path, **COUNTS, whole=True, tilt=5, truth=True)
    image = opened(tmp_path / "test/leftImg8bit/val/0_.png")
    labels = opened(tmp_path / "test/gtFine/val/0_labelTrainIds.png")
    assert image.size == labels.size == (64, 32)
    assert image.info["View"] == labels.info["View"] == "whole sphere, tilted by 5 degrees"
    source, *_ = (tmp_path / "source").rglob("*leftImg8bit.png")
    assert "View" not in opened(source).info
    scene = split_seed("test", 0, 4)
    picture = tilted(sphere(scene, 32), 5, scene)
    np.testing.assert_array_equal(np.asarray(image), picture.image)
    np.testing.assert_array_equal(np.asarray(labels), picture.labels)
    truth = truth_path(tmp_path, "instances", "test", "leftImg8bit/val/0_.png")
    np.testing.assert_array_equal(np.asarray(opened(truth)), picture.instances)


@pytest.mark.parametrize("first", [{}, {"whole": True}, {"whole": True, "tilt": 5}])
@pytest.mark.parametrize("then", [{}, {"whole": True}, {"whole": True, "tilt": 10}])
def test_views_are_not_mixed(tmp_path, first, then):
    counts = {**COUNTS, "source": 0, "unlabelled": 0}
    write_world(tmp_path, **counts, **first)
    if first == then:
        write_world(tmp_path, **counts, **then)
    else:
        with pytest.raises(InputError, match=r"other settings .*(view|tilt)"):
            write_world(tmp_path, **counts, **then)


def test_only_spheres_lean_and_not_beyond_a_quarter(tmp_path):
    with pytest.raises(InputError, match="only whole spheres"):
        write_world(tmp_path, **COUNTS, tilt=5)
    with pytest.raises(InputError, match="tilt"):
        write_world(tmp_path, **COUNTS, whole=True, tilt=91)
