"""A watch on self-training: is the ensemble forgetting classes, or collapsing into one?

With live labels nothing outside steadies the loop: a class that the teacher assistant (TA) no
longer predicts is never taught again. Two means over the same number of panoramas are compared,
the run's first and its latest, so that one unusual panorama raises no alarm.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np

STEPS = 20  # of a mean, at least; a whole epoch if that is longer
COMMON, LOST = 0.005, 0.2  # a class of at least this share is lost below this part of its share
DOUBTFUL = 0.5  # agreement with the TA below which masks overrule it on most pixels
REMEDY = "lower teacher_lr, or use --set hold_shares=2 or --set labels=frozen"


class Monitor:
    """Sees every step's figures; warns once of each thing that goes wrong; stops a lost run.

    names: of the classes. panoramas: of an epoch. collapse: the part of its first value below which
    the entropy of the ensemble's class shares means that the run is lost; 0: never.
    """

    def __init__(self, names: Sequence[str], panoramas: int, collapse: float) -> None:
        self.names, self.collapse = names, collapse
        self.length = max(STEPS, panoramas)
        self._sum = np.zeros(2 + len(names))
        self._count = 0
        self._latest: deque[np.ndarray] = deque(maxlen=self.length)
        self._said: set[str] = set()

    def see(self, row: Mapping[str, float]) -> list[str]:
        """Take in a step's figures, as `watch.measure` names them; returns new warnings.

        Raises Collapse if the ensemble's entropy has fallen below the bound.
        """
        shares = [row[share_key(name)] for name in self.names]
        seen = np.array([row["ensemble_entropy"], row["agreement"], *shares])
        if self._count < self.length:
            self._sum, self._count = self._sum + seen, self._count + 1
        self._latest.append(seen)
        if self._count < self.length:
            return []
        first, now = self._sum / self._count, np.mean(self._latest, axis=0)
        if now[0] < self.collapse * first[0]:
            raise Collapse(
                f"the ensemble is collapsing: the entropy of its class shares was {first[0]:.2f} "
                f"and is {now[0]:.2f}; {REMEDY}"
            )
        found = {
            name: f"{name} is being forgotten: {100 * before:.2g} % of the ensemble at first, "
            f"{100 * after:.2g} % now; {REMEDY}"
            for name, before, after in zip(self.names, first[2:], now[2:], strict=True)
            if before >= COMMON and after < LOST * before
        }
        if now[1] < DOUBTFUL:
            found["agreement"] = (
                f"the ensemble agrees with the teacher assistant on only {100 * now[1]:.0f} % of "
                "the pixels: masks overrule it on most of them; look at them (goodsam cache view)"
            )
        new = [text for name, text in found.items() if name not in self._said]
        self._said |= found.keys()
        return new


class Collapse(RuntimeError):
    """A run whose ensemble collapses into few classes."""


def share_key(name: str) -> str:
    """The key of a class's share of the ensemble among a step's figures."""
    return f"share/{name}"
