"""Weights of the classes in Eq. 5 and 6, from their shares of the ensemble.

Self-training with live labels is a loop: a class that the teacher assistant predicts less often is
taught less. `hold_shares` weighs a class by (its first share / its latest share) ** `hold`: it
grows as the class fades, and falls as it spreads. `rare_weight` weighs it by (1 / its latest share)
** `rare`, scaled so that the mean weight of a pixel is 1. At 0, the paper's way, all weigh the
same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from goodsam.stages.adapt.beyond.monitor import share_key

STEPS = 24  # of the first mean, and about as many in the running one
KNOWN = 5e-4  # a class with a smaller first share keeps weight 1
LIMIT = 5.0  # weights lie between 1 / LIMIT and LIMIT


class Balance:
    """Sees every step's shares; gives the weights of the next one."""

    def __init__(self, names: Sequence[str], hold: float, rare: float = 0.0) -> None:
        self.names, self.hold, self.rare = names, hold, rare
        self.steps = 0
        self.first = self.late = np.zeros(len(names))

    def see(self, row: Mapping[str, float]) -> None:
        """Take in a step's figures, as `watch.measure` names them."""
        shares = np.array([row[share_key(name)] for name in self.names])
        self.steps += 1
        self.late = self.late + (shares - self.late) / min(self.steps, STEPS)
        if self.steps <= STEPS:
            self.first = self.late

    def weights(self) -> np.ndarray:
        """float32 (C,); ones before the first step, and of `hold` during the first steps."""
        ratio = np.where(self.first < KNOWN, 1, self.first / np.maximum(self.late, 1e-9))
        held = np.clip(ratio**self.hold, 1 / LIMIT, LIMIT)
        if not self.rare or not self.steps:
            return held.astype(np.float32)
        rare = np.maximum(self.late, KNOWN) ** -self.rare
        rare = np.clip(rare / (rare * self.late).sum(), 1 / LIMIT, LIMIT)
        return (held * rare).astype(np.float32)
