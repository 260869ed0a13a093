"""A look before hours of work: a few panoramas through SAM, the TA, their fusion and the student.

TA: the teacher assistant. Nothing has been trained yet. The masks are those of stage 1, in its own
cache, so that what the preview has made is not made again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from goodsam.data.cache import SamCache
from goodsam.data.classes import IGNORE
from goodsam.data.errors import InputError
from goodsam.data.panoramas import Sample
from goodsam.data.panoramas.fitted import FittedPictures, pictures_folder
from goodsam.data.window_masks import WindowMasks
from goodsam.pipeline import api
from goodsam.pipeline.whole.recipe import Recipe
from goodsam.stages.pseudo_labels import ensemble
from goodsam.stages.sam.factory import release_sam
from goodsam.stages.segformer.segmenter import Segmenter

PANORAMAS = 3
SECONDS = 150  # of SAM: where one panorama takes long, fewer are shown

Found = TypeVar("Found")


@dataclass(frozen=True)
class Seen:
    """A panorama by all of them. image: uint8 (H, W, 3). masks: of its windows. teacher, fused,
    student: labels, uint8 (H, W), by the TA, the ensemble and the untouched student. confidence:
    float32 (H, W), the TA's probability of the ensemble's label.
    """

    name: str
    image: np.ndarray
    masks: tuple[WindowMasks, ...]
    teacher: np.ndarray
    fused: np.ndarray
    student: np.ndarray
    confidence: np.ndarray


@dataclass(frozen=True)
class Preview:
    """What the preview saw, by the TA's classes and colours, uint8 (C, 3).

    seconds: of a panorama, by `sam`, `teacher` and `student`.
    """

    seen: tuple[Seen, ...]
    names: tuple[str, ...]
    palette: np.ndarray
    cache: SamCache
    seconds: dict[str, float]


def preview(images: Path, samples: Sequence[Sample], cache: Path, recipe: Recipe) -> Preview:
    """Look at a few of the samples, evenly spread; fewer where SAM is slow.

    Raises InputError for networks and settings that do not work, and for a panorama that SAM could
    not be shown.
    """
    config = recipe.config
    teacher = Segmenter.load(config.teacher_assistant, device=config.device)
    student = Segmenter.load(config.student, device=config.device)
    if teacher.names != student.names:
        raise InputError(
            f"{config.student}: its classes are not those of {config.teacher_assistant}; start the "
            "student from a model with the teacher assistant's classes"
        )
    chosen, sam_seconds = _masks(images, spread(samples), cache, recipe)
    opened = SamCache.open(cache)
    pictures = FittedPictures(pictures_folder(cache), opened.identity.geometry)
    seen, seconds = [], {"sam": sam_seconds, "teacher": 0.0, "student": 0.0}
    for sample in chosen:
        image = pictures.read(sample.name, sample.image, opened.images[sample.name])
        fused, seconds["teacher"] = timed(
            lambda: ensemble(teacher, image, opened, sample.name, config.step.fusion)  # noqa: B023
        )
        labels, seconds["student"] = timed(lambda: student.classes(image[None])[0])  # noqa: B023
        seen.append(
            Seen(
                sample.name,
                image,
                opened.read(sample.name).windows,
                fused.teacher.cpu().numpy(),
                fused.labels.cpu().numpy(),
                labels,
                fused.confidence.cpu().numpy(),
            )
        )
    return Preview(tuple(seen), teacher.names, teacher.palette, opened, seconds)


def spread(samples: Sequence[Sample], count: int = PANORAMAS) -> list[Sample]:
    """So many of the samples, evenly spread, or all of them.

    >>> samples = [Sample(str(number), Path()) for number in range(10)]
    >>> [sample.name for sample in spread(samples)]
    ['1', '5', '8']
    """
    count = min(count, len(samples))
    return [samples[(2 * i + 1) * len(samples) // (2 * count)] for i in range(count)]


def _masks(
    images: Path, samples: Sequence[Sample], cache: Path, recipe: Recipe
) -> tuple[list[Sample], float]:
    """Stage 1 for the first of these panoramas, and as many more as the time allows.

    Those that are done, and the seconds of one more, should there be any.
    """
    seconds = _made(images, samples[:1], cache, recipe)
    # the first one loads and warms up, for all that follow
    allowed = max(1, int(SECONDS / seconds)) if seconds else len(samples)
    shown = list(samples[:allowed])
    if shown[1:]:
        seconds = _made(images, shown[1:], cache, recipe) or seconds
    if not seconds and SamCache.open(cache).missing():
        left = api.estimate_sam(images, cache, **recipe.stage1)
        seconds = left.seconds / left.panoramas
    release_sam()
    return shown, seconds


def _made(images: Path, samples: Sequence[Sample], cache: Path, recipe: Recipe) -> float:
    """Stage 1 for these panoramas; the seconds of one, 0 where all were there."""
    only = [sample.name for sample in samples]
    summary = api.cache_sam(images, cache, only=only, **recipe.stage1).summary
    if summary.failed:
        raise InputError(next(iter(summary.failed.values())))
    return summary.seconds / summary.done if summary.done else 0.0


def timed(work: Callable[[], Found]) -> tuple[Found, float]:
    """What it gives, and the seconds it takes."""
    started = time.perf_counter()
    found = work()
    return found, time.perf_counter() - started


def measured(seen: Sequence[Seen], names: Sequence[str]) -> dict[str, Any]:
    """What can be said of panoramas without labels, in percent, in all and by class.

    agreement: pixels that TA and ensemble label alike; of a class: of the ensemble's pixels of it.
    confidence: the TA's probability of the ensemble's label, its mean over the same pixels.
    student_agreement: pixels that the untouched student labels like the ensemble. covered: pixels
    of the windows in a mask; masks: of a window. By class also the shares of all pixels. Pixels
    without a label of the ensemble's are left out; None where a class has no pixel.

    >>> one = np.zeros((2, 2), np.uint8)
    >>> seen = Seen("a", one, (), one, one + [[0, 1], [1, 255]], one, np.full((2, 2), 0.5))
    >>> found = measured([seen], ["road", "car"])
    >>> round(found["agreement"], 1), found["classes"]["car"]["agreement"]
    (33.3, 0.0)
    """
    known = [one.fused != IGNORE for one in seen]

    def flat(what: str) -> np.ndarray:
        return np.concatenate([getattr(one, what)[k] for one, k in zip(seen, known, strict=True)])

    teacher, fused, student, sure = map(flat, ("teacher", "fused", "student", "confidence"))
    count, percent = len(names), 100 / max(1, len(fused))
    pixels = {
        "teacher_assistant": np.bincount(teacher, minlength=count),
        "ensemble": np.bincount(fused, minlength=count),
        "student": np.bincount(student, minlength=count),
    }
    agreed = np.bincount(fused[fused == teacher], minlength=count)
    confidence = np.bincount(fused, sure, minlength=count)
    own = pixels["ensemble"]
    windows = [window for one in seen for window in one.masks]
    return {
        "agreement": percent * int(agreed.sum()),
        "confidence": percent * float(confidence.sum()),
        "student_agreement": percent * int((student == fused).sum()),
        "covered": 100 * float(np.mean([float(np.mean(w.cells > 0)) for w in windows] or [0.0])),
        "masks": float(np.mean([len(w) for w in windows] or [0])),
        "classes": {
            name: {
                **{who: percent * int(counts[i]) for who, counts in pixels.items()},
                "agreement": 100 * int(agreed[i]) / int(own[i]) if own[i] else None,
                "confidence": 100 * float(confidence[i]) / int(own[i]) if own[i] else None,
            }
            for i, name in enumerate(names)
        },
    }
