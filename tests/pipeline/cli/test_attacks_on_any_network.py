"""A network that cannot be TA or student, and a class map that cannot be: one line, status 2."""

from __future__ import annotations

import json
import shutil

import pytest
from huggingface_hub.errors import GatedRepoError

from goodsam.stages.networks import files
from tests.pipeline.cli.conftest import NAMES
from tests.stages.networks.tiny import write

pytestmark = pytest.mark.attack("models and runs")

# Every command that takes a network, with NET where it goes
COMMANDS = {
    "train's TA": "train i c.zarr --preset demo --teacher-assistant NET --student model --out OUT",
    "train's student": "train i c.zarr --preset demo --teacher-assistant model --student NET "
    "--out OUT",
    "run's TA": "run i --out OUT --no-sam --preset demo --teacher-assistant NET --student model",
    "eval": "eval NET i --out OUT",
    "predict": "predict NET i OUT",
    "export": "export NET --out OUT",
}


def changed(folder, values):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def another_family(folder):
    shutil.copytree("model", folder)
    changed(folder, {"model_type": "bert"})


def another_size(folder):
    changed(write(folder, "eomt", NAMES), {"image_size": 128})


def code_of_its_own(folder):
    write(folder, "mobilenet_v2", NAMES)
    changed(folder, {"auto_map": {"AutoModel": "evil.Model"}})
    (folder / "evil.py").write_text("raise SystemExit('it was run')")


BAD = {
    "another family": (another_family, "a bert, not a SegFormer"),
    "another size": (another_size, "of another size than its config.json says"),
    "code of its own": (code_of_its_own, "wants code of its own to be run, which is refused"),
}


def refused(goodsam, command, *words):
    status, _, err = goodsam(*command.split())
    assert status == 2, err
    last = err.strip().splitlines()[-1]
    assert "Traceback" not in err
    assert last.startswith("goodsam: ")
    for word in words:
        assert word in last, err


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(("make", "says"), BAD.values(), ids=BAD)
def test_a_folder_that_cannot_be(here, goodsam, make, says, command):
    make(here / "net")
    refused(goodsam, command.replace("NET", "net").replace("OUT", "out"), "net: ", says)
    assert not (here / "out" / "student").exists()


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_gated_network_without_a_token(here, goodsam, monkeypatch, command):
    fetched = files.PreTrainedConfig.get_config_dict

    def gated(name, **more):
        if str(name) != "some/one":
            return fetched(name, **more)
        response = type("Response", (), {"headers": {}, "request": None})()
        raise OSError("You are trying to access a gated repo.") from GatedRepoError(
            "gated", response=response
        )

    monkeypatch.setattr(files.PreTrainedConfig, "get_config_dict", gated)
    command = command.replace("NET", "some/one").replace("OUT", "out")
    refused(goodsam, command, "some/one: gated; accept its terms", "HF_TOKEN")


@pytest.mark.parametrize(
    ("text", "says"),
    [("{}", "names no class"), ("way: []", "'way' names no class"),
     ("a: road\nb: [car, road]", "names 'road' twice")],
)  # fmt: skip
@pytest.mark.parametrize(
    "command",
    [
        "train i c.zarr --preset demo --teacher-assistant model --student model --out OUT",
        "run i --out OUT --no-sam --preset demo --teacher-assistant model --student model",
        "eval model i --out OUT",
        "data check i",
    ],
    ids=["train", "run", "eval", "data check"],
)
def test_a_class_map_that_cannot_be(here, goodsam, text, says, command):
    (here / "map.yaml").write_text(text)
    refused(goodsam, f"{command.replace('OUT', 'out')} --classes map.yaml", "map.yaml: ", says)
