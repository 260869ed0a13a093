"""What a run shows of itself: the numbers of every step, and now and then a strip of pictures.

TA: the teacher assistant.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from goodsam.data.classes import IGNORE, colourise, palette_for
from goodsam.data.errors import InputError
from goodsam.data.files import regular, write_whole, written_aside
from goodsam.stages.adapt.beyond.confidence import confidence_key
from goodsam.stages.adapt.beyond.monitor import share_key
from goodsam.stages.adapt.step import Outcome
from goodsam.stages.adapt.trackers import Trackers

STRIP_WIDTH = 1024  # px, at most


@torch.no_grad()
def measure(outcome: Outcome, names: Sequence[str]) -> dict[str, torch.Tensor]:
    """The losses of a step and what else is worth watching; nothing here waits for the device.

    trusted: the share of pixels with weight 1; trusted_masks: that of masks. agreement: of the
    ensemble with the TA, where the ensemble has a label. ensemble_entropy: of the ensemble's class
    shares, nats; it falls when a run collapses. student_agreement: of the student with the TA's
    whole-image labels, at every fourth row and column (a SegFormer's own resolution). share/NAME:
    of each class in the ensemble; confidence/NAME: the labeller's mean probability of it there.
    """
    ensemble, labels = outcome.ensemble, outcome.teacher_labels
    classes = outcome.student_log_p.shape[1]
    shares = torch.bincount(ensemble.flatten(), minlength=256)[:classes].float()
    shares = shares / shares.sum().clamp(min=1)
    student = outcome.student_log_p[0, :, ::4, ::4].argmax(dim=0)
    whole = outcome.windows.join_labels(labels)
    return {
        **outcome.terms,
        "teacher_total": outcome.teacher,
        "student_total": outcome.student,
        "trusted": outcome.labels.weight_map.mean(),
        "trusted_masks": outcome.labels.trusted.sum() / max(1, len(outcome.labels.trusted)),
        "agreement": (labels == ensemble).sum() / (ensemble != IGNORE).sum().clamp(min=1),
        "ensemble_entropy": torch.special.entr(shares).sum(),
        "student_agreement": (student == whole[::4, ::4]).float().mean(),
        **dict(zip(map(share_key, names), shares.unbind(), strict=True)),
        **dict(zip(map(confidence_key, names), outcome.labels.confidence.unbind(), strict=True)),
    }


@torch.no_grad()
def strip(image_HW3: torch.Tensor, outcome: Outcome, names: tuple[str, ...]) -> np.ndarray:
    """uint8 (5 h, w, 3): input, TA, ensemble, refined boundary, student, one below the other.

    Reduced to 1,024 columns at most. The boundary of every overlap is white, on the dimmed input.
    """
    windows = outcome.windows
    image = outcome.strip.of(image_HW3.movedim(-1, 0)).movedim(0, -1).cpu().numpy()
    palette = palette_for(names)
    boundary = np.zeros(image.shape[:2], bool)
    for overlap, refined in zip(windows.overlaps, outcome.refined, strict=False):
        boundary[windows.overlap_pixels(overlap)] |= refined.cpu().numpy()
    maps = (
        windows.join_labels(outcome.teacher_labels),
        windows.join_labels(outcome.ensemble),
        outcome.student_log_p[0].argmax(dim=0),
    )
    teacher, ensemble, student = (
        colourise(map_.cpu().numpy().astype(np.uint8), palette) for map_ in maps
    )
    drawn = np.where(boundary[..., None], 255, image // 3).astype(np.uint8)
    every = -(-image.shape[1] // STRIP_WIDTH)
    pictures = (image, teacher, ensemble, drawn, student)
    return np.concatenate([picture[::every, ::every] for picture in pictures])


class Journal:
    """metrics.jsonl, tensorboard/ and pictures/ of a run directory, and what trackers are told.

    When a run resumes after `step`, what was written of later steps is dropped. Nothing is written
    where `writes` is False: of several processes, one keeps the journal. trackers, settings: as
    `Trackers` takes them.
    """

    def __init__(
        self,
        out: Path,
        step: int,
        writes: bool,
        trackers: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.writes, self.out = writes, out
        if writes:
            self.trackers = Trackers(trackers, out, settings or {})
            out.mkdir(parents=True, exist_ok=True)
            kept = read_rows(out / "metrics.jsonl", step)
            write_whole(out / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in kept))
            self.metrics = (out / "metrics.jsonl").open("a", buffering=1)
            self.board = SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self.writes:
            self.metrics.close()
            self.board.close()
            self.trackers.close()

    def numbers(self, step: int, row: Mapping[str, float]) -> None:
        """One line, and one point of each curve."""
        if self.writes:
            self.metrics.write(json.dumps({"step": step, **row}) + "\n")
            self.curves(step, row)

    def curves(self, step: int, row: Mapping[str, float]) -> None:
        """One point of each curve, and no line; nothing where `row` is empty."""
        if self.writes and row:
            for key, value in row.items():
                self.board.add_scalar(key, value, step)
            self.trackers.numbers(step, row)

    def picture(self, step: int, name: str, strip_HW3: np.ndarray) -> None:
        """A strip, with the name of its panorama."""
        if self.writes:
            with written_aside(self.out / f"pictures/step_{step:08d}.png") as aside:
                Image.fromarray(strip_HW3).save(aside, format="PNG")
            self.board.add_image("strip", strip_HW3, step, dataformats="HWC")
            text = name.encode(errors="backslashreplace").decode()  # it may be no text
            self.board.add_text("strip", text, step)


def read_rows(metrics: Path, step: float = math.inf) -> list[dict[str, float]]:
    """The rows of a `metrics.jsonl`, if there is one, up to `step`; a torn last row is left out."""
    if not metrics.exists():
        return []
    try:
        lines = regular(metrics).read_text(encoding="utf-8").splitlines(keepends=True)
        rows = [json.loads(line) for line in lines if line.endswith("\n")]
        return [row for row in rows if row["step"] <= step]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{metrics}: cannot be read ({error}); start a new run") from error
