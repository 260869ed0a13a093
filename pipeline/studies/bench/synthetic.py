"""Panoramas and masks for measuring time: made up, of any size and number, with no SAM at hand."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from goodsam.data.cache import PanoramaMasks
from goodsam.data.window_masks import WindowMasks, overlap_boundaries
from goodsam.data.windows import Windows, panorama_width


def windows_of_height(height: int) -> Windows:
    """The windows of a panorama of the paper's proportions."""
    return Windows.of(height, panorama_width(height))


def panorama_masks(windows: Windows, masks: int, rng: np.random.Generator) -> PanoramaMasks:
    """`masks` masks in each window, most of them small, many on one another as SAM's are."""
    found = tuple(_masks(masks, windows.height, windows.window, rng) for _ in range(len(windows)))
    return PanoramaMasks(found, tuple(overlap_boundaries(found, windows)))


def _masks(count: int, height: int, width: int, rng: np.random.Generator) -> WindowMasks:
    """Ellipses of 0.01 to 20 % of the window; every other one is nearly the one before it."""
    y, x = np.ogrid[:height, :width]
    stack = np.zeros((count, height, width), bool)
    for index in range(count):
        if index % 2 == 0:
            area = np.exp(rng.uniform(np.log(1e-4), np.log(0.2))) * height * width
            aspect = np.exp(rng.uniform(-1, 1))
            centre = rng.uniform(size=2) * (height, width)
            radii = np.sqrt(area / np.pi) * np.array([aspect**0.5, aspect**-0.5])
        else:
            radii = radii * rng.uniform(0.9, 1.0, size=2)
        stack[index] = ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 <= 1
    scores = np.ones(count, np.float32)
    return WindowMasks.of(stack, scores, scores)


def blurred_logits(count: int, classes: int, height: int, width: int, seed: int) -> torch.Tensor:
    """float32 (count, C, height, width): regions of one label with ragged borders, some unsure."""
    generator = torch.Generator().manual_seed(seed)

    def noise(divisor: int) -> torch.Tensor:
        size = (-(-height // divisor), -(-width // divisor))
        coarse = torch.randn(count, classes, *size, generator=generator)
        return F.interpolate(coarse, size=(height, width), mode="bilinear")

    return 6 * noise(48) + noise(4)
