"""`goodsam teachers`, and SAMs of transformers as the commands take them."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import GatedRepoError

from goodsam.data.cache import SamCache
from goodsam.data.street.write import write_world
from goodsam.pipeline.cli.options import SAM_NAMES
from goodsam.pipeline.rundir import Run
from goodsam.stages.licences import NETWORKS
from goodsam.stages.sam.hub import hub_folder, load_folder
from goodsam.stages.sam.registry import SAMS
from tests.pipeline.cli.test_app import one_line
from tests.stages.sam.tiny_transformers import (
    SIZE,
    TRAINED,
    edgetam,
    first_sam,
    processor,
    random,
    sam3,
    sam_hq,
)

KINDS = {"edgetam": edgetam, "sam3": sam3, "sam_hq": sam_hq, "first_sam": first_sam}


def test_the_commands_know_the_registry_s_names():
    assert sorted(SAM_NAMES) == sorted(SAMS)


def test_every_teacher_has_a_line_with_its_licence(goodsam):
    status, out, _ = goodsam("teachers")
    assert status == 0
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    for name, sam in SAMS.items():
        assert sam.licence in lines[name]
        assert lines[name].endswith(sam.source)
    for name, network in NETWORKS.items():
        assert lines[name].endswith(network.licence.name)
    assert " no " in lines["nvidia/segformer-b0-finetuned-cityscapes-1024-1024"]
    assert " conditions " in lines["sam3"]
    assert "Cityscapes and ADE20K allow non-commercial use only" in out
    status, out, _ = goodsam("teachers", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert rows["sam3"]["licence"] == "SAM License"
    assert rows["sam2.1-large"]["source"] == "facebook/sam2.1-hiera-large"
    assert not rows["sam2.1-large"]["padded"]
    assert rows["tue-mps/cityscapes_semantic_eomt_large_1024"]["use"] == "permissive"
    assert rows["street-student"]["roles"] == ["student"]


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    root = tmp_path_factory.mktemp("street")
    write_world(root, source=0, unlabelled=1, test=1, seed=0, height=64, processes=1)
    return root


def saved(kind, folder):
    """The --sam of a small one of its family, with random weights if it is not SAM 2."""
    if kind == "sam2":
        return TRAINED
    random(KINDS[kind], seed=1).save_pretrained(folder)
    return folder


def whole_way(goodsam, street, tmp_path, *sam):
    """cache-sam, train, eval, export. The cache, and the model card."""
    images, cache, run = street / "unlabelled", tmp_path / "c.zarr", tmp_path / "run"
    few = ("--points-per-side", 4, "--pred-iou-thresh", 0.1, "--stability-score-thresh", 0.1)
    status, out, err = goodsam("cache-sam", images, cache, "--sam", *sam, *few)
    assert (status, "1 panoramas done" in out) == (0, True), err
    assert "1 were there" in goodsam("cache-sam", images, cache, "--sam", *sam, *few)[1]
    steps = ("--set", "steps=1", "--set", "workers=0")
    assert goodsam("train", images, cache, "--preset", "demo", "--out", run, *steps)[0] == 0
    assert goodsam("eval", run, street / "test", "--out", tmp_path / "eval")[0] == 0
    onnx = ("--out", tmp_path / "student.onnx", "--format", "onnx")
    assert goodsam("export", run, *onnx)[0] == 0
    assert goodsam("export", run, "--out", tmp_path / "hf")[0] == 0
    return SamCache.open(cache), (tmp_path / "hf/README.md").read_text()


@pytest.mark.parametrize("kind", ["sam2", *KINDS])
def test_a_small_one_of_each_family_goes_the_whole_way(goodsam, street, tmp_path, kind):
    if kind == "edgetam":
        pytest.importorskip("timm")
    sam = saved(kind, tmp_path / "sam")
    cache, card = whole_way(goodsam, street, tmp_path, sam)
    assert cache.identity.sam == load_folder(sam)[1]
    assert sum(len(window) for window in cache.read(cache.names[0]).windows) > 0
    assert cache.provenance[0]["licence"] is None
    assert f"masks by SAM {sam}, licence: not known" in card.replace("\\", "")
    command = ("cache-sam", street / "unlabelled", tmp_path / "c.zarr", "--sam", "street")
    one_line(*goodsam(*command), 2, "made otherwise")


@pytest.mark.slow
def test_mobile_sam_goes_the_whole_way(goodsam, street, tmp_path):
    from tests.stages.sam.test_mobile_sam import published  # skips where there is no timm

    torch.manual_seed(0)
    state = SAMS["mobile_sam"].build().state_dict()
    state = {key: value for key, value in state.items() if not key.startswith("image_encoder.")}
    state |= {f"image_encoder.{key}": value for key, value in published().items()}
    torch.save(state, tmp_path / "mobile_sam.pt")
    sam = ("mobile_sam", "--checkpoint", tmp_path / "mobile_sam.pt")
    sam += ("--boundaries", "windows", "--window", 164, "--stride", 164)  # two windows of 1,024 px
    cache, card = whole_way(goodsam, street, tmp_path, *sam)
    assert cache.provenance[0]["licence"] is None  # not the file that has the published licence
    assert r"masks by SAM mobile\_sam, licence: not known" in card


def test_a_run_from_before_teachers_were_named_goes_on(goodsam, street, tmp_path):
    images, cache, run = street / "unlabelled", tmp_path / "c.zarr", tmp_path / "run"
    assert goodsam("cache-sam", images, cache, "--sam", TRAINED, "--points-per-side", 1)[0] == 0
    train = ("train", images, cache, "--preset", "demo", "--out", run, "--set", "steps=1")
    train += ("--set", "workers=0")
    assert goodsam(*train)[0] == 0
    assert any(str(TRAINED) in fact for fact in Run(run).facts())
    origin = json.loads((run / "origin.json").read_text())
    del origin["networks"]
    (run / "origin.json").write_text(json.dumps(origin))
    assert not any("SAM" in fact for fact in Run(run).facts())
    assert goodsam(*train)[0] == 0  # resumed, and named from now on
    assert any(str(TRAINED) in fact for fact in Run(run).facts())
    (run / "origin.json").write_text(json.dumps({**origin, "images": {}}))
    one_line(*goodsam(*train), 2, "started with other settings (the cache)")


def gated(*_, **__):
    raise GatedRepoError("401", response=SimpleNamespace(headers={}, request=None))


def test_what_cannot_be_a_teacher_is_one_line(goodsam, street, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", gated)
    hub_folder.cache_clear()

    def refused(sam, *words):
        command = ("cache-sam", street / "unlabelled", tmp_path / "c.zarr", "--sam")
        one_line(*goodsam(*command, *sam), 2, *words)
        assert not (tmp_path / "c.zarr").exists()

    def folder(name, size=SIZE, **config):
        shutil.copytree(TRAINED, tmp_path / name)
        path = tmp_path / name / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | config))
        processor(size=size).save_pretrained(tmp_path / name)
        return (tmp_path / name,)

    refused(["sam3"], "facebook/sam3: gated; accept its terms", "HF_TOKEN")
    refused(folder("llm", model_type="llama"), "holds llama")
    refused(folder("code", auto_map={"AutoModel": "evil.Evil"}), "code of its own", "refused")
    refused(folder("large", size=256), "256 px", "takes 128")
    refused(["sam2.1-large", "--checkpoint", TRAINED], "million parameters")
    refused(["vit_b", "--checkpoint", TRAINED / "model.safetensors"], "a transformers SAM")


@pytest.mark.parametrize("setting", ["max-hole-area", "max-sprinkle-area", "crops-n-layers"])
def test_settings_that_the_pipeline_ignores_are_refused(goodsam, street, tmp_path, setting):
    command = ("cache-sam", street / "unlabelled", tmp_path / "c.zarr", "--sam", TRAINED)
    status, _, err = goodsam(*command, f"--{setting}", 10)
    assert status == 2
    assert f"No such option: --{setting}" in err
