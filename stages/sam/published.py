"""SAMs of transformers with fresh weights, in the shapes of those that are published.

What is measured without a checkpoint has these. The numbers are those of the published configs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from segment_anything.modeling import Sam

from goodsam.stages.sam.hub import (
    EDGETAM,
    SAM,
    SAM2,
    SAM3,
    SAM_HQ,
    Family,
    converted,
    transformers_class,
)


@dataclass(frozen=True)
class Hiera:
    """An encoder of SAM 2. width, heads: of the first of four stages, doubled at each later one.

    blocks: of each stage. spread: numbers of the blocks whose attention is global. windows: px of a
    window of the others, by stage. background: tokens along a side of the positional embedding.
    """

    width: int
    heads: int
    blocks: tuple[int, int, int, int]
    spread: tuple[int, int, int]
    windows: tuple[int, int, int, int] = (8, 4, 14, 7)
    background: int = 7

    def vision_config(self) -> dict[str, Any]:
        widths = [self.width * 2**stage for stage in range(4)]
        return {
            "model_type": "sam2_vision_model",
            "backbone_channel_list": widths[::-1],
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": self.width,
                "num_attention_heads": self.heads,
                "blocks_per_stage": list(self.blocks),
                "embed_dim_per_stage": widths,
                "num_attention_heads_per_stage": [self.heads * 2**stage for stage in range(4)],
                "window_size_per_stage": list(self.windows),
                "global_attention_blocks": list(self.spread),
                "window_positional_embedding_background_size": [self.background] * 2,
            },
        }


HIERAS = {
    "tiny": Hiera(96, 1, (1, 2, 7, 2), (5, 7, 9)),
    "small": Hiera(96, 1, (1, 2, 11, 2), (7, 10, 13)),
    "base-plus": Hiera(112, 2, (2, 3, 16, 3), (12, 16, 20), background=14),
    "large": Hiera(144, 2, (2, 6, 36, 4), (23, 33, 43), windows=(8, 4, 16, 8)),
}

# Named in full: transformers' default for EdgeTAM misspells the architecture and gets a ResNet.
REPVIT = {
    "model_type": "edgetam_vision_model",
    "backbone_config": {
        "model_type": "timm_wrapper",
        "architecture": "repvit_m1",
        "num_classes": 2,
        "model_args": {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
    },
}


def _vit(width: int, depth: int, heads: int, spread: tuple[int, ...]) -> dict[str, Any]:
    """Of the first SAM and SAM-HQ: width, layers, heads, and which layers' attention is global."""
    vision = {
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "global_attn_indexes": list(spread),
        "mlp_dim": 4 * width,
    }
    return {"vision_config": vision, "mask_decoder_config": {"vit_dim": width}}  # HQ's alone


VITS = {
    "base": _vit(768, 12, 12, (2, 5, 8, 11)),
    "large": _vit(1024, 24, 16, (5, 11, 17, 23)),
    "huge": _vit(1280, 32, 16, (7, 15, 23, 31)),
}

# By name on the hub: the family, and what its config has that is not the family's default.
PUBLISHED: dict[str, tuple[Family, dict[str, Any]]] = {
    **{
        f"facebook/{version}-hiera-{size}": (SAM2, {"vision_config": hiera.vision_config()})
        for version in ("sam2", "sam2.1")
        for size, hiera in HIERAS.items()
    },
    "yonigozlan/EdgeTAM-hf": (EDGETAM, {"vision_config": REPVIT}),
    "facebook/sam3": (SAM3, {}),
    **{f"syscv-community/sam-hq-vit-{size}": (SAM_HQ, settings) for size, settings in VITS.items()},
    **{f"facebook/sam-vit-{size}": (SAM, settings) for size, settings in VITS.items()},
}


def published_family(name: str) -> Family:
    """The family of `name` on the hub."""
    return PUBLISHED[name][0]


def fresh_model(name: str) -> Any:
    """A transformers model of the shape of `name` on the hub, with fresh weights."""
    family, settings = PUBLISHED[name]
    config = transformers_class(family.config)(**settings)
    return transformers_class(family.model)(config).eval()


def fresh_sam(name: str) -> Sam:
    """The same as a `Sam`."""
    return converted(published_family(name), fresh_model(name))
