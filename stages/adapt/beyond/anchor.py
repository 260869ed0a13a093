"""A distance to the untouched TA, so that live training does not drift away from what it knew.

The term is `anchor`, its weight `step.weights.anchor`; at 0, the paper's way, there is none.
"""

from __future__ import annotations

import torch

from goodsam.stages.adapt.prediction import Prediction


def anchor_loss(teacher: Prediction, untouched: Prediction) -> torch.Tensor:
    """Mean over pixels of KL(untouched || TA), nats; gradient through the TA alone."""
    gap = untouched.log_probabilities.detach() - teacher.log_probabilities
    return (untouched.probabilities.detach() * gap).sum(dim=1).mean()
