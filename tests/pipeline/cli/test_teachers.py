"""`goodsam teachers`, and SAMs of transformers as the commands take them."""

from __future__ import annotations

import json

import pytest

from goodsam.data.cache import SamCache
from goodsam.data.street.write import write_world
from goodsam.pipeline.cli.options import SAM_NAMES
from goodsam.stages.sam.hub import load_folder
from goodsam.stages.sam.registry import SAMS
from tests.pipeline.cli.test_app import one_line
from tests.stages.sam.tiny_transformers import TRAINED


def test_the_commands_know_the_registry_s_names():
    assert sorted(SAM_NAMES) == sorted(SAMS)


def test_every_teacher_has_a_line_with_its_licence(goodsam):
    status, out, _ = goodsam("teachers")
    assert status == 0
    lines = {line.split()[0]: line for line in out.splitlines()}
    for name, sam in SAMS.items():
        assert sam.licence in lines[name]
        assert lines[name].endswith(sam.source)
    status, out, _ = goodsam("teachers", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert rows["sam3"]["licence"] == "SAM License"
    assert rows["sam2.1-large"]["source"] == "facebook/sam2.1-hiera-large"
    assert not rows["sam2.1-large"]["padded"]


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    root = tmp_path_factory.mktemp("street")
    write_world(root, source=0, unlabelled=1, test=1, seed=0, height=64, processes=1)
    return root


def test_a_sam_2_goes_the_whole_way(goodsam, street, tmp_path):
    images, cache, run = street / "unlabelled", tmp_path / "c.zarr", tmp_path / "run"
    sam = ("--sam", TRAINED, "--points-per-side", 4, "--pred-iou-thresh", 0.3)
    status, out, err = goodsam("cache-sam", images, cache, *sam)
    assert (status, "1 panoramas done" in out) == (0, True), err
    assert SamCache.open(cache).identity.sam == load_folder(TRAINED)[1]
    assert "1 were there" in goodsam("cache-sam", images, cache, *sam)[1]
    one_line(*goodsam("cache-sam", images, cache, "--sam", "street"), 2, "made otherwise")
    steps = ("--set", "steps=1", "--set", "workers=0")
    assert goodsam("train", images, cache, "--preset", "demo", "--out", run, *steps)[0] == 0
    assert goodsam("eval", run, street / "test", "--out", tmp_path / "eval")[0] == 0
    assert goodsam("export", run, tmp_path / "student.onnx")[0] == 0


def test_a_foreign_directory_is_one_line(goodsam, street, tmp_path):
    (tmp_path / "llm").mkdir()
    (tmp_path / "llm/config.json").write_text('{"model_type": "llama"}')
    command = ("cache-sam", street / "unlabelled", tmp_path / "c.zarr", "--sam")
    one_line(*goodsam(*command, tmp_path / "llm"), 2, "holds llama")
    assert not (tmp_path / "c.zarr").exists()
