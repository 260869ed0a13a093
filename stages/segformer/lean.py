"""SegFormer's forward pass with its decoder in the cheap order.

The decoder projects the features of four stages to a common width, upsamples each to H/4, joins
them and multiplies all by one matrix: at 400 x 2048 that product is most of a B0's arithmetic.
Projection, bilinear upsampling and product are linear, and the upsampling acts on each channel
alike, so they commute: here the two matrices become one per stage, normalisation included, each
applied at its stage's own resolution, and the results are upsampled and added. The same logits but
for the order of the sums; the twin in the tests is transformers' own pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from transformers import SegformerForSemanticSegmentation


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
        head = model.decode_head
        norm = head.batch_norm
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)  # (D,)
        width = head.linear_fuse.out_channels
        fuse = (scale[:, None] * head.linear_fuse.weight[:, :, 0, 0]).split(width, dim=1)
        projections = [layer.proj for layer in head.linear_projections]
        pairs = list(zip(reversed(fuse), projections, strict=True))  # the last stage comes first
        return cls(
            tuple((matrix @ proj.weight)[:, :, None, None] for matrix, proj in pairs),
            sum((matrix @ proj.bias for matrix, proj in pairs), torch.zeros_like(scale))
            + norm.bias
            - scale * norm.running_mean,
            head.classifier,
        )

    def __call__(self, features: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """(N, C_i, H / 2^(i+2), W / 2^(i+2)) of the four stages -> logits (N, C, H/4, W/4)."""
        size = features[0].shape[-2:]
        hidden = F.conv2d(features[0], self.stages[0], self.bias)
        for weight, feature in zip(self.stages[1:], features[1:], strict=True):
            hidden += F.interpolate(
                F.conv2d(feature, weight), size=size, mode="bilinear", align_corners=False
            )
        return self.classifier(hidden.relu_())


def lean_logits(
    model: SegformerForSemanticSegmentation, decoder: LeanDecoder, images_NCHW: torch.Tensor
) -> torch.Tensor:
    """float (N, 3, H, W) -> logits (N, C, H/4, W/4); without gradient only (it works in place)."""
    outputs = model.segformer(images_NCHW, output_hidden_states=True)
    return decoder(outputs.hidden_states)
