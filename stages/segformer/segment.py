"""A network in use: from pixels to logits.

Logits of a SegFormer are at H/4, others' at other strides; `segment` brings them to the size of its
input (docs/method.md, "Windows"). Shapes: N images, C classes, H x W pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SMALLEST_SIDE = 32  # below it a network's last stages have nothing left to look at


def class_names(model: Any) -> tuple[str, ...]:
    """The classes of a model in the order of its logits."""
    if (names := getattr(model, "names", None)) is not None:  # by a class map
        return names
    labels = model.config.id2label
    return tuple(str(labels[index]) for index in range(len(labels)))


def parameter_count(model: torch.nn.Module) -> int:
    """How many numbers a model learns."""
    return sum(parameter.numel() for parameter in model.parameters())


def normalise(images_NHWC: np.ndarray | torch.Tensor, device: torch.device) -> torch.Tensor:
    """uint8 (N, H, W, 3) RGB -> float32 (N, 3, H, W), ImageNet mean and standard deviation."""
    images = torch.as_tensor(images_NHWC).to(device).movedim(-1, 1).float().div_(255)
    mean = torch.tensor(IMAGENET_MEAN, device=device).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=device).view(3, 1, 1)
    return images.sub_(mean).div_(std)


def segment(model: Any, images_NCHW: torch.Tensor) -> torch.Tensor:
    """float (N, 3, H, W) -> logits (N, C, H, W): the model's own, upsampled bilinearly.

    By a class map that ignores classes there is one channel more, of all these together.
    """
    logits = model(pixel_values=images_NCHW).logits
    size = images_NCHW.shape[-2:]
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def wrap_margin(width: int) -> int:
    """Columns that `wrap` adds at either end: an eighth of the circle.

    A multiple of 32 px, the stride of the encoder's last stage, so that its grid lies on the image
    as without them.
    """
    return min(width, 32 * max(1, round(width / 8 / 32)))
