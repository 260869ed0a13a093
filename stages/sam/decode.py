"""SAMs' mask decoders for many prompts on one image: the same sums in another order, far fewer.

A prompt brings T = 7 tokens to the N = h * w tokens of the image, and the reference repeats the
image for every prompt and projects all its tokens to queries, keys and values, layer by layer. Here

- the image stays single until a prompt has written to it, so the first layer projects it once;
- later projections of the image are folded into the token side: with H heads, q . (W_k x) is
  (W_k^T q) . x for H * T = 56 rows, fewer than the columns of W_k; likewise queries, values and the
  output projection. Biases of keys cancel in the softmax over the image, those of values pass
  through it. The positional encoding is the same for all prompts: its projections are made once;
- the transposed convolutions (kernel 2, stride 2) are matrix products over channels-last tokens;
- masks are built only for the prompts and the part of the image that are asked for, a few tokens at
  a time, so that their pixels never leave the caches.

All decoders share the two-way transformer and differ in what stands around it: that is a `Decoder`.

Differences to the reference are those of float rounding. The image's side works in the dtype of its
tokens, bfloat16 if they come so; the few tokens of the prompts stay in that of the weights.

Legend: P prompts, T tokens a prompt (IoU, 4 masks, the point's), N tokens of the image, C channels,
H heads, D channels of all heads together, R = H * T.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from segment_anything.modeling import MaskDecoder
from segment_anything.modeling.transformer import Attention, TwoWayTransformer
from torch import Tensor, nn

from goodsam.stages.sam.int8 import Int8Linear, Int8Tokens, is_wide
from goodsam.stages.sam.norm import normed

# tokens whose pixels are made at once: on a CPU what its second cache holds
TOKENS_TOGETHER = {"cpu": 2048, "cuda": 2**24}


class Decoder(Protocol):
    """What a kind of SAM has around the two-way transformer. X: channels of that kind, C or more.

    `own`, what the masks take of the image beside its tokens, is in whatever form suits the kind.
    """

    @property
    def transformer(self) -> TwoWayTransformer: ...

    def own_of_image(self, image_XHW: Tensor, dtype: torch.dtype) -> Any:
        """`own`, once an image, from the encoder's output (X, h, w)."""

    def begin(self, prompts_PnX: Tensor, own: Any) -> tuple[Tensor, Any]:
        """Sparse embeddings -> all the prompts' tokens (P, T, C), and what `end` wants to know."""

    def end(self, tokens_PTC: Tensor, begun: Any) -> tuple[Tensor, Tensor]:
        """Tokens after the transformer -> those of the masks (P, 4, X), predicted IoU (P, 4)."""

    def masks(
        self, tokens_PmX: Tensor, image_PNC: Tensor, size: tuple[int, int], first: int, own: Any
    ) -> Tensor:
        """Mask logits (P, m, 4h, 4w), as `decode_masks` says."""


@dataclass(frozen=True)
class SamDecoder:
    """The decoder of the first SAM."""

    decoder: MaskDecoder

    @property
    def transformer(self) -> TwoWayTransformer:
        return self.decoder.transformer

    def own_of_image(self, image_XHW: Tensor, dtype: torch.dtype) -> None:
        return None

    def begin(self, prompts_PnX: Tensor, own: Any) -> tuple[Tensor, None]:
        first = torch.cat([self.decoder.iou_token.weight, self.decoder.mask_tokens.weight])
        return torch.cat([first.expand(len(prompts_PnX), -1, -1), prompts_PnX], dim=1), None

    def end(self, tokens_PTC: Tensor, begun: Any) -> tuple[Tensor, Tensor]:
        iou = self.decoder.iou_prediction_head(tokens_PTC[:, 0])
        return tokens_PTC[:, 1 : 1 + self.decoder.num_mask_tokens], iou

    def masks(
        self, tokens_PmX: Tensor, image_PNC: Tensor, size: tuple[int, int], first: int, own: Any
    ) -> Tensor:
        hyper = weights_of(self.decoder.output_hypernetworks_mlps, tokens_PmX, first)
        few = max(1, TOKENS_TOGETHER[image_PNC.device.type] // max(1, len(image_PNC)))
        parts = [_of_blocks(hyper, self.pixels(part)) for part in image_PNC.split(few, dim=1)]
        return _in_rows(torch.cat(parts, dim=-1), size)

    def pixels(self, image_PNC: Tensor) -> Tensor:
        """What the masks are made of, (P, N, 2, 2, 2, 2, C/8), in the blocks of `mask_logits`."""
        up1, norm, act, up2, act2 = self.decoder.output_upscaling
        pixels = act(normed(norm, _up(image_PNC, up1)))
        return act2(_up(pixels, up2))


@dataclass(frozen=True)
class ProjectedImage:
    """What all prompts on one image have in common.

    tokens: (N, C), the dense prompt added. keys, values, queries: (D, N), (N, D), (D, N) of
    the first layer. later_keys, later_queries: per later attention layer the projections (D, N) of
    the positional encoding alone, `later_keys` with that of the last attention at its end.
    pixels: what the decoder's own part takes of the image (`own`), None if it takes nothing.
    int8: whether the tokens that a prompt has written to are rounded for their products with rows.
    """

    tokens: Tensor
    keys: Tensor
    values: Tensor
    queries: Tensor
    later_keys: tuple[Tensor, ...]
    later_queries: tuple[Tensor, ...]
    pixels: Any = None
    int8: bool = False


def project_image(
    decoder: MaskDecoder | Decoder,
    image_CHW: Tensor,
    pe_CHW: Tensor,
    dtype: torch.dtype = torch.float32,
    int8: bool = False,
) -> ProjectedImage:
    """image_CHW: the encoder's output, the dense prompt added; pe_CHW: its positional encoding.

    dtype: of all work on the image's side, but for what `int8` says of a ProjectedImage.
    """
    kind = _kind(decoder)
    pixels = kind.own_of_image(image_CHW, dtype)
    tokens, pe = image_CHW[: len(pe_CHW)].flatten(1).T, pe_CHW.flatten(1).T
    first, *later = kind.transformer.layers
    read, write = first.cross_attn_token_to_image, first.cross_attn_image_to_token
    readers = [layer.cross_attn_token_to_image for layer in later]
    readers.append(kind.transformer.final_attn_token_to_image)

    def kept(x: Tensor) -> Tensor:
        return x.to(dtype).contiguous()

    return ProjectedImage(
        kept(tokens),
        kept(F.linear(tokens + pe, read.k_proj.weight).T),
        kept(read.v_proj(tokens)),
        kept(write.q_proj(tokens + pe).T),
        tuple(kept(F.linear(pe, reader.k_proj.weight).T) for reader in readers),
        tuple(kept(layer.cross_attn_image_to_token.q_proj(pe).T) for layer in later),
        pixels,
        int8 and is_wide(len(pe_CHW)),
    )


def decode_tokens(
    decoder: MaskDecoder | Decoder, image: ProjectedImage, prompts_PnC: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Everything before the masks. prompts_PnC: sparse embeddings, float (P, n, C).

    Returns the mask tokens (P, 4, C), the prompted image tokens (P, N, C) and the predicted IoU of
    the 4 masks (P, 4). Of some kinds of SAM prompts and mask tokens have more than C channels.
    """
    kind = _kind(decoder)
    tokens, begun = kind.begin(prompts_PnC, image.pixels)
    tokens, image_PNC = two_way(kind.transformer, tokens, image)
    of_masks, iou = kind.end(tokens, begun)
    return of_masks, image_PNC, iou


def decode_masks(
    decoder: MaskDecoder | Decoder,
    tokens_PmC: Tensor,
    image_PNC: Tensor,
    size: tuple[int, int],
    first: int,
    pixels_FHW: Any = None,
) -> Tensor:
    """Mask logits, float (P, m, 4h, 4w), of `m` consecutive mask tokens beginning with `first`.

    tokens_PmC: those tokens of `decode_tokens`. size: (h, w) with h * w = N; the image's tokens, or
    those of its upper left part. pixels_FHW: `pixels` of the ProjectedImage, of all the image.
    """
    return _kind(decoder).masks(tokens_PmC, image_PNC, size, first, pixels_FHW)


def _kind(decoder: MaskDecoder | Decoder) -> Decoder:
    # isinstance would not do: from Python 3.12 on it does not see a module's children
    return decoder if hasattr(decoder, "own_of_image") else SamDecoder(decoder)


def weights_of(mlps: nn.ModuleList, tokens_PmC: Tensor, first: int) -> Tensor:
    """What each mask makes of a pixel's channels: (P, m, C/8), by the mlps from `first` on."""
    weights = [mlps[first + i](tokens_PmC[:, i]) for i in range(tokens_PmC.shape[1])]
    return torch.stack(weights, dim=1)


def mask_logits(hyper_PmC: Tensor, pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """(P, m, C'), pixels (P, N, ..., C') in blocks, of tokens (h, w) = `size` -> (P, m, 4h, 4w).

    Pixels stay in blocks of the token they come from: (N, row, column, C') and once more.
    """
    return _in_rows(_of_blocks(hyper_PmC, pixels), size)


def _of_blocks(hyper_PmC: Tensor, pixels: Tensor) -> Tensor:
    return hyper_PmC.to(pixels.dtype) @ pixels.flatten(1, -2).transpose(1, 2)


def _in_rows(logits_PmL: Tensor, size: tuple[int, int]) -> Tensor:
    p, m = logits_PmL.shape[:2]
    h, w = size
    blocks = logits_PmL.view(p, m, h, w, 2, 2, 2, 2)  # ..., row, column of up1, row, column of up2
    return blocks.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(p, m, 4 * h, 4 * w)


def _up(x: Tensor, up: nn.ConvTranspose2d | Int8Linear) -> Tensor:
    """(..., C) -> (..., 2, 2, C'): each pixel's 2 x 2 children."""
    if isinstance(up, Int8Linear):
        return up(x).unflatten(-1, (2, 2, -1))
    assert up.bias is not None  # Sam's have one
    children = F.linear(x, up_matrix(up).to(x.dtype), up.bias.repeat(4).to(x.dtype))
    return children.view(*x.shape[:-1], 2, 2, len(up.bias))


def up_matrix(up: nn.ConvTranspose2d) -> Tensor:
    """A transposed convolution of kernel and stride 2 as a matrix: (2 * 2 * C', C)."""
    return up.weight.permute(2, 3, 1, 0).reshape(-1, up.in_channels)


def upscaling_in_int8(decoder: nn.Module) -> nn.Module:
    """A copy of a decoder whose upscaling, where it is the first SAM's and wide, is in int8."""
    decoder = copy.deepcopy(decoder)
    for part in decoder.modules():
        if isinstance(part, MaskDecoder):
            for number, up in enumerate(part.output_upscaling):
                if isinstance(up, nn.ConvTranspose2d) and is_wide(up.in_channels):
                    assert up.bias is not None  # Sam's have one
                    part.output_upscaling[number] = Int8Linear(up_matrix(up), up.bias.repeat(4))
    return decoder


def two_way(
    transformer: TwoWayTransformer, tokens_PTC: Tensor, image: ProjectedImage
) -> tuple[Tensor, Tensor]:
    """TwoWayTransformer.forward: tokens (P, T, C) and image tokens (P, N, C)."""
    queries, image_PNC = tokens_PTC, image.tokens[None]
    rows: Tensor | Int8Tokens = image_PNC  # to be multiplied with
    for number, layer in enumerate(transformer.layers):
        if layer.skip_first_layer_pe:
            queries = _self_attention(layer.self_attn, queries, queries)
        else:
            queries = queries + _self_attention(layer.self_attn, queries + tokens_PTC, queries)
        queries = layer.norm1(queries)
        reader, writer = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
        if number == 0:
            read = _read_single(reader, queries + tokens_PTC, image)
        else:
            positions = image.later_keys[number - 1]
            read = _read(reader, queries + tokens_PTC, image_PNC, rows, positions)
        queries = layer.norm2(queries + read)
        queries = layer.norm3(queries + layer.mlp(queries))
        if number == 0:
            places, own = image.queries, None
        else:
            places, own = image.later_queries[number - 1], rows
        image_PNC = normed(
            layer.norm4, _written(writer, queries, tokens_PTC, image_PNC, places, own)
        )
        rows = Int8Tokens.of(image_PNC) if image.int8 else image_PNC
    last = transformer.final_attn_token_to_image
    read = _read(last, queries + tokens_PTC, image_PNC, rows, image.later_keys[-1])
    return transformer.norm_final_attn(queries + read), image_PNC


def _self_attention(attention: Attention, qk: Tensor, v: Tensor) -> Tensor:
    q, k, v = (
        _heads(x, attention.num_heads)
        for x in (attention.q_proj(qk), attention.k_proj(qk), attention.v_proj(v))
    )
    out = F.scaled_dot_product_attention(q, k, v)
    return attention.out_proj(out.transpose(1, 2).flatten(2))


def _read_single(attention: Attention, q_PTC: Tensor, image: ProjectedImage) -> Tensor:
    """Tokens attend to an image that is the same for all prompts: (P, T, C)."""
    q = _heads(attention.q_proj(q_PTC), attention.num_heads)  # (P, H, T, D / H)
    p, heads, t, d = q.shape
    rows = (q.transpose(0, 1).reshape(heads, p * t, d) / math.sqrt(d)).to(image.keys.dtype)
    weights = torch.softmax(rows @ image.keys.view(heads, d, -1), dim=-1)
    values = image.values.view(-1, heads, d).transpose(0, 1)
    out = (weights @ values).view(heads, p, t, d).permute(1, 2, 0, 3).flatten(2)
    return attention.out_proj(out.to(q.dtype))


def _read(
    attention: Attention,
    q_PTC: Tensor,
    image_PNC: Tensor,
    own: Tensor | Int8Tokens,
    positions_DN: Tensor,
) -> Tensor:
    """Tokens attend to their prompt's own image tokens: (P, T, C).

    own: the same tokens, to be multiplied with. positions_DN: what the positional encoding adds to
    the keys.
    """
    heads = attention.num_heads
    q = _heads(attention.q_proj(q_PTC), heads)  # (P, H, T, D / H)
    p, _, t, d = q.shape
    q = q / math.sqrt(d)
    folded = (q @ attention.k_proj.weight.view(heads, d, -1)).flatten(1, 2)  # (P, R, C)
    scores = _added(_by_position(q, positions_DN), folded, own)
    mean = torch.softmax(scores, dim=-1) @ image_PNC  # (P, R, C): of the tokens, then projected
    values = mean.view(p, heads, t, -1).to(q.dtype) @ attention.v_proj.weight.view(heads, d, -1).mT
    out = values.transpose(1, 2).flatten(2) + attention.v_proj.bias
    return attention.out_proj(out)


def _written(
    attention: Attention,
    queries_PTC: Tensor,
    tokens_PTC: Tensor,
    image_PNC: Tensor,
    queries_DN: Tensor,
    own: Tensor | Int8Tokens | None,
) -> Tensor:
    """The image tokens plus what they read from their prompt's tokens: (P, N, C), before its norm.

    queries_DN: the image's queries, or, with `own`, the image tokens to be multiplied with, what
    the positional encoding and the bias add to the queries made from those.
    """
    heads = attention.num_heads
    k = _heads(attention.k_proj(queries_PTC + tokens_PTC), heads)  # (P, H, T, D / H)
    p, _, t, d = k.shape
    k = k / math.sqrt(d)
    scores = _by_position(k, queries_DN)
    if own is not None:
        folded = (k @ attention.q_proj.weight.view(heads, d, -1)).flatten(1, 2)
        scores = _added(scores, folded, own)
    # over the few tokens; the many of the image stay contiguous
    weights = torch.softmax(scores.view(p, heads, t, -1), dim=2).flatten(1, 2)
    v = _heads(attention.v_proj(queries_PTC), heads)
    out = attention.out_proj.weight.view(-1, heads, d).permute(1, 2, 0)  # (H, D / H, C)
    # a head's weights sum to 1, so that its share of the bias in each row is the bias in the end
    folded = (v @ out + attention.out_proj.bias / heads).flatten(1, 2)  # (P, R, C)
    start = image_PNC.expand(p, -1, -1)
    return torch.baddbmm(start, weights.transpose(1, 2), folded.to(weights.dtype))


def _by_position(q_PHTd: Tensor, positions_DN: Tensor) -> Tensor:
    """(P, H, T, D / H) against each head's own rows of (D, N): scores (P, R, N)."""
    p, heads, t, d = q_PHTd.shape
    rows = q_PHTd.transpose(0, 1).reshape(heads, p * t, d).to(positions_DN.dtype)
    scores = (rows @ positions_DN.view(heads, d, -1)).view(heads, p, t, -1)
    return scores.transpose(0, 1).flatten(1, 2)


def _added(scores_PRN: Tensor, rows_PRC: Tensor, own: Tensor | Int8Tokens) -> Tensor:
    """scores += rows . own tokens, in place."""
    if isinstance(own, Int8Tokens):
        return own.add_products(scores_PRN, rows_PRC)
    return scores_PRN.baddbmm_(rows_PRC.to(scores_PRN.dtype), own.transpose(1, 2))


def _heads(x: Tensor, heads: int) -> Tensor:
    """(B, L, D) -> (B, H, L, D / H)."""
    return x.view(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)
