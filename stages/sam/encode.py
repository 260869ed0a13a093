"""SAM's image encoder, in less memory: in float32 attention goes by rows of queries, with the bias
of a few at a time; in bfloat16 further channels of queries and keys stand for the bias.

The reference holds every head's N x N attention at once, 800 MB for one image in the base
size of SAM's vision transformer (ViT-B). The sums are the same, but for the order that a fused
attention kernel takes.
"""

from __future__ import annotations

import math

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
        inner = _joined([_attention(block.attn, part) for part in inner.split(few)])
        inner = window_unpartition(inner, block.window_size, padded, size)
    else:
        inner = _attention(block.attn, inner)
    x = x_BHWC + inner
    rows = x.flatten(0, 2).split(TOKENS_TOGETHER[x_BHWC.device.type])
    return _joined([row + block.mlp(block.norm2(row)) for row in rows]).view_as(x)


def _joined(parts: list[Tensor], dim: int = 0) -> Tensor:
    """One part is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


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
        biased = biased_by_rows if x_BHWC.dtype == torch.float32 else biased_by_channels
        out = biased(q, k, v, rel_h, rel_w)
    return attention.proj(out.transpose(1, 2).reshape(b, h, w, -1))


def biased_by_rows(q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor) -> Tensor:
    """Attention of (B, heads, h * w, d), with rel_h (B, heads, h, w, h) of the rows of keys and
    rel_w (..., w) of their columns added to the scores, for a few rows of queries at a time.
    """
    b, heads, h, w, _ = rel_h.shape
    rows = max(1, BIAS_ELEMENTS[q.device.type] // (b * heads * w * h * w))
    parts = []
    for top in range(0, h, rows):
        part = slice(top, top + rows)
        bias = rel_h[:, :, part, :, :, None] + rel_w[:, :, part, :, None, :]
        bias = bias.reshape(b, heads, -1, h * w)
        few = q[:, :, top * w : (top + rows) * w]
        parts.append(F.scaled_dot_product_attention(few, k, v, attn_mask=bias))
    return _joined(parts, dim=2)


def biased_by_channels(q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor) -> Tensor:
    """The same without a bias: queries have rel_h and rel_w as further channels, and keys ones in
    those of their own row and column.

    In bfloat16 these products take less time than N x N numbers to be added, on GPUs and CPUs; in
    float32 it is the other way round. All three are padded to one width, as fused kernels ask for.
    """
    h, w, d = rel_h.shape[-1], rel_w.shape[-1], q.shape[-1]
    rows, columns = (torch.eye(side, dtype=k.dtype, device=k.device) for side in (h, w))
    places = torch.cat([rows.repeat_interleave(w, 0), columns.repeat(h, 1)], dim=1)
    bias = torch.cat([rel_h, rel_w], dim=-1).flatten(2, 3) * math.sqrt(d)
    queries = torch.cat([q, bias], dim=-1)
    keys = torch.cat([k, places.expand(*k.shape[:2], -1, -1)], dim=-1)
    width = -(-(d + h + w) // 8) * 8
    queries, keys, values = (F.pad(x, (0, width - x.shape[-1])) for x in (queries, keys, v))
    found = F.scaled_dot_product_attention(queries, keys, values, scale=1 / math.sqrt(d))
    return found[..., :d]
