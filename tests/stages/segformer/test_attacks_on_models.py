"""A stranger's network, and a stranger's run: refused before anything is built of it."""

from __future__ import annotations

import json
import os

import pytest
import torch
import yaml

from goodsam.data.errors import InputError
from goodsam.pipeline.rundir import ORIGIN, SETTINGS, Run
from goodsam.pipeline.scoring import read_record
from goodsam.stages.adapt.watch import read_rows
from goodsam.stages.export.card import model_card
from goodsam.stages.export.runtime_files import export_graph
from goodsam.stages.segformer.build import build_segformer
from goodsam.stages.segformer.files import load_segformer, save_segformer
from goodsam.stages.segformer.segmenter import Segmenter
from goodsam.stages.source import SourceConfig

pytestmark = [pytest.mark.attack("models and runs"), pytest.mark.timeout(60)]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_segformer("w8", ("road", "car"))


@pytest.fixture
def folder(network, tmp_path):
    save_segformer(network, tmp_path / "model")
    return tmp_path / "model"


CONFIGS = {
    "a million layers": {"depths": [10**6, 2, 2, 2]},
    "layers past counting": {"depths": [10**18] * 4},
    "layers that add up": {"depths": [400, 400, 400, 400]},
    "a million stages": {"depths": [1] * 10**5, "num_encoder_blocks": 10**5},
    "more stages than lists": {"num_encoder_blocks": 10**9},
    "wide stages": {"hidden_sizes": [10**6] * 4},
    "many and wide stages": {"depths": [128] * 4, "hidden_sizes": [8192] * 4},
    "a wide decoder": {"decoder_hidden_size": 10**9},
    "classes past counting": {"num_labels": 10**9},
    "patches past counting": {"patch_sizes": [10**6] * 4},
    "strides of nothing": {"strides": [0, 2, 2, 2]},
    "widths that are none": {"hidden_sizes": [-8, 16, 40, 64]},
    "depths that are none": {"depths": "many"},
    "depths that are infinite": {"depths": [float("inf")] * 4},
    "another model": {"model_type": "vit"},
    "two classes of one name": {"id2label": {"0": "road", "1": "road"}, "label2id": {"road": 0}},
}


@pytest.mark.parametrize("what", CONFIGS)
def test_a_config_that_asks_for_too_much_is_refused(folder, what):
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, **CONFIGS[what]}))
    with pytest.raises(InputError, match=str(folder)):
        load_segformer(folder)


TEXTS = {
    "deep": "[" * 10**6,
    "long": '{"a": "' + "x" * 2**21 + '"}',
    "many lists": '{"model_type": "segformer", "depths": [' + "[]," * 300_000 + "[]]}",
    "no mapping": "[]",
    "nothing": "",
}


@pytest.mark.parametrize("what", TEXTS)
def test_a_config_that_is_no_such_file_is_refused(folder, what):
    (folder / "config.json").write_text(TEXTS[what])
    with pytest.raises(InputError, match=str(folder)):
        load_segformer(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "more.json"])
def test_a_pipe_in_a_models_folder_is_not_waited_for(folder, name):
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(InputError, match="no regular file"):
        load_segformer(folder)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_label_nothing(network, tmp_path, value):
    harmed = build_segformer("w8", ("road", "car"))
    with torch.no_grad():
        harmed.decode_head.classifier.bias[1] = value
    save_segformer(harmed, tmp_path / "model")
    with pytest.raises(InputError, match="no finite numbers"):
        Segmenter.load(tmp_path / "model", device="cpu")


def test_weights_that_overflow_label_nothing(folder, tmp_path):
    segmenter = Segmenter.load(folder, device="cpu")
    with torch.no_grad():
        segmenter.model.decode_head.classifier.weight.fill_(3e38)
        segmenter.model.decode_head.classifier.bias.fill_(3e38)
    with pytest.raises(InputError, match="no finite numbers"):
        segmenter(torch.randint(255, (64, 128, 3), dtype=torch.uint8).numpy())
    with pytest.raises(InputError, match="no finite numbers"):
        export_graph(segmenter, tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
SETTINGS_TEXTS = {
    "laughs": LAUGHS,
    "deep": "[" * 10_000,
    "long": "a: " + "x" * 2**17,
    "an object": "!!python/object/apply:os.mkdir [ran]",
    "nothing": "",
    "bytes": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("what", SETTINGS_TEXTS)
def test_settings_of_a_stranger_are_refused(tmp_path, what, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = SETTINGS_TEXTS[what]
    (tmp_path / SETTINGS).write_bytes(text if isinstance(text, bytes) else text.encode())
    run = Run.found(tmp_path)
    assert run is not None
    with pytest.raises(InputError, match=SETTINGS):
        print(run.config)
    assert not (tmp_path / "ran").exists()


def pipe(path):
    os.mkfifo(path)


def torn(path):
    path.write_text('{"step": 1')


def lists(path):
    path.write_text("[" + "[]," * 300_000 + "[]]")


def rows(path):
    path.write_text('{"step": 1}\n{"st\n{"step": 2}\n')


@pytest.mark.parametrize(
    ("name", "read", "harm"),
    [
        *((ORIGIN, lambda p: Run(p.parent).geometry, harm) for harm in (pipe, torn, lists)),
        *(("eval.json", read_record, harm) for harm in (pipe, torn, lists)),
        *(("metrics.jsonl", read_rows, harm) for harm in (pipe, rows)),
    ],
)
def test_a_harmed_file_of_a_run_is_named(tmp_path, name, read, harm):
    harm(tmp_path / name)
    with pytest.raises(InputError, match=name):
        read(tmp_path / name)


MARKUP = "road\n---\nlicense: mit\n---\n# [x](http://evil) <script>alert(1)</script> | **b** `c`"


def test_names_mark_nothing_up_in_a_model_card(folder):
    segmenter = Segmenter.load(folder, device="cpu")
    segmenter.model.config.id2label = {0: MARKUP, 1: "car"}
    scores = {
        "miou": 1.0,
        "pixel_accuracy": 1.0,
        "per_class": {MARKUP: 1.0, "car": None},
        "files": [],
        "protocol_note": MARKUP,
    }
    card = model_card(segmenter, [f"student started from {MARKUP}"], scores)
    assert sum(line.startswith("license:") for line in card.splitlines()) == 1
    assert card.count("\n---\n") == 1
    assert yaml.safe_load(card.split("---")[1])["license"] == "other"
    for markup in ("<script>", "[x](", "**b**", "`c`", "| **"):
        assert markup not in card.replace("\\", "\0")


NO_SENSE = [
    {"steps": 0},
    {"steps": -1},
    {"batch": 0},
    {"checkpoint_every": 0},
    {"warmup": -1},
    {"workers": -1},
    {"seed": -1},
    {"crop": (0, 8)},
    {"scale": (0.0, 1.0)},
    {"scale": (2.0, 1.0)},
    {"learning_rate": 0.0},
    {"learning_rate": float("nan")},
    {"learning_rate": float("inf")},
]


@pytest.mark.parametrize("settings", NO_SENSE, ids=str)
def test_settings_of_supervised_training_have_ranges(settings):
    with pytest.raises(InputError, match=f"setting {next(iter(settings))} "):
        SourceConfig(**settings)


def test_two_classes_of_one_name_are_refused(folder):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    names = list(config["id2label"].values())
    config["id2label"] = {str(i): names[0] for i in range(len(names))}
    config["label2id"] = {names[0]: 0}
    path.write_text(json.dumps(config))
    with pytest.raises(InputError, match=f"two of its classes are called '{names[0]}'"):
        load_segformer(folder)
