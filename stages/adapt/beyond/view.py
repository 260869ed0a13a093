"""What the networks see while they learn, where the labels come from the clean panorama.

A panorama may be mirrored, turned on its circle and recoloured, and the TA may learn from a part of
its windows in each step. The networks see the picture moved and their logits are moved back, so
that labels, masks, cells and boundaries need not move; the losses are those of moving all of them
(but that the refined boundary still begins with the left window of an overlap, where a mirrored
panorama has its right one there). The settings are `view.*`; the paper has none.
Everything here is a function of (seed, position in the run), so that a run resumes as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torchvision.transforms import v2

from goodsam.data.errors import InputError
from goodsam.data.ranges import COUNT, SHARE, check_ranges
from goodsam.data.sphere import WindowPlan
from goodsam.data.windows import Windows, turn
from goodsam.stages.segformer.segment import segment


@dataclass(frozen=True)
class ViewConfig:
    """What the networks see while they learn; the paper: the panorama as it is.

    Raises InputError for strengths and numbers that make no view.
    """

    mirror: bool = False
    """Both networks see every other panorama mirrored, by chance."""
    roll: bool = False
    """The student sees the panorama turned on its circle by any angle."""
    photometric: float = 0.0
    """How much brightness, contrast, saturation and hue change, and blur: 0 (not at all) to 1."""
    paste: bool = False
    """Things of small classes are pasted in from another panorama, at the same rows."""
    windows: int | None = None
    """The TA learns from so many neighbouring windows in a step; null: from all."""

    def __post_init__(self) -> None:
        check_ranges(self, {"photometric": SHARE, "windows": COUNT}, "view.")

    def check(self, windows: WindowPlan) -> None:
        """InputError where these views cannot be had of panoramas that are seen by this plan."""
        if self.windows is not None and not isinstance(windows, Windows):
            raise InputError(
                f"view.windows {self.windows}: neighbouring windows are a strip of the paper's "
                "band alone, and these panoramas are seen by windows of a whole sphere; set "
                "view.windows=null"
            )


class Strip(NamedTuple):
    """The columns of a panorama that are learned from. start, width: px; width None: the circle."""

    start: int = 0
    width: int | None = None

    def of(self, panorama: torch.Tensor) -> torch.Tensor:
        """(..., H, W) -> (..., H, width), over the seam where it lies there."""
        if self.width is None:
            return panorama
        columns = torch.arange(self.start, self.start + self.width, device=panorama.device)
        return panorama[..., columns % panorama.shape[-1]]


class View(NamedTuple):
    """One panorama's view. roll: columns, to the right. first, number: of the windows that are
    learned from; None: all are. donor: what draws the panorama that small things are pasted from;
    None: nothing is pasted. seen: the panorama recoloured, or pasted into; None: as it is. It is
    uint8 (H, W, 3) as it is drawn, and normalised, (1, 3, H, W), for a step."""

    mirror: bool = False
    roll: int = 0
    first: int | None = None
    number: int = 0
    donor: tuple[int, int] | None = None
    seen: torch.Tensor | None = None

    @property
    def of_teacher(self) -> bool:
        """Whether the TA sees anything but the clean windows."""
        return self.mirror or self.seen is not None

    def indices(self, windows: WindowPlan) -> list[int]:
        """The windows that are learned from, in their order along the circle."""
        if self.first is None:
            return list(range(len(windows)))
        return [(self.first + i) % len(windows) for i in range(self.number)]

    def overlap_indices(self, windows: WindowPlan) -> list[int]:
        """The overlaps of which both windows are learned from, in the order of those windows."""
        if self.first is None:
            return list(range(len(windows.overlaps)))
        by_left = {overlap.left: i for i, overlap in enumerate(windows.overlaps)}
        return [by_left[left] for left in self.indices(windows)[:-1] if left in by_left]

    def strip(self, windows: WindowPlan) -> tuple[Strip, WindowPlan]:
        """What the windows that are learned from cover, and those windows on it."""
        if self.first is None:
            return Strip(), windows
        assert isinstance(windows, Windows)  # `ViewConfig.check` refuses others
        width = windows.window + (self.number - 1) * windows.stride
        part = Windows(windows.height, width, windows.window, windows.stride, wrap=False)
        return Strip(windows.starts[self.first], width), part


def draw_view(
    config: ViewConfig, windows: WindowPlan, image_HW3: torch.Tensor, seed: int, position: int
) -> View:
    """The view of the panorama at one position of a run."""
    rng = np.random.default_rng((seed, position, _STREAM))
    # all are drawn, wanted or not, so that one setting does not change another's draws
    mirror, roll, first, jitter, donor, shift = rng.integers(2**31, size=6).tolist()
    first_of, number = None, config.windows or 0
    config.check(windows)
    if isinstance(windows, Windows) and 0 < number < len(windows):
        first_of = _firsts(windows, number)[first % len(windows)]
    return View(
        mirror=config.mirror and mirror % 2 == 1,
        roll=roll % windows.width if config.roll else 0,
        first=first_of,
        number=0 if first_of is None else number,
        donor=(donor, shift % windows.width) if config.paste else None,
        seen=recoloured(image_HW3, config.photometric, jitter) if config.photometric else None,
    )


def view_at(
    config: ViewConfig, windows: WindowPlan, seed: int, position: int
) -> Callable[[torch.Tensor], View]:
    """`draw_view`, but for the panorama, uint8 (H, W, 3)."""
    return lambda image_HW3: draw_view(config, windows, image_HW3, seed, position)


_STREAM = 17  # apart from the order of the panoramas, which is drawn from (seed, epoch)


def logits_through(
    view: View, network: torch.nn.Module, images_NCHW: torch.Tensor, whole: bool
) -> torch.Tensor:
    """Logits (N, C, H, W) in the place of `images`, by a network that saw them through `view`.

    whole: they show the whole circle, and are turned too.
    """
    roll = view.roll if whole else 0
    if roll:
        images_NCHW = turn(images_NCHW, roll)
    if view.mirror:
        images_NCHW = images_NCHW.flip(-1)
    logits = segment(network, images_NCHW)
    if view.mirror:
        logits = logits.flip(-1)
    return turn(logits, -roll) if roll else logits


def recoloured(image_HW3: torch.Tensor, strength: float, seed: int) -> torch.Tensor:
    """uint8 (H, W, 3): brightness, contrast and saturation within 1 ± strength / 2, hue, blur."""
    jitter = v2.ColorJitter(
        brightness=0.5 * strength,
        contrast=0.5 * strength,
        saturation=0.5 * strength,
        hue=0.1 * strength,
    )
    blur = v2.RandomApply([v2.GaussianBlur(5, sigma=(0.1, 1e-6 + 0.1 + 1.05 * strength))], p=0.5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return blur(jitter(image_HW3.movedim(-1, 0))).movedim(0, -1).contiguous()


def _firsts(windows: Windows, count: int) -> list[int]:
    """For each window, the first of `count` neighbours; all are a stride apart."""
    starts = windows.starts
    n = len(starts)
    closes = windows.wrap and windows.width % windows.stride == 0
    even = [starts[i + 1] - starts[i] == windows.stride for i in range(n - 1)] + [closes]

    def fits(first: int) -> bool:
        last = first + count - 1
        return ((windows.wrap and closes) or last < n) and all(
            even[i % n] for i in range(first, last)
        )

    good = [first for first in range(n) if fits(first)]
    return [good[i % len(good)] for i in range(n)]
