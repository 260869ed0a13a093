"""A small run and photographs, for the tests of exports."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from goodsam.data.geometry import Geometry
from goodsam.data.panoramas import find_panoramas
from goodsam.data.windows import Windows
from goodsam.stages.segformer.origin import KEY, Origin
from goodsam.stages.segformer.segmenter import Segmenter

GEOMETRY = Geometry(
    Windows(64, 256, 64, 32, wrap=False), fit=True, ignored=(0, 256, 64 * 256 - 256)
)


@pytest.fixture(scope="module")
def run(tmp_path_factory, write_model):
    folder = tmp_path_factory.mktemp("run")
    write_model(folder / "student", seed=1)
    write_model(folder / "teacher_assistant", seed=2)
    origin = Origin(GEOMETRY, ("nvidia/segformer-b0", "own"))
    config = json.loads((folder / "student/config.json").read_text())
    (folder / "student/config.json").write_text(json.dumps({**config, KEY: origin.to_json()}))
    return folder


@pytest.fixture(scope="module")
def bare(tmp_path_factory, write_model):
    """A network that no run trained: it knows no geometry, and may wrap."""
    folder = write_model(tmp_path_factory.mktemp("bare") / "model", seed=1)
    return Segmenter.load(folder, device="cpu")


def panorama(height=64, width=256, seed=3):
    small = np.random.default_rng(seed).integers(0, 256, (4, 16, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((width, height)))


@pytest.fixture(scope="session")
def picture():
    """picture(height, width, seed): uint8 (H, W, 3), blobs of colour."""
    return panorama


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """Three, each with a label map."""
    folder = tmp_path_factory.mktemp("photographs")
    for part in ("images", "labels"):
        (folder / part).mkdir()
    for seed in range(3):
        Image.fromarray(panorama(64, 328, seed)).save(folder / f"images/{seed}.png")
        truth = np.full((64, 328), seed, np.uint8)
        Image.fromarray(truth).save(folder / f"labels/{seed}.png")
    return find_panoramas(folder / "images", folder / "labels")
