"""A line a minute, by a clock of the test's."""

from __future__ import annotations

import logging

import pytest

from goodsam.data.errors import InputError
from goodsam.stages.lines import LOG, Lines, seconds_between


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def heard():
    """The lines of the logger."""
    found = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())
    level = LOG.level
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    yield found
    LOG.setLevel(level)
    LOG.removeHandler(handler)


def test_a_line_a_minute_with_what_is_left(heard):
    clock = Clock()
    lines = Lines("train", unit="step", seconds=60, clock=clock)
    for step in range(1, 11):
        clock.now += 25
        lines.update(step, 20, f"student {step / 8}")
    assert heard == [
        "train: step 1 of 20, student 0.125, 7 min 55 s left",  # the first one comes sooner
        "train: step 4 of 20, student 0.5, 6 min 40 s left",
        "train: step 7 of 20, student 0.875, 5 min 25 s left",
        "train: step 10 of 20, student 1.25, 4 min 10 s left",
    ]
    lines.finish()
    assert heard[-1] == "train: done in 4 min 10 s"


def test_what_was_done_before_does_not_count_for_the_rate(heard):
    clock = Clock()
    lines = Lines("train", unit="step", seconds=10, clock=clock)
    clock.now = 5
    lines.update(101, 200)  # resumed: the first step that is seen
    clock.now = 15
    lines.update(111, 200)
    assert heard == ["train: step 111 of 200, 1 min 29 s left"]


def test_parts_of_a_panorama_count_for_the_rate(heard):
    clock = Clock()
    lines = Lines("SAM", unit="panorama", seconds=60, clock=clock)
    lines.update(0, 3)
    clock.now = 60
    lines.update(0.25, 3, "0.03 windows/s")
    assert heard == ["SAM: panorama 0 of 3, 0.03 windows/s, 11 min 00 s left"]


def test_a_short_job_says_nothing(heard):
    clock = Clock()
    lines = Lines("predict", 2, seconds=60, clock=clock)
    for done in (1, 2):
        clock.now += 7
        lines.update(done)
    lines.finish()
    assert heard == []


def test_without_a_total_nothing_is_left(heard):
    clock = Clock()
    lines = Lines("frames", seconds=0, clock=clock)
    clock.now = 3
    lines.update(7)
    assert heard == ["frames: 7"]


def test_the_seconds_between_two_lines_are_a_setting(monkeypatch):
    monkeypatch.delenv("GOODSAM_LOG_SECONDS", raising=False)
    assert seconds_between() == 60
    monkeypatch.setenv("GOODSAM_LOG_SECONDS", "0.5")
    assert seconds_between() == 0.5
    for wrong in ("-1", "nan", "often"):
        monkeypatch.setenv("GOODSAM_LOG_SECONDS", wrong)
        with pytest.raises(InputError, match="a number of seconds"):
            seconds_between()
