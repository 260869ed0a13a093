"""One step of the method: one panorama, the TA on its windows, the student on the whole.

The ensemble, its weights and the refined boundaries come from the TA's prediction of this very
step, without gradient. Nothing flows from the student's losses into the TA.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

from data.windows import Windows
from stages.adapt.boundary import (
    hard_boundary,
    refine_boundary,
    soft_boundary,
    top_two_difference,
)
from stages.adapt.fusion import FusionConfig, MaskBatch, fuse
from stages.adapt.losses import boundary_loss, consistency_loss, ensemble_loss, whole_image_loss
from stages.adapt.models import segment


@dataclass(frozen=True)
class LossWeights:
    """The weight of each loss; 0 switches it off. The paper: all 1."""

    teacher_windows: float = 1.0  # Eq. 6
    consistency: float = 1.0  # Eq. 1
    teacher_boundary: float = 1.0  # Eq. 2
    whole_image: float = 1.0  # Eq. 4
    student_windows: float = 1.0  # Eq. 5
    student_boundary: float = 1.0  # Eq. 7


@dataclass(frozen=True)
class StepConfig:
    """What METHOD leaves to a setting in the losses of a step.

    alpha: of the boundary refinement. lambda_: weight of the trusted masks in Eq. 5 and 6.
    consistency_space: Eq. 1 on softmax probabilities or on logits. whole_image_targets: Eq. 4
    with the TA's soft or hard labels. boundary_reduction: Eq. 2 and 7 as printed or balanced.
    """

    weights: LossWeights = field(default_factory=LossWeights)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    alpha: float = 0.3
    max_vertical_distance: int | None = None
    lambda_: float = 0.2
    consistency_space: Literal["probabilities", "logits"] = "probabilities"
    whole_image_targets: Literal["soft", "hard"] = "soft"
    boundary_reduction: Literal["printed", "balanced"] = "printed"


@dataclass(frozen=True)
class Outcome:
    """What one step computed.

    teacher, student: total losses, to be stepped on apart. terms: each loss before its weight.
    teacher_logits: (N, C, H, w). student_logits: (1, C, H, W). ensemble: int64 (N, H, w).
    weight_map: (N, H, w). refined: `B_ref` of each overlap, bool (H, w_o).
    """

    teacher: torch.Tensor
    student: torch.Tensor
    terms: dict[str, torch.Tensor]
    teacher_logits: torch.Tensor
    student_logits: torch.Tensor
    ensemble: torch.Tensor
    weight_map: torch.Tensor
    refined: list[torch.Tensor]


def adaptation_step(
    teacher_assistant: torch.nn.Module,
    student: torch.nn.Module,
    image_13HW: torch.Tensor,
    masks: MaskBatch,
    sam_boundaries: Sequence[torch.Tensor],
    windows: Windows,
    config: StepConfig,
    labeller: torch.nn.Module | None = None,
) -> Outcome:
    """Forward passes and all losses of one panorama (Eq. 1 to 7).

    image: normalised, (1, 3, H, W). sam_boundaries: `B_SAM` of each overlap, bool (H, w_o).
    labeller: the network whose prediction is fused into the ensemble, if that is not the live TA.
    """
    weights = config.weights
    pieces = windows.cut(image_13HW[0])
    teacher_logits = segment(teacher_assistant, pieces).float()
    student_logits = segment(student, image_13HW).float()
    with torch.no_grad():
        source = teacher_logits if labeller is None else segment(labeller, pieces).float()
    ensemble, weight_map = fuse(source, masks, config.fusion)

    zero = teacher_logits.new_zeros(())
    terms: dict[str, torch.Tensor] = {}
    if weights.teacher_windows:
        terms["teacher_windows"] = ensemble_loss(
            teacher_logits, ensemble, weight_map, config.lambda_
        )
    if weights.whole_image:
        terms["whole_image"] = whole_image_loss(
            student_logits, windows.join(teacher_logits)[None], config.whole_image_targets
        )
    if weights.student_windows:
        terms["student_windows"] = ensemble_loss(
            windows.cut(student_logits[0]), ensemble, weight_map, config.lambda_
        )
    refined: list[torch.Tensor] = []
    if windows.overlaps:
        terms_overlap, refined = _overlap_terms(
            teacher_logits, student_logits, sam_boundaries, windows, config
        )
        terms |= terms_overlap

    def total(*names: str) -> torch.Tensor:
        return sum((getattr(weights, n) * terms[n] for n in names if n in terms), start=zero)

    return Outcome(
        teacher=total("teacher_windows", "consistency", "teacher_boundary"),  # Eq. 9
        student=total("whole_image", "student_windows", "student_boundary"),  # Eq. 8
        terms=terms,
        teacher_logits=teacher_logits.detach(),
        student_logits=student_logits.detach(),
        ensemble=ensemble,
        weight_map=weight_map,
        refined=refined,
    )


def _overlap_terms(
    teacher_logits: torch.Tensor,
    student_logits: torch.Tensor,
    sam_boundaries: Sequence[torch.Tensor],
    windows: Windows,
    config: StepConfig,
) -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
    """Eq. 1, 2 and 7. Overlaps of one width are computed together; METHOD's mean is over all."""
    weights = config.weights
    need_boundaries = bool(weights.teacher_boundary or weights.student_boundary)
    if not (need_boundaries or weights.consistency):
        return {}, []
    overlaps = windows.overlaps
    student_crops = windows.cut_overlaps(student_logits[0]) if weights.student_boundary else []
    refined: dict[int, torch.Tensor] = {}
    sums: dict[str, torch.Tensor] = {}

    def add(name: str, value: torch.Tensor, share: float) -> None:
        sums[name] = sums.get(name, value.new_zeros(())) + value * share

    pixels = sum(overlap.width for overlap in overlaps)
    for width in sorted({overlap.width for overlap in overlaps}):
        group = [index for index, overlap in enumerate(overlaps) if overlap.width == width]
        pairs = [windows.pair(teacher_logits, overlaps[index]) for index in group]
        left_logits, right_logits = (torch.stack(side) for side in zip(*pairs, strict=True))
        left, right = left_logits.softmax(dim=1), right_logits.softmax(dim=1)
        if weights.consistency:
            on_logits = config.consistency_space == "logits"
            sides = (left_logits, right_logits) if on_logits else (left, right)
            add("consistency", consistency_loss(*sides), len(group) * width / pixels)
        if not need_boundaries:
            continue
        with torch.no_grad():
            sam = torch.stack([sam_boundaries[index] for index in group])
            reference = refine_boundary(
                hard_boundary(left.argmax(dim=1)),
                hard_boundary(right.argmax(dim=1)),
                sam,
                top_two_difference(left),
                top_two_difference(right),
                config.alpha,
                config.max_vertical_distance,
            )
        refined |= dict(zip(group, reference, strict=True))
        share = len(group) / len(overlaps)
        if weights.teacher_boundary:
            soft = (soft_boundary(left), soft_boundary(right))
            loss = boundary_loss(reference, soft, config.boundary_reduction)
            add("teacher_boundary", loss, share)
        if weights.student_boundary:
            crops = torch.stack([student_crops[index] for index in group]).softmax(dim=1)
            loss = boundary_loss(reference, (soft_boundary(crops),), config.boundary_reduction)
            add("student_boundary", loss, share)
    return sums, [refined[index] for index in sorted(refined)]
