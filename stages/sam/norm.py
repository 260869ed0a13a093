"""Layer norm over the channels of a decoder's millions of tokens."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn


def normed(norm: nn.LayerNorm | LayerNorm2d, x: Tensor) -> Tensor:
    """Layer norm over the last axis, in the dtype of x."""
    width = x.shape[-1]
    if x.is_cuda and not torch.is_grad_enabled() and width & (width - 1) == 0 and _has_kernel():
        from goodsam.stages.sam.norm_kernel import layer_norm

        return layer_norm(x, norm.weight, norm.bias, norm.eps)
    weight, bias = norm.weight.to(x.dtype), norm.bias.to(x.dtype)
    return F.layer_norm(x, weight.shape, weight, bias, norm.eps)


@functools.cache
def _has_kernel() -> bool:
    """Whether Triton is there, which comes with torch for most GPUs, and the compiler it needs."""
    try:
        from goodsam.stages.sam.norm_kernel import layer_norm

        for dtype in (torch.float32, torch.bfloat16):
            one = torch.ones(1, 64, device="cuda", dtype=dtype)
            layer_norm(one, one[0].float(), one[0].float(), 1e-6)
    except Exception:  # whatever it is, torch's own does the same
        return False
    return True
