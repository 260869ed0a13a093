"""Licences on their way from cards and cache to run, export and model card; and `--commercial`."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import onnx
import openvino
import pytest
import yaml

from goodsam.data.cache import SamCache
from goodsam.data.licences import Licence, licence_named
from goodsam.pipeline.config import adapt_config
from goodsam.pipeline.licences import (
    LicensedNetwork,
    learners_of,
    refuse_unless_commercial,
    sams_of,
)
from goodsam.pipeline.rundir import Run, write_cards
from goodsam.stages.export.runtimes import OPENVINO_FILE
from goodsam.stages.sam.registry import SAMS
from goodsam.stages.sam.without import WithoutSam
from goodsam.stages.segformer.segmenter import Segmenter
from tests.pipeline.cli.test_app import one_line
from tests.stages.sam.tiny_transformers import TRAINED

STEP = ("--preset", "demo", "--set", "steps=1", "--set", "workers=0", "--device", "cpu")
BOTH = ("--teacher-assistant", "model", "--student", "model")


def card(folder, **values):
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(values)}---\n")


def made_by(here, **said):
    """A cache that says so of its SAM."""
    cache = SamCache.open(here / "c.zarr")
    SamCache.create_or_resume(here / "c.zarr", cache.identity, cache.images, said)


def test_it_goes_the_whole_way(goodsam, here):
    made_by(here, sam="vit_b", licence="Apache-2.0")
    card(here / "model", license="mit", datasets=["huggan/cityscapes"])
    assert goodsam("cache", "pack", "c.zarr", "c.zip")[0] == 0  # and the SAM's name with it
    status, _, err = goodsam("train", "i", "c.zip", "--out", "run", *STEP, *BOTH, "--commercial")
    assert status == 0, err
    data = "trained on Cityscapes, whose own terms allow non-commercial use only"
    assert err.splitlines()[:4] == [
        "SAM vit_b: Apache-2.0",
        f"TA model: MIT ({data})",
        f"student model: MIT ({data})",
        f"what is trained from them is under: Apache-2.0 and MIT ({data})",
    ]
    run = Run(here / "run")
    assert [(n.role, n.licence.name) for n in run.networks] == [
        ("SAM", "Apache-2.0"),
        ("TA", "MIT"),
        ("student", "MIT"),
    ]
    for network in ("student", "teacher_assistant"):
        front = yaml.safe_load((run.path / network / "README.md").read_text().split("---")[1])
        assert front["license"] == ["apache-2.0", "mit"]
        assert Segmenter.load(run.path / network).licence.name == "Apache-2.0 and MIT"
    (here / "model/README.md").unlink()  # a run knows what it began with
    assert goodsam("export", "run", "--out", "hf", "--commercial")[0] == 0
    text = (here / "hf/README.md").read_text()
    assert yaml.safe_load(text.split("---")[1])["license"] == ["apache-2.0", "mit"]
    assert "student started from model, licence: MIT (trained on Cityscapes" in text
    assert "masks by SAM vit\\_b, licence: Apache-2.0" in text
    assert Segmenter.load(here / "hf").licence.name == "Apache-2.0 and MIT"
    assert goodsam("export", "hf", "--out", "again", "--commercial")[0] == 0


def test_a_checkpoint_and_the_best_are_under_the_run_s_licence(goodsam, here):
    made_by(here, sam="vit_b", licence="Apache-2.0")
    card(here / "model", license="mit")
    assert goodsam("train", "i", "c.zarr", "--out", "run", *STEP, *BOTH)[0] == 0
    run, both = Run(here / "run"), "Apache-2.0 and MIT"
    assert f"what is trained from them is under: {both}" in (here / "run/train.log").read_text()
    shutil.move(run.student, run.path / "best")
    config = json.loads((run.path / "best/config.json").read_text())
    config["goodsam"]["chosen"] = "chosen by labels: of step 1"
    (run.path / "best/config.json").write_text(json.dumps(config))
    (run.path / "best/README.md").unlink()
    write_cards(run)
    assert "- chosen by labels: of step 1" in (run.path / "best/README.md").read_text()
    assert Segmenter.load(run.path / "best").licence.name == both
    for source in ("run", "run/best"):  # the run now has a checkpoint alone
        out = here / f"{source}-exported".replace("/", "-")
        export = ("export", source, "--force", "--commercial", "--out")
        assert goodsam(*export, f"{out}/hf")[0] == 0
        front = yaml.safe_load((out / "hf/README.md").read_text().split("---")[1])
        assert front["license"] == ["apache-2.0", "mit"]
        assert goodsam(*export, f"{out}/m.onnx", "--format", "onnx")[0] == 0
        said = {entry.key: entry.value for entry in onnx.load(out / "m.onnx").metadata_props}
        assert said["licence"] == both
        assert goodsam(*export, f"{out}/vino", "--format", "openvino")[0] == 0
        core = openvino.Core()  # outlives what it reads
        model = core.read_model(out / "vino" / OPENVINO_FILE)
        assert model.get_rt_info("goodsam").value["licence"] == both


def test_what_is_not_known_is_refused_before_anything_is_written(goodsam, here):
    command = ("train", "i", "c.zarr", "--out", "run", *STEP, *BOTH, "--commercial")
    one_line(
        *goodsam(*command),
        2,
        "SAM unnamed: not known: make the cache again",
        "TA model: not known: look its licence up, and write it into the front matter",
        "student model: not known",
        "`goodsam teachers`",
    )
    assert not (here / "run").exists()
    assert goodsam(*command[:-1])[0] == 0  # without --commercial it is only said
    one_line(*goodsam("export", "run", "--out", "hf", "--commercial"), 2, "SAM unnamed: not known")
    one_line(*goodsam("export", "model", "--out", "hf", "--commercial"), 2, "model model: not kn")
    assert not (here / "hf").exists()


def test_what_forbids_it_is_refused_by_name(goodsam, here):
    made_by(here, sam="sam3", licence="SAM License")
    command = ("train", "i", "c.zarr", "--out", "run", "--commercial", "--preset")
    status, out, err = goodsam(*command, "goodsam-m")
    one_line(
        status,
        out,
        err,
        2,
        "TA nvidia/segformer-b5-finetuned-cityscapes-1024-1024: NVIDIA Source Code License for "
        "SegFormer: non-commercial use only",
        "student nvidia/segformer-b0",
        "take another",
    )
    assert "SAM sam3" not in err  # its conditions are the user's to keep


def test_stage_1_says_and_refuses_too(goodsam, here):
    command = ("cache-sam", "i", "new.zarr", "--commercial", "--points-per-side", 1, "--sam")
    one_line(*goodsam(*command, TRAINED), 2, f"SAM {TRAINED}: not known", "front matter")
    one_line(*goodsam(*command, TRAINED, "--dry-run"), 2, "not known")
    assert not (here / "new.zarr").exists()
    status, _, err = goodsam(*command, "street")
    assert (status, err.splitlines()[0]) == (0, "SAM street: Apache-2.0")
    assert SamCache.open(here / "new.zarr").provenance[0]["licence"] == "Apache-2.0"


def test_a_sam_is_known_by_its_hash_where_the_cache_does_not_say():
    sha256 = SAMS["vit_l"].weights.sha256
    cache = SimpleNamespace(
        provenance=[{"device": "cpu"}], identity=SimpleNamespace(sam=sha256, settings={})
    )
    assert sams_of(cache) == [LicensedNetwork("SAM", "vit_l", licence_named("Apache-2.0"))]
    cache.provenance.append({"sam": "mine", "licence": None})
    assert sams_of(cache) == [LicensedNetwork("SAM", "mine", Licence(None, "unknown"))]
    cache.provenance.append({"sam": "odd", "licence": ["mit"]})
    assert not sams_of(cache)[1].licence.commercial
    cache.provenance = [{"sam": ["x\nTA mine: MIT"], "licence": "mit\n" * 99}]
    (sam,) = sams_of(cache)
    assert len(str(sam).splitlines()) == 1
    assert not sam.licence.commercial
    cache.identity.settings = WithoutSam().settings  # no masks, so nothing of any SAM's
    assert sams_of(cache) == []


def test_the_commercial_preset_is():
    networks = learners_of(adapt_config("commercial"))
    refuse_unless_commercial(networks)
    assert all("own terms allow non-commercial use only" in str(network) for network in networks)


@pytest.mark.parametrize(
    "change",
    [{"use": "yes"}, {"notes": None}, {"notes": [3]}, {"role": ...}, {"name": []}, {"role": "x"}],
)
def test_a_run_s_networks_are_read_as_they_were_written(change):
    network = LicensedNetwork("TA", "x", licence_named("cc-by-nc-4.0").noting("a", "b"))
    values = json.loads(json.dumps(network.to_json()))
    assert LicensedNetwork.from_json(values) == network
    with pytest.raises((ValueError, KeyError, TypeError)):
        LicensedNetwork.from_json({k: v for k, v in {**values, **change}.items() if v is not ...})
