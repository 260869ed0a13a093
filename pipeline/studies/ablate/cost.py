"""How long the rows of a table will take here: from single runs, before the first of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from goodsam.data.cache import SamCache
from goodsam.data.panoramas import find_panoramas, read_panorama
from goodsam.data.windows import Windows
from goodsam.pipeline.api import sam_factory
from goodsam.pipeline.studies.ablate.runs import Place, Study, needed_caches
from goodsam.pipeline.studies.ablate.tables import Row
from goodsam.pipeline.studies.timing import SCORE, STEP, forward_seconds
from goodsam.pipeline.tell import duration
from goodsam.stages.adapt.learner import AdaptConfig
from goodsam.stages.sam.cache_sam import Stage1Config
from goodsam.stages.sam.estimate import estimate_stage1


@dataclass(frozen=True)
class TableEstimate:
    """Seconds of SAM, of training and of scoring. trainings, steps: their number."""

    masks: float
    training: float
    scores: float
    trainings: int
    steps: int

    def __str__(self) -> str:
        parts = [f"scores {duration(self.scores)}"]
        if self.trainings:
            several = "s" * (self.trainings > 1)
            parts.insert(
                0,
                f"{self.trainings} training{several} of {self.steps} steps together "
                f"{duration(self.training)}",
            )
        if self.masks:
            parts.insert(0, f"SAM {duration(self.masks)}")
        total = duration(self.masks + self.training + self.scores)
        return f"about {total} on this machine, from single runs: {', '.join(parts)}"


def estimate(
    study: Study, todo: Sequence[tuple[Row, int]], places: Mapping[int, Place]
) -> TableEstimate:
    """What `todo`, rows and seeds, still costs.

    Each network is tried on one panorama and each setting of SAM on one window. True instances,
    made worse or not, are taken to cost nothing. Raises InputError for networks that cannot be
    loaded.
    """
    tried: dict[tuple, tuple[float, float]] = {}
    sam: dict[str, float] = {}
    counted: set[Path] = set()
    masks = training = scores = 0.0
    lengths = []
    panoramas = cache(find_panoramas)  # many rows ask for the same folders

    def forward(config: AdaptConfig, place: Place, windows: Windows) -> tuple[float, float]:
        key = (config.teacher_assistant, config.student, config.precision, windows)
        if key not in tried:
            image = panoramas(place.images)[0].image
            tried[key] = forward_seconds(config, read_panorama(image, windows), windows)
        return tried[key]

    for row, seed in todo:
        place, config = places[seed], study.config(row, seed)
        for images, store in needed_caches(study, row, place).values():
            if store in counted or study.masks_of(row) != "sam":
                continue
            counted.add(store)
            names = SamCache.open(store).missing() if store.exists() else panoramas(images)
            if missing := len(names):
                setting = repr((study.stage1(row, place.width), study.generator_of(row)))
                if setting not in sam:
                    sam[setting] = _sam_seconds(study, row, place)
                masks += missing * sam[setting]
        windows = study.windows(row, place)
        of_teacher, of_student = forward(replace(config, precision="float32"), place, windows)
        scored = {
            "student": of_student,
            "ta": of_teacher * windows.width / (windows.window * len(windows)),
            "ensemble": of_teacher,
        }
        labelled = len(panoramas(place.test))
        scores += SCORE * labelled * sum(scored[column] for column in row.shows)
        if row.trains:
            steps = config.length(len(panoramas(place.images)))
            passes = STEP * steps * config.accumulate
            training += passes * sum(forward(config, place, windows))
            lengths.append(steps)
    return TableEstimate(masks, training, scores, trainings=len(lengths), steps=sum(lengths))


def _sam_seconds(study: Study, row: Row, place: Place) -> float:
    """Of a panorama."""
    trial = estimate_stage1(
        place.images,
        study.out / "no cache",
        Stage1Config(**study.stage1(row, place.width)),
        sam_factory(study.sam, study.checkpoint, study.generator_of(row)),
    )
    return trial.seconds / trial.panoramas
