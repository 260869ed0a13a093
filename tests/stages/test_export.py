import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from PIL import Image
from transformers import SegformerForSemanticSegmentation, SegformerImageProcessor

from goodsam.data.classes import CITYSCAPES
from goodsam.data.errors import InputError
from goodsam.data.geometry import Geometry
from goodsam.data.windows import Windows
from goodsam.stages import export
from goodsam.stages.export import export_huggingface, export_onnx
from goodsam.stages.segformer.origin import KEY, Origin
from goodsam.stages.segformer.segmenter import Segmenter

GEOMETRY = Geometry(
    Windows(64, 256, 64, 32, wrap=False), fit=True, ignored=(0, 256, 64 * 256 - 256)
)
FACTS = ("student started from nvidia/segformer-b0", "adapted to 2 panoramas, without a label")
SCORES = {
    "miou": 41.5,
    "pixel_accuracy": 80.25,
    "per_class": {"floor": 83.0, "lamp": None},
    "files": [{}, {}],
    "protocol_note": "2 classes; percent",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory, write_model):
    folder = tmp_path_factory.mktemp("run")
    write_model(folder / "student", seed=1)
    write_model(folder / "teacher_assistant", seed=2)
    origin = Origin(GEOMETRY, ("nvidia/segformer-b0", "own"))
    config = json.loads((folder / "student/config.json").read_text())
    (folder / "student/config.json").write_text(json.dumps({**config, KEY: origin.to_json()}))
    return folder


def panorama(height=64, width=256, seed=3):
    small = np.random.default_rng(seed).integers(0, 256, (4, 16, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((width, height)))


def test_transformers_alone_gives_the_labels_of_the_run(run, tmp_path):
    export_huggingface(Segmenter.load(run), tmp_path / "hf")
    image = panorama()
    assert (Segmenter.load(tmp_path / "hf")(image) == Segmenter.load(run)(image)).all()
    processor = SegformerImageProcessor.from_pretrained(tmp_path / "hf")
    model = SegformerForSemanticSegmentation.from_pretrained(tmp_path / "hf").eval()
    inputs = processor(Image.fromarray(image), return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
    labels = processor.post_process_semantic_segmentation(outputs, target_sizes=[(64, 256)])[0]
    ours = Segmenter.load(run)(image)
    assert (ours[0] == 255).all()  # the run left the first row out
    assert (labels.numpy()[1:] == ours[1:]).mean() > 0.999
    with pytest.raises(InputError, match="is there already"):
        export_huggingface(Segmenter.load(run), tmp_path / "hf")


def test_the_model_card_says_where_from_how_good_and_what_licence(run, tmp_path):
    export_huggingface(Segmenter.load(run), tmp_path / "hf", FACTS, SCORES)
    card = (tmp_path / "hf/README.md").read_text()
    assert "started from nvidia/segformer-b0" in card
    assert "adapted to 2 panoramas, without a label" in card
    assert "non-commercial use only" in " ".join(card.split())
    assert "--fit --height 64" in card
    assert "--window 64 --stride 32, --no-wrap" in " ".join(card.split())
    assert "--ignore-mask (1.6 % of the pixels)" in " ".join(card.split())
    assert "mIoU 41.50 %, pixel accuracy 80.25 % on 2 images" in card
    assert "| floor | 83.00 |" in card
    assert "| lamp | - |" in card
    assert yaml.safe_load(card.split("---")[1])["library_name"] == "transformers"
    export_huggingface(Segmenter.load("street-student"), tmp_path / "demo")
    card = (tmp_path / "demo/README.md").read_text()
    assert "No evaluation with labels was recorded" in card
    assert "rendered street" in card


@pytest.fixture(scope="module")
def onnx_file(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "student.onnx"
    assert export_onnx(Segmenter.load(run), path) >= 99.99
    return path


@pytest.mark.parametrize("shape", [(1, 64, 256), (3, 32, 32), (1, 99, 401), (1, 200, 1024)])
def test_onnx_runtime_labels_any_size_as_torch_does(run, onnx_file, shape):
    count, height, width = shape
    images = np.stack([panorama(height, width, seed) for seed in range(count)])
    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    (labels,) = session.run(None, {"image": images})
    assert labels.dtype == np.uint8
    expected = Segmenter.load(run).classes(images)
    assert len(np.unique(expected)) > 1
    assert (labels == expected).mean() >= 0.9999


def test_onnx_names_its_classes(run, onnx_file):
    model = onnx.load(onnx_file)
    onnx.checker.check_model(model)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert tuple(json.loads(properties["classes"])) == CITYSCAPES
    assert Geometry.from_json(json.loads(properties["geometry"])) == GEOMETRY
    assert properties["weights"] == Segmenter.load(run).fingerprint
    with pytest.raises(InputError, match="is there already"):
        export_onnx(Segmenter.load(run), onnx_file)


def test_a_file_that_labels_otherwise_is_not_written(run, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "IMAGENET_MEAN", (0.0, 0.0, 0.0))
    with pytest.raises(RuntimeError, match="not written: ONNX Runtime labels"):
        export_onnx(Segmenter.load(run), tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_without_the_packages_it_says_what_to_install(run, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install 'goodsam\[export\]'"):
        export_onnx(Segmenter.load(run), tmp_path / "x.onnx")
