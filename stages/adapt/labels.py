"""A step's labels: the labeller's prediction, fused with SAM's masks, and what of it is learned.

The labeller is the TA itself (the paper), or a network apart from it; it always sees the clean
panorama, whatever the learners see. Nothing here carries a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from goodsam.data.classes import IGNORE
from goodsam.stages.adapt.beyond.confidence import above, most_confident
from goodsam.stages.adapt.fusion import FusionConfig, MaskBatch, fuse_prediction
from goodsam.stages.adapt.losses import log_p_of
from goodsam.stages.adapt.prediction import Prediction
from goodsam.stages.segformer.segment import segment


@dataclass(frozen=True)
class Labels:
    """ensemble: int64 (N, H, W), 255 where nothing is learned. weight_map: float32 (N, H, W), 0 or
    1. trusted: (M,), 1 for each mask whose label is trusted. labeller: the labeller's own labels,
    uint8 (N, H, W). confidence: float32 (C,), the labeller's mean probability of each class of the
    ensemble, before any pixel was left out for a low one; 0 for a class that is not there.
    """

    ensemble: torch.Tensor
    weight_map: torch.Tensor
    trusted: torch.Tensor
    labeller: torch.Tensor
    confidence: torch.Tensor

    def with_pasted(self, labels_NHW: torch.Tensor) -> Labels:
        """The same, but for pixels that something was pasted onto: int64, 255 elsewhere."""
        there = labels_NHW != IGNORE
        return replace(
            self,
            ensemble=torch.where(there, labels_NHW, self.ensemble),
            weight_map=self.weight_map.masked_fill(there, 1.0),
        )


@torch.no_grad()
def predict_labels(
    network: torch.nn.Module, pieces_NCHW: torch.Tensor, mirrored: bool
) -> Prediction:
    """The labeller's prediction of clean windows; the mean of both softmaxes if also `mirrored`."""
    logits = segment(network, pieces_NCHW)
    if not mirrored:
        return Prediction.of(logits)
    other = segment(network, pieces_NCHW.flip(-1))
    mean = logits.float().softmax(dim=1)
    mean.add_(other.float().softmax(dim=1).flip(-1)).mul_(0.5)
    return Prediction.of_probabilities(mean)


@torch.no_grad()
def fused_labels(
    labeller: Prediction,
    masks: MaskBatch,
    fusion: FusionConfig,
    kept_NHW: torch.Tensor | None = None,
    confident: float = 1.0,
    thresholds_C: torch.Tensor | None = None,
) -> Labels:
    """The ensemble and what of it is learned from.

    kept: bool (N, H, W); the other pixels have no label. confident: the surest share of each
    class's pixels that is kept. thresholds: float32 (C,), the least probability that a pixel's
    label must have for the labeller; None: none.
    """
    ensemble, weight_map, trusted = fuse_prediction(labeller, masks, fusion)
    if kept_NHW is not None:
        ensemble = ensemble.masked_fill(~kept_NHW, IGNORE)
    log_p = log_p_of(ensemble, labeller.log_probabilities)
    confidence = _mean_by_class(log_p.exp(), ensemble, labeller.classes)
    sure = ensemble != IGNORE
    if confident < 1:
        sure &= most_confident(log_p, ensemble, confident)
    if thresholds_C is not None:
        sure &= above(log_p.exp(), ensemble, thresholds_C)
    return Labels(
        ensemble=ensemble.masked_fill(~sure, IGNORE),
        weight_map=weight_map.masked_fill(~sure, 0),
        trusted=trusted,
        labeller=labeller.labels,
        confidence=confidence,
    )


def _mean_by_class(
    values_NHW: torch.Tensor, labels_NHW: torch.Tensor, classes: int
) -> torch.Tensor:
    labels = labels_NHW.flatten()
    sums = torch.zeros(IGNORE + 1, dtype=torch.float64, device=labels.device)
    sums.scatter_add_(0, labels, values_NHW.flatten().double())
    counts = torch.bincount(labels, minlength=IGNORE + 1)
    return (sums / counts.clamp(min=1))[:classes].float()
