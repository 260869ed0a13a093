"""Whose labels are fused: the learning TA itself, or a network that follows it at a distance.

`labels: live` is the paper's way: the TA of this very step. With `frozen` the TA as it began labels
to the end; with `ema` a moving average follows the TA, every `labels_every` steps and by
`1 - ema_decay` of the way: 0.999 every step is the usual mean teacher, 0 every few hundred steps a
steady labeller that is replaced now and then. With `labels_gate` it only follows where the TA has
become better by a proxy that needs no truth: how well labels agree, class by class, with their own
majority in SAM's masks.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from goodsam.stages.adapt.fusion import FusionConfig, MaskBatch, fuse_maps

TEACHER, LABELLER = "alignment/teacher", "alignment/labeller"  # keys among a step's figures


@torch.no_grad()
def alignment(
    labels_NHW: torch.Tensor, reference_NHW: torch.Tensor, masks: MaskBatch, classes: int
) -> torch.Tensor:
    """How well labels agree with the majority in each mask: a mean IoU, in [0, 1].

    labels: uint8 (N, H, W). reference: the labeller's, likewise; the mean is over the classes that
    it names, so that who forgets a class does not gain by it.
    """
    fused, _, _ = fuse_maps(labels_NHW, [], masks, classes, FusionConfig(rule="ssa"))
    pairs = torch.bincount((labels_NHW.long() * classes + fused).flatten(), minlength=classes**2)
    pairs = pairs.view(classes, classes).double()
    both = pairs.diagonal()
    iou = both / (pairs.sum(0) + pairs.sum(1) - both).clamp(min=1)
    named = torch.bincount(reference_NHW.flatten(), minlength=classes)[:classes] > 0
    return (iou * named).sum() / named.sum()


def alignments(
    teacher_NHW: torch.Tensor, labeller_NHW: torch.Tensor, masks: MaskBatch, classes: int
) -> dict[str, torch.Tensor]:
    """`alignment` of the TA's and of the labeller's labels, by the keys that `Gate` reads."""
    return {
        TEACHER: alignment(teacher_NHW, labeller_NHW, masks, classes),
        LABELLER: alignment(labeller_NHW, labeller_NHW, masks, classes),
    }


@torch.no_grad()
def follow_teacher(labeller: torch.nn.Module, teacher: torch.nn.Module, decay: float) -> None:
    """Move the labeller's weights towards the TA's; `decay` of its own stay."""
    for slow, fast in zip(labeller.parameters(), teacher.parameters(), strict=True):
        slow.lerp_(fast, 1 - decay)


class Gate:
    """Sees every step's figures; says after which steps the labeller follows the TA."""

    def __init__(self, every: int, improved: bool) -> None:
        """every: steps between two moves. improved: only where the TA's alignment is greater."""
        self.every, self.improved = every, improved
        self.steps = 0
        self._gain = 0.0

    def see(self, row: Mapping[str, float]) -> bool:
        """Take in a step's figures; whether the labeller follows now."""
        self.steps += 1
        if self.improved:
            self._gain += row[TEACHER] - row[LABELLER]
        if self.steps % self.every:
            return False
        gain, self._gain = self._gain, 0.0
        return not self.improved or gain > 0
