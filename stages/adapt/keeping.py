"""When a run saves: every so many steps, at least every minute, and when it is stopped.

A checkpoint changes nothing of what a run computes, so that its moment may depend on the clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from goodsam.stages.adapt.learner import Learner

SECONDS = 60.0  # between two checkpoints, where steps are slow
COST = 50  # a checkpoint that took a second is followed by so many without one: 2 % at most


class Keeper:
    """Saves a run's checkpoints into `folder`. every: steps between two, at most."""

    def __init__(
        self,
        learner: Learner,
        folder: Path,
        every: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.learner, self.folder, self.every, self.clock = learner, folder, every, clock
        self._whole: int | None = None  # the step that networks and journal are both at
        self._saved: int | None = None
        self._ready = 0.0

    def resume(self) -> int:
        """Go on from the newest checkpoint; returns the steps done. A new run saves at step 0."""
        done = self.learner.resume(self.folder)
        if done == 0:
            self.save(0)
        self._whole, self._saved = done, done
        self._ready = self.clock() + SECONDS
        return done

    def save(self, step: int) -> bool:
        """A checkpoint now, as `Learner.save`."""
        began = self.clock()
        saved = self.learner.save(self.folder, step)
        ended = self.clock()
        self._saved = step
        self._ready = ended + max(SECONDS, COST * (ended - began))
        return saved

    def moving(self) -> None:
        """From here until `moved` there is nothing that could be resumed: nothing is saved."""
        self._whole = None

    def moved(self, step: int, last: bool) -> None:
        """A step is done, and in the journal; it is saved if it is time, or the last."""
        self._whole = step
        if last or step % self.every == 0 or self.clock() >= self._ready:
            self.save(step)

    @contextmanager
    def at_a_stop(self) -> Iterator[None]:
        """Save what is done when the run is stopped (Ctrl-C, SIGTERM) inside the block."""
        try:
            yield
        except BaseException as stop:
            stopped = not isinstance(stop, Exception)
            if stopped and self._whole is not None and self._whole != self._saved:
                self.save(self._whole)
            raise
