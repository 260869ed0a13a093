"""A network's fastest forward pass where no gradient is wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import SegformerForSemanticSegmentation

from goodsam.stages.networks.classes import Mapped
from goodsam.stages.segformer.lean import LeanDecoder, lean_logits


def logits_of(network: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """float (N, 3, H, W) -> logits (N, C, h, w), of a network in evaluation mode.

    A SegFormer's decoder is folded from its weights as they are now; see `lean`.
    """
    if isinstance(network, SegformerForSemanticSegmentation):
        network.config.reshape_last_stage = True  # the decoder wants maps, not rows of tokens
        decoder = LeanDecoder.of(network)
        return lambda images_NCHW: lean_logits(network, decoder, images_NCHW)
    if isinstance(network, Mapped):
        inner = logits_of(network.network)
        return lambda images_NCHW: network.mapped(inner(images_NCHW), images_NCHW.shape[-2:])
    return lambda images_NCHW: network(pixel_values=images_NCHW).logits
