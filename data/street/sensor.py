"""The sensor: what a camera makes of the light that falls on it."""

import numpy as np
from scipy.ndimage import gaussian_filter

from goodsam.data.street.look import Look


def develop(
    image: np.ndarray, look: Look, rng: np.random.Generator, cyclic: bool, share: float = 1.0
) -> np.ndarray:
    """Blur, white balance, saturation, contrast and noise: uint8 sRGB (H, W, 3).

    image: float32 (H, W, 3), 0..1, overwritten. cyclic: its first column follows its last. share:
    of its height that a panorama of the paper's band has, by which it is blurred.
    """
    sigma = look.blur * image.shape[0] * share / 200
    edge = ("nearest", "wrap" if cyclic else "nearest")
    for k in range(3):
        image[..., k] = gaussian_filter(image[..., k], sigma, mode=edge, truncate=2.5)
    image *= look.gain
    grey = image.mean(-1, keepdims=True)
    image -= grey
    image *= look.saturation
    image += 0.5 + (grey - 0.5) * look.contrast
    grain = rng.standard_normal(image.shape, np.float32)
    grain *= look.noise * 0.6
    grain += rng.standard_normal((*image.shape[:2], 1), np.float32) * (look.noise * 0.6)
    image += grain
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
