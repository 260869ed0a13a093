"""Bilinear resampling of numpy arrays and torch tensors alike."""

from __future__ import annotations

from typing import Any

import numpy as np


def blend(flat: Any, corners: list[np.ndarray], down: np.ndarray, across: np.ndarray) -> Any:
    """(..., N) at four corners each -> (..., *corner's shape), bilinearly, float."""
    upper_left, upper_right, lower_left, lower_right = (flat[..., at] for at in corners)
    across, down = like(across, upper_left), like(down, upper_left)
    upper = upper_left * (1 - across) + upper_right * across
    return upper * (1 - down) + (lower_left * (1 - across) + lower_right * across) * down


def is_numpy(array: Any) -> bool:
    return isinstance(array, np.ndarray)


def is_float(array: Any) -> bool:
    return array.dtype.kind == "f" if is_numpy(array) else array.is_floating_point()


def like(share: np.ndarray, array: Any) -> Any:
    """Shares in the floats of `array`, float32 for a picture of bytes, where it lies."""
    if is_numpy(array):
        return share.astype(array.dtype if is_float(array) else np.float32)
    import torch  # only when a tensor came in: data itself needs no torch

    return torch.from_numpy(share).to(array)


def stack(parts: list[Any]) -> Any:
    if is_numpy(parts[0]):
        return np.stack(parts)
    import torch

    return torch.stack(parts)
