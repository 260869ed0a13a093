"""Training examples of the demo SAM: a window as SAM gets it, shaken, with points and masks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

SIDE = 512  # SAM input px
MASK = 4  # SAM input px per pixel of a low-resolution mask
MINIMUM = 60  # px of half the SAM input: instances with fewer are no targets
ZOOMED = 0.35  # of the pictures are a part of their window, enlarged
LEAST_PART = 0.42  # of a window's side
FAR_PIXELS = 640  # of a picture, all pairs of which are asked about
_MEAN = np.array([123.675, 116.28, 103.53], np.float32)  # of SAM's input
_STD = np.array([58.395, 57.12, 57.375], np.float32)


@dataclass(frozen=True)
class Example:
    """One picture as SAM gets it, and its prompts.

    image: float32 (3, 512, 512) normalised, zeros right of and below the picture. valid: (h, w) of
    the low-resolution masks that holds picture. instances: int64 (2 h, 2 w) of valid, ids at half
    of SAM's input. points: float32 (P, 2) x, y in px of SAM's input. targets: float32 (P, *valid),
    the share of each low-resolution pixel that belongs to the instance at the point. far: int64
    (FAR_PIXELS,), low-resolution pixels, flat, all pairs of which are asked about. weights: float32
    (N,) of each low-resolution pixel in a mask's loss.
    """

    image: Tensor
    valid: tuple[int, int]
    instances: Tensor
    points: Tensor
    targets: Tensor
    far: Tensor
    weights: Tensor

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.image, self.instances, self.points, self.targets, self.far, self.weights

    def made_of(self, tensors: Iterable[Tensor]) -> Example:
        """The example with other `tensors`."""
        image, *others = tensors
        return Example(image, self.valid, *others)

    def to(self, device: torch.device) -> Example:
        return self.made_of(tensor.to(device) for tensor in self.tensors)


def example(
    rng: np.random.Generator,
    image: np.ndarray,
    instances: np.ndarray,
    prompts: int,
    shake: bool = True,
) -> Example:
    """A training example from a picture, as SAM gets a window.

    shake: flipped, its colours and sharpness changed; a third of them zoomed, which small things
    are learnt from.
    """
    height, width = instances.shape
    h, w, top, left = float(height), float(width), 0.0, 0.0
    if shake:
        if rng.random() < 0.5:
            image, instances = image[:, ::-1], instances[:, ::-1]
        part = rng.uniform(LEAST_PART, 1) if rng.random() < ZOOMED else 1.0
        h, w = height * part, width * part
        top, left = rng.uniform(0, height - h), rng.uniform(0, width - w)
    zoom = SIDE / max(h, w)
    size = (round(h * zoom), round(w * zoom))
    pixels = shaken(rng, image) if shake else image
    resized = Image.fromarray(np.ascontiguousarray(pixels)).resize(
        (size[1], size[0]), Image.Resampling.BILINEAR, box=(left, top, left + w, top + h)
    )
    valid = (-(-size[0] // MASK), -(-size[1] // MASK))
    rows = np.clip(top + (np.arange(2 * valid[0]) + 0.5) * 2 / zoom, 0, height - 1).astype(int)
    columns = np.clip(left + (np.arange(2 * valid[1]) + 0.5) * 2 / zoom, 0, width - 1).astype(int)
    grid = instances[rows[:, None], columns]  # at half of SAM's input
    ids, points = _points(rng, grid, prompts)
    targets = F.avg_pool2d(torch.from_numpy(grid[None] == ids[:, None, None]).float(), 2)
    normalised = torch.from_numpy((np.asarray(resized, np.float32) - _MEAN) / _STD)
    padding = (0, SIDE - size[1], 0, SIDE - size[0])
    return Example(
        F.pad(normalised.permute(2, 0, 1), padding),
        valid,
        torch.from_numpy(grid.astype(np.int64)),
        torch.from_numpy((points * 2 - 0.5).astype(np.float32)),
        targets,
        *_shares(torch.from_numpy(grid[::2, ::2].astype(np.int64)).flatten()),
    )


def _shares(ids_N: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels all over the picture, of each instance as many as the square root of its area, and
    weights of 1 to 8 by the root of a pixel's instance's area.

    A mask that swallows the pole in front of a house is nearly as large as one that does not, and
    costs a fused label map the pole.
    """
    _, own, areas = ids_N.unique(return_inverse=True, return_counts=True)
    share = areas[own].rsqrt().cumsum(0)
    # An irrational stride visits the picture evenly, and no column twice in a row.
    lattice = torch.arange(FAR_PIXELS) * 0.6180339887 % 1
    far = torch.searchsorted(share, lattice * share[-1]).clamp(max=len(own) - 1)
    return far, (0.1 * len(ids_N) / areas[own]).sqrt().clamp(1, 8)


def stacked(examples: list[Example]) -> Example:
    """The examples, of one `valid`, as one: its tensors have a first axis more."""
    if any(e.valid != examples[0].valid for e in examples):
        raise ValueError("windows of one batch have the same proportions")
    return examples[0].made_of(
        torch.stack(rows) for rows in zip(*(e.tensors for e in examples), strict=True)
    )


def shaken(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) in other colours and light: channels mixed, gamma, contrast, blur, noise."""
    x = image.astype(np.float32) / 255
    if rng.random() < 0.6:
        mix = rng.dirichlet((1, 1, 1), 3).astype(np.float32)
        x = x @ ((1 - (amount := rng.uniform(0, 0.9))) * np.eye(3, dtype=np.float32) + amount * mix)
    if rng.random() < 0.05:
        x = 1 - x
    x = np.clip(x, 0, 1) ** rng.uniform(0.6, 1.6)
    x = (x - 0.5) * rng.uniform(0.6, 1.3) + 0.5 + rng.uniform(-0.1, 0.1)
    x *= rng.uniform(0.9, 1.1, 3).astype(np.float32)
    if rng.random() < 0.4:
        x = gaussian_filter(x, (sigma := rng.uniform(0.2, 0.8), sigma, 0))
    if rng.random() < 0.7:
        noise = rng.uniform(0, 0.06)
        x += noise * rng.standard_normal(x.shape, np.float32)
    return (np.clip(x, 0, 1) * 255).astype(np.uint8)


def _points(
    rng: np.random.Generator, grid: np.ndarray, prompts: int
) -> tuple[np.ndarray, np.ndarray]:
    """Ids (P,) of instances and points (P, 2) x, y inside them, in random order.

    Chosen by the fourth root of the area, and evenly: small things get nearly as many prompts as
    large ones, and none gets two before most have one.
    """
    ids, inverse, areas = np.unique(grid, return_inverse=True, return_counts=True)
    usable = (areas >= MINIMUM) & (ids > 0)
    if not usable.any():
        usable = areas == areas.max()
    share = np.cumsum(usable * areas**0.25)
    lattice = (rng.permutation(prompts) + rng.random()) / prompts
    chosen = np.searchsorted(share, lattice * share[-1], side="right")
    chosen = np.minimum(chosen, np.flatnonzero(usable)[-1])
    order = np.argsort(inverse.ravel(), kind="stable")  # pixels, instance by instance
    first = np.cumsum(areas) - areas
    pixel = order[first[chosen] + (rng.random(prompts) * areas[chosen]).astype(int)]
    y, x = np.divmod(pixel, grid.shape[1])
    return ids[chosen], np.stack([x, y], axis=1) + rng.random((prompts, 2))
