"""An export beside torch, on pictures: the same labels? how fast, how large?"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from goodsam.stages.export.runtimes import Labels
from goodsam.stages.export.views import View
from goodsam.stages.score.confusion import Scores, confusion
from goodsam.stages.segformer.segmenter import Segmenter

# Percent of the pixels that must be labelled as torch labels them.
BAR, HALF_BAR, INT8_BAR = 99.99, 99.9, 99.0
CROPS = ((147, 333), (128, 416))  # sizes that no panorama has, seen two at a time
_ROUNDS = 2


@dataclass(frozen=True)
class Comparison:
    """What an export is worth.

    agreement: percent of the pixels. miou: (torch's, the export's) in percent, nan without truth.
    milliseconds: a view, likewise. megabytes: of the export.
    """

    agreement: float
    miou: tuple[float, float]
    milliseconds: tuple[float, float]
    megabytes: float

    def __str__(self) -> str:
        torch_ms, ms = self.milliseconds
        text = (
            f"{self.agreement:.3f} % of the pixels are labelled as by torch, {ms:.0f} ms a picture "
            f"(torch {torch_ms:.0f}), {self.megabytes:.2f} MB"
        )
        if math.isnan(self.miou[0]):
            return text
        return f"{text}, mIoU {self.miou[1]:.2f} (torch {self.miou[0]:.2f})"


def compare(segmenter: Segmenter, labels: Labels, views: Sequence[View], size: int) -> Comparison:
    """Label views, each on its own, and crops of them in pairs, by both. size: bytes."""
    count = len(segmenter.names)
    sides = (segmenter.classes, labels)
    matrices = [np.zeros((count, count + 1), np.int64) for _ in sides]
    seconds: list[list[float]] = [[], []]
    same = pixels = 0
    for view in views:
        whole = view.image[None]
        answers = [side(whole) for side in sides]
        for _ in range(_ROUNDS):
            for times, side in zip(seconds, sides, strict=True):
                begun = time.perf_counter()
                side(whole)
                times.append(time.perf_counter() - begun)
        if view.truth is not None:
            for matrix, answer in zip(matrices, answers, strict=True):
                matrix += confusion(answer[0], view.truth, count)
        pairs = [answers]
        for height, width in CROPS:
            parts = (view.image[:height, :width], view.image[-height:, -width:])
            pairs.append([side(np.stack(parts)) for side in sides])
        for ours, theirs in pairs:
            same += int((ours == theirs).sum()) if ours.shape == theirs.shape else 0
            pixels += ours.size
    miou = [Scores(matrix, segmenter.names).miou for matrix in matrices]
    ms = [1000 * median(times) for times in seconds]
    return Comparison(100 * same / pixels, (miou[0], miou[1]), (ms[0], ms[1]), size / 1e6)


def demand(
    found: Comparison, out: Path, *, half: bool = False, int8: bool = False, force: bool = False
) -> None:
    """RuntimeError if an export labels fewer pixels as torch does than it must, unless forced."""
    least = INT8_BAR if int8 else HALF_BAR if half else BAR
    if found.agreement < least and not force:
        raise RuntimeError(
            f"{out}: not written: {found}; {least} % is the least (--force writes it nevertheless)"
        )


def bytes_of(path: Path) -> int:
    """Of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")))
