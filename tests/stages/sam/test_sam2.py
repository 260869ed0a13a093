"""SAM 2's kinds against transformers: the decoder's numbers, and the pipeline's masks."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Sam2ImageProcessor, Sam2Model, Sam3ImageProcessor, pipeline
from transformers.models.sam2 import image_processing_sam2

from goodsam.stages.sam.decode import decode_masks, decode_tokens, project_image, two_way
from goodsam.stages.sam.generate import GeneratorConfig, SamGenerator
from goodsam.stages.sam.hub import load_folder
from goodsam.stages.sam.sam2 import sam2_of
from tests.stages.sam.tiny_transformers import (
    TRAINED,
    edgetam,
    pictures,
    processor,
    random,
    sam2,
    sam3,
)

HALF = [0.5, 0.5, 0.5]
KINDS = {"sam2": sam2, "edgetam": edgetam, "sam3": sam3}


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """To 1e-4 of the largest."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * theirs.abs().max().item())
    assert theirs.std() > 1e-3 * theirs.abs().max()  # something to be wrong about


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_decoder_is_transformers(kind: str) -> None:
    if kind == "edgetam":
        pytest.importorskip("timm")
    model = random(KINDS[kind], seed=len(kind))
    size = model.config.prompt_encoder_config.image_size
    pixels, points = torch.randn(1, 3, size, size), torch.rand(1, 7, 2, 2) * size
    labels = torch.tensor([1, 0]).expand(1, 7, 2)
    theirs = model(pixel_values=pixels, input_points=points, input_labels=labels)

    sam = sam2_of(copy.deepcopy(model), HALF, HALF)
    decoder = sam.mask_decoder
    image = sam.image_encoder(pixels)[0]
    prompts, dense = sam.prompt_encoder((points[0], labels[0]), None, None)
    image[: dense.shape[1]] += dense[0, :, :1, :1]
    projected = project_image(decoder, image, sam.prompt_encoder.get_dense_pe()[0])
    tokens, prompted, iou = decode_tokens(decoder, projected, prompts)
    masks = decode_masks(decoder, tokens[:, 1:], prompted, image.shape[1:], 1, projected.pixels)
    every, _ = two_way(decoder.transformer, decoder.begin(prompts, projected.pixels)[0], projected)
    close(masks, theirs.pred_masks[0])
    close(iou[:, 1:], theirs.iou_scores[0])
    close(decoder.object_score(every), theirs.object_score_logits[0])


def pipeline_masks(
    model: torch.nn.Module, image: np.ndarray, config: GeneratorConfig, processing: Any
) -> tuple[np.ndarray, np.ndarray]:
    """bool (M, H, W) and predicted IoU (M,), by transformers' pipeline."""
    generate = pipeline("mask-generation", model=model, image_processor=processing)
    found = generate(
        Image.fromarray(image),
        points_per_crop=config.points_per_side,
        pred_iou_thresh=config.pred_iou_thresh,
        stability_score_thresh=config.stability_score_thresh,
        crops_nms_thresh=config.box_nms_thresh,
    )
    return np.array([np.asarray(m) for m in found["masks"]]), found["scores"].numpy()


def assert_the_pipeline_s(sam, model, image, config, processing) -> int:
    (ours,) = SamGenerator(sam, config)([image])
    masks, scores = pipeline_masks(model, image, config, processing)
    assert len(ours) == len(masks)
    for mask, iou, theirs, score in zip(
        ours.masks(), ours.predicted_iou, masks, scores, strict=True
    ):
        assert (mask ^ theirs).sum() <= 1e-3 * theirs.size  # logits of zero, rounded otherwise
        assert iou == pytest.approx(score, abs=1e-4)
    return len(masks)


CONFIG = GeneratorConfig(
    mode="exact", points_per_side=8, pred_iou_thresh=0.5, stability_score_thresh=0.6
)


def test_a_trained_sam_2_has_the_masks_of_the_pipeline() -> None:
    sam, _ = load_folder(TRAINED)
    model = Sam2Model.from_pretrained(TRAINED, dtype=torch.float32).eval()
    counts = [assert_the_pipeline_s(sam, model, p[0], CONFIG, processor()) for p in pictures()[:3]]
    assert min(counts) >= 3


def test_a_window_that_is_no_square_where_the_pipeline_is_told_its_points(monkeypatch) -> None:
    """The pipeline squeezes the picture and not its points: those are put right for this test."""

    def stretched(target_size, coords, original_size, is_bounding_box=False):
        height, width = original_size
        return coords.float() * torch.tensor([target_size / width, target_size / height])

    sam, _ = load_folder(TRAINED)
    model = Sam2Model.from_pretrained(TRAINED, dtype=torch.float32).eval()
    image = np.ascontiguousarray(pictures()[1][0][:150])
    monkeypatch.setattr(image_processing_sam2, "_normalize_coordinates", stretched)
    assert assert_the_pipeline_s(sam, model, image, CONFIG, processor()) >= 3


@pytest.mark.parametrize("kind", KINDS)
def test_random_weights_have_the_masks_of_the_pipeline(kind: str) -> None:
    if kind == "edgetam":
        pytest.importorskip("timm")
    model = random(KINDS[kind], seed=5)
    size = model.config.prompt_encoder_config.image_size
    processing = processor(Sam3ImageProcessor if kind == "sam3" else Sam2ImageProcessor, size)
    sam = sam2_of(copy.deepcopy(model), list(processing.image_mean), list(processing.image_std))
    config = replace(CONFIG, pred_iou_thresh=0.0, stability_score_thresh=0.0, box_nms_thresh=1.0)
    assert assert_the_pipeline_s(sam, model, pictures()[0][0], config, processing) >= 3
