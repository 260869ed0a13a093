"""SAM-HQ, and the first SAM as transformers keeps it, against transformers."""

from __future__ import annotations

import copy

import pytest
import torch
from segment_anything.modeling import Sam
from torch import Tensor
from transformers import PreTrainedModel, SamImageProcessor

from goodsam.stages.sam.decode import decode_masks, decode_tokens, project_image
from goodsam.stages.sam.encode import encode
from goodsam.stages.sam.generate import GeneratorConfig, SamGenerator
from goodsam.stages.sam.sam_hq import sam_of
from tests.stages.sam.test_sam2 import assert_the_pipeline_s, close
from tests.stages.sam.tiny_transformers import SIZE, WIDTH, first_sam, pictures, random, sam_hq

HALF = [0.5, 0.5, 0.5]


def decoded(sam: Sam, pixels: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Masks 1 to 3 (P, 3, h, w) and their IoU of points (P, 2), by our decoder."""
    image = encode(sam.image_encoder, pixels)[0]
    labels = torch.ones(len(points), 1)
    prompts, dense = sam.prompt_encoder((points[:, None], labels), None, None)
    image[: dense.shape[1]] += dense[0, :, :1, :1]
    projected = project_image(sam.mask_decoder, image, sam.prompt_encoder.get_dense_pe()[0])
    tokens, prompted, iou = decode_tokens(sam.mask_decoder, projected, prompts)
    masks = decode_masks(
        sam.mask_decoder, tokens[:, 1:], prompted, image.shape[1:], 1, projected.pixels
    )
    return masks, iou[:, 1:]


@torch.no_grad()
def test_the_first_sam_is_transformers() -> None:
    model = random(first_sam, seed=3)
    pixels, points = torch.randn(1, 3, SIZE, SIZE), torch.rand(5, 2) * SIZE
    theirs = model(pixel_values=pixels, input_points=points[None, :, None])
    masks, iou = decoded(sam_of(copy.deepcopy(model), HALF, HALF), pixels, points)
    close(masks, theirs.pred_masks[0])
    close(iou, theirs.iou_scores[0])


def naive_hq(model: PreTrainedModel, pixels: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """SAM-HQ as its authors have it, from transformers' parts.

    transformers' own decoder (5.23) passes over the image tokens that its transformer returns, and
    makes the masks of those that went in.
    """
    decoder, p = model.mask_decoder, len(points)
    tokens, early = model.get_image_embeddings(pixels)
    sparse, dense = model.prompt_encoder(points[None, :, None], torch.ones(1, p, 1), None, None)
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight, decoder.hq_token.weight])
    prompts = torch.cat([own.expand(1, p, -1, -1), sparse], dim=2)
    image = (tokens + dense).repeat(p, 1, 1, 1)
    places = model.get_image_wide_positional_embeddings().repeat(p, 1, 1, 1)
    prompts, image = decoder.transformer(prompts, image, places, None)[:2]
    image = image.reshape(p, -1, WIDTH).transpose(1, 2).reshape(p, WIDTH, *tokens.shape[2:])
    act = decoder.activation
    pixel = act(decoder.upscale_layer_norm(decoder.upscale_conv1(image)))
    pixel = act(decoder.upscale_conv2(pixel))
    finer = decoder.encoder_conv2(act(decoder.encoder_norm(decoder.encoder_conv1(tokens))))
    of_vit = decoder.compress_vit_conv1(early[0].permute(0, 3, 1, 2))
    finer = finer + decoder.compress_vit_conv2(act(decoder.compress_vit_norm(of_vit)))
    added = decoder.mask_conv2(act(decoder.mask_norm(decoder.mask_conv1(pixel)))) + finer
    hyper = [mlp(prompts[0, :, 1 + i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)]
    masks = torch.einsum("pmc,pchw->pmhw", torch.stack(hyper[1:], dim=1), pixel)
    hq = torch.einsum("pc,pchw->phw", decoder.hq_mask_mlp(prompts[0, :, 5]), added)
    return masks + hq[:, None], decoder.iou_prediction_head(prompts[0, :, 0])[:, 1:]


@torch.no_grad()
def test_sam_hq_is_the_formula() -> None:
    model = random(sam_hq, seed=3)
    pixels, points = torch.randn(1, 3, SIZE, SIZE), torch.rand(5, 2) * SIZE
    expected = naive_hq(model, pixels, points)
    for ours, theirs in zip(
        decoded(sam_of(copy.deepcopy(model), HALF, HALF), pixels, points), expected, strict=True
    ):
        close(ours, theirs)
    # IoU by transformers' whole model, which sorts a prompt's masks by it
    theirs = model(pixel_values=pixels, input_points=points[None, :, None]).iou_scores[0]
    close(expected[1].sort(dim=1, descending=True).values, theirs)


CONFIG = GeneratorConfig(
    mode="exact",
    points_per_side=6,
    pred_iou_thresh=0.0,
    stability_score_thresh=0.0,
    box_nms_thresh=1.0,
)


def test_the_first_sam_has_the_masks_of_the_pipeline() -> None:
    model = random(first_sam, seed=2)
    mean, std = SamImageProcessor.image_mean, SamImageProcessor.image_std
    sam = sam_of(copy.deepcopy(model), list(mean), list(std))
    image = pictures()[0][0][:100, :128].copy()
    processor = SamImageProcessor(
        size={"longest_edge": SIZE}, pad_size={"height": SIZE, "width": SIZE}
    )
    assert assert_the_pipeline_s(sam, model, image, CONFIG, processor) >= 10


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_sam_hq_makes_masks(mode: str) -> None:
    sam = sam_of(random(sam_hq, seed=2), HALF, HALF)
    image = pictures()[0][0][:100, :128].copy()
    (masks,) = SamGenerator(sam, GeneratorConfig(mode, "adaptive", 4, None, 0, 0))([image])
    assert len(masks) > 0


@torch.no_grad()
@pytest.mark.parametrize("kind", [first_sam, sam_hq])
def test_masks_of_a_part_are_part_of_all_masks(kind) -> None:
    """But for the two pixels that SAM-HQ's convolutions see beyond the part."""
    sam = sam_of(random(kind, seed=4), HALF, HALF)
    image = encode(sam.image_encoder, torch.randn(1, 3, SIZE, SIZE))[0]
    pe, size = sam.prompt_encoder.get_dense_pe()[0], (image.shape[1] - 1, image.shape[2] - 2)
    projected = project_image(sam.mask_decoder, image, pe)
    tokens, prompted, _ = decode_tokens(sam.mask_decoder, projected, torch.randn(3, 2, WIDTH))
    own = projected.pixels
    every = decode_masks(sam.mask_decoder, tokens, prompted, image.shape[1:], 0, own)
    seen = prompted.unflatten(1, image.shape[1:])[:, : size[0], : size[1]].flatten(1, 2)
    part = decode_masks(sam.mask_decoder, tokens, seen, size, 0, own)
    assert part.shape[2:] == (4 * size[0], 4 * size[1])
    h, w = (4 * side - 2 for side in size)
    close(part[..., :h, :w], every[..., :h, :w])
