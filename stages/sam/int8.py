"""Products in 8-bit integers, for CPUs that multiply those several times faster than float32.

Each row of either factor has a scale of its own, found anew for what is not a weight: W8A8,
dynamic, symmetric, without calibration. Sums are exact, in 32 bits; what is lost is the rounding of
the factors, some 1 % of a product of random rows.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

LARGEST = 127
ROWS_TOGETHER = 1024  # that are rounded and multiplied at once, so that they stay in the caches
NARROWEST = 128  # of rows: narrower ones are multiplied in the time that it takes to round them


def has_fast_int8(device: torch.device) -> bool:
    """Whether it is a CPU with VNNI: without, 8 bits are no faster, and may overflow 16."""
    return device.type == "cpu" and bool(getattr(torch.cpu, "_is_vnni_supported", bool)())


def is_wide(width: int) -> bool:
    """Whether products of rows so long gain by it."""
    return width >= NARROWEST


def rounded(rows: Tensor) -> tuple[Tensor, Tensor]:
    """float (..., R, K) -> int8 (..., R, K), and what one is worth in each row, (..., R, 1)."""
    largest = rows.abs().amax(-1, keepdim=True)  # several times faster than aminmax
    scale = largest.clamp_(min=torch.finfo(rows.dtype).tiny) / LARGEST
    return (rows / scale).round_().to(torch.int8), scale


class Int8Linear(nn.Module):
    """x W^T + b, of float32 W (O, K) and b (O,) or None: float32 (..., K) -> (..., O)."""

    weight: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, weight_OK: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        weight, scale = rounded(weight_OK.detach())
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale[:, 0])
        self.register_buffer("bias", torch.zeros(len(weight)) if bias is None else bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        out = rows.new_empty(len(rows), len(self.weight))
        parts = zip(rows.split(ROWS_TOGETHER), out.split(ROWS_TOGETHER), strict=True)
        for part, result in parts:
            few, scale = rounded(part)
            products = torch._int_mm(few, self.weight.T).float()
            torch.addcmul(self.bias, products.mul_(scale), self.scale, out=result)
        return out.view(*x.shape[:-1], len(self.weight))


@dataclass(frozen=True)
class Int8Tokens:
    """The image tokens of each prompt, int8 (P, N, C), and their scales, float32 (P, 1, N)."""

    tokens: Tensor
    scale: Tensor

    @classmethod
    def of(cls, image_PNC: Tensor) -> Int8Tokens:
        rows = image_PNC.flatten(0, 1)
        tokens, scale = map(torch.cat, zip(*map(rounded, rows.split(ROWS_TOGETHER)), strict=True))
        return cls(tokens.view_as(image_PNC), scale.view(len(image_PNC), 1, -1))

    def add_products(self, scores_PRN: Tensor, rows_PRC: Tensor) -> Tensor:
        """scores += rows . tokens, in place."""
        rows, scale = rounded(rows_PRC)
        for p, scores in enumerate(scores_PRN):
            products = torch._int_mm(rows[p], self.tokens[p].T).float()
            scores.addcmul_(products.mul_(scale[p]), self.scale[p])
        return scores_PRN


def in_int8(network: nn.Module) -> nn.Module:
    """A copy whose linear layers are in int8, all but the narrow ones."""
    return _replaced(copy.deepcopy(network))


def _replaced(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        if type(child) is nn.Linear and is_wide(child.in_features):
            setattr(module, name, Int8Linear(child.weight, child.bias))
        else:
            _replaced(child)
    return module
