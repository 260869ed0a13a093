"""The street world's truth in the place of SAM or of labels: upper bounds for both.

The true instances are the masks of a perfect SAM: what the method gives where nothing is lost to
the demo SAM, which was trained for three hours on two cores. The true labels show what any labels
could give. TA: the teacher assistant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from goodsam.data.cache import Identity, PanoramaMasks, SamCache, writing
from goodsam.data.classes import IGNORE
from goodsam.data.files import file_hash
from goodsam.data.panoramas import read_labels
from goodsam.data.window_masks import WindowMasks, overlap_boundaries
from goodsam.data.windows import Windows
from goodsam.stages.adapt.beyond.view import logits_through, view_at
from goodsam.stages.adapt.learner import AdaptConfig, Learner
from goodsam.stages.adapt.processes import processes
from goodsam.stages.adapt.reading import CachedPanoramas, schedule
from goodsam.stages.device import autocast
from goodsam.stages.schedule import poly_schedule
from goodsam.stages.segformer.segment import normalise

NAME = "true instances"  # in the place of the hash of a SAM's weights


def true_masks(instances: np.ndarray, windows: Windows) -> list[WindowMasks]:
    """A mask of each instance that a window shows, for every window.

    instances: ids, integers (H, W) of the whole panorama; 0: none.
    """
    found = []
    for part in windows.cut(instances):
        ids = np.unique(part[part > 0])
        ones = np.ones(len(ids), dtype=np.float32)
        found.append(WindowMasks.of(part[None] == ids[:, None, None], ones, ones))
    return found


def cache_truth(
    panoramas: Mapping[str, tuple[Path, Path]], cache: Path, windows: Windows
) -> SamCache:
    """Make or complete a cache as stage 1 would write it, from the true instances.

    panoramas: name -> image and instance map. An overlap's boundaries are those of its two
    windows' masks. Raises InputError as `SamCache.create_or_resume` does.
    """
    identity = Identity(NAME, {}, "windows", windows, fit=False)
    hashes = {name: file_hash(image) for name, (image, _) in panoramas.items()}
    with writing(cache):
        store = SamCache.create_or_resume(cache, identity, hashes, {"masks": NAME})
        for name in store.missing():
            with Image.open(panoramas[name][1]) as file:
                masks = true_masks(np.asarray(file), windows)
            store.write(
                name, PanoramaMasks(tuple(masks), tuple(overlap_boundaries(masks, windows)))
            )
    return store


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
        learner = Learner(config, group, panoramas.windows)
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
        learner.write(out, panoramas.geometry)
