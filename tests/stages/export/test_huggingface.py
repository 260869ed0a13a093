from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
import torch
import yaml
from PIL import Image
from transformers import SegformerForSemanticSegmentation, SegformerImageProcessor

from goodsam.data.errors import InputError
from goodsam.stages.export.huggingface import export_huggingface
from goodsam.stages.segformer.segmenter import Segmenter

FACTS = ("student started from nvidia/segformer-b0", "adapted to 2 panoramas, without a label")
SCORES = {
    "miou": 41.5,
    "pixel_accuracy": 80.25,
    "per_class": {"floor": 83.0, "lamp": None},
    "files": [{}, {}],
    "protocol_note": "2 classes; percent",
}


def test_transformers_alone_gives_the_labels_of_the_run(run, picture, tmp_path):
    export_huggingface(Segmenter.load(run), tmp_path / "hf")
    image = picture()
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


def test_the_model_card_says_where_from_how_good_and_what_licence(run, photographs, tmp_path):
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
    export_huggingface(Segmenter.load("street-student"), tmp_path / "demo", samples=photographs)
    card = (tmp_path / "demo/README.md").read_text()
    assert "No evaluation with labels was recorded" in card
    assert "rendered street" in card


def test_half_is_half_as_large_and_labels_alike(run, tmp_path):
    whole = export_huggingface(Segmenter.load(run), tmp_path / "whole")
    half = export_huggingface(Segmenter.load(run), tmp_path / "half", half=True)
    assert whole.agreement == 100
    assert 99.9 <= half.agreement <= 100
    assert half.megabytes < 0.55 * whole.megabytes
    weights = safetensors.numpy.load_file(tmp_path / "half/model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {np.dtype("float16"), np.dtype("int64")}
    assert Segmenter.load(tmp_path / "half").model.dtype == torch.float32


def test_a_network_that_wraps_is_no_directory(bare, tmp_path):
    with pytest.raises(InputError, match="does not wrap"):
        export_huggingface(replace(bare, wrap=True), tmp_path / "hf")
