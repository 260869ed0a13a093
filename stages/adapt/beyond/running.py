"""What a run keeps in mind of its steps' figures, for the settings that depend on its past.

It sees the rows of metrics.jsonl alone, so that a run that resumes has only to read them again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from goodsam.stages.adapt.beyond.balance import Balance
from goodsam.stages.adapt.beyond.confidence import Thresholds
from goodsam.stages.adapt.beyond.labeller import Gate


class RunningFigures:
    """Sees every step's figures; says what the next step has of them."""

    def __init__(
        self,
        names: Sequence[str],
        *,
        hold_shares: float,
        rare_weight: float,
        threshold: float,
        labels_every: int,
        labels_gate: bool,
    ) -> None:
        """names: of the classes. The others: the settings of these names."""
        weighs = bool(hold_shares or rare_weight)
        self.balance = Balance(names, hold_shares, rare_weight) if weighs else None
        self.thresholds = Thresholds(names, threshold) if threshold else None
        self.gate = Gate(labels_every, labels_gate)

    def see(self, row: Mapping[str, float]) -> bool:
        """Take in a step's figures, as `watch.measure` names them; whether the labeller follows."""
        if self.balance is not None:
            self.balance.see(row)
        if self.thresholds is not None:
            self.thresholds.see(row)
        return self.gate.see(row)

    def by_class(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Weights and thresholds of the next step, float32 (C,) each; None where there are none."""
        return (
            None if self.balance is None else self.balance.weights(),
            None if self.thresholds is None else self.thresholds.values(),
        )
