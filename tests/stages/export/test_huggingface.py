from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
import torch
import yaml
from huggingface_hub import ModelCard
from PIL import Image
from transformers import SegformerForSemanticSegmentation, SegformerImageProcessor

from goodsam.data.errors import InputError
from goodsam.stages.export.card import model_card
from goodsam.stages.export.huggingface import export_huggingface
from goodsam.stages.licences import network_licence
from goodsam.stages.segformer.segmenter import Segmenter

FACTS = ("student started from nvidia/segformer-b0", "adapted to 2 panoramas, without a label")
SCORES = {
    "miou": 41.5,
    "pixel_accuracy": 80.25,
    "per_class": {"floor": 83.0, "lamp": None},
    "files": [{}, {}],
    "protocol_note": "2 classes; percent",
}


@pytest.mark.parametrize("plan", ["vertical", "tangent"])
def test_a_plan_of_a_sphere_is_refused(run, tmp_path, plan):
    with pytest.raises(InputError, match=f"{plan} windows of a sphere; load"):
        export_huggingface(Segmenter.load(run).over_sphere(plan), tmp_path / "hf")
    assert not (tmp_path / "hf").exists()


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
    assert "| field of view | 360° x 90.0°, 256 x 64 px |" in card
    assert "| windows | 7 of 64 x 64 px (90.0° wide), one every 32 px, none over the seam |" in card
    export_huggingface(Segmenter.load("street-student"), tmp_path / "demo", samples=photographs)
    card = (tmp_path / "demo/README.md").read_text()
    assert "No evaluation with labels was recorded" in card
    assert "rendered street" in card


def test_the_hub_reads_bases_data_licence_and_scores_off_a_card(run):
    nvidia = network_licence("nvidia/segformer-b0-finetuned-cityscapes-1024-1024")
    segmenter = replace(Segmenter.load(run), licence=nvidia)
    card = ModelCard(model_card(segmenter, FACTS, {**SCORES, "images": "/home/me/Dense PASS"}))
    assert card.data.base_model == ["nvidia/segformer-b0"]  # "own" is none of the hub's
    assert card.data.datasets == ["cityscapes"]
    assert card.data.license_name == "nvidia-source-code-license-for-segformer"
    assert [
        (r.dataset_name, r.dataset_type, r.metric_type, r.metric_value)
        for r in card.data.eval_results
    ] == [
        ("Dense PASS", "dense-pass", "mean_iou", 41.5),
        ("Dense PASS", "dense-pass", "accuracy", 80.25),
    ]
    nothing = {**SCORES, "miou": None, "pixel_accuracy": None}
    bare_card = ModelCard(model_card(Segmenter.load("street-student"), (), nothing))
    assert bare_card.data.eval_results is bare_card.data.base_model is None
    assert "mIoU - %" in bare_card.text


def test_a_card_is_read_back_with_the_notes_on_its_data(run, tmp_path):
    noted = network_licence("tue-mps/cityscapes_semantic_eomt_large_1024")
    export_huggingface(replace(Segmenter.load(run), licence=noted), tmp_path / "hf")
    assert noted.notes[0] in str(Segmenter.load(tmp_path / "hf").licence)


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
