"""Products in 8 bits against loops over integers, and fast masks without bfloat16 against exact."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from goodsam.data.street.picture import panorama
from goodsam.data.street.seeds import split_seed
from goodsam.data.windows import Windows
from goodsam.pipeline.studies.bench.stage1 import matched_iou
from goodsam.stages.sam import generate, int8
from goodsam.stages.sam.generate import SamGenerator, precision
from goodsam.stages.sam.int8 import (
    Int8Linear,
    Int8Tokens,
    has_fast_int8,
    in_int8,
    rounded,
)
from goodsam.stages.sam.load import load_sam
from goodsam.stages.sam.registry import default_generator

CPU = torch.device("cpu")
needs_vnni = pytest.mark.skipif(not has_fast_int8(CPU), reason="8 bits may overflow without VNNI")


def naive_product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """left (R, K) . right (O, K), each row rounded to 255 steps by itself: (R, O)."""
    found = np.zeros((len(left), len(right)))
    for r, row in enumerate(left.astype(np.float64)):
        for o, other in enumerate(right.astype(np.float64)):
            steps = [max(np.abs(x).max(), 1e-30) / 127 for x in (row, other)]
            a, b = (np.rint(x / s) for x, s in zip((row, other), steps, strict=True))
            found[r, o] = (a * b).sum() * steps[0] * steps[1]
    return found


@needs_vnni
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**20), st.integers(0, 5), st.integers(1, 40), st.integers(1, 9))
def test_a_layer_is_the_naive_product(seed: int, rows: int, k: int, outputs: int) -> None:
    torch.manual_seed(seed)
    weight, bias, x = torch.randn(outputs, k), torch.randn(outputs), 9 * torch.randn(rows, k)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(int8, "ROWS_TOGETHER", 2)
        found = Int8Linear(weight, bias)(x)
    expected = naive_product(x.numpy(), weight.numpy()) + bias.numpy()
    step = x.abs().max().item() * weight.abs().max().item() / 127 if rows else 0  # a tie's rounding
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-4 + step)
    # each factor is off by half a step, at most
    bound = k * x.abs().amax(1, keepdim=True) * weight.abs().amax(1) * (1 / 127 + 1 / 127**2)
    assert ((found - nn.functional.linear(x, weight, bias)).abs() <= bound + 1e-4).all()


@needs_vnni
def test_products_with_tokens_are_added_prompt_by_prompt() -> None:
    torch.manual_seed(1)
    image, rows, scores = torch.randn(2, 6, 24), torch.randn(2, 5, 24), torch.randn(2, 5, 6)
    found = Int8Tokens.of(image).add_products(scores.clone(), rows)
    for p in range(2):
        expected = scores[p].numpy() + naive_product(rows[p].numpy(), image[p].numpy())
        np.testing.assert_allclose(found[p].numpy(), expected, atol=1e-4)


def test_a_row_of_zeros_stays_zero() -> None:
    few, scale = rounded(torch.zeros(2, 3))
    assert not few.any()
    assert torch.isfinite(scale).all()


def test_wide_layers_of_a_copy_are_replaced() -> None:
    wide, narrow = nn.Linear(int8.NARROWEST, 4), nn.Linear(int8.NARROWEST - 1, 4)
    network = nn.Sequential(nn.Sequential(wide), narrow)
    copied = in_int8(network)
    assert isinstance(copied[0][0], Int8Linear)
    assert type(copied[1]) is nn.Linear
    assert network[0][0] is wide


@pytest.mark.parametrize(
    ("bfloat16", "vnni", "expected"),
    [
        (True, True, torch.bfloat16),
        (False, True, torch.int8),
        (False, False, torch.float32),
    ],
)
def test_fast_takes_what_the_cpu_has(monkeypatch, bfloat16, vnni, expected) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bfloat16, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: vnni, raising=False)
    assert precision(CPU) == expected


@needs_vnni
def test_fast_masks_are_nearly_the_exact_ones(monkeypatch) -> None:
    """The demo SAM is too narrow for int8 to pay: here it is taken all the same."""
    monkeypatch.setattr(int8, "NARROWEST", 16)
    monkeypatch.setattr(generate, "precision", lambda device: torch.int8)
    sam = load_sam("street").model
    image = panorama(split_seed("tuning", 0, 1), 200, 1024).image
    window = next(iter(Windows.of(200, 1024).cut_images(image)))
    weights = {name: value.clone() for name, value in sam.state_dict().items()}
    fast_generator, exact_generator = (
        SamGenerator(sam, replace(default_generator("street"), mode=mode))
        for mode in ("fast", "exact")
    )
    fast, exact = (g([window])[0].masks() for g in (fast_generator, exact_generator))
    assert any(isinstance(m, Int8Linear) for m in fast_generator.decoder.modules())
    assert not any(isinstance(m, Int8Linear) for m in exact_generator.decoder.modules())
    assert all(torch.equal(value, weights[name]) for name, value in sam.state_dict().items())
    assert len(exact) > 10
    iou = matched_iou(exact, fast)
    assert iou[iou > 0].mean() >= 0.97
    assert (iou >= 0.9).mean() >= 0.85
    assert not (len(fast) == len(exact) and (fast == exact).all())  # it did round
