"""Classes that fade weigh more: weights that hold the ensemble's class shares.

Self-training with live labels is a loop: a class that the teacher assistant predicts less often is
taught less. The weight of a class in Eq. 5 and 6 is (its first share / its latest share) ** `hold`:
it grows as the class fades, and falls as it spreads. The setting is `hold_shares`; at 0, the
paper's way, all classes weigh the same.
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

    def __init__(self, names: Sequence[str], hold: float) -> None:
        self.names, self.hold = names, hold
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
        """float32 (C,); ones during the first steps."""
        ratio = np.where(self.first < KNOWN, 1, self.first / np.maximum(self.late, 1e-9))
        return np.clip(ratio**self.hold, 1 / LIMIT, LIMIT).astype(np.float32)
