"""The published SAMs: their shapes as the registry has them, their directories as on the hub."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    EdgeTamVideoConfig,
    EdgeTamVideoModel,
    PreTrainedModel,
    Sam2VideoConfig,
    Sam2VideoModel,
    Sam2VideoProcessor,
    Sam2VideoVideoProcessor,
    Sam3Config,
    Sam3TrackerVideoConfig,
    Sam3VideoConfig,
    Sam3VideoModel,
)

from goodsam.stages.sam.hub import load_folder
from goodsam.stages.sam.registry import SAMS
from tests.stages.sam.tiny_transformers import edgetam, processor, sam2, sam3


@pytest.mark.parametrize("name", SAMS)
def test_the_registry_counts_right(name: str) -> None:
    if name in ("edgetam", "mobile_sam"):
        pytest.importorskip("timm")
    known = SAMS[name]
    with torch.device("meta"):
        sam = known.build()
    assert sum(p.numel() for p in sam.parameters()) / 1e6 == pytest.approx(known.parameters, 0.01)
    assert sam.image_encoder.img_size == known.size
    assert sam.prompt_encoder.image_embedding_size == (known.tokens, known.tokens)


def parts(model: PreTrainedModel) -> dict:
    names = ("vision_config", "prompt_encoder_config", "mask_decoder_config")
    return {name: getattr(model.config, name) for name in names}


def sam3_of_videos() -> PreTrainedModel:
    still = parts(sam3())
    few = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_layers": 1,
        "num_attention_heads": 2,
        "num_queries": 4,
    }
    text = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 50,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "projection_dim": 32,
    }
    detector = Sam3Config(
        vision_config=still["vision_config"],
        text_config=text,
        geometry_encoder_config=few,
        detr_encoder_config=few,
        detr_decoder_config=few,
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2},
    )
    tracker = Sam3TrackerVideoConfig(**still, image_size=112, memory_attention_hidden_size=64)
    return Sam3VideoModel(Sam3VideoConfig(detector_config=detector, tracker_config=tracker))


VIDEOS = {
    "sam2": (lambda: Sam2VideoModel(Sam2VideoConfig(**parts(sam2()))), "", "vision_encoder."),
    "edgetam": (
        lambda: EdgeTamVideoModel(EdgeTamVideoConfig(**parts(edgetam()))),
        "",
        "vision_encoder.",
    ),
    "sam3": (sam3_of_videos, "tracker_model.", "detector_model.vision_encoder."),
}


@pytest.mark.parametrize("kind", VIDEOS)
def test_what_is_published_for_videos_holds_the_sam_of_stills(kind: str, tmp_path: Path) -> None:
    """On the hub all three lie with what a video wants, SAM 3 with its detector too."""
    if kind == "edgetam":
        pytest.importorskip("timm")
    build, tracker, vision = VIDEOS[kind]
    model = build()
    model.config.save_pretrained(tmp_path)
    # save_pretrained (5.23) would give SAM 3's weights names that the hub's file does not have
    state: dict[str, Tensor] = {k: v.contiguous().clone() for k, v in model.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    if kind != "sam3":
        Sam2VideoProcessor(processor(), Sam2VideoVideoProcessor()).save_pretrained(tmp_path)

    sam, _ = load_folder(tmp_path)
    assert sam.pixel_mean.flatten().tolist() == pytest.approx(
        [127.5] * 3 if kind == "sam3" else [123.675, 116.28, 103.53]
    )
    no_memory = state[f"{tracker}no_memory_embedding"].flatten()
    assert torch.equal(sam.image_encoder.no_memory, no_memory)
    assert torch.equal(
        sam.mask_decoder.iou_token.weight, state[f"{tracker}mask_decoder.iou_token.weight"]
    )
    for name, value in sam.image_encoder.vision.state_dict().items():
        its = name.replace("neck.", "tracker_neck.") if kind == "sam3" else vision + name
        assert torch.equal(value, state[its if its in state else vision + name]), name
