"""Masks whose label is not believed teach nothing: their pixels are left out of the ensemble.

A mask's label is often wrong where the labeller was unsure of the whole mask: things too small for
it, or masks that hold more than one thing. The belief in a label is its probability by the mean
softmax in the mask, once every class has been divided by the root of its share of the panorama:
without that, what is left out is mostly the rare classes, of which no labeller is as sure as of the
road. `step.fusion.believe` is the least belief of a mask that counts; at 0, the paper's way, all
do. It depends on the step alone, so any labeller may move and any run resume.

Classifiers on features pooled in the masks, cross-fitted, trained no better student
(docs/method.md, "Masks that are not believed").

Shapes: M masks, C classes, N windows of H x W pixels.
"""

from __future__ import annotations

import torch

RAREST = 1e-3  # share of the panorama; rarer classes are taken to be as frequent


def beliefs(
    votes_MC: torch.Tensor, chosen_M: torch.Tensor, labels_NHW: torch.Tensor
) -> torch.Tensor:
    """float64 (M,), in [0, 1]: the belief in each mask's label.

    votes: `soft_votes` of each mask, a multiple of its mean softmax. chosen: the masks' labels.
    labels: the labeller's, of which the classes' shares are taken.
    """
    share_C = torch.bincount(labels_NHW.flatten(), minlength=votes_MC.shape[-1]).double()
    share_C = (share_C / labels_NHW.numel()).clamp(min=RAREST)
    weighed_MC = votes_MC / share_C.sqrt()
    own_M = weighed_MC.gather(-1, chosen_M[:, None])[:, 0]
    return own_M / weighed_MC.sum(dim=-1)
