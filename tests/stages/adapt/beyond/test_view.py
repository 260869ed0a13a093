"""Views: exact in place, functions of (seed, position), and a part of the windows as a strip."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsam.data.errors import InputError
from goodsam.data.window_masks import WindowMasks, overlap_boundaries
from goodsam.data.windows import Windows, turn
from goodsam.stages.adapt.beyond.view import View, ViewConfig, draw_view, logits_through
from goodsam.stages.adapt.fusion import FusionConfig, MaskBatch
from goodsam.stages.adapt.step import Networks, StepConfig, adaptation_step
from goodsam.stages.segformer.build import build_segformer
from goodsam.stages.segformer.segment import segment

WINDOWS = Windows(32, 128, 32, 16)
NAMES = ("road", "car", "sky")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    built = build_segformer("w16", NAMES).eval()
    with torch.no_grad():
        built.decode_head.classifier.weight *= 300
    return built


def image(seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(1, 3, 32, 128))).float()


def stacks(windows: Windows, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random((len(windows), 5, 4, windows.window // 8)).repeat(8, 2).repeat(8, 3) < 0.3


def made(stack_NMHW: np.ndarray, windows: Windows):
    ones = np.ones(stack_NMHW.shape[1])
    masks = [WindowMasks.of(stack, ones, ones) for stack in stack_NMHW]
    boundaries = [torch.from_numpy(b) for b in overlap_boundaries(masks, windows)]
    return MaskBatch.of(masks), boundaries


class Pixelwise(torch.nn.Module):
    """Logits of each pixel from that pixel alone: whatever moves it moves its logits."""

    def forward(self, pixel_values: torch.Tensor):
        return SimpleNamespace(logits=pixel_values * 2)


def test_logits_come_back_in_their_place():
    picture = image()
    for view in (View(mirror=True), View(roll=37), View(mirror=True, roll=90)):
        found = logits_through(view, Pixelwise(), picture, whole=True)
        assert torch.equal(found, picture * 2), view
    # a window is no circle: it is mirrored, not turned
    assert torch.equal(logits_through(View(roll=5), Pixelwise(), picture, False), picture * 2)


def test_the_network_sees_the_picture_mirrored_and_turned(network):
    picture = image()
    with torch.no_grad():
        found = logits_through(View(mirror=True, roll=40), network, picture, whole=True)
        twin = segment(network, turn(picture, 40).flip(-1))
    torch.testing.assert_close(found, turn(twin.flip(-1), -40))


def test_a_mirrored_view_is_the_mirrored_panorama_with_mirrored_labels(network):
    """Mirroring pixels and masks, and then looking, gives the same losses.

    Not those of refined boundaries: they begin with the left window of an overlap (Fig. 3).
    """
    student = copy.deepcopy(network)
    with torch.no_grad():
        student.decode_head.classifier.weight *= 0.5
    windows = Windows(32, 128, 32, 16)
    stack = stacks(windows)
    # labels come from the clean view: by a labeller for which mirroring changes nothing but places
    networks = Networks(network, student, labeller=Pixelwise())
    config = StepConfig(fusion=FusionConfig(rule="ssa"))
    ours = adaptation_step(
        networks, image(), *made(stack, windows), windows, config, view=View(mirror=True)
    )
    # window i starts at 16 i; its mirror image starts at 128 - 32 - 16 i
    n = len(windows)
    order = [(n - 2 - i) % n for i in range(n)]
    mirrored = stack[order][..., ::-1]
    twin = adaptation_step(
        networks, image().flip(-1), *made(np.ascontiguousarray(mirrored), windows), windows, config
    )
    assert set(ours.terms) == set(twin.terms)
    for name in ("teacher_windows", "consistency", "whole_image", "student_windows"):
        torch.testing.assert_close(ours.terms[name], twin.terms[name], rtol=1e-4, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(0, 10**6))
def test_a_view_depends_on_seed_and_position_alone(seed, position):
    picture = torch.randint(256, (32, 128, 3), dtype=torch.uint8)
    config = ViewConfig(mirror=True, roll=True, photometric=0.5, windows=3, paste=True)
    first = draw_view(config, WINDOWS, picture, seed, position)
    torch.rand(3)  # a global generator plays no part
    again = draw_view(config, WINDOWS, picture, seed, position)
    assert first[:-1] == again[:-1]
    assert torch.equal(first.seen, again.seen)
    assert first.seen.dtype == torch.uint8
    assert first.seen.shape == picture.shape
    assert 0 <= first.roll < 128
    assert 0 <= first.first < len(WINDOWS)
    # one setting does not change what the others draw
    alone = draw_view(ViewConfig(roll=True), WINDOWS, picture, seed, position)
    assert alone == View(roll=first.roll)


def test_views_differ_from_position_to_position():
    picture = torch.randint(256, (32, 128, 3), dtype=torch.uint8)
    config = ViewConfig(mirror=True, roll=True, photometric=0.5, windows=3)
    views = [draw_view(config, WINDOWS, picture, 0, position) for position in range(40)]
    assert {view.mirror for view in views} == {False, True}
    assert len({view.roll for view in views}) > 20
    assert {view.first for view in views} == set(range(len(WINDOWS)))
    changed = [not torch.equal(view.seen, picture) for view in views]
    assert all(changed)


def test_no_view_is_the_panorama_as_it_is():
    picture = torch.zeros(32, 128, 3, dtype=torch.uint8)
    assert draw_view(ViewConfig(), WINDOWS, picture, 3, 4) == View()
    assert draw_view(ViewConfig(windows=8), WINDOWS, picture, 3, 4) == View()  # all there are


@pytest.mark.parametrize(
    "windows",
    [
        Windows(32, 128, 32, 16),
        Windows(32, 128, 32, 32),
        Windows(32, 128, 32, 16, wrap=False),
        Windows(32, 128, 40, 24),  # the last to the first are not a stride apart
        Windows(32, 128, 40, 24, wrap=False),
    ],
)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_part_of_the_windows_is_a_strip(windows, number):
    panorama = torch.arange(32 * 128).view(32, 128)
    for position in range(30):
        picture = torch.zeros(32, 128, 3, dtype=torch.uint8)
        view = draw_view(ViewConfig(windows=number), windows, picture, 0, position)
        strip, part = view.strip(windows)
        indices = view.indices(windows)
        assert len(indices) == len(part) == number
        cut = windows.cut(panorama)
        assert torch.equal(part.cut(strip.of(panorama)), cut[indices])
        overlaps = view.overlap_indices(windows)
        assert len(overlaps) == len(part.overlaps)
        whole, own = windows.cut_overlaps(panorama), part.cut_overlaps(strip.of(panorama))
        for index, piece in zip(overlaps, own, strict=True):
            assert torch.equal(piece, whole[index])


def test_a_step_on_a_part_is_the_mean_over_its_own_windows(network):
    """Its losses are those of a panorama that is this strip, seen by both networks in place."""
    windows, flat = WINDOWS, Pixelwise()
    stack = stacks(windows)
    view = View(first=6, number=3)  # over the seam
    strip, part = view.strip(windows)
    indices = view.indices(windows)
    inputs = made(stack[indices], part)
    config = StepConfig()
    networks = Networks(flat, flat)
    kept = torch.ones(32, 128, dtype=torch.bool)
    kept[25:, 100:120] = False
    found = adaptation_step(networks, image(), *inputs, windows, config, kept, view=view)
    twin = adaptation_step(
        networks, strip.of(image()), *inputs, part, config, kept_HW=strip.of(kept)
    )
    assert found.windows == part
    assert torch.equal(found.ensemble, twin.ensemble)
    for name, value in twin.terms.items():
        torch.testing.assert_close(found.terms[name], value)


@pytest.mark.parametrize("setting", [{"photometric": -0.1}, {"photometric": 1.5}, {"windows": 0}])
def test_settings_have_ranges(setting):
    with pytest.raises(InputError, match=f"view.{next(iter(setting))}"):
        ViewConfig(**setting)
