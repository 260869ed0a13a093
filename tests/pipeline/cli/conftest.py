"""A small place to attack: two images, their cache and a network."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from goodsam.data.cache import Identity, PanoramaMasks, SamCache
from goodsam.data.files import file_hash
from goodsam.data.window_masks import WindowMasks, overlap_boundaries
from goodsam.data.windows import Windows
from goodsam.stages.segformer.build import build_segformer
from goodsam.stages.segformer.files import save_segformer

HEIGHT, WIDTH = 64, 328
WINDOWS = Windows(HEIGHT, WIDTH, 82, 41)
NAMES = ("road", "car")


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(256, size=(HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """The images i/a.png and i/b.png, their cache c.zarr, and a network in model/."""
    root = tmp_path_factory.mktemp("made")
    names = ["a.png", "b.png"]
    hashes = {name: file_hash(picture(root / "i" / name, i)) for i, name in enumerate(names)}
    cache = SamCache.create(
        root / "c.zarr", Identity("0" * 64, {}, "windows", WINDOWS, False), hashes, {}
    )
    mask = np.zeros((2, HEIGHT, 82), bool)
    mask[0, :30], mask[1, 20:] = True, True
    windows = tuple(WindowMasks.of(mask, np.ones(2), np.ones(2)) for _ in WINDOWS.starts)
    for name in names:
        cache.write(name, PanoramaMasks(windows, tuple(overlap_boundaries(windows, WINDOWS))))
    save_segformer(build_segformer("w8", NAMES), root / "model")
    return root


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A copy of it, in which the test stands."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"
