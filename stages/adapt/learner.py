"""Teacher assistant (TA) and student as they learn: optimisers, one step in parts, checkpoints."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from goodsam.data.errors import InputError
from goodsam.data.geometry import Geometry
from goodsam.data.ranges import (
    ABOVE_0,
    AT_LEAST_0,
    COUNT,
    COUNT_OR_NONE,
    SEED,
    SHARE,
    WORKERS,
    check_ranges,
)
from goodsam.data.sphere import WindowPlan
from goodsam.stages.adapt.beyond.labeller import alignments, follow_teacher
from goodsam.stages.adapt.beyond.paste import cut_outs, pasted
from goodsam.stages.adapt.beyond.view import View, ViewConfig
from goodsam.stages.adapt.labels import predict_labels
from goodsam.stages.adapt.pair import load_networks
from goodsam.stages.adapt.processes import Processes, gather_only
from goodsam.stages.adapt.reading import Item
from goodsam.stages.adapt.step import (
    STUDENT_LOSSES,
    TEACHER_LOSSES,
    ByClass,
    Networks,
    Outcome,
    StepConfig,
    adaptation_step,
)
from goodsam.stages.adapt.watch import measure
from goodsam.stages.checkpoint import (
    latest_checkpoint,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from goodsam.stages.device import autocast
from goodsam.stages.networks.classes import Mapped
from goodsam.stages.networks.files import save_model
from goodsam.stages.segformer.origin import KEY, Origin
from goodsam.stages.segformer.segment import class_names, normalise, parameter_count


@dataclass(frozen=True)
class AdaptConfig:
    """The settings of stage 2, the training of teacher assistant and student."""

    teacher_assistant: str
    """The teacher assistant (TA) to begin with: a network's directory or hub name, or street-ta."""
    student: str
    """The student to begin with: a network's directory or hub name, or street-student."""
    step: StepConfig = field(default_factory=StepConfig)
    """What one step computes: fusion, boundaries and losses."""
    classes: dict[str, str | tuple[str, ...]] | None = None
    """The wanted classes, and of which of the TA's each is made; null: the TA's as they are."""
    epochs: int = 10
    """Passes over the panoramas."""
    steps: int | None = None
    """Optimiser steps; null: as many as `epochs` gives."""
    accumulate: int = 1
    """Panoramas of one optimiser step, over all processes together."""
    teacher_lr: float = 1e-5
    """The TA's learning rate after the warm-up; it then falls linearly to 0."""
    student_lr: float = 2e-5
    """The student's learning rate after the warm-up; it then falls linearly to 0."""
    weight_decay: float = 0.01
    """AdamW's weight decay, of matrices and filters alone."""
    warmup: int = 50
    """Steps in which the learning rates rise linearly."""
    clip: float = 1.0
    """Each network's gradient is scaled down to this norm where it is larger."""
    view: ViewConfig = field(default_factory=ViewConfig)
    """What the networks see while they learn; labels always come from the clean panorama."""
    labels: Literal["live", "ema", "frozen"] = "live"
    """Which TA's labels are fused: as it is now (the paper), its moving average, or as it began."""
    ema_decay: float = 0.999
    """How much of itself the moving average keeps when it follows the TA (`labels: ema`)."""
    labels_every: int = 1
    """Steps between two moves of the moving average (`labels: ema`)."""
    labels_gate: bool = False
    """The moving average follows only where the TA's labels agree better with the masks."""
    seed: int = 0
    """Decides the order of the panoramas."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """The number format of the forward passes."""
    compile: bool = False
    """Compile both networks: worth it for thousands of steps; needs a C++ compiler."""
    device: str = "auto"
    """Where to compute: cpu, cuda, cuda:1, ...; auto: a GPU if there is one."""
    workers: int = 1
    """Processes that read panoramas ahead; 0: the training process reads them itself."""
    checkpoint_every: int = 100
    """Steps between two checkpoints."""
    pictures_every: int = 100
    """Steps between two strips of pictures, in pictures/ and TensorBoard; 0: no pictures."""
    val_every: int = 100
    """Steps between two scores of the student on labelled panoramas (`train --val`)."""
    trackers: tuple[Literal["wandb", "mlflow", "trackio"], ...] = ()
    """Who else is told every step's figures, through accelerate; TensorBoard always is."""
    collapse: float = 0.5
    """Stop when the entropy of the ensemble's class shares falls below this part of its first."""
    hold_shares: float = 0.0
    """How strongly classes that fade from the ensemble weigh more in Eq. 5 and 6; the paper: 0."""
    rare_weight: float = 0.0
    """A class weighs its share of the ensemble to minus this power in Eq. 5 and 6; the paper: 0."""
    threshold: float = 0.0
    """The part of its class's mean confidence below which a pixel does not count; the paper: 0."""

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES)

    def length(self, panoramas: int) -> int:
        """Optimiser steps of a training on so many panoramas."""
        return self.steps or max(1, self.epochs * panoramas // self.accumulate)


_RANGES = {
    **dict.fromkeys(("epochs", "steps", "accumulate", "labels_every"), COUNT),
    **dict.fromkeys(("checkpoint_every", "val_every"), COUNT),
    **dict.fromkeys(("warmup", "pictures_every"), COUNT_OR_NONE),
    **dict.fromkeys(("teacher_lr", "student_lr", "clip"), ABOVE_0),
    **dict.fromkeys(("weight_decay", "hold_shares", "rare_weight", "threshold"), AT_LEAST_0),
    **dict.fromkeys(("ema_decay", "collapse"), SHARE),
    "seed": SEED,
    "workers": WORKERS,
}

WRITTEN = ("teacher_assistant", "student")  # the networks that a run gives


class Learner:
    """TA, student and what belongs to them. A step: `learn` of each panorama, then `update`."""

    def __init__(
        self,
        config: AdaptConfig,
        group: Processes,
        windows: WindowPlan,
        kept_HW: torch.Tensor | None = None,
        geometry: Geometry | None = None,
    ) -> None:
        """Load both networks. Raises InputError for networks that do not go together.

        kept: bool, the pixels of every panorama that a loss may come from; None: all. geometry: how
        the panoramas are seen, which stays with the networks; None: as they are.
        """
        self.geometry = geometry or Geometry(windows)
        self.kept = None if kept_HW is None else kept_HW.to(group.device)
        self.config, self.group, self.windows = config, group, windows
        self._notes: list[str] = []
        teacher, student = load_networks(config, group.device, self._notes.append)
        self.names = class_names(teacher)
        self.networks: dict[str, Any] = {"teacher_assistant": teacher, "student": student}
        self._say_origin(0)
        self.by_class = ByClass()
        self.labeller = self.untouched = None
        if config.step.weights.anchor:
            self.untouched = copy.deepcopy(teacher)
        if config.labels != "live":
            self.labeller = copy.deepcopy(teacher)
            self.networks["labeller"] = self.labeller
        self.optimizers = {
            "teacher_assistant": _optimizer(teacher, config.teacher_lr, config.weight_decay),
            "student": _optimizer(student, config.student_lr, config.weight_decay),
        }
        if config.compile:
            for network in (teacher, student):
                network.compile()  # in place, before it is wrapped
        weights = config.step.weights
        learns = [
            any(getattr(weights, n) for n in names) for names in (TEACHER_LOSSES, STUDENT_LOSSES)
        ]
        if not any(learns):
            raise InputError("step.weights: all losses are switched off; give one a weight above 0")
        # a network without a loss has no gradients to share out
        self.teacher = group.wrap(teacher) if learns[0] else teacher
        self.student = group.wrap(student) if learns[1] else student
        self._rows: list[tuple[str, dict[str, torch.Tensor]]] = []

    def doubts(self) -> str:
        """What is worth knowing of this pair of networks; "" where nothing is.

        A student ends near the level of its TA, a lower one too (docs/results.md, Table 5).
        """
        teacher, student = (
            parameter_count(self.networks[name]) / 1e6 for name in ("teacher_assistant", "student")
        )
        found = list(self._notes)
        if teacher < student:
            found.append(
                f"the teacher assistant ({teacher:.2f} M parameters) is smaller than the student "
                f"({student:.2f} M): a student sinks to the level of a weaker teacher assistant"
            )
        return "; ".join(found)

    def set_rate(self, factor: float) -> None:
        """Learning rates of the next `update`: `factor` times those of the configuration."""
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor

    def weigh(self, weights: np.ndarray | None, thresholds: np.ndarray | None) -> None:
        """How much the classes weigh in the next `learn`, and what they ask; float32 (C,) each."""
        given = (weights, thresholds)
        self.by_class = ByClass(
            *(None if a is None else torch.from_numpy(a).to(self.group.device) for a in given)
        )

    def learn(self, item: Item, scale: float, last: bool) -> Outcome:
        """Forward and backward passes of one panorama; adds `scale` times its gradients.

        last: whether it is the step's last; the gradients are then averaged over the processes.
        """
        device = self.group.device
        image = normalise(item.image[None], device)
        masks = item.masks.to(device)
        with gather_only(last, self.teacher, self.student):
            with autocast(device, self.config.precision):
                view, pasted_HW = self._seen(item, image)
                outcome = adaptation_step(
                    Networks(self.teacher, self.student, self.labeller, self.untouched),
                    image,
                    masks,
                    [map_.to(device, non_blocking=True) for map_ in item.boundaries],
                    self.windows,
                    self.config.step,
                    self.kept,
                    self.by_class,
                    view,
                    pasted_HW,
                )
            ((outcome.teacher + outcome.student) * scale).backward()
        figures = measure(outcome, self.names)
        if self.labeller is not None and self.config.labels_gate:
            figures |= alignments(
                outcome.teacher_labels, outcome.labels.labeller, masks, len(self.names)
            )
        self._rows.append((item.name, figures))
        return outcome

    def _seen(self, item: Item, image_13HW: torch.Tensor) -> tuple[View, torch.Tensor | None]:
        """A panorama's view, its pictures normalised; the labels of what was pasted into it."""
        device, view = self.group.device, item.view
        if view.seen is not None:
            view = view._replace(seen=normalise(view.seen[None], device))
        if item.donor is None:
            return view, None
        step = self.config.step
        image = normalise(item.donor.image[None], device)
        labeller = predict_labels(
            self.labeller or self.teacher,
            self.windows.cut(image[0]),
            step.labels_mirrored,
            len(self.names),
        )
        roll, masks = item.donor.roll, item.donor.masks.to(device)
        labels_HW = cut_outs(labeller, masks, self.windows, step.fusion, roll)
        base = image_13HW if view.seen is None else view.seen
        return view._replace(seen=pasted(base, image, labels_HW, roll)), labels_HW

    def measured(self) -> tuple[dict[str, float], str]:
        """The mean figures of this step's panoramas, and what in them is not finite, or "".

        Every process gets the same mean, so that all of them stop, or none.
        """
        names = [name for name, _ in self._rows]
        keys = list(self._rows[0][1])
        values = torch.stack([torch.stack([*row.values()]).detach() for _, row in self._rows])
        mean = self.group.mean(values.mean(dim=0))
        *single, averaged = torch.cat([values, mean[None]]).tolist()  # waits for the device once
        self._rows = []
        row = dict(zip(keys, averaged, strict=True))
        for name, optimizer in self.optimizers.items():
            row[f"{name.split('_')[0]}_lr"] = optimizer.param_groups[0]["lr"]
        if all(map(math.isfinite, averaged)):
            return row, ""
        for name, found in zip(names, single, strict=True):
            for key, value in zip(keys, found, strict=True):
                if not math.isfinite(value):
                    return row, f"{name}: the loss {key} is {value}"
        return row, "a panorama of another process: a loss is not finite"

    def update(self, follow: bool = True) -> None:
        """Step both optimisers on the gradients gathered since the last time.

        follow: whether a labeller that is a moving average follows the TA now.
        """
        for name, optimizer in self.optimizers.items():
            network = self.networks[name]
            torch.nn.utils.clip_grad_norm_(network.parameters(), self.config.clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if follow and self.labeller is not None and self.config.labels == "ema":
            follow_teacher(self.labeller, self.networks["teacher_assistant"], self.config.ema_decay)

    def resume(self, folder: Path) -> int:
        """Load the newest checkpoint in `folder`, if any; returns the number of steps done."""
        newest = latest_checkpoint(folder)
        if newest is None:
            return 0
        return load_checkpoint(newest, self.networks, self.optimizers)["step"]

    def save(self, folder: Path, step: int) -> bool:
        """A checkpoint after `step` steps, by the first process; the two newest are kept.

        Networks that hold other than finite numbers are not saved, so that the newest checkpoint
        is of use whatever happens; whether they were saved is returned.
        """
        if self.group.first:
            parameters = (p for name in WRITTEN for p in self.networks[name].parameters())
            if not all(bool(parameter.isfinite().all()) for parameter in parameters):
                return False
            self._say_origin(step)
            configs = {
                name: json.loads(self.networks[name].config.to_json_string(use_diff=False))
                for name in WRITTEN
            }
            state = {"step": step, "configs": configs}
            path = folder / f"step_{step:08d}.safetensors"
            save_checkpoint(path, self.networks, self.optimizers, state)
            prune_checkpoints(folder, keep=2)
        return True

    def write(self, out: Path, step: int) -> None:
        """`OUT/teacher_assistant` and `OUT/student` after `step` steps, by the first process."""
        if self.group.first:
            self._say_origin(step)
            for name in WRITTEN:
                save_model(self.networks[name], out / name)

    def _say_origin(self, step: int) -> None:
        """Have both networks' configs say where they come from."""
        starts = (self.config.student, self.config.teacher_assistant)
        teacher = self.networks["teacher_assistant"]
        classes = teacher.classes if isinstance(teacher, Mapped) else None
        origin = Origin(self.geometry, starts, step, classes=classes).to_json()
        for name in WRITTEN:
            setattr(self.networks[name].config, KEY, origin)


def _optimizer(network: torch.nn.Module, rate: float, decay: float) -> torch.optim.Optimizer:
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([{**group, "initial_lr": rate} for group in groups], rate, fused=True)
