"""Semantic scores of universal networks, held to transformers' own post-processing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers as tf

from goodsam.stages.networks.adapted import by_squares, semantic_scores
from goodsam.stages.networks.files import load_model
from goodsam.stages.segformer.segment import normalise
from tests.stages.networks.tiny import NAMES, build, write

CPU = torch.device("cpu")


def pictures(height, width, count=1):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def test_scores_are_those_of_mask2former():
    torch.manual_seed(0)
    outputs = tf.models.mask2former.modeling_mask2former.Mask2FormerForUniversalSegmentationOutput(
        class_queries_logits=torch.randn(2, 7, len(NAMES) + 1),
        masks_queries_logits=torch.randn(2, 7, 384, 384),  # the size that it brings masks to
    )
    processor = tf.Mask2FormerImageProcessor()
    expected = processor.post_process_semantic_segmentation(outputs)
    found = semantic_scores(outputs.class_queries_logits, outputs.masks_queries_logits)
    assert torch.equal(found.argmax(1), torch.stack(list(expected)))


@pytest.mark.parametrize("family", ["maskformer", "oneformer"])
def test_scores_are_those_of_the_familys_processor(family, tmp_path):
    network = load_model(write(tmp_path / "m", family)).eval()
    images = pictures(64, 96, 2)
    seen = normalise(images, CPU)
    task = {}
    if family == "oneformer":
        tokenizer = tf.CLIPTokenizer.from_pretrained(tmp_path / "m")
        task["task_inputs"] = tf.OneFormerProcessor._preprocess_text(
            type("P", (), {"tokenizer": tokenizer})(), ["the task is semantic"] * 2, 77
        )
        assert task["task_inputs"].count_nonzero() > 15
    with torch.inference_mode():
        outputs = build(family)(pixel_values=seen, **task)
        found = network(pixel_values=seen).logits
    processor = tf.MaskFormerImageProcessor()
    sizes = [(64, 96)] * 2
    for one, ours in zip(
        processor.post_process_semantic_segmentation(outputs, sizes, True), found, strict=True
    ):
        scores = one.segmentation_scores
        torch.testing.assert_close(ours.softmax(0), scores / scores.sum(0), rtol=1e-3, atol=1e-5)


def test_eomt_sees_the_squares_of_its_processor(tmp_path):
    """A picture of which the shorter side is the network's, so that neither resizes it."""
    network = load_model(write(tmp_path / "m", "eomt")).eval()
    images = pictures(64, 150)
    processor = tf.EomtImageProcessor(size={"shortest_edge": 64}, do_split_image=True)
    inputs = processor([images[0]], return_tensors="pt")
    assert len(inputs["pixel_values"]) == 3
    with torch.inference_mode():
        outputs = build("eomt")(pixel_values=inputs["pixel_values"])
        found = network(pixel_values=normalise(images, CPU)).logits
    # it brings masks to the squares' size first: we sum at theirs, for a sixteenth of the memory
    scores = semantic_scores(outputs.class_queries_logits, outputs.masks_queries_logits)
    scores = torch.nn.functional.interpolate(scores, (64, 64), mode="bilinear")
    (expected,) = processor.merge_image_patches(
        scores, inputs["patch_offsets"], [(64, 150)], {"shortest_edge": 64, "longest_edge": None}
    )
    torch.testing.assert_close(
        found[0].softmax(0), expected / expected.sum(0), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("size", [(64, 64), (64, 150), (150, 64), (32, 100), (90, 301)])
def test_squares_cover_a_picture_once_in_the_mean(size):
    """A network that gives its pictures back gives the picture back, however it was cut."""
    calls = []

    def same(squares):
        calls.append(len(squares))
        assert squares.shape[-2:] == (64, 64)
        return squares

    smooth = torch.linspace(0, 1, size[0])[:, None] + torch.linspace(0, 2, size[1])[None]
    found = by_squares(same, smooth[None, None].repeat(2, 3, 1, 1), 64)
    assert found.shape == (2, 3, *size)
    torch.testing.assert_close(found[0, 0], smooth, rtol=0, atol=0.05)
    assert calls == [2 * -(-max(size) // min(size))]
