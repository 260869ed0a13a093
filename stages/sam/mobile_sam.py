"""MobileSAM: SAM with a TinyViT for an encoder, from timm.

Prompt encoder and mask decoder are the first SAM's own. The encoder's third and last step to a
coarser grid is none: its tokens stay 16 px of the input apart.
"""

from __future__ import annotations

import re
from typing import Any

from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn

from goodsam.data.errors import InputError

SIZE, TOKENS, WIDTH = 1024, 64, 256
UNUSED = ("norm_head.", "head.")  # the classifier of the network that the encoder began as


class TinyEncoder(nn.Module):
    """Normalised, padded images (B, 3, S, S) -> image tokens (B, 256, S / 16, S / 16).

    Its weights are loaded from the names that they have in the published checkpoint too.
    """

    def __init__(self, size: int = SIZE) -> None:
        super().__init__()
        try:
            from timm import create_model
        except ImportError as error:
            raise InputError("mobile_sam: needs the package timm; pip install timm") from error
        self.img_size = size
        tiny: Any = create_model("tiny_vit_5m_224", pretrained=False, num_classes=0)
        tiny.stages[3].downsample.conv2.conv.stride = (1, 1)
        tiny.head = nn.Identity()
        self.tiny: Any = tiny
        self.neck = nn.Sequential(
            nn.Conv2d(self.tiny.num_features, WIDTH, 1, bias=False),
            LayerNorm2d(WIDTH),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False),
            LayerNorm2d(WIDTH),
        )
        self.register_load_state_dict_pre_hook(_by_our_names)

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        tokens: Tensor = self.neck(self.tiny.forward_features(pixels_BCHW))
        return tokens


def _by_our_names(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Rename, in place, what lies below `prefix` of a state dict as published."""
    for key in [key for key in state if key.startswith(prefix)]:
        name = key.removeprefix(prefix)
        if name.startswith(UNUSED):
            del state[key]
        elif not name.startswith(("tiny.", "neck.")):
            state[f"{prefix}tiny.{timm_name(name)}"] = state.pop(key)


def timm_name(name: str) -> str:
    """TinyViT's published name of a weight -> timm's.

    There a stage ends with the step to a coarser grid, in timm the next one begins with it.
    """
    name = re.sub(r"\.c\.", ".conv.", name)
    name = name.replace("patch_embed.seq.0.", "patch_embed.conv1.")
    name = name.replace("patch_embed.seq.2.", "patch_embed.conv2.")
    name = re.sub(
        r"^layers\.(\d)\.downsample\.", lambda m: f"stages.{int(m[1]) + 1}.downsample.", name
    )
    return name.replace("layers.", "stages.", 1) if name.startswith("layers.") else name


def mobile_sam() -> Sam:
    """MobileSAM with fresh weights. InputError without timm."""
    return Sam(
        TinyEncoder(),
        PromptEncoder(WIDTH, (TOKENS, TOKENS), (SIZE, SIZE), mask_in_chans=16),
        MaskDecoder(
            transformer_dim=WIDTH,
            transformer=TwoWayTransformer(depth=2, embedding_dim=WIDTH, num_heads=8, mlp_dim=2048),
        ),
    )
