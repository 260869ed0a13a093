"""The monitor: silent on a sound run, warns of lost classes, stops one that falls apart."""

from __future__ import annotations

import numpy as np
import pytest

from goodsam.stages.adapt.beyond.monitor import STEPS, Collapse, Monitor, share_key

NAMES = ("road", "car", "pole")


def row(shares, agreement=0.9):
    shares = np.asarray(shares, float) / np.sum(shares)
    entropy = -sum(s * np.log(s) for s in shares if s > 0)
    return {
        "ensemble_entropy": entropy,
        "agreement": agreement,
        **{share_key(name): share for name, share in zip(NAMES, shares, strict=True)},
    }


def said(monitor, rows):
    return [text for one in rows for text in monitor.see(one)]


def test_panoramas_that_differ_raise_no_alarm():
    rng = np.random.default_rng(0)
    monitor = Monitor(NAMES, 30, 0.5)
    rows = [row(rng.dirichlet((8, 3, 1))) for _ in range(30)]
    assert said(monitor, rows * 10) == []


def test_a_class_that_fades_is_named_once_and_in_time():
    monitor = Monitor(NAMES, 5, 0.0)
    rows = [row((6, 3, max(0.0, 1 - step / 100))) for step in range(200)]
    texts = said(monitor, rows)
    assert len(texts) == 1
    assert texts[0].startswith("pole is being forgotten: 9.")
    assert "teacher_lr" in texts[0]


def test_a_rare_class_that_was_hardly_there_is_no_loss():
    monitor = Monitor(NAMES, 5, 0.5)
    assert said(monitor, [row((6, 3, 0.01))] * STEPS + [row((6, 3, 0))] * 100) == []


def test_masks_that_overrule_the_ta_are_named():
    monitor = Monitor(NAMES, 5, 0.5)
    (text,) = said(monitor, [row((6, 3, 1), agreement=0.4)] * 100)
    assert "on only 40 % of the pixels" in text


@pytest.mark.parametrize("collapse", [0.0, 0.5])
def test_a_run_that_falls_into_one_class_is_stopped(collapse):
    monitor = Monitor(NAMES, 5, collapse)
    rows = [row((6, 3, 2))] * STEPS + [row((1000, 1, 1))] * STEPS
    if not collapse:
        assert len(said(monitor, rows)) == 2  # car and pole are named all the same
        return
    with pytest.raises(Collapse, match=r"was 0\.9\d and is 0\.\d\d; lower teacher_lr"):
        said(monitor, rows)
