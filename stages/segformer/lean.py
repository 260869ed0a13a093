"""SegFormer's forward pass with its decoder in the cheap order, in use and while it learns.

The decoder projects the features of four stages to a common width, upsamples each to H/4, joins
them and multiplies all by one matrix: at 400 x 2048 that product is most of a B0's arithmetic.
Projection, bilinear upsampling and product are linear, and the upsampling acts on each channel
alike, so they commute: here the two matrices become one per stage, normalisation included, each
applied at its stage's own resolution, and the results are upsampled and added. The same logits and
gradients but for the order of the sums; the twin in the tests is transformers' own pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from transformers import SegformerForSemanticSegmentation
from transformers.models.segformer.modeling_segformer import SegformerDecodeHead


class LeanHead(SegformerDecodeHead):
    """A decoder that learns: in evaluation mode, where its normalisation is a fixed scale.

    In training mode, where the normalisation is of the batch, transformers' own pass.
    """

    @classmethod
    def put_into(cls, model: SegformerForSemanticSegmentation) -> None:
        """Give a model this forward pass; its parameters, their names and its files stay."""
        if model.config.reshape_last_stage:
            model.decode_head.__class__ = cls

    def forward(self, encoder_hidden_states: Sequence[torch.Tensor], **kwargs: Any) -> torch.Tensor:
        """(N, C_i, H / 2^(i+2), W / 2^(i+2)) of the four stages -> logits (N, C, H/4, W/4)."""
        if self.training:
            return super().forward(encoder_hidden_states, **kwargs)
        # products of weights in full precision, whatever the pictures are computed in
        with torch.autocast(encoder_hidden_states[0].device.type, enabled=False):
            stages, bias = _matrices(self)
        return self.classifier(self.dropout(_hidden(encoder_hidden_states, stages, bias)))


@dataclass(frozen=True)
class LeanDecoder:
    """The decoder of a model in evaluation mode, its weights as they were when this was made.

    stages: per encoder stage (D, C_i, 1, 1). bias: (D,), of all of them together.
    """

    stages: tuple[torch.Tensor, ...]
    bias: torch.Tensor
    classifier: torch.nn.Conv2d

    @classmethod
    @torch.no_grad()
    def of(cls, model: SegformerForSemanticSegmentation) -> LeanDecoder:
        return cls(*_matrices(model.decode_head), model.decode_head.classifier)

    def __call__(self, features: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """(N, C_i, H / 2^(i+2), W / 2^(i+2)) of the four stages -> logits (N, C, H/4, W/4)."""
        return self.classifier(_hidden(features, self.stages, self.bias))


def _matrices(head: SegformerDecodeHead) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
    """A decoder's matrices, one per stage, (D, C_i, 1, 1), and their common bias, (D,)."""
    norm = head.batch_norm
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)  # (D,)
    width = head.linear_fuse.out_channels
    fuse = (scale[:, None] * head.linear_fuse.weight[:, :, 0, 0]).split(width, dim=1)
    projections = [layer.proj for layer in head.linear_projections]
    pairs = list(zip(reversed(fuse), projections, strict=True))  # the last stage comes first
    stages = tuple((matrix @ proj.weight)[:, :, None, None] for matrix, proj in pairs)
    bias = sum((matrix @ proj.bias for matrix, proj in pairs), torch.zeros_like(scale))
    return stages, bias + norm.bias - scale * norm.running_mean


def _hidden(
    features: Sequence[torch.Tensor], stages: Sequence[torch.Tensor], bias: torch.Tensor
) -> torch.Tensor:
    """What the classifier sees, (N, D, H/4, W/4)."""
    size = features[0].shape[-2:]
    hidden = F.conv2d(features[0], stages[0], bias)
    for weight, feature in zip(stages[1:], features[1:], strict=True):
        hidden += F.interpolate(
            F.conv2d(feature, weight), size=size, mode="bilinear", align_corners=False
        )
    return hidden.relu_()


def lean_logits(
    model: SegformerForSemanticSegmentation, decoder: LeanDecoder, images_NCHW: torch.Tensor
) -> torch.Tensor:
    """float (N, 3, H, W) -> logits (N, C, H/4, W/4)."""
    outputs = model.segformer(images_NCHW, output_hidden_states=True)
    return decoder(outputs.hidden_states)
