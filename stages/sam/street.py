"""The demo SAM's own parts of prompt encoder and mask decoder: pixels with vectors.

Its encoder gives, beside the tokens, a vector for each pixel of a mask (`encoder.Vectors`); near
vectors mean one instance. The prompt encoder notes where its points lie, and the decoder looks up
the vector there: the point's token hears of it, and what is near it joins the masks. Without that,
the point's vector would have to be told from the fifteen others of its token by its place alone.

Both are used as segment-anything's are; `goodsam.stages.sam.decode` does the same sums faster.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from segment_anything.modeling import MaskDecoder, PromptEncoder
from segment_anything.modeling.mask_decoder import MLP
from torch import Tensor, nn

from goodsam.stages.sam.decode import SamDecoder
from goodsam.stages.sam.encoder import CELL, VECTOR

PLACE = 3  # numbers beside each sparse embedding: x, y in pixels of a mask, 1 for "this is it"
TERMS = VECTOR + 2  # a pixel's vector, its square, and 1


class StreetPromptEncoder(PromptEncoder):
    """Sparse embeddings (B, n, C + PLACE), dense ones (B, C + 16 * VECTOR, h, w), zeros at the end.

    The places are those of foreground points; all else that can be prompted has zeros there.
    """

    def forward(
        self,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        sparse, dense = super().forward(points, boxes, masks)
        places = sparse.new_zeros(*sparse.shape[:2], PLACE)
        if points is not None:
            coordinates, labels = points
            px = self.input_image_size[1] / self.image_embedding_size[1] / CELL
            own = places[:, : labels.shape[1]]
            own[..., :2] = (coordinates + 0.5) / px
            own[..., 2] = labels == 1
        return torch.cat([sparse, places], dim=-1), F.pad(dense, (0, 0, 0, 0, 0, CELL**2 * VECTOR))


class StreetDecoder(MaskDecoder):
    """SAM's decoder, and the vectors; as it begins, the vectors change nothing."""

    def __init__(self, *, transformer_dim: int, **options: object) -> None:
        super().__init__(transformer_dim=transformer_dim, **options)
        self.pointed = nn.Linear(VECTOR, transformer_dim)
        self.radius = nn.Parameter(torch.tensor(1.0))
        self.gain = nn.Parameter(torch.zeros(self.num_mask_tokens))
        self.lean = MLP(transformer_dim, transformer_dim, TERMS, 2)
        for part in (self.pointed, self.lean.layers[-1]):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)

    def predict_masks(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """As segment-anything's, for the embeddings of one image and any number of prompts."""
        embedded = image_embeddings[0] + dense_prompt_embeddings
        width = self.transformer_dim
        pixels = vector_terms(image_embeddings[0])
        prompts, near = self.looked_up(sparse_prompt_embeddings, pixels)
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([own.expand(len(prompts), -1, -1), prompts], dim=1)
        image = embedded[:, :width].expand(len(prompts), -1, -1, -1)
        out, image = self.transformer(image, image_pe.expand_as(image), tokens)
        h, w = embedded.shape[-2:]
        upscaled = self.output_upscaling(image.transpose(1, 2).reshape(-1, width, h, w))
        of_masks = out[:, 1 : 1 + self.num_mask_tokens]
        hyper = torch.stack(
            [mlp(of_masks[:, i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1
        )
        masks = (hyper @ upscaled.flatten(2)).view(len(hyper), -1, *upscaled.shape[-2:])
        terms = self.leanings(of_masks, near) @ pixels.flatten(1)
        return masks + terms.view_as(masks), self.iou_prediction_head(out[:, 0])

    # As `goodsam.stages.sam.decode.Decoder`: the first SAM's, and the vectors.

    def own_of_image(self, image_XHW: Tensor, dtype: torch.dtype) -> Tensor:
        return vector_terms(image_XHW)

    def begin(self, prompts_PnX: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        prompts, near = self.looked_up(prompts_PnX, own)
        return SamDecoder(self).begin(prompts, None)[0], near

    def end(self, tokens_PTC: Tensor, begun: Tensor) -> tuple[Tensor, Tensor]:
        of_masks, iou = SamDecoder(self).end(tokens_PTC, None)
        return torch.cat([of_masks, self.leanings(of_masks, begun)], dim=-1), iou

    def masks(
        self,
        tokens_PmX: Tensor,
        image_PNC: Tensor,
        size: tuple[int, int],
        first: int,
        own: Tensor | None,
    ) -> Tensor:
        tokens, leanings = tokens_PmX.tensor_split([self.transformer_dim], dim=-1)
        masks = SamDecoder(self).masks(tokens, image_PNC, size, first, None)
        if own is None:
            return masks
        with torch.autocast(masks.device.type, enabled=False):  # squares of distances want float32
            own = own[:, : CELL * size[0], : CELL * size[1]]  # where the masks are asked for
            terms = leanings.float() @ own.flatten(1)
        return masks + terms.view_as(masks)

    def looked_up(self, prompts_PnX: Tensor, pixels_FHW: Tensor) -> tuple[Tensor, Tensor]:
        """Sparse embeddings with places (P, n, C + PLACE) -> (P, n, C) that know the vectors there,
        and what makes of a pixel's terms how near it is to them (P, TERMS).
        """
        prompts, places = prompts_PnX.split([self.transformer_dim, PLACE], dim=-1)
        _, height, width = pixels_FHW.shape
        x = places[..., 0].long().clamp(0, width - 1)
        y = places[..., 1].long().clamp(0, height - 1)
        weight = places[..., 2:]
        vectors = pixels_FHW[:VECTOR, y, x].movedim(0, -1).to(prompts.dtype)  # (P, n, VECTOR)
        count = weight.sum(1)  # (P, 1)
        mean = (weight * vectors).sum(1) / count.clamp(min=1)
        far = self.radius.exp() - mean.square().sum(-1, keepdim=True)
        near = torch.cat([2 * mean, -torch.ones_like(far), far], dim=-1)
        return prompts + weight * self.pointed(vectors), near * (count > 0)

    def leanings(self, tokens_PmC: Tensor, near_PF: Tensor) -> Tensor:
        """Each mask's weights (P, m, TERMS) of the pixels' terms; all mask tokens are needed."""
        weights: Tensor = self.lean(tokens_PmC) + self.gain[:, None] * near_PF[:, None]
        return weights


def vector_terms(image_XHW: Tensor) -> Tensor:
    """The encoder's output (C + 16 * VECTOR, h, w) -> the terms of each pixel (TERMS, 4h, 4w)."""
    vectors = F.pixel_shuffle(image_XHW[-(CELL**2) * VECTOR :], CELL).float()
    square = vectors.square().sum(0, keepdim=True)
    return torch.cat([vectors, square, torch.ones_like(square)])
