"""Stage 2: train TA and student on a folder of panoramas and its SAM cache.

    goodsam train IMAGES CACHE --preset goodsam-m --out RUN

A run directory holds config.yaml (by the caller), metrics.jsonl, tensorboard/, checkpoints/ and,
at the end, teacher_assistant/ and student/: directories that `transformers` loads. The order of
the panoramas depends on seed and epoch alone and no step draws anything at random, so a killed
run goes on to the same weights, bit for bit, on a CPU.
"""

from __future__ import annotations

import copy
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.tensorboard import SummaryWriter

from data.errors import InputError
from data.panoramas import read_panorama
from data.sam_cache import SamCache
from data.windows import Windows
from stages.adapt.fusion import MaskBatch
from stages.adapt.models import class_names, load_segformer, normalise, save_segformer
from stages.adapt.step import Outcome, StepConfig, adaptation_step
from stages.checkpoint import (
    latest_checkpoint,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from stages.device import autocast, pick_device
from stages.schedule import poly_schedule


@dataclass(frozen=True)
class AdaptConfig:
    """Stage 2.

    teacher_assistant, student: SegFormer directories or hub names. epochs: passes over the
    panoramas; steps overrides it when given. accumulate: panoramas per optimiser step.
    labels: the TA whose predictions are fused: `live` (the paper), `ema` of it, or `frozen`.
    """

    teacher_assistant: str
    student: str
    step: StepConfig = field(default_factory=StepConfig)
    epochs: int = 10
    steps: int | None = None
    accumulate: int = 1
    teacher_lr: float = 1e-5
    student_lr: float = 2e-5
    weight_decay: float = 0.01
    warmup: int = 50
    clip: float = 1.0
    labels: Literal["live", "ema", "frozen"] = "live"
    ema_decay: float = 0.999
    seed: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    device: str = "auto"
    workers: int = 1
    checkpoint_every: int = 100


Item = tuple[str, np.ndarray, MaskBatch, list[torch.Tensor]]


class CachedPanoramas(Dataset):
    """Panoramas with what SAM gave for them. Picklable: files are opened in the worker."""

    def __init__(self, images: Path, cache: SamCache, names: list[str]) -> None:
        self.images, self.cache, self.names = images, cache, names
        self.windows: Windows = cache.identity.windows
        self.fit: bool = cache.identity.fit

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Item:
        name = self.names[index]
        image = read_panorama(self.images / name, self.windows, self.fit)
        record = self.cache.read(name)
        boundaries = [torch.from_numpy(np.asarray(map_)) for map_ in record.boundaries]
        return name, image, MaskBatch.of(record.windows), boundaries


def schedule(count: int, seed: int, first: int, last: int) -> Iterator[int]:
    """Indices of the panoramas for positions first to last of a run: a permutation an epoch."""
    for position in range(first, last):
        epoch, place = divmod(position, count)
        if place == 0 or position == first:
            order = np.random.default_rng((seed, epoch)).permutation(count)
        yield int(order[place])


def adapt(
    panoramas: CachedPanoramas,
    out: Path,
    config: AdaptConfig,
    progress: Callable[[int, int, dict[str, float]], None] | None = None,
) -> Path:
    """Adapt TA and student; returns `OUT/student`. Goes on from OUT's last checkpoint."""
    if not len(panoramas):
        raise InputError("no panoramas to train on")
    device = pick_device(config.device)
    teacher, student = load_networks(config, device)
    networks: dict[str, torch.nn.Module] = {"teacher_assistant": teacher, "student": student}
    labeller = None
    if config.labels != "live":
        labeller = copy.deepcopy(teacher)
        networks["labeller"] = labeller
    optimizers = {
        "teacher_assistant": _optimizer(teacher, config.teacher_lr, config.weight_decay),
        "student": _optimizer(student, config.student_lr, config.weight_decay),
    }
    steps = config.steps or max(1, config.epochs * len(panoramas) // config.accumulate)
    folder, step = out / "checkpoints", 0
    if newest := latest_checkpoint(folder):
        step = load_checkpoint(newest, networks, optimizers)["step"]
    _forget_after(out / "metrics.jsonl", step)

    order = schedule(
        len(panoramas), config.seed, step * config.accumulate, steps * config.accumulate
    )
    loader: Iterator[Item] = iter(
        DataLoader(panoramas, sampler=_Sequence(order), batch_size=None, num_workers=config.workers)
    )
    windows, started = panoramas.windows, time.monotonic()
    with (
        (out / "metrics.jsonl").open("a", buffering=1) as metrics,
        SummaryWriter(str(out / "tensorboard"), purge_step=step) as board,
    ):
        first = step
        while step < steps:
            rate = poly_schedule(step, steps, config.warmup)
            for optimizer in optimizers.values():
                optimizer.zero_grad(set_to_none=True)
                for group in optimizer.param_groups:
                    group["lr"] = group["initial_lr"] * rate
            rows = []
            for name, image, masks, boundaries in itertools.islice(loader, config.accumulate):
                with autocast(device, config.precision):
                    outcome = adaptation_step(
                        teacher,
                        student,
                        normalise(image[None], device),
                        masks.to(device),
                        [map_.to(device) for map_ in boundaries],
                        windows,
                        config.step,
                        labeller,
                    )
                _check_finite(outcome, step, name)
                ((outcome.teacher + outcome.student) / config.accumulate).backward()
                rows.append(measure(outcome, windows))
            for network in (teacher, student):
                torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
            for optimizer in optimizers.values():
                optimizer.step()
            if labeller is not None and config.labels == "ema":
                _follow(labeller, teacher, config.ema_decay)

            step += 1
            row = {key: sum(r[key] for r in rows) / len(rows) for key in rows[0]}
            elapsed = time.monotonic() - started
            row |= {
                "teacher_lr": config.teacher_lr * rate,
                "student_lr": config.student_lr * rate,
                "images_per_second": (step - first) * config.accumulate / max(elapsed, 1e-9),
            }
            metrics.write(json.dumps({"step": step, **row}) + "\n")
            for key, value in row.items():
                board.add_scalar(key, value, step)
            if progress:
                progress(step, steps, row)
            if step % config.checkpoint_every == 0 or step == steps:
                path = folder / f"step_{step:08d}.safetensors"
                save_checkpoint(path, networks, optimizers, {"step": step})
                prune_checkpoints(folder, keep=2)
    save_segformer(teacher, out / "teacher_assistant")
    save_segformer(student, out / "student")
    return out / "student"


def load_networks(config: AdaptConfig, device: torch.device) -> tuple[Any, Any]:
    """TA and student, in evaluation mode (METHOD: BatchNorm, dropout, stochastic depth).

    Raises InputError when their classes differ.
    """
    teacher = load_segformer(config.teacher_assistant)
    student = load_segformer(config.student)
    if class_names(teacher) != class_names(student):
        raise InputError(
            f"{config.student}: its classes are not those of {config.teacher_assistant} "
            f"({len(class_names(student))} and {len(class_names(teacher))}); "
            "start the student from a model with the TA's classes"
        )
    return teacher.to(device).eval(), student.to(device).eval()


@torch.no_grad()
def measure(outcome: Outcome, windows: Windows) -> dict[str, float]:
    """What is worth watching in a step, besides its losses.

    trusted: the share of pixels with weight 1. agreement: of the ensemble with the TA.
    ensemble_entropy: of the ensemble's class shares, nats; it falls when a run collapses.
    student_agreement: of the student with the TA's whole-image labels.
    """
    teacher = outcome.teacher_logits.argmax(dim=1)
    whole = windows.join(teacher)
    counted = outcome.ensemble[outcome.ensemble < outcome.teacher_logits.shape[1]]
    shares = torch.bincount(counted.flatten()).float() / max(1, counted.numel())
    row = {name: term.item() for name, term in outcome.terms.items()}
    row["teacher_total"] = outcome.teacher.item()
    row["student_total"] = outcome.student.item()
    row["trusted"] = outcome.weight_map.mean().item()
    row["agreement"] = (teacher == outcome.ensemble).float().mean().item()
    row["ensemble_entropy"] = torch.special.entr(shares).sum().item()
    student = outcome.student_logits.argmax(dim=1)[0]
    row["student_agreement"] = (student == whole).float().mean().item()
    return row


class _Sequence(torch.utils.data.Sampler[int]):
    def __init__(self, indices: Iterator[int]) -> None:
        self.indices = indices

    def __iter__(self) -> Iterator[int]:
        return self.indices


def _optimizer(network: torch.nn.Module, rate: float, decay: float) -> torch.optim.Optimizer:
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([{**group, "initial_lr": rate} for group in groups], lr=rate)


@torch.no_grad()
def _follow(labeller: torch.nn.Module, teacher: torch.nn.Module, decay: float) -> None:
    for slow, fast in zip(labeller.parameters(), teacher.parameters(), strict=True):
        slow.lerp_(fast, 1 - decay)


def _check_finite(outcome: Outcome, step: int, name: str) -> None:
    for term, value in outcome.terms.items():
        if not torch.isfinite(value):
            raise FloatingPointError(
                f"step {step}, {name}: the loss {term} is {value.item()}; the last checkpoint "
                "stays; lower the learning rates (--set teacher_lr=..., student_lr=...)"
            )


def _forget_after(metrics: Path, step: int) -> None:
    """Drop the lines of steps that a resumed run does again."""
    metrics.parent.mkdir(parents=True, exist_ok=True)
    if metrics.exists():
        rows = metrics.read_text().splitlines(keepends=True)
        kept = [r for r in rows if r.endswith("\n") and json.loads(r)["step"] <= step]
        metrics.write_text("".join(kept))
