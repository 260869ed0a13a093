"""Lines for whoever does not watch a bar: the logger `goodsam`, and one line a minute of progress.

`goodsam.pipeline.tell` decides where the lines go. Nothing heavy is imported here.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

from goodsam.data.errors import InputError

LOG = logging.getLogger("goodsam")
FIRST = 15.0  # seconds until the first line, which says that all is well and how long it takes
SECONDS = "GOODSAM_LOG_SECONDS"  # the variable that holds the seconds between two lines


def seconds_between() -> float:
    """Seconds between two lines of progress: 60, or what GOODSAM_LOG_SECONDS says."""
    text = os.environ.get(SECONDS, "60")
    try:
        seconds = float(text)
        if not seconds >= 0:
            raise ValueError
    except ValueError:
        raise InputError(f"{SECONDS}={text}: give a number of seconds, 0 or more") from None
    return seconds


def duration(seconds: float) -> str:
    """`8.1 s`, `2 min 05 s`, `1 h 02 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


class Lines:
    """Progress as lines, at most one in so many seconds, the first one soon; a short job has none.

    title, unit: "train" and "step" make `train: step 40 of 1000, student 1.23, 19 min 05 s left`.
    The time left is by the mean rate since the first update: what was done before does not count.
    Lines are records of `goodsam`, level INFO, with the attribute `progress`.
    """

    def __init__(
        self,
        title: str,
        total: float | None = None,
        unit: str = "",
        seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.title, self.total, self.unit, self.clock = title, total, unit, clock
        self.seconds = seconds_between() if seconds is None else seconds
        self._opened = self._said = clock()
        self._from: tuple[float, float] | None = None  # when, and how much was done then
        self._lines = 0

    def update(self, done: float, total: float | None = None, note: str = "") -> None:
        """So much is done; a line if it is time."""
        now, self.total = self.clock(), self.total if total is None else total
        if self._from is None:
            self._from = (self._opened, 0.0) if done <= 1 else (now, done)
        wait = self.seconds if self._lines else min(FIRST, self.seconds)
        if now - self._said < wait:
            return
        self._said, self._lines = now, self._lines + 1
        of = "" if self.total is None else f" of {self.amount(self.total)}"
        parts = (f"{self.unit} {self.amount(done)}{of}".strip(), note, self._left(now, done))
        self._tell(", ".join(part for part in parts if part))

    def finish(self) -> None:
        """The job is done: a last line, if there was any."""
        if self._lines:
            self._tell(f"done in {duration(self.clock() - self._opened)}")

    def amount(self, value: float) -> str:
        """How a number of units is written."""
        return str(int(value))

    def _left(self, now: float, done: float) -> str:
        assert self._from is not None
        began, before = self._from
        if self.total is None or done <= before or now <= began:
            return ""
        return f"{duration((self.total - done) * (now - began) / (done - before))} left"

    def _tell(self, text: str) -> None:
        LOG.info("%s: %s", self.title, text, extra={"progress": True})
