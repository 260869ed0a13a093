"""Training on true labels: what any labels could give. TA: the teacher assistant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

from goodsam.data.classes import IGNORE
from goodsam.data.panoramas import read_labels
from goodsam.stages.adapt.beyond.view import logits_through, view_at
from goodsam.stages.adapt.learner import AdaptConfig, Learner
from goodsam.stages.adapt.processes import processes
from goodsam.stages.adapt.reading import CachedPanoramas, schedule
from goodsam.stages.device import autocast
from goodsam.stages.schedule import poly_schedule
from goodsam.stages.segformer.segment import normalise


def train_on_truth(
    panoramas: CachedPanoramas,
    labels: Mapping[str, Path],
    out: Path,
    config: AdaptConfig,
    progress: Callable[[int, int], None],
) -> None:
    """Train OUT/teacher_assistant and OUT/student on true labels.

    labels: name -> label map. The steps, rates, order and views are those of `adapt`, but that all
    windows are learned from and nothing is pasted; the TA sees windows, the student the whole.
    """
    steps = config.length(len(panoramas))
    views = replace(config.view, windows=None, paste=False)
    with processes(config.device) as group:
        learner = Learner(config, group, panoramas.windows, geometry=panoramas.geometry)
        teacher, student = learner.teacher, learner.student
        for step, index in enumerate(schedule(len(panoramas), config.seed, 0, steps)):
            learner.set_rate(poly_schedule(step, steps, config.warmup))
            item = panoramas.read(index, view_at(views, panoramas.windows, config.seed, step))
            view = item.view
            seen = item.image if view.seen is None else view.seen
            pixels = normalise(seen[None], group.device)
            truth = torch.from_numpy(read_labels(labels[item.name], len(learner.names)))
            truth = truth.to(group.device).long()
            with autocast(group.device, config.precision):
                pieces = panoramas.windows.cut(pixels[0])
                by_windows = logits_through(view, teacher, pieces, whole=False)
                whole = logits_through(view, student, pixels, whole=True)
            loss = F.cross_entropy(
                by_windows.float(), panoramas.windows.cut(truth), ignore_index=IGNORE
            ) + F.cross_entropy(whole.float(), truth[None], ignore_index=IGNORE)
            loss.backward()
            learner.update()
            progress(step + 1, steps)
        learner.write(out, steps)
