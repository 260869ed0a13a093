"""Windows to masks: SAM's automatic mask generation.

Gives the masks of `segment_anything.SamAutomaticMaskGenerator` (no crops, no minimal region), and
does less for them: masks are built only for prompts whose predicted IoU passes, and none is ever
encoded to run lengths. Order: falling predicted IoU; equal ones by place in the grid of points (row
by row), then by output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from segment_anything.modeling import Sam
from segment_anything.utils.amg import (
    batched_mask_to_box,
    build_point_grid,
    calculate_stability_score,
)
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor
from torchvision.ops import nms

from data.errors import InputError
from data.window_masks import WindowMasks
from stages.sam.decode import decode_masks, decode_tokens

MULTIMASK = 3  # outputs per point: whole, part, subpart; the decoder's mask tokens 1 to 3


@dataclass(frozen=True)
class GeneratorConfig:
    """SAM's own settings and defaults.

    points_per_side: prompts are a grid of this many squared. points_per_batch: prompts decoded at
    once, a matter of memory. pred_iou_thresh, stability_score_thresh: masks below are dropped;
    stability is the IoU of the masks cut `stability_score_offset` above and below the threshold.
    box_nms_thresh: of masks whose boxes overlap more, the one with the highest predicted IoU stays.

    Raises InputError for numbers below one where one is the least.
    """

    points_per_side: int = 32
    points_per_batch: int = 64
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    box_nms_thresh: float = 0.7

    def __post_init__(self) -> None:
        if min(self.points_per_side, self.points_per_batch) < 1:
            raise InputError(f"mask generation needs at least one point, got {self}")


# For the demo SAM, chosen on tuning panoramas by what its masks do to the ensemble. Its predicted
# IoU is honest and most of its masks are poor: at 0.18 some 30 a window pass and cost the labels 12
# points of mIoU, at 0.6 one or two, and cost one (docs/weights.md). SAM's own 0.88 would keep none.
STREET_GENERATOR = GeneratorConfig(
    points_per_side=16, pred_iou_thresh=0.6, stability_score_thresh=0.9
)


class MaskGenerator(Protocol):
    """An image, uint8 (H, W, 3) RGB, to its masks."""

    def __call__(self, image: np.ndarray) -> WindowMasks: ...


class SamGenerator:
    """Masks of one image from a SAM, on whatever device the model is."""

    def __init__(self, sam: Sam, config: GeneratorConfig | None = None) -> None:
        self.sam, self.config = sam.eval(), config or GeneratorConfig()
        self.resize = ResizeLongestSide(sam.image_encoder.img_size)
        self.grid = build_point_grid(self.config.points_per_side)  # (P, 2) x, y in 0..1

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> WindowMasks:
        """uint8 (H, W, 3) RGB -> its masks, in the order that the module states."""
        embedding, input_size = self._encode(image)
        original_size = (image.shape[0], image.shape[1])
        points = self.resize.apply_coords(self.grid * np.array(original_size[::-1]), original_size)
        batches = [
            self._masks(embedding, batch, input_size, original_size)
            for batch in torch.as_tensor(points, device=self.sam.device).split(
                self.config.points_per_batch
            )
        ]
        masks, iou, stability = (torch.cat(column) for column in zip(*batches, strict=True))
        if len(masks):
            kept = nms(batched_mask_to_box(masks).float(), iou, self.config.box_nms_thresh)
            masks, iou, stability = masks[kept], iou[kept], stability[kept]
        return WindowMasks.of(masks.cpu().numpy(), iou.cpu().numpy(), stability.cpu().numpy())

    def _encode(self, image: np.ndarray) -> tuple[Tensor, tuple[int, int]]:
        """Image tokens (C, h, w) with the empty dense prompt added, and the size of SAM's input."""
        resized = self.resize.apply_image(image)
        pixels = torch.as_tensor(resized, device=self.sam.device).permute(2, 0, 1).contiguous()
        tokens = self.sam.image_encoder(self.sam.preprocess(pixels)[None])[0]
        empty = self.sam.prompt_encoder.no_mask_embed.weight.reshape(-1, 1, 1)
        return tokens + empty, (resized.shape[0], resized.shape[1])

    def _masks(
        self,
        embedding: Tensor,
        points: Tensor,
        input_size: tuple[int, int],
        original_size: tuple[int, int],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Points (P, 2) x, y in px of SAM's input -> masks (M, H, W), IoU, stability (M,)."""
        decoder, config = self.sam.mask_decoder, self.config
        labels = torch.ones(len(points), 1, dtype=torch.int, device=points.device)
        prompts, _ = self.sam.prompt_encoder((points[:, None], labels), None, None)
        pe = self.sam.prompt_encoder.get_dense_pe()[0]
        tokens, image, iou = decode_tokens(decoder, embedding, pe, prompts)
        tokens, iou = tokens[:, 1 : 1 + MULTIMASK], iou[:, 1 : 1 + MULTIMASK]
        # As the reference: a threshold of zero or below filters nothing.
        good = iou > config.pred_iou_thresh if config.pred_iou_thresh > 0 else iou > -torch.inf
        asked = good.any(dim=1)
        size = (embedding.shape[1], embedding.shape[2])
        low = decode_masks(decoder, tokens[asked], image[asked], size, first=1)
        logits = self.sam.postprocess_masks(low[good[asked]][:, None], input_size, original_size)[
            :, 0
        ]
        iou = iou[good]
        stability = calculate_stability_score(
            logits, self.sam.mask_threshold, config.stability_score_offset
        )
        masks = logits > self.sam.mask_threshold
        if config.stability_score_thresh > 0:
            stable = stability >= config.stability_score_thresh
            masks, iou, stability = masks[stable], iou[stable], stability[stable]
        return masks, iou, stability
