"""What a reproduction costs on this machine: timed on one window and one panorama, first of all."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from data.errors import InputError
from data.panoramas import read_panorama
from data.sam_cache import SamCache
from pipeline.report import duration
from pipeline.reproduce.plan import PAPER_SIZE, Plan, Request
from stages.adapt.learner import load_networks
from stages.adapt.models import normalise, segment
from stages.device import pick_device
from stages.sam.generate import SamGenerator
from stages.sam.load import load_sam

CACHE_BYTES = 0.25 * 2**20  # of a 400 x 2048 panorama: cell maps, tables and boundary maps
RESERVE = 2**28  # bytes to leave free


@dataclass(frozen=True)
class Estimate:
    """What is still to be done costs about this much here. Seconds and bytes."""

    stage1: float
    training: float
    evaluation: float
    disk: int
    free: int

    def __str__(self) -> str:
        return (
            f"estimate for this machine, from single runs: SAM {duration(self.stage1)}, training "
            f"{duration(self.training)}, scores {duration(self.evaluation)}; disk "
            f"{self.disk / 2**30:.1f} GiB of {self.free / 2**30:.1f} GiB free"
        )


def estimate(plan: Plan) -> Estimate:
    """Time a window through SAM and a panorama through both networks, and multiply."""
    missing = len(plan.training)
    if plan.request.cache.exists():
        missing = len(SamCache.open(plan.request.cache).missing())
    device = pick_device(plan.config.device)
    image = read_panorama(plan.training[0].image, plan.windows)
    runs = len(plan.windows)
    if plan.request.boundaries == "overlap":
        runs += len(plan.windows.overlaps)
    stage1 = 0.0
    if missing:
        window = np.ascontiguousarray(image[:, : plan.windows.window])
        stage1 = missing * runs * _seconds_a_window(plan.request, window, device)
    teacher, student = load_networks(plan.config, device)
    pixels = normalise(image[None], device)
    with torch.inference_mode():
        of_student = _timed(lambda: segment(student, pixels), device)
        of_teacher = _timed(lambda: segment(teacher, plan.windows.cut(pixels[0])), device)
    # a backward pass costs about two forward ones; five evaluations, two of them by the student
    training = 3 * (of_student + of_teacher) * plan.steps * plan.config.accumulate
    evaluation = len(plan.test) * (2 * of_student + 3 * of_teacher)
    scale = plan.windows.height * plan.windows.width / (PAPER_SIZE[0] * PAPER_SIZE[1])
    weights = 4 * sum(plan.parameters)
    # two checkpoints and one being written, each with Adam's two moments; the networks at the end
    disk = int(missing * CACHE_BYTES * scale) + (3 * 3 + 1) * weights
    free = shutil.disk_usage(_existing(plan.request.out)).free
    return Estimate(stage1, training, evaluation, disk, free)


def check_room(found: Estimate, out: Path) -> None:
    """InputError where the disk cannot hold what is to come."""
    if found.disk + RESERVE > found.free:
        raise InputError(
            f"{out}: needs about {found.disk / 2**30:.1f} GiB and {found.free / 2**30:.1f} GiB are "
            "free; choose an --out on a larger disk"
        )


def _seconds_a_window(request: Request, window: np.ndarray, device: torch.device) -> float:
    """SAM's time for one window: that of 1 and of 64 points, and a straight line through both."""
    model = load_sam(request.sam, request.checkpoint).model.to(device)
    wanted = request.generator.points_per_side**2
    sides = (1, 8)
    seconds = [
        _timed(
            lambda side=side: SamGenerator(  # type: ignore[misc]
                model, replace(request.generator, points_per_side=side)
            )([window]),
            device,
        )
        for side in sides
    ]
    slope = max(0.0, seconds[1] - seconds[0]) / (sides[1] ** 2 - sides[0] ** 2)
    return seconds[0] + slope * (wanted - 1)


def _timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of the second of two runs."""
    for _ in range(2):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    return time.perf_counter() - started


def _existing(path: Path) -> Path:
    path = path.absolute()
    return next(parent for parent in (path, *path.parents) if parent.exists())
