"""Small panoramas, a SAM that costs nothing, and what tests of stage 1 look at."""

from dataclasses import dataclass, fields

import numpy as np
import pytest
from PIL import Image

from goodsam.data.window_masks import WindowMasks

HEIGHT, WIDTH = 8, 40


@dataclass(frozen=True)
class Thresholds:
    """A mask for each channel, where it is bright: what a SAM might give, at no cost."""

    level: int = 128
    sam: str = "7" * 64

    @property
    def settings(self):
        return {"level": self.level}

    @property
    def provenance(self):
        return {"device": "cpu"}

    def build(self, place=0):
        return self.masks

    def masks(self, images):
        return [self.of(image) for image in images]

    def of(self, image):
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
        masks = np.moveaxis(image, -1, 0) >= self.level
        return WindowMasks.of(masks, image.mean(axis=(0, 1)) / 255, np.ones(3))


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture
def images(tmp_path):
    for seed, name in enumerate(("a.png", "city/b.png", "city/c.png")):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(seed)).save(path)
    return tmp_path / "images"


def truncate(path):
    path.write_bytes(path.read_bytes()[:-40])


def files(path):
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def assert_same(a, b):
    for x, y in zip(a.windows, b.windows, strict=True):
        for column in fields(WindowMasks):
            np.testing.assert_array_equal(getattr(x, column.name), getattr(y, column.name))
    for one, other in zip(a.boundaries, b.boundaries, strict=True):
        np.testing.assert_array_equal(one, other)
