"""What networks take on this machine, from single runs: the ground of every estimate."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from goodsam.data.windows import Windows
from goodsam.stages.adapt.learner import AdaptConfig
from goodsam.stages.adapt.pair import load_networks
from goodsam.stages.device import autocast, pick_device
from goodsam.stages.segformer.segment import normalise, segment

# A step of training in forward passes: one, a backward pass of about two, and on a CPU as much
# again for fusion, boundaries and losses. Measured: 4 (float32, windows touch) to 6 (bfloat16).
STEP = 5
# Scoring a panorama in forward passes in float32: reading, labels at full size and counting cost
# about as much again.
SCORE = 2


def forward_seconds(
    config: AdaptConfig, image: np.ndarray, windows: Windows
) -> tuple[float, float]:
    """Seconds of one forward pass: the TA on all windows, the student on the whole panorama.

    image: uint8 (H, W, 3). Without gradients; the second of two passes. Raises InputError for
    networks that cannot be loaded.
    """
    device = pick_device(config.device)
    teacher, student = load_networks(config, device)
    pixels = normalise(image[None], device)
    with torch.inference_mode(), autocast(device, config.precision):
        return (
            _timed(lambda: segment(teacher, windows.cut(pixels[0])), device),
            _timed(lambda: segment(student, pixels), device),
        )


def _timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of the second of two runs."""
    for _ in range(2):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    return time.perf_counter() - started
