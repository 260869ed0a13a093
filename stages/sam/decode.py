"""SAM's mask decoder for many prompts on one image: the same sums, far fewer of them.

The reference repeats the image's tokens for every prompt before it begins. Here they stay single
until a prompt has written to them, so the first layer projects them once; the two transposed
convolutions (kernel 2, stride 2) are matrix products over channels-last tokens; and masks are built
only for the prompts that are asked for. Differences to the reference are those of float rounding.

Legend: P prompts, T tokens a prompt (IoU, 4 masks, the point's), N = h * w tokens of the image,
C channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from segment_anything.modeling import MaskDecoder, TwoWayTransformer
from segment_anything.modeling.transformer import Attention
from torch import Tensor, nn


def decode_tokens(
    decoder: MaskDecoder, image_CHW: Tensor, pe_CHW: Tensor, prompts_PnC: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Everything before the masks.

    image_CHW: the encoder's output with the dense prompt already added, float (C, h, w).
    pe_CHW: its positional encoding. prompts_PnC: sparse embeddings, float (P, n, C).

    Returns the mask tokens (P, 4, C), the prompted image tokens (P, N, C) and the predicted IoU of
    the 4 masks (P, 4).
    """
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([own.expand(len(prompts_PnC), -1, -1), prompts_PnC], dim=1)
    tokens, image_PNC = _two_way(decoder.transformer, tokens, image_CHW, pe_CHW)
    iou = decoder.iou_prediction_head(tokens[:, 0])
    return tokens[:, 1 : 1 + decoder.num_mask_tokens], image_PNC, iou


def decode_masks(
    decoder: MaskDecoder, tokens_PmC: Tensor, image_PNC: Tensor, size: tuple[int, int], first: int
) -> Tensor:
    """Mask logits, float (P, m, 4h, 4w), of `m` consecutive mask tokens beginning with `first`.

    tokens_PmC: those tokens of `decode_tokens`. size: (h, w) with h * w = N.
    """
    up1, norm, act, up2, act2 = decoder.output_upscaling
    # Pixels stay in blocks of the token they come from: (P, N, row, column, C') and once more.
    pixels = act(
        F.layer_norm(_up(image_PNC, up1), norm.weight.shape, norm.weight, norm.bias, norm.eps)
    )
    pixels = act2(_up(pixels, up2))
    weights = [
        decoder.output_hypernetworks_mlps[first + i](tokens_PmC[:, i])
        for i in range(tokens_PmC.shape[1])
    ]
    hyper = torch.stack(weights, dim=1)  # (P, m, C/8)
    p, m = hyper.shape[:2]
    logits = hyper @ pixels.flatten(1, -2).transpose(1, 2)
    h, w = size
    blocks = logits.view(p, m, h, w, 2, 2, 2, 2)  # ..., row, column of up1, row, column of up2
    return blocks.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(p, m, 4 * h, 4 * w)


def _up(x: Tensor, up: nn.ConvTranspose2d) -> Tensor:
    """(..., C) -> (..., 2, 2, C'): each pixel's 2 x 2 children."""
    kernel = up.weight.permute(2, 3, 1, 0)  # (2, 2, C', C)
    assert up.bias is not None  # Sam's have one
    children = F.linear(x, kernel.reshape(-1, x.shape[-1]), up.bias.repeat(4))
    return children.view(*x.shape[:-1], 2, 2, len(up.bias))


def _two_way(
    transformer: TwoWayTransformer, tokens_PTC: Tensor, image_CHW: Tensor, pe_CHW: Tensor
) -> tuple[Tensor, Tensor]:
    keys = image_CHW.flatten(1).T[None]  # (1, N, C), (P, N, C) from the first layer on
    key_pe = pe_CHW.flatten(1).T[None]
    queries = tokens_PTC
    for layer in transformer.layers:
        if layer.skip_first_layer_pe:
            queries = _attend(layer.self_attn, queries, queries, queries)
        else:
            q = queries + tokens_PTC
            queries = queries + _attend(layer.self_attn, q, q, queries)
        queries = layer.norm1(queries)
        q, k = queries + tokens_PTC, keys + key_pe
        queries = layer.norm2(queries + _attend(layer.cross_attn_token_to_image, q, k, keys))
        queries = layer.norm3(queries + layer.mlp(queries))
        q = queries + tokens_PTC
        keys = layer.norm4(keys + _attend(layer.cross_attn_image_to_token, k, q, queries))
    attention = transformer.final_attn_token_to_image
    queries = queries + _attend(attention, queries + tokens_PTC, keys + key_pe, keys)
    return transformer.norm_final_attn(queries), keys


def _attend(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """An attention layer of the decoder; q, or k and v, may have a batch of 1 for that of P."""
    prompts, length = len(q), q.shape[1]
    q, k, v = attention.q_proj(q), attention.k_proj(k), attention.v_proj(v)
    if len(k) < prompts:  # all prompts look at one image: their tokens are rows of one matrix
        q = q.reshape(1, -1, q.shape[-1])
    q, k, v = (_heads(x, attention.num_heads) for x in (q, k, v))
    weights = torch.softmax((q / q.shape[-1] ** 0.5) @ k.transpose(-1, -2), dim=-1)
    out = (weights @ v).transpose(1, 2).flatten(2)
    return attention.out_proj(out).view(-1, length, attention.embedding_dim)


def _heads(x: Tensor, heads: int) -> Tensor:
    """(B, L, C) -> (B, heads, L, C / heads)."""
    return x.view(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)
