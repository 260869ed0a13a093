"""No SAM at all: windows without a single mask, for self-training on the labels of the TA alone.

TA: the teacher assistant. A cache of such windows costs nothing and keeps what a cache knows beside
the masks: which photographs, how they are seen, which pixels are left out. So whatever takes a
cache takes this one too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from goodsam.data.window_masks import WindowMasks

NO_SAM = "none"


@dataclass(frozen=True)
class WithoutSam:
    """A `GeneratorFactory` whose generator finds nothing."""

    @property
    def sam(self) -> str:
        return "0" * 64

    @property
    def settings(self) -> dict[str, Any]:
        return {"masks": NO_SAM}

    @property
    def provenance(self) -> dict[str, Any]:
        return {"masks": NO_SAM}

    def build(self, place: int = 0) -> NoMasks:
        return NoMasks()


class NoMasks:
    """uint8 (H, W, 3) RGB each -> no mask of any."""

    def __call__(self, images: Sequence[np.ndarray]) -> list[WindowMasks]:
        none = np.zeros(0, np.float32)
        return [WindowMasks.of(np.zeros((0, *i.shape[:2]), bool), none, none) for i in images]
