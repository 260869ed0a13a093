"""What the documents' blocks find in their folder: photographs, data sets, weights, all small."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from goodsam.data.panoramas import find_panoramas
from goodsam.data.street.write import write_world
from goodsam.data.weights import SEGFORMERS
from goodsam.pipeline import api
from goodsam.pipeline.studies.reproduce import plan
from goodsam.pipeline.whole import doctor, recipe
from goodsam.stages.export import views
from goodsam.stages.sam import cache_sam
from goodsam.stages.sam.generate import GeneratorConfig
from goodsam.stages.sam.registry import SAMS, Hub
from tests.data.test_video import clip, scene
from tests.docs.blocks import blocks
from tests.stages.sam.tiny_transformers import TRAINED

HEIGHT, WIDTH = 64, 328  # of a panorama, where the documents have 400 and 2048
SEGFORMER = "nvidia/segformer-{}-finetuned-cityscapes-1024-1024"


@pytest.fixture(scope="session")
def given(tmp_path_factory) -> Path:
    """The folders and files that the documents take for granted, under the names they use."""
    root = tmp_path_factory.mktemp("given")
    write_world(root, source=2, unlabelled=2, test=2, seed=5, height=HEIGHT)
    (root / "source").rename(root / "CITYSCAPES")
    (root / "unlabelled").rename(root / "WildPASS2K")
    (root / "test").rename(root / "DensePASS")
    for sample in find_panoramas(root / "DensePASS"):
        _whole(sample.image, root / "photos" / f"{sample.image.stem}.png", 0)
        _whole(sample.labels, root / "truth" / f"{sample.image.stem}.png", 255)
    clip(root / "clip.mp4", [scene(4 * n, (250, 500)) for n in range(30)], sound=True)
    (root / "sam_vit_h_4b8939.pth").symlink_to(TRAINED)
    return root


def _whole(band: Path, out: Path, outside: int) -> None:
    """A 2:1 panorama with this band in its middle, as a camera would write it."""
    pixels = np.asarray(Image.open(band))
    whole = np.full((WIDTH // 2, *pixels.shape[1:]), outside, np.uint8)
    top = (len(whole) - HEIGHT) // 2
    whole[top : top + HEIGHT] = pixels
    out.parent.mkdir(exist_ok=True)
    Image.fromarray(whole).save(out)


@pytest.fixture
def stand_ins(monkeypatch):
    """Small networks under the names of published ones, and small panoramas: no block is edited."""
    few = GeneratorConfig(points_per_side=4, pred_iou_thresh=0.0, stability_score_thresh=0.0)
    small = replace(SAMS["vit_h"], weights=Hub(str(TRAINED)), generator=few, parameters=None)
    monkeypatch.setitem(SAMS, "vit_h", small)
    monkeypatch.setitem(SEGFORMERS, SEGFORMER.format("b5"), SEGFORMERS["street-ta"])
    monkeypatch.setitem(SEGFORMERS, SEGFORMER.format("b0"), SEGFORMERS["street-student"])
    for module in (doctor, recipe):
        monkeypatch.setattr(module, "is_here", lambda name: name == "vit_h")  # it is on the disk
    for module in (api, cache_sam, plan, recipe, views):
        monkeypatch.setattr(module, "PAPER_HEIGHT", HEIGHT)
    for module in (cache_sam, plan):
        monkeypatch.setattr(module, "PAPER_WIDTH", WIDTH)


@pytest.fixture
def here(given, stand_ins, tmp_path, monkeypatch) -> Path:
    """A copy of `given`, in which the test stands."""
    folder = tmp_path / "here"
    shutil.copytree(given, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def begun(here) -> Path:
    """The same for a reader who has done what docs/index.md says: photos.zarr and runs/mine."""
    for block in blocks("docs/index.md"):
        block.run({})
    return here
