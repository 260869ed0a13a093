"""SAM's image encoder, in less memory: attention by rows of queries, the bias of a few at a time.

The reference holds every head's N x N attention at once, 800 MB for one image in the base
size of SAM's vision transformer (ViT-B). The sums are the same, but for the order that a fused
attention kernel takes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import (
    Attention,
    Block,
    get_rel_pos,
    window_partition,
    window_unpartition,
)
from torch import Tensor, nn

# elements of the attention bias held at once: 16 MiB of float32 in a CPU's caches
BIAS_ELEMENTS = {"cpu": 2**22, "cuda": 2**29}
# tokens that go through the layers of one block at once
TOKENS_TOGETHER = {"cpu": 1024, "cuda": 2**24}


def encode(encoder: nn.Module, pixels_BCHW: Tensor) -> Tensor:
    """Normalised, padded images, float (B, 3, S, S) -> image tokens (B, C, h, w)."""
    if not isinstance(encoder, ImageEncoderViT):
        tokens: Tensor = encoder(pixels_BCHW)
        return tokens
    return encode_vit(encoder, pixels_BCHW)[0]


def encode_vit(encoder: ImageEncoderViT, pixels_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Image tokens (B, C, h, w), and what the first block of global attention gives (B, h, w, C').

    Without such a block, that of the last one.
    """
    x = encoder.patch_embed(pixels_BCHW)
    if encoder.pos_embed is not None:
        x = x + encoder.pos_embed
    early = None
    for block in encoder.blocks:
        x = _block(block, x)
        if early is None and block.window_size == 0:
            early = x
    return encoder.neck(x.permute(0, 3, 1, 2)), x if early is None else early


def _block(block: Block, x_BHWC: Tensor) -> Tensor:
    inner, size = block.norm1(x_BHWC), (x_BHWC.shape[1], x_BHWC.shape[2])
    if block.window_size > 0:
        inner, padded = window_partition(inner, block.window_size)
        few = max(1, TOKENS_TOGETHER[x_BHWC.device.type] // block.window_size**2)
        inner = torch.cat([_attention(block.attn, part) for part in inner.split(few)])
        inner = window_unpartition(inner, block.window_size, padded, size)
    else:
        inner = _attention(block.attn, inner)
    x = x_BHWC + inner
    rows = x.flatten(0, 2).split(TOKENS_TOGETHER[x_BHWC.device.type])
    return torch.cat([row + block.mlp(block.norm2(row)) for row in rows]).view_as(x)


def _attention(attention: Attention, x_BHWC: Tensor) -> Tensor:
    """softmax(q k / sqrt(d) + height's and width's relative positions) v, projected."""
    b, h, w, _ = x_BHWC.shape
    heads = attention.num_heads
    qkv = attention.qkv(x_BHWC).view(b, h * w, 3, heads, -1).permute(2, 0, 3, 1, 4)
    q, k, v = qkv.unbind(0)  # (B, heads, h * w, d)
    if not attention.use_rel_pos:
        out = F.scaled_dot_product_attention(q, k, v)
    else:
        grid = q.view(b, heads, h, w, -1)
        rel_h = torch.einsum("bnhwc,hkc->bnhwk", grid, get_rel_pos(h, h, attention.rel_pos_h))
        rel_w = torch.einsum("bnhwc,wkc->bnhwk", grid, get_rel_pos(w, w, attention.rel_pos_w))
        rows = max(1, BIAS_ELEMENTS[x_BHWC.device.type] // (b * heads * w * h * w))
        parts = []
        for top in range(0, h, rows):
            part = slice(top, top + rows)
            bias = rel_h[:, :, part, :, :, None] + rel_w[:, :, part, :, None, :]
            bias = bias.reshape(b, heads, -1, h * w)
            few = q[:, :, top * w : (top + rows) * w]
            parts.append(F.scaled_dot_product_attention(few, k, v, attn_mask=bias))
        out = torch.cat(parts, dim=2)
    return attention.proj(out.transpose(1, 2).reshape(b, h, w, -1))
