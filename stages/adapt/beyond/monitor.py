"""A watch on self-training: is the ensemble forgetting classes, or collapsing into one?

With live labels nothing outside steadies the loop: a class that the teacher assistant (TA) no
longer predicts is never taught again. Two means over the same number of panoramas are compared,
the run's first and its latest, so that one unusual panorama raises no alarm: of a whole epoch
where that is short, so that both are of the same panoramas.

Rare classes are what is forgotten, and they are told early: when a third of its share is gone
and it is still losing. A common class may well have been named too often at first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np

SHORTEST, LONGEST = 20, 80  # steps of a mean; between them, an epoch
COMMON, RARE = 0.005, 0.02  # a class below the first share is not watched; below the second, rare
FADING, LOST = (
    0.65,
    0.2,
)  # parts of its first share: a rare class fades below one, any is lost below
CERTAIN = 3.0  # standard errors that a loss must have where the means are of different panoramas
DOUBTFUL = 0.5  # agreement with the TA below which masks overrule it on most pixels


class Monitor:
    """Sees every step's figures; warns once of each thing that goes wrong; stops a lost run.

    names: of the classes. panoramas: of an epoch. collapse: the part of its first value below which
    the entropy of the ensemble's class shares means that the run is lost; 0: never. remedy: what
    to do about either.
    """

    def __init__(self, names: Sequence[str], panoramas: int, collapse: float, remedy: str) -> None:
        self.names, self.collapse, self.remedy = names, collapse, remedy
        self.length = min(max(SHORTEST, panoramas), LONGEST)
        self.same_panoramas = panoramas <= self.length
        self._first: list[np.ndarray] = []
        self._latest: deque[np.ndarray] = deque(maxlen=2 * self.length)
        self._said: set[str] = set()

    def see(self, row: Mapping[str, float]) -> list[str]:
        """Take in a step's figures, as `watch.measure` names them; returns new warnings.

        Raises Collapse if the ensemble's entropy has fallen below the bound.
        """
        shares = [row[share_key(name)] for name in self.names]
        seen = np.array([row["ensemble_entropy"], row["agreement"], *shares])
        if len(self._first) < self.length:
            self._first.append(seen)
        self._latest.append(seen)
        if len(self._first) < self.length:
            return []
        latest = np.array(self._latest)[-self.length :]
        first, now = np.mean(self._first, axis=0), latest.mean(axis=0)
        if now[0] < self.collapse * first[0]:
            raise Collapse(
                f"the ensemble is collapsing: the entropy of its class shares was {first[0]:.2f} "
                f"and is {now[0]:.2f}; {self.remedy}"
            )
        found = self._fading(first[2:], now[2:], latest[:, 2:]) | self._lost(first[2:], now[2:])
        if now[1] < DOUBTFUL:
            found["agreement"] = (
                f"the ensemble agrees with the teacher assistant on only {100 * now[1]:.0f} % of "
                "the pixels: masks overrule it on most of them; look at them (goodsam cache view)"
            )
        new = [text for what, text in found.items() if what not in self._said]
        self._said |= found.keys()
        return new

    def _lost(self, first: np.ndarray, now: np.ndarray) -> dict[str, str]:
        return {
            f"lost {name}": f"{name} is being forgotten: {100 * before:.2g} % of the ensemble at "
            f"first, {100 * after:.2g} % now; {self.remedy}"
            for name, before, after in zip(self.names, first, now, strict=True)
            if before >= COMMON and after < LOST * before
        }

    def _fading(self, first: np.ndarray, now: np.ndarray, latest: np.ndarray) -> dict[str, str]:
        """Rare classes that have lost a part of their share and are losing on."""
        if len(self._latest) < 2 * self.length:
            return {}
        before = np.array(self._latest)[: self.length, 2:].mean(axis=0)
        variance = np.var(self._first, axis=0)[2:] + latest.var(axis=0)
        chance = 0.0 if self.same_panoramas else CERTAIN * np.sqrt(variance / self.length)
        fades = (first >= COMMON) & (first < RARE) & (now < FADING * first) & (now < before)
        fades &= (first - now > chance) & (now >= LOST * first)
        return {
            f"fading {name}": f"{name} is fading: {100 * then:.2g} % of the ensemble at first, "
            f"{100 * after:.2g} % now; {self.remedy}"
            for name, then, after, fading in zip(self.names, first, now, fades, strict=True)
            if fading
        }


def remedy(labels: str, rare_weight: float) -> str:
    """What helps against forgetting: what the robust presets set and this run does not."""
    settings = ["--set labels=ema --set ema_decay=0.99"] if labels == "live" else []
    settings += [] if rare_weight else ["--set rare_weight=0.25"]
    also = f", or do as the robust presets do ({' '.join(settings)})" if settings else ""
    return f"lower teacher_lr{also}"


class Collapse(RuntimeError):
    """A run whose ensemble collapses into few classes."""


def share_key(name: str) -> str:
    """The key of a class's share of the ensemble among a step's figures."""
    return f"share/{name}"
