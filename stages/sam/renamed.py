"""Weights of transformers' SAMs under the names that segment-anything has for the same parts."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn

# Names in transformers' SAMs, and in segment-anything.
RENAMED = (
    (r"\.shared_embedding\.", ".pe_layer."),
    (r"\.positional_embedding$", ".positional_encoding_gaussian_matrix"),
    (r"\.point_embed\.(\d)\.", r".point_embeddings.\1."),
    (r"\.mask_embed\.conv1", ".mask_downscaling.0"),
    (r"\.mask_embed\.layer_norm1", ".mask_downscaling.1"),
    (r"\.mask_embed\.conv2", ".mask_downscaling.3"),
    (r"\.mask_embed\.layer_norm2", ".mask_downscaling.4"),
    (r"\.mask_embed\.conv3", ".mask_downscaling.6"),
    (r"\.patch_embed\.projection\.", ".patch_embed.proj."),
    (r"^vision_encoder\.layers\.", "vision_encoder.blocks."),
    (r"\.neck\.conv1\.", ".neck.0."),
    (r"\.neck\.layer_norm1\.", ".neck.1."),
    (r"\.neck\.conv2\.", ".neck.2."),
    (r"\.neck\.layer_norm2\.", ".neck.3."),
    (r"\.o_proj\.", ".out_proj."),
    (r"\.layer_norm(\d|_final_attn)\.", r".norm\1."),
    (r"\.mlp\.proj_in\.", ".mlp.lin1."),
    (r"\.mlp\.proj_out\.", ".mlp.lin2."),
    (r"\.upscale_conv1\.", ".output_upscaling.0."),
    (r"\.upscale_layer_norm\.", ".output_upscaling.1."),
    (r"\.upscale_conv2\.", ".output_upscaling.3."),
)


def renamed_state(state: Mapping[str, Tensor], iou_depth: int) -> dict[str, Tensor]:
    """The weights of a transformers SAM by segment-anything's names.

    iou_depth: layers of the head of the predicted IoU. Encoders other than the first SAM's keep
    names of their own.
    """
    renamed = {}
    for key, value in state.items():
        if key == "prompt_encoder.point_embed.weight":
            for i, row in enumerate(value):
                renamed[f"prompt_encoder.point_embeddings.{i}.weight"] = row[None]
            continue
        for pattern, name in RENAMED:
            key = re.sub(pattern, name, key)
        if ".proj_" in key or re.search(r"(mlps\.\d|head|mlp)\.layers\.", key):
            key = _numbered(key, iou_depth)
        renamed[key] = value
    return renamed


def load_part(part: nn.Module, state: Mapping[str, Tensor], prefix: str, but: str = "-") -> None:
    """Load `part` with the weights below `prefix`; its own that begin with `but` stay.

    KeyError if one is missing, RuntimeError if one has another shape.
    """
    names = [name for name in part.state_dict() if not name.startswith(but)]
    part.load_state_dict({name: state[prefix + name] for name in names}, strict=False)


def _numbered(key: str, iou_depth: int) -> str:
    """Layers of an MLP: transformers' proj_in, layers.0, ..., proj_out are layers.0, 1, ... ."""
    last = iou_depth - 1 if "iou_prediction_head" in key else 2
    key = re.sub(r"\.layers\.(\d+)\.", lambda m: f".layers.{int(m[1]) + 1}.", key)
    return key.replace(".proj_in.", ".layers.0.").replace(".proj_out.", f".layers.{last}.")
