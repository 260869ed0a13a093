"""What can be said of predictions without labels: how steady they are. None of it is an accuracy.

Where an image is seen twice (by two overlapping windows; turned by half a circle; by student and
teacher assistant; before and after the adaptation), count the pixels that were labelled alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from goodsam.data.classes import IGNORE
from goodsam.data.errors import InputError
from goodsam.data.panoramas import Conversions, Sample, read_image
from goodsam.data.windows import turn
from goodsam.stages.score.evaluate import masked
from goodsam.stages.segformer.segmenter import Segmenter


@dataclass(frozen=True)
class Peers:
    """Whom to hold a segmenter against, as far as they are there.

    before: the student that the adaptation began with. teacher: the adapted teacher assistant.
    """

    before: Segmenter | None = None
    teacher: Segmenter | None = None


@dataclass(frozen=True)
class Agreement:
    """Percent of an image's pixels that two views give the same label; nan where there is none.

    windows: two overlapping windows, of the pixels they share. roll: the image and the image turned
    by half a circle. teacher: student and teacher assistant. unchanged: before and after.
    """

    windows: float
    roll: float
    teacher: float = math.nan
    unchanged: float = math.nan


@dataclass(frozen=True)
class Unlabelled:
    """What can be said without labels, none of it an accuracy.

    shares: percent of all pixels that each class was given; shares_before: by the student before
    the adaptation, empty if unknown. images: by image, the agreements. changes: int64 (C, C),
    pixels by class before (row) and after (column); None if unknown.
    """

    shares: dict[str, float]
    images: dict[str, Agreement]
    shares_before: dict[str, float] = field(default_factory=dict)
    changes: np.ndarray | None = None

    def mean(self, what: str) -> float | None:
        """The mean over the images of one field of Agreement; None where no image has it."""
        values = [getattr(one, what) for one in self.images.values()]
        known = [value for value in values if not math.isnan(value)]
        return float(np.mean(known)) if known else None

    def largest_changes(self, count: int = 8) -> list[tuple[str, str, float]]:
        """(class before, class after, percent of all pixels), the most frequent first."""
        if self.changes is None:
            return []
        moved, names = self.changes.copy(), tuple(self.shares)
        np.fill_diagonal(moved, 0)
        order = np.argsort(moved, axis=None, kind="stable")[::-1][:count]
        total = self.changes.sum()
        return [
            (names[i // len(names)], names[i % len(names)], 100 * float(moved.flat[i]) / total)
            for i in order
            if moved.flat[i]
        ]


def inspect(
    segmenter: Segmenter,
    samples: Sequence[Sample],
    progress: Callable[[str], None] = lambda name: None,
    conversions: Conversions | None = None,
    *,
    peers: Peers | None = None,
    ignore: np.ndarray | None = None,
) -> Unlabelled:
    """Class shares, and how far different views agree, on images without labels.

    All at the size that the network sees, a fitted one where its run fitted, and without the pixels
    that the run left out. ignore: bool (H, W) of that size, true where more pixels are left out (of
    all but the agreement of windows).
    """
    peers = peers or Peers()
    if not samples:
        raise InputError("there are no images to evaluate")
    count = len(segmenter.names)
    after_counts = np.zeros(count + 1, dtype=np.int64)
    changes = np.zeros((count, count), dtype=np.int64) if peers.before else None
    images = {}
    for sample in samples:
        image = read_image(sample.image, conversions)
        where = segmenter.placement(sample.image, (image.shape[0], image.shape[1]))
        view = segmenter.view(image, where)
        after = segmenter.classes(view[None])[0]
        kept = masked(after, ignore, segmenter.unseen((view.shape[0], view.shape[1]))) != IGNORE
        after_counts += np.bincount(after[kept], minlength=count + 1)
        teacher = unchanged = math.nan
        if peers.teacher:
            teacher = _same(peers.teacher.classes(view[None])[0], after, kept)
        if peers.before:
            before = peers.before.classes(view[None])[0]
            unchanged = _same(before, after, kept)
            pairs = before[kept].astype(np.int64) * count + after[kept]
            assert changes is not None
            changes += np.bincount(pairs, minlength=count * count).reshape(count, count)
        images[sample.name] = Agreement(
            windows=segmenter.window_agreement(view),
            roll=_same(rolled(segmenter, view), after, kept),
            teacher=teacher,
            unchanged=unchanged,
        )
        progress(sample.name)
    shares_before = {} if changes is None else _shares(segmenter.names, changes.sum(axis=1))
    return Unlabelled(
        _shares(segmenter.names, after_counts[:count]), images, shares_before, changes
    )


def rolled(segmenter: Segmenter, view: np.ndarray) -> np.ndarray:
    """uint8 (h, w): the classes of a view turned by half a circle, turned back."""
    half = view.shape[1] // 2
    turned = np.ascontiguousarray(turn(view, half, axis=1))
    return turn(segmenter.classes(turned[None])[0], -half)


def _same(one: np.ndarray, other: np.ndarray, kept: np.ndarray) -> float:
    return 100 * float((one == other)[kept].mean()) if kept.any() else math.nan


def _shares(names: Sequence[str], counts: np.ndarray) -> dict[str, float]:
    shares = 100 * counts / max(1, counts.sum())
    return dict(zip(names, map(float, shares), strict=True))
