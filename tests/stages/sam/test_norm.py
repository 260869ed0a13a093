"""Layer norm over channels: torch's own, and ours in Triton, which a GPU takes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from goodsam.stages.sam.norm import _has_kernel, normed

SHAPES = [(3, 5, 256), (2, 37, 2, 2, 64), (1, 8), (0, 64), (2, 4096)]


def by_formula(norm: torch.nn.LayerNorm, x: torch.Tensor) -> torch.Tensor:
    x = x.double()
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + norm.eps).sqrt()
    return scaled * norm.weight.double() + norm.bias.double()


def is_as_by_formula(width: int, x: torch.Tensor) -> None:
    norm = torch.nn.LayerNorm(width, device=x.device)
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
        found = normed(norm, x)
        assert found.dtype == x.dtype
        # bfloat16 has 8 binary digits, and torch's own rounds the weights as well
        atol, rtol = (1e-5, 1e-5) if x.dtype == torch.float32 else (0.05, 0.03)
        torch.testing.assert_close(found.double(), by_formula(norm, x), atol=atol, rtol=rtol)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
def test_on_a_cpu(shape, dtype):
    is_as_by_formula(shape[-1], (3 * torch.randn(shape) + 5).to(dtype))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [*SHAPES, (2, 24), (70_000, 64)])
def test_on_a_gpu(shape, dtype):
    assert _has_kernel()
    x = (3 * torch.randn(shape, device="cuda") + 5).to(dtype)
    is_as_by_formula(shape[-1], x)
    is_as_by_formula(shape[-1], x.transpose(0, 1).contiguous().transpose(0, 1))


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton comes with torch for GPUs only")
def test_the_kernel_as_triton_interprets_it():
    """Without a GPU: the same program, statement by statement."""
    code = """
import torch, torch.nn.functional as F
from goodsam.stages.sam.norm_kernel import layer_norm
for shape in SHAPES:
    x, (w, b) = 3 * torch.randn(shape) + 5, torch.randn(2, shape[-1])
    expected = F.layer_norm(x, shape[-1:], w, b, 1e-6)
    torch.testing.assert_close(layer_norm(x, w, b, 1e-6), expected, atol=1e-5, rtol=1e-5)
"""
    code = code.replace("SHAPES", repr(SHAPES))
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
