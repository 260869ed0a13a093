"""SAMs whose input is a square that the image is stretched to: SAM 2, EdgeTAM, SAM 3.

The first SAM pads the shorter side instead. Everything else of a `Sam` is the same.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor
from torchvision.transforms.v2.functional import resize


class SquareSam(Sam):
    """A Sam without padding: both sides of the image are scaled to the input's, each by itself."""

    def postprocess_masks(
        self, masks: Tensor, input_size: tuple[int, int], original_size: tuple[int, int]
    ) -> Tensor:
        """Low-resolution logits (B, M, h, w) -> (B, M, H, W) of the image, by one bilinear."""
        return F.interpolate(masks, original_size, mode="bilinear", align_corners=False)


class Stretch:
    """As segment-anything's ResizeLongestSide, to a square of `size` px."""

    def __init__(self, size: int) -> None:
        self.size = size

    def apply_image(self, image: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3) -> uint8 (size, size, 3)."""
        pixels = torch.tensor(image).permute(2, 0, 1)
        return resize(pixels, [self.size, self.size], antialias=True).permute(1, 2, 0).numpy()

    def apply_coords(self, coords: np.ndarray, original_size: tuple[int, int]) -> np.ndarray:
        """float (..., 2) x, y in px of an image of (height, width) -> in px of the square."""
        return coords * (self.size / np.array(original_size[::-1]))


def resize_of(sam: Sam) -> ResizeLongestSide | Stretch:
    """How an image and points on it come into a SAM's input."""
    size = sam.image_encoder.img_size
    return Stretch(size) if isinstance(sam, SquareSam) else ResizeLongestSide(size)
