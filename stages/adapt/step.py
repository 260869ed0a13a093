"""One step of the method: one panorama, the TA on its windows, the student on the whole.

TA: the teacher assistant. Eq. 1 to 3 are the paper's distortion-aware rectification (DAR), Eq. 4 to
7 its multi-level knowledge adaptation (MKA). Where each equation is, what its value is called in
`Outcome.terms` and in metrics.jsonl, and which settings it has beside `step.weights.TERM`:

    Eq.   function                        term              settings: step.
    1     losses.consistency_loss         consistency       consistency_space
    2     overlaps.teacher_boundary_loss  teacher_boundary  boundary_reduction
    3     fusion._ctcf                    (the ensemble)    fusion.rule, fusion.theta_medium, ...
    4     losses.whole_image_loss         whole_image       whole_image_targets
    5     losses.ensemble_loss            student_windows   lambda_
    6     losses.ensemble_loss            teacher_windows   lambda_
    7     overlaps.student_boundary_loss  student_boundary  boundary_reduction
    8     STUDENT_LOSSES                  student_total
    9     TEACHER_LOSSES                  teacher_total
    Fig.3 overlaps.refined_boundaries     (B_ref)           alpha, max_vertical_distance

The ensemble, its weights and the refined boundaries come from the TA's prediction of this very
step, without gradient. Nothing flows from the student's losses into the TA. What the paper does not
have, views, a labeller apart, an anchor, is in `beyond` and off unless it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

from goodsam.data.classes import IGNORE
from goodsam.data.ranges import AT_LEAST_0, COUNT_OR_NONE, SHARE, Range, check_ranges
from goodsam.data.sphere import WindowPlan
from goodsam.stages.adapt.beyond.anchor import anchor_loss
from goodsam.stages.adapt.beyond.view import Strip, View, logits_through
from goodsam.stages.adapt.fusion import FusionConfig, MaskBatch
from goodsam.stages.adapt.labels import Labels, fused_labels, predict_labels
from goodsam.stages.adapt.losses import (
    consistency_loss,
    ensemble_loss,
    log_p_in_windows,
    log_p_of,
    whole_image_loss,
)
from goodsam.stages.adapt.overlaps import (
    Reprojected,
    refined_boundaries,
    student_boundary_loss,
    teacher_boundary_loss,
)
from goodsam.stages.adapt.prediction import Prediction


@dataclass(frozen=True)
class LossWeights:
    """The weight of each loss; 0 switches it off. The paper: all 1."""

    teacher_windows: float = 1.0
    """The TA's windows towards the ensemble (Eq. 6); 0 switches the loss off."""
    consistency: float = 1.0
    """The TA's two predictions of an overlap, to be equal (Eq. 1); 0 switches the loss off."""
    teacher_boundary: float = 1.0
    """The TA's boundaries towards the refined ones (Eq. 2); 0 switches the loss off."""
    whole_image: float = 1.0
    """The student's panorama towards the TA's joined windows (Eq. 4); 0 switches the loss off."""
    student_windows: float = 1.0
    """The student's windows towards the ensemble (Eq. 5); 0 switches the loss off."""
    student_boundary: float = 1.0
    """The student's boundaries towards the refined ones (Eq. 7); 0 switches the loss off."""
    anchor: float = 0.0
    """The TA's windows towards those of the untouched TA (not in the paper); 0 switches it off."""

    def __post_init__(self) -> None:
        losses = (*TEACHER_LOSSES, *STUDENT_LOSSES)
        check_ranges(self, dict.fromkeys(losses, AT_LEAST_0), "step.weights.")


TEACHER_LOSSES = ("teacher_windows", "consistency", "teacher_boundary", "anchor")  # Eq. 9
STUDENT_LOSSES = ("whole_image", "student_windows", "student_boundary")  # Eq. 8


@dataclass(frozen=True)
class StepConfig:
    """The settings of a step's losses; docs/method.md says which are the paper's and which ours.

    Raises InputError for a setting outside its range.
    """

    weights: LossWeights = field(default_factory=LossWeights)
    """The weight of each loss."""
    fusion: FusionConfig = field(default_factory=FusionConfig)
    """How the TA's labels and SAM's masks are fused into the ensemble (Eq. 3)."""
    alpha: float = 0.3
    """A boundary pixel moves to SAM's where the TA's two largest probabilities differ by less."""
    max_vertical_distance: int | None = None
    """How far a boundary pixel may move to SAM's, in pixels of its column; null: any distance."""
    lambda_: float = 0.2
    """The paper's lambda: how much more the pixels of trusted masks weigh in Eq. 5 and 6."""
    consistency_space: Literal["probabilities", "logits"] = "probabilities"
    """What Eq. 1 compares."""
    whole_image_targets: Literal["soft", "hard"] = "soft"
    """The TA's labels in Eq. 4: its probabilities (soft), or its most probable class (hard)."""
    boundary_reduction: Literal["printed", "balanced"] = "printed"
    """Eq. 2 and 7 as printed in the paper, or with boundary and other pixels in equal parts."""
    confident: float = 1.0
    """The share of each class's pixels, the surest ones, that Eq. 5 and 6 count; the paper: 1."""
    labels_mirrored: bool = False
    """The labeller's labels are its mean over the windows and the mirrored windows."""

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES, "step.")


_RANGES = {
    "alpha": SHARE,
    "max_vertical_distance": COUNT_OR_NONE,
    "lambda_": AT_LEAST_0,
    "confident": Range(0, 1, above=True),
}


@dataclass(frozen=True)
class Outcome:
    """What one step computed. Only the two totals and the terms carry gradients.

    teacher, student: total losses. terms: each loss before its weight. teacher_labels: uint8
    (N, H, w). student_log_p: (1, C, H, W). labels: the ensemble and what goes with it. refined:
    `B_ref` of each overlap, bool (h_o, w_o); empty where no loss needs it. windows: those that were
    learned from. strip: the part of the panorama that they cover.
    """

    teacher: torch.Tensor
    student: torch.Tensor
    terms: dict[str, torch.Tensor]
    teacher_labels: torch.Tensor
    student_log_p: torch.Tensor
    labels: Labels
    refined: list[torch.Tensor]
    windows: WindowPlan
    strip: Strip

    @property
    def ensemble(self) -> torch.Tensor:
        """int64 (N, H, w)."""
        return self.labels.ensemble


@dataclass(frozen=True)
class Networks:
    """Who takes part in a step. labeller: whose prediction is fused into the ensemble; None: the
    TA's own. untouched: the TA as it began, for the anchor."""

    teacher: torch.nn.Module
    student: torch.nn.Module
    labeller: torch.nn.Module | None = None
    untouched: torch.nn.Module | None = None


@dataclass(frozen=True)
class ByClass:
    """Numbers of each class, float32 (C,). weights: of a pixel in Eq. 5 and 6 by its label in the
    ensemble; None: all 1. thresholds: the least confidence of a pixel that counts; None: none."""

    weights: torch.Tensor | None = None
    thresholds: torch.Tensor | None = None


ALL_ALIKE = ByClass()
AS_IT_IS = View()


def adaptation_step(
    networks: Networks,
    image_13HW: torch.Tensor,
    masks: MaskBatch,
    sam_boundaries: Sequence[torch.Tensor],
    windows: WindowPlan,
    config: StepConfig,
    kept_HW: torch.Tensor | None = None,
    by_class: ByClass = ALL_ALIKE,
    view: View = AS_IT_IS,
    pasted_HW: torch.Tensor | None = None,
) -> Outcome:
    """Forward passes and all losses of one panorama (Eq. 1 to 7).

    image: normalised, (1, 3, H, W). masks, sam_boundaries: of the windows that are learned from;
    `B_SAM` of each overlap, bool (h_o, w_o). kept: bool, (H, W); no loss comes from the other
    pixels, nor from those of classes that a class map ignores, and they have no label in the
    ensemble. view: what the learners see. pasted: int64
    (H, W), the labels of what was pasted into it, 255 elsewhere; None: nothing was.
    """
    strip, windows = view.strip(windows)
    seen_13HW = image_13HW if view.seen is None else view.seen
    if kept_HW is not None:
        kept_HW = strip.of(kept_HW)
    clean = windows.cut(strip.of(image_13HW[0]))
    pieces = clean if view.seen is None else windows.cut(strip.of(seen_13HW[0]))
    student = Prediction.of(strip.of(logits_through(view, networks.student, seen_13HW, whole=True)))
    classes = student.classes
    teacher = Prediction.of(logits_through(view, networks.teacher, pieces, whole=False), classes)
    labeller = teacher
    if networks.labeller is not None or config.labels_mirrored or view.of_teacher:
        source = networks.labeller or networks.teacher
        labeller = predict_labels(source, clean, config.labels_mirrored, classes)
    if labeller.ignored is not None:
        seen_HW = ~windows.join_labels(labeller.ignored)
        kept_HW = seen_HW if kept_HW is None else kept_HW & seen_HW
    kept_NHW = None if kept_HW is None else windows.cut_labels(kept_HW)
    labels = fused_labels(
        labeller, masks, config.fusion, kept_NHW, config.confident, by_class.thresholds
    )
    if pasted_HW is not None:
        pasted_HW = strip.of(pasted_HW)
        if kept_HW is not None:
            pasted_HW = pasted_HW.masked_fill(~kept_HW, IGNORE)
        labels = labels.with_pasted(windows.cut_labels(pasted_HW))
        bare = pasted_HW == IGNORE  # SAM saw no boundary of what was pasted
        kept_HW = bare if kept_HW is None else kept_HW & bare
    ensemble, weight_map = labels.ensemble, labels.weight_map

    def weighted(log_p_NHW: torch.Tensor) -> torch.Tensor:
        if by_class.weights is None:
            return log_p_NHW
        return log_p_NHW * by_class.weights[ensemble.masked_fill(ensemble == IGNORE, 0)]

    wanted = config.weights
    terms: dict[str, torch.Tensor] = {}
    if wanted.teacher_windows:  # Eq. 6
        log_p = weighted(log_p_of(ensemble, teacher.log_probabilities))
        terms["teacher_windows"] = ensemble_loss(log_p, ensemble, weight_map, config.lambda_)
    if wanted.whole_image:  # Eq. 4
        goal = windows.join(teacher.probabilities.detach())[None]
        if config.whole_image_targets == "hard":
            goal = torch.zeros_like(goal).scatter_(
                1, windows.join_labels(teacher.labels)[None, None].long(), 1
            )
        terms["whole_image"] = whole_image_loss(student.log_probabilities, goal, kept_HW)
    if wanted.student_windows:  # Eq. 5
        log_p = weighted(log_p_in_windows(ensemble, student.log_probabilities, windows))
        terms["student_windows"] = ensemble_loss(log_p, ensemble, weight_map, config.lambda_)
    refined: list[torch.Tensor] = []
    boundaries = wanted.teacher_boundary or wanted.student_boundary
    if windows.overlaps and (wanted.consistency or boundaries):
        meeting = Reprojected.of(teacher, windows)
        if wanted.consistency:  # Eq. 1
            sides = meeting.probabilities
            if config.consistency_space == "logits":
                sides = windows.reproject(teacher.logits)
            terms["consistency"] = consistency_loss(sides, windows, kept_HW)
        if boundaries:  # Fig. 3
            limit = config.max_vertical_distance
            refined = refined_boundaries(meeting, sam_boundaries, config.alpha, limit)
        reduction = config.boundary_reduction
        if wanted.teacher_boundary:  # Eq. 2
            terms["teacher_boundary"] = teacher_boundary_loss(meeting, refined, reduction, kept_HW)
        if wanted.student_boundary:  # Eq. 7
            terms["student_boundary"] = student_boundary_loss(
                student, windows, refined, reduction, kept_HW
            )
    if wanted.anchor:
        if networks.untouched is None:
            raise ValueError("step.weights.anchor needs the untouched TA")
        untouched = labeller
        if networks.untouched is not networks.labeller or config.labels_mirrored:
            untouched = predict_labels(networks.untouched, clean, False, classes)
        terms["anchor"] = anchor_loss(teacher, untouched)

    def total(names: Sequence[str]) -> torch.Tensor:
        zero = ensemble.new_zeros((), dtype=torch.float32)
        return sum((getattr(wanted, n) * terms[n] for n in names if n in terms), start=zero)

    return Outcome(
        teacher=total(TEACHER_LOSSES),
        student=total(STUDENT_LOSSES),
        terms=terms,
        teacher_labels=teacher.labels,
        student_log_p=student.log_probabilities.detach(),
        labels=labels,
        refined=refined,
        windows=windows,
        strip=strip,
    )
