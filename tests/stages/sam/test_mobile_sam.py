"""MobileSAM's encoder against TinyViT written out, on weights as they are published."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from goodsam.data.errors import InputError
from goodsam.stages.sam.load import load_sam
from goodsam.stages.sam.registry import SAMS

pytest.importorskip("timm")

WIDTHS, DEPTHS, HEADS, WINDOWS = (64, 128, 160, 320), (2, 2, 6, 2), (2, 4, 5, 10), (7, 7, 14, 7)
State = dict[str, Tensor]


def published(seed: int = 0) -> State:
    """Random weights of the encoder under the names of mobile_sam.pt."""
    generator, state = torch.Generator().manual_seed(seed), {}

    def put(name: str, *shape: int, mean: float = 0.0) -> None:
        deviation = 0.2 if len(shape) == 1 else 1.2 / torch.Size(shape[1:]).numel() ** 0.5
        state[name] = mean + deviation * torch.randn(shape, generator=generator)

    def conv(name: str, out: int, into: int, kernel: int) -> None:
        put(f"{name}.c.weight", out, into, kernel, kernel)
        put(f"{name}.bn.weight", out, mean=1)
        put(f"{name}.bn.bias", out)
        put(f"{name}.bn.running_mean", out)
        state[f"{name}.bn.running_var"] = 0.5 + torch.rand(out, generator=generator)
        state[f"{name}.bn.num_batches_tracked"] = torch.tensor(1)

    def affine(name: str, *shape: int) -> None:
        put(f"{name}.weight", *shape, mean=1.0 if len(shape) == 1 else 0.0)
        put(f"{name}.bias", shape[0])

    conv("patch_embed.seq.0", 32, 3, 3)
    conv("patch_embed.seq.2", 64, 32, 3)
    for i, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True)):
        for j in range(depth):
            block = f"layers.{i}.blocks.{j}"
            if i == 0:
                conv(f"{block}.conv1", 4 * width, width, 1)
                conv(f"{block}.conv2", 4 * width, 1, 3)
                conv(f"{block}.conv3", width, 4 * width, 1)
                continue
            affine(f"{block}.attn.norm", width)
            affine(f"{block}.attn.qkv", 3 * width, width)
            affine(f"{block}.attn.proj", width, width)
            put(f"{block}.attn.attention_biases", HEADS[i], WINDOWS[i] ** 2)
            affine(f"{block}.mlp.norm", width)
            affine(f"{block}.mlp.fc1", 4 * width, width)
            affine(f"{block}.mlp.fc2", width, 4 * width)
            conv(f"{block}.local_conv", width, 1, 3)
        if i < 3:
            after, step = WIDTHS[i + 1], f"layers.{i}.downsample"
            conv(f"{step}.conv1", after, width, 1)
            conv(f"{step}.conv2", after, 1, 3)
            conv(f"{step}.conv3", after, after, 1)
    affine("norm_head", 320)
    affine("head", 1000, 320)
    put("neck.0.weight", 256, 320, 1, 1)
    affine("neck.1", 256)
    put("neck.2.weight", 256, 256, 3, 3)
    affine("neck.3", 256)
    return state


def naive(state: State, x: Tensor) -> Tensor:
    """TinyViT as its paper and MobileSAM describe it, (B, 3, S, S) -> (B, 256, S / 16, S / 16)."""

    def conv(name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight, bn = state[f"{name}.c.weight"], f"{name}.bn."
        groups = x.shape[1] if weight.shape[1] == 1 else 1
        x = F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, 1, groups)
        of = (state[bn + key] for key in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *of)

    def linear(name: str, x: Tensor) -> Tensor:
        return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])

    def attention(name: str, x: Tensor, heads: int, window: int) -> Tensor:
        """x: (n, window^2, C). Biases by the distance of rows and columns, as first met."""
        places = list(product(range(window), range(window)))
        met: dict[tuple[int, int], int] = {}
        index = [
            [met.setdefault((abs(a - c), abs(b - d)), len(met)) for c, d in places]
            for a, b in places
        ]
        bias = state[f"{name}.attention_biases"][:, torch.tensor(index)]
        qkv = linear(f"{name}.qkv", norm(f"{name}.norm", x)).unflatten(-1, (heads, -1))
        q, k, v = qkv.transpose(1, 2).chunk(3, dim=-1)
        weights = (q @ k.mT / q.shape[-1] ** 0.5 + bias).softmax(-1)
        return linear(f"{name}.proj", (weights @ v).transpose(1, 2).flatten(2))

    def block(name: str, x: Tensor, heads: int, window: int) -> Tensor:
        _, _, h, w = x.shape
        padded = F.pad(x, (0, -w % window, 0, -h % window)).permute(0, 2, 3, 1)
        seen = torch.zeros_like(padded)
        for top, left in product(range(0, h, window), range(0, w, window)):
            part = padded[:, top : top + window, left : left + window].flatten(1, 2)
            out = attention(f"{name}.attn", part, heads, window)
            seen[:, top : top + window, left : left + window] = out.unflatten(1, (window, window))
        x = conv(f"{name}.local_conv", x + seen[:, :h, :w].permute(0, 3, 1, 2))
        tokens = x.permute(0, 2, 3, 1)
        inner = F.gelu(linear(f"{name}.mlp.fc1", norm(f"{name}.mlp.norm", tokens)))
        return x + linear(f"{name}.mlp.fc2", inner).permute(0, 3, 1, 2)

    x = conv("patch_embed.seq.2", F.gelu(conv("patch_embed.seq.0", x, 2)), 2)
    for i, depth in enumerate(DEPTHS):
        for j in range(depth):
            name = f"layers.{i}.blocks.{j}"
            if i == 0:
                inner = F.gelu(conv(f"{name}.conv2", F.gelu(conv(f"{name}.conv1", x))))
                x = F.gelu(x + conv(f"{name}.conv3", inner))
            else:
                x = block(name, x, HEADS[i], WINDOWS[i])
        if i < 3:
            step = f"layers.{i}.downsample"
            x = F.gelu(conv(f"{step}.conv2", F.gelu(conv(f"{step}.conv1", x)), 1 if i == 2 else 2))
            x = conv(f"{step}.conv3", x)
    for number in (0, 2):
        x = F.conv2d(x, state[f"neck.{number}.weight"], padding=number // 2)
        mean, var = x.mean(1, keepdim=True), x.var(1, keepdim=True, unbiased=False)
        weight, bias = state[f"neck.{number + 1}.weight"], state[f"neck.{number + 1}.bias"]
        x = (x - mean) / (var + 1e-6).sqrt() * weight[:, None, None] + bias[:, None, None]
    return x


@torch.no_grad()
def test_the_encoder_is_tiny_vit_by_its_published_names() -> None:
    from goodsam.stages.sam.mobile_sam import TinyEncoder

    state, encoder = published(), TinyEncoder(160).eval()
    encoder.load_state_dict(dict(state))
    pixels = torch.randn(1, 3, 160, 160)
    expected = naive(state, pixels)
    assert expected.shape == (1, 256, 10, 10)
    torch.testing.assert_close(encoder(pixels), expected, rtol=1e-3, atol=1e-3)


def test_a_checkpoint_loads_and_another_is_named(tmp_path: Path) -> None:
    state = SAMS["mobile_sam"].build().state_dict()
    state = {k: v for k, v in state.items() if not k.startswith("image_encoder.")}
    state |= {f"image_encoder.{key}": value for key, value in published().items()}
    torch.save(state, tmp_path / "mobile_sam.pt")
    loaded = load_sam("mobile_sam", tmp_path / "mobile_sam.pt").model.state_dict()
    name = "image_encoder.tiny.stages.1.downsample.conv2.conv.weight"
    assert torch.equal(loaded[name], state["image_encoder.layers.0.downsample.conv2.c.weight"])
    with pytest.raises(InputError, match="holds mobile_sam, not vit_b; use --sam mobile_sam"):
        load_sam("vit_b", tmp_path / "mobile_sam.pt")
    del state["image_encoder.layers.1.blocks.0.attn.attention_biases"]
    torch.save(state, tmp_path / "part.pt")
    with pytest.raises(InputError, match="does not fit mobile_sam"):
        load_sam("mobile_sam", tmp_path / "part.pt")


def test_without_timm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"pip install timm"):
        SAMS["mobile_sam"].build()
