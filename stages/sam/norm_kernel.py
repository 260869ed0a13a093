"""Layer norm of short rows in Triton: `norm.normed` on a GPU.

torch's own kernel takes 128 threads for a row, however short: 3.7 ms for 2.6 million rows of 64
numbers, for which this one needs 0.3 (bfloat16, H100).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

NUMBERS = 2048  # that one program norms: 32 rows of 64, 8 of 256


@triton.jit
def _kernel(  # type: ignore[no-untyped-def]  # Triton reads the annotations
    x, weight, bias, out, rows, eps, WIDTH: tl.constexpr, ROWS: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, WIDTH)[None, :]
    place = row * WIDTH + column
    values = tl.load(x + place, mask=row < rows, other=0).to(tl.float32)
    values -= tl.sum(values, 1)[:, None] / WIDTH
    variance = tl.sum(values * values, 1)[:, None] / WIDTH
    scaled = values * tl.rsqrt(variance + eps) * tl.load(weight + column).to(tl.float32)
    found = scaled + tl.load(bias + column).to(tl.float32)
    tl.store(out + place, found.to(out.dtype.element_ty), mask=row < rows)


def layer_norm(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float
) -> torch.Tensor:
    """float (..., W), weight and bias (W,), W a power of two -> (..., W); sums are in float32."""
    x = x.contiguous()
    out = torch.empty_like(x)
    width = x.shape[-1]
    rows, together = x.numel() // width, max(1, NUMBERS // width)
    if not rows:
        return out
    with torch.cuda.device_of(x):  # Triton launches on the current one
        _kernel[(triton.cdiv(rows, together),)](
            x, weight, bias, out, rows, eps, WIDTH=width, ROWS=together
        )
    return out
