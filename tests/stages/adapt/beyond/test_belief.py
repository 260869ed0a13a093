"""The belief in a mask's label against its definition, mask by mask, and what it leaves out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsam.data.errors import InputError
from goodsam.data.window_masks import WindowMasks
from goodsam.stages.adapt.beyond.belief import RAREST, beliefs
from goodsam.stages.adapt.beyond.votes import soft_votes
from goodsam.stages.adapt.fusion import FusionConfig, MaskBatch, fuse, fuse_prediction
from goodsam.stages.adapt.prediction import Prediction

RULES = ("ctcf", "ssa", "sepl")


def windows_of(rng: np.random.Generator, count: int = 2) -> tuple[torch.Tensor, list[WindowMasks]]:
    """Logits (count, 4, 12, 10) of blocks, class 3 hardly ever, and random masks."""
    blocks = rng.normal(size=(count, 4, 3, 2)) * 2 - np.array([0, 0, 0, 3])[:, None, None]
    logits = torch.from_numpy(
        blocks.repeat(4, 2).repeat(5, 3) + rng.normal(size=(count, 4, 12, 10))
    )
    stacks = rng.random((count, 5, 12, 10)) < rng.random((count, 5, 1, 1)) * 0.6
    made = [WindowMasks.of(stack, np.ones(5), np.ones(5)) for stack in stacks]
    return logits.float(), made


def in_order(window: WindowMasks) -> list[np.ndarray]:
    """The pixels of a window's masks, in the order in which they win a pixel."""
    masks, area = window.masks(), window.area.tolist()
    return [masks[m] for m in sorted(range(len(masks)), key=lambda m: (area[m], -m)) if area[m]]


def by_hand(p_CHW: np.ndarray, mask: np.ndarray, label: int, share: list[float]) -> float:
    """exp(log p - 1/2 log share) of the label, over the sum of it for all classes."""
    scores = [
        math.exp(math.log(p_CHW[c][mask].mean()) - 0.5 * math.log(max(share[c], RAREST)))
        for c in range(len(p_CHW))
    ]
    return scores[label] / sum(scores)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.2, 0.4, 0.6]), st.sampled_from(RULES))
def test_what_is_left_out_mask_by_mask(seed, least, rule):
    """The ensemble is the one without the setting, but for the pixels that doubted masks win."""
    logits, windows = windows_of(np.random.default_rng(seed))
    batch, prediction = MaskBatch.of(windows), Prediction.of(logits)
    ensemble, weight_map, weight = fuse_prediction(prediction, batch, FusionConfig(rule=rule))
    found, found_map, found_weight = fuse_prediction(
        prediction, batch, FusionConfig(rule=rule, believe=least)
    )
    labels = prediction.labels.numpy()
    share = [float((labels == c).mean()) for c in range(4)]
    expected, expected_map = ensemble.clone(), weight_map.clone()
    number = 0
    for n, window in enumerate(windows):
        free = np.ones((12, 10), bool)
        for mask in in_order(window):
            taken = rule != "sepl" or bool(weight[number])
            wins = mask & free
            if taken and wins.any():
                label = int(ensemble[n][wins][0])
                free &= ~mask
                p = prediction.probabilities[n].numpy().astype(np.float64)
                belief = by_hand(p, mask, label, share)
                if abs(belief - least) < 1e-6:
                    return  # too close to call
                if belief < least:
                    expected[n][wins], expected_map[n][wins] = 255, 0
                    assert found_weight[number] == 0
                else:
                    assert found_weight[number] == weight[number]
            number += 1
    assert torch.equal(found, expected)
    assert torch.equal(found_map, expected_map)


def test_a_rare_class_needs_less_than_a_common_one():
    """The same mean softmax, 0.5 each: of a rare class it says more."""
    labels = torch.zeros(1, 10, 10, dtype=torch.uint8)
    labels[0, 0, :4] = 1  # 4 % of the picture, a sixth of the root of 96 %
    votes = torch.tensor([[5.0, 5.0], [5.0, 5.0]])
    common, rare = beliefs(votes, torch.tensor([0, 1]), labels).tolist()
    assert common == pytest.approx(1 / (1 + math.sqrt(0.96 / 0.04)))
    assert rare == pytest.approx(1 - common)
    # a class that nobody names is as frequent as RAREST
    nowhere = beliefs(votes[:1], torch.tensor([1]), torch.zeros_like(labels)).item()
    assert nowhere == pytest.approx(1 / (1 + math.sqrt(RAREST)))


def test_windows_may_come_in_any_order():
    """Also those of a panorama of which a step sees a part, over the seam."""
    logits, windows = windows_of(np.random.default_rng(3), count=4)
    config = FusionConfig(rule="ssa", believe=0.5)
    ensemble, _ = fuse(logits, MaskBatch.of(windows), config)
    assert (ensemble == 255).any()
    order = [3, 0, 1, 2]
    turned, _ = fuse(logits[order], MaskBatch.of([windows[i] for i in order]), config)
    assert torch.equal(turned, ensemble[order])


def test_votes_of_others_do_not_change_the_belief():
    """Who votes chooses the label; the whole softmax of a mask says how far it is believed."""
    logits, windows = windows_of(np.random.default_rng(5))
    batch, prediction = MaskBatch.of(windows), Prediction.of(logits)
    soft = soft_votes(prediction.probabilities, batch)
    for votes in ("all", "surest", "soft"):
        plain = FusionConfig(rule="ssa", votes=votes)
        chosen = fuse_prediction(prediction, batch, plain)[0]
        found = fuse_prediction(
            prediction, batch, FusionConfig(rule="ssa", votes=votes, believe=0.4)
        )
        kept = found[0] != 255
        assert torch.equal(found[0][kept], chosen[kept])
        assert not kept.all()
        assert soft.shape[0] == len(found[2])


def test_nothing_is_believed_by_half_measures():
    logits, windows = windows_of(np.random.default_rng(7))
    batch = MaskBatch.of(windows)
    config = FusionConfig(rule="ssa", uncovered="ignore", believe=1.0)
    ensemble, weight_map = fuse(logits, batch, config)
    assert (ensemble == 255).all()
    assert (weight_map == 0).all()
    for value in (-0.1, 1.1):
        with pytest.raises(InputError, match=r"step.fusion.believe"):
            FusionConfig(believe=value)
