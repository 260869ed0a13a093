"""Training on true labels: what any labels could give. TA: the teacher assistant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F

from goodsam.data.classes import IGNORE
from goodsam.data.panoramas import read_labels
from goodsam.stages.adapt.learner import AdaptConfig, Learner
from goodsam.stages.adapt.processes import processes
from goodsam.stages.adapt.reading import CachedPanoramas, schedule
from goodsam.stages.device import autocast
from goodsam.stages.schedule import poly_schedule
from goodsam.stages.segformer.segment import normalise, segment


def train_on_truth(
    panoramas: CachedPanoramas,
    labels: Mapping[str, Path],
    out: Path,
    config: AdaptConfig,
    progress: Callable[[int, int], None],
) -> None:
    """Train OUT/teacher_assistant and OUT/student on true labels.

    labels: name -> label map. The steps, rates and order are those of `adapt`; the TA sees
    windows, the student the whole.
    """
    steps = config.length(len(panoramas))
    with processes(config.device) as group:
        learner = Learner(config, group, panoramas.windows)
        teacher, student = learner.teacher, learner.student
        for step, index in enumerate(schedule(len(panoramas), config.seed, 0, steps)):
            learner.set_rate(poly_schedule(step, steps, config.warmup))
            name, image, *_ = panoramas[index]
            pixels = normalise(image[None], group.device)
            truth = torch.from_numpy(read_labels(labels[name], len(learner.names)))
            truth = truth.to(group.device).long()
            with autocast(group.device, config.precision):
                by_windows = segment(teacher, panoramas.windows.cut(pixels[0]))
                whole = segment(student, pixels)
            loss = F.cross_entropy(
                by_windows.float(), panoramas.windows.cut(truth), ignore_index=IGNORE
            ) + F.cross_entropy(whole.float(), truth[None], ignore_index=IGNORE)
            loss.backward()
            learner.update()
            progress(step + 1, steps)
        learner.write(out, panoramas.geometry)
