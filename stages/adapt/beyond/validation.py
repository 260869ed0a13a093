"""The student's score on labelled panoramas while it learns, and the best one kept.

The paper learns without a label, and so does a run with this: no gradient comes from here. But
which student is taken is then chosen by labels, and the one that is kept says so.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from goodsam.data.classes import protocol_for
from goodsam.data.errors import InputError
from goodsam.data.files import write_whole
from goodsam.data.geometry import Geometry
from goodsam.data.panoramas import Sample
from goodsam.stages.adapt.watch import read_rows
from goodsam.stages.score.evaluate import evaluate
from goodsam.stages.segformer.files import save_segformer
from goodsam.stages.segformer.origin import KEY, Origin
from goodsam.stages.segformer.segment import class_names
from goodsam.stages.segformer.segmenter import Segmenter

SCORES, BEST = "val.jsonl", "best"

# (step, student, whether it is the last step) -> what is told of it; {} where it was not scored
Score = Callable[[int, Any, bool], Mapping[str, float]]


class Validation:
    """Scores the student every `every` steps into OUT/val.jsonl; the best is in OUT/best.

    labelled: samples with labels, of `source`. geometry, starts: as of the run's `Origin`. tell:
    called with a line for each score. What was scored before a run was resumed stays; rows of steps
    that are done again are dropped.
    """

    def __init__(
        self,
        labelled: Sequence[Sample],
        source: str,
        out: Path,
        every: int,
        origin: Origin,
        tell: Callable[[str], None],
    ) -> None:
        if not labelled:
            raise InputError(f"{source}: no labelled panoramas to score on; give a data set's root")
        self.labelled, self.source, self.out = list(labelled), source, out
        self.every, self.origin, self.tell = every, origin, tell
        self._rows: list[dict[str, float]] | None = None

    def __call__(self, step: int, student: torch.nn.Module, last: bool) -> Mapping[str, float]:
        """Score the student after `step` steps, if it is time and it was not scored yet."""
        if self._rows is None:
            self._rows = read_rows(self.out / SCORES, step) if step else []
        due = last or step % self.every == 0
        if not due or any(row["step"] == step for row in self._rows):
            return {}
        scores = self._scored(student)
        before = max((row["miou"] for row in self._rows), default=-math.inf)
        row = {"step": step, "miou": scores["miou"], "pixel_accuracy": scores["pixel_accuracy"]}
        is_best = row["miou"] > before
        if is_best:
            self._keep(student, step, row["miou"])
        self._rows.append(row)
        write_whole(self.out / SCORES, "".join(json.dumps(r) + "\n" for r in self._rows))
        rank = "the best so far" if is_best else f"the best was {before:.2f}"
        self.tell(f"step {step}: mIoU {row['miou']:.2f} on {self.source} ({rank})")
        return {f"val/{key}": value for key, value in scores.items()}

    def _scored(self, student: torch.nn.Module) -> dict[str, float]:
        network: Any = copy.deepcopy(student)  # a segmenter sets up the network that it is given
        network.config.reshape_last_stage = True
        device = next(network.parameters()).device
        segmenter = Segmenter(network.eval(), device, geometry=self.geometry)
        found = evaluate(
            segmenter,
            self.labelled,
            protocol_for(None, class_names(network)),
            unseen=segmenter.unseen,
            placed=segmenter.placement,
            boundary_radius=0,
        ).scores
        return {"miou": found.miou, "pixel_accuracy": found.pixel_accuracy}

    @property
    def geometry(self) -> Geometry:
        """How the run's panoramas are seen."""
        return self.origin.geometry

    def _keep(self, student: torch.nn.Module, step: int, miou: float) -> None:
        network: Any = copy.deepcopy(student)
        chosen = (
            f"chosen by labels: the student of step {step}, whose mIoU on the "
            f"{len(self.labelled)} labelled images of {self.source}, {miou:.2f} %, was the highest "
            f"of a score every {self.every} steps; a score on those images is no test of it"
        )
        origin = Origin(self.origin.geometry, self.origin.starts, step, chosen)
        setattr(network.config, KEY, origin.to_json())
        save_segformer(network, self.out / BEST)
