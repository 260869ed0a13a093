"""A student of another family, pretrained on the street world's source look, learns its target."""

from __future__ import annotations

import pytest
import torch
from transformers import MobileNetV2Config, MobileNetV2ForSemanticSegmentation

import goodsam as gs
from goodsam.data.classes import CITYSCAPES
from goodsam.data.panoramas import find_panoramas
from goodsam.data.street.write import write_world
from goodsam.stages.source import SourceConfig, train_source

HEIGHT = 96  # px


def new_mobilenet(folder):
    """A DeepLab on MobileNetV2 with random weights, 0.5 M parameters."""
    torch.manual_seed(0)
    config = MobileNetV2Config(
        depth_multiplier=0.35,
        output_stride=8,
        id2label=dict(enumerate(CITYSCAPES)),
        label2id={name: index for index, name in enumerate(CITYSCAPES)},
    )
    MobileNetV2ForSemanticSegmentation(config).save_pretrained(folder)
    return str(folder)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_mobilenet_pretrained_on_street_learns_from_the_demos_teacher(tmp_path):
    write_world(tmp_path, source=48, unlabelled=6, test=4, seed=7, height=HEIGHT, processes=1)
    labelled = [s for s in find_panoramas(tmp_path / "source") if "/train/" in s.name]
    pretraining = SourceConfig(
        model=new_mobilenet(tmp_path / "new"), steps=60, batch=4, crop=(64, 96),
        scale=(0.75, 1.5), learning_rate=2e-3, head_factor=2.0, warmup=10, workers=0, device="cpu",
    )  # fmt: skip
    student = train_source(labelled, tmp_path / "source-run", pretraining)
    before = gs.evaluate(student, tmp_path / "test")

    gs.cache_sam(
        tmp_path / "unlabelled", tmp_path / "c.zarr", sam="street", points_per_side=8,
        stride=122, boundaries="windows",
    )  # fmt: skip
    run = gs.train(
        tmp_path / "unlabelled", tmp_path / "c.zarr", tmp_path / "run", preset="demo",
        student=str(student), settings=["steps=45", "student_lr=1e-3", "workers=0"], device="cpu",
    )  # fmt: skip
    after = gs.evaluate(run, tmp_path / "test")
    assert before.miou > 3.5  # about 5, more or less by CPU; 0.1 to 2 without the pretraining
    assert after.miou > before.miou
    assert after.record["pixel_accuracy"] > before.record["pixel_accuracy"] + 3
