"""Votes on masks against loops over masks and pixels, written from their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsam.data.errors import InputError
from goodsam.data.window_masks import WindowMasks
from goodsam.stages.adapt.beyond.votes import small_class_wins, soft_votes, surest_votes
from goodsam.stages.adapt.fusion import FusionConfig, MaskBatch, fuse


def batch_of(stacks_NMHW: np.ndarray) -> tuple[MaskBatch, list[tuple[int, np.ndarray]]]:
    """Masks and, in the order of the batch, the window and the pixels of each."""
    made = [
        WindowMasks.of(stack, np.ones(len(stack)), np.ones(len(stack))) for stack in stacks_NMHW
    ]
    batch = MaskBatch.of(made)
    pixels = []
    for window, stack in enumerate(stacks_NMHW):
        areas = stack.sum(axis=(1, 2))
        order = sorted(range(len(stack)), key=lambda m: (areas[m], -m))
        pixels += [(window, stack[m]) for m in order if areas[m]]
    return batch, pixels


def surest_by_hand(labels, confidence, pixels, classes):
    votes = np.zeros((len(pixels), classes))
    for m, (window, mask) in enumerate(pixels):
        places = np.argwhere(mask)
        ranked = sorted(range(len(places)), key=lambda i: (confidence[window][*places[i]], i))
        for i in ranked[len(places) - (len(places) + 1) // 2 :]:
            votes[m, labels[window][*places[i]]] += 1
    return votes


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(1, 6), st.integers(2, 5))
def test_votes_equal_loops_over_masks(seed, windows, count, classes):
    rng = np.random.default_rng(seed)
    stacks = rng.random((windows, count, 6, 7)) < rng.random((windows, count, 1, 1))
    batch, pixels = batch_of(stacks)
    labels = rng.integers(classes, size=(windows, 6, 7))
    confidence = rng.integers(4, size=(windows, 6, 7)) / 4  # with many ties
    found = surest_votes(torch.tensor(labels), torch.tensor(confidence), batch, classes)
    assert np.array_equal(found.numpy(), surest_by_hand(labels, confidence, pixels, classes))
    p = torch.tensor(rng.random((windows, classes, 6, 7)))
    soft = soft_votes(p, batch)
    for votes, (window, mask) in zip(soft, pixels, strict=True):
        assert np.allclose(votes, p[window].numpy()[:, mask].sum(axis=1), atol=1e-7)


def test_a_small_class_wins_with_its_share_of_the_votes():
    labels = torch.zeros(1, 20, 20, dtype=torch.uint8)
    labels[0, 0, :3] = 1  # 3 of 400 pixels: small
    labels[0, 1, :] = 2  # 20 of 400: not small
    votes = torch.tensor([[7.0, 3, 0], [9, 1, 0], [6, 0, 4], [8, 2, 0]])
    chosen = votes.argmax(dim=-1)
    assert small_class_wins(votes, chosen, labels, 0.2).tolist() == [1, 0, 0, 1]
    assert small_class_wins(votes, chosen, labels, 0.3).tolist() == [1, 0, 0, 0]


def test_a_panorama_without_small_classes_keeps_its_majority():
    labels = torch.tensor([[[0, 1], [0, 1]]], dtype=torch.uint8)
    votes = torch.tensor([[3.0, 1.0]])
    assert small_class_wins(votes, votes.argmax(dim=-1), labels, 0.2).tolist() == [0]


def test_the_settings_reach_the_ensemble():
    """A sure minority says 1: by all pixels the mask is a 0, by the surest half or softmax a 1."""
    stack = np.zeros((1, 4, 8), bool)
    stack[0, 0, :5] = True
    logits = torch.zeros(1, 2, 4, 8)
    logits[0, 0] = 0.1
    logits[0, 1, 0, :2] = 9.0
    masks = MaskBatch.of([WindowMasks.of(stack, np.ones(1), np.ones(1))])
    for votes, expected in (("all", 0), ("soft", 1), ("surest", 1)):
        ensemble, _ = fuse(logits, masks, FusionConfig(rule="ssa", votes=votes))
        assert ensemble[0, 0, :5].tolist() == [expected] * 5, votes
        assert ensemble[0, 1].tolist() == [0] * 8


def test_a_share_is_a_share():
    with pytest.raises(InputError, match="small_share"):
        FusionConfig(small_share=1.2)


@pytest.mark.parametrize("rule", ["ctcf", "ssa", "sepl", "none"])
def test_sure_pixels_keep_their_label_in_any_mask(rule):
    rng = np.random.default_rng(4)
    batch, _ = batch_of(rng.random((2, 5, 12, 10)) < 0.4)
    logits = torch.from_numpy(rng.normal(size=(2, 4, 12, 10)) * 2).float()
    plain, plain_map = fuse(logits, batch, FusionConfig(rule=rule, sepl_share=0.2))
    found, found_map = fuse(logits, batch, FusionConfig(rule=rule, sepl_share=0.2, sure=0.8))
    p, overruled = logits.softmax(dim=1).numpy(), 0
    for place in np.ndindex(2, 12, 10):
        own = p[place[0], :, place[1], place[2]]
        wanted = own.argmax() if own.max() > 0.8 else plain[place]
        assert found[place] == wanted
        overruled += int(found[place] != plain[place])
    assert torch.equal(found_map, plain_map)
    assert (overruled > 0) == (rule != "none")
    with pytest.raises(InputError, match=r"step.fusion.sure 1.5: between 0 and 1"):
        FusionConfig(sure=1.5)
