"""A network as a user of transformers has it: processor, model, post-processing of its family.

What the benches hold ours against. Pictures have their own size, but for a network of squares,
whose processor squashes or cuts them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import SegformerForSemanticSegmentation

from goodsam.data.classes import IGNORE
from goodsam.stages.networks.adapted import Adapted, Pictures
from goodsam.stages.networks.classes import Mapped, bare
from goodsam.stages.networks.families import FAMILIES, transformers_class


def stock(network: Any, device: torch.device) -> Callable[[Image.Image | np.ndarray], np.ndarray]:
    """From an RGB picture, (H, W) px, to its labels, uint8 (H, W).

    transformers knows no class maps: they are applied to the labels, 255 where one ignores them.
    """
    inner = _untouched(bare(network))
    family, pictures, side, model = FAMILIES["segformer"], Pictures(), None, inner
    if isinstance(inner, Adapted):
        family, pictures, side, model = inner.family, inner.pictures, inner.side, inner.model
    processor = transformers_class(family.processor).from_dict(pictures.processor(family, side))
    task = {"task_inputs": torch.tensor([pictures.tokens], device=device)} if family.told else {}
    mapped = np.arange(256, dtype=np.uint8)
    if isinstance(network, Mapped):
        ids = network.classes.table
        mapped = np.where(ids < len(network.names), ids, IGNORE).astype(np.uint8)

    @torch.no_grad()  # not inference mode: a BEiT's tensors of it would stay in the model
    def labels(image: Image.Image | np.ndarray) -> np.ndarray:
        size = (image.height, image.width) if isinstance(image, Image.Image) else image.shape[:2]
        inputs = processor(image, return_tensors="pt").to(device)
        outputs = model(**{**inputs, **task})
        (found,) = processor.post_process_semantic_segmentation(outputs, target_sizes=[size])
        return mapped[found.cpu().numpy()]

    return labels


def _untouched(network: Any) -> Any:
    """A SegFormer with the weights of ours, but transformers' forward pass and memory layout."""
    if not isinstance(network, SegformerForSemanticSegmentation):
        return network
    twin = SegformerForSemanticSegmentation(network.config)
    twin.load_state_dict(network.state_dict())
    return twin.to(next(network.parameters()).device).eval()
