"""The likeliest class without enlarging all logits, against enlarging them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsam.stages.segformer import likeliest as module
from goodsam.stages.segformer.likeliest import likeliest

SIDES = st.integers(1, 9)


def naive(logits, size):
    """The labels, and by how much the largest logit leads."""
    enlarged = F.interpolate(logits.double(), size=size, mode="bilinear", align_corners=False)
    two = enlarged.topk(2, dim=1).values
    return enlarged.argmax(dim=1), two[:, 0] - two[:, 1]


def patches(seed, shape, grain):
    """Logits that agree over patches of `grain` pixels: things, not noise."""
    n, classes, h, w = shape
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, classes, -(-h // grain), -(-w // grain), generator=generator)
    fine = coarse.repeat_interleave(grain, 2).repeat_interleave(grain, 3)[..., :h, :w]
    return 9 * fine + torch.randn(shape, generator=generator)


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 2**31),
    st.tuples(st.integers(1, 2), st.integers(2, 5), SIDES, SIDES),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from([1, 3, 9]),
)
def test_labels_are_those_of_the_enlarged_logits(seed, shape, size, grain):
    logits = patches(seed, shape, grain)
    expected, lead = naive(logits, size)
    found = likeliest(logits, size)
    assert found.dtype == "uint8"
    same = torch.from_numpy(found).long() == expected
    assert (same | (lead < 1e-4)).all()


@pytest.mark.parametrize(("grain", "dense"), [(24, 0), (1, 1)])
def test_only_noise_is_enlarged_as_a_whole(monkeypatch, grain, dense):
    logits, size = patches(0, (1, 19, 48, 64), grain), (192, 256)
    expected, lead = naive(logits, size)
    calls = []
    enlarged = module._enlarged
    monkeypatch.setattr(module, "_enlarged", lambda *a: calls.append(a) or enlarged(*a))
    monkeypatch.setattr(module, "_CHUNK", 1000)  # several of them
    found = torch.from_numpy(likeliest(logits, size)).long()
    assert ((found == expected) | (lead < 1e-4)).all()
    assert len(calls) == dense


def test_equal_logits_have_the_first_class():
    assert (likeliest(torch.zeros(1, 3, 4, 5), (16, 20)) == 0).all()
    ties = torch.zeros(1, 3, 4, 5)
    ties[:, 1:] = 1.0
    assert (likeliest(ties, (16, 20)) == 1).all()
