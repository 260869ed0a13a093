"""The monitor: silent on a sound run, warns of lost classes, stops one that falls apart."""

from __future__ import annotations

import numpy as np
import pytest

from goodsam.stages.adapt.beyond.monitor import (
    SHORTEST,
    Collapse,
    Monitor,
    remedy,
    share_key,
)

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
    monitor = Monitor(NAMES, 30, 0.5, "lower teacher_lr")
    rows = [row(rng.dirichlet((800, 300, 15))) for _ in range(30)]
    assert said(monitor, rows * 10) == []


@pytest.mark.parametrize("seed", range(5))
def test_nor_do_new_panoramas_in_a_long_epoch(seed):
    rng = np.random.default_rng(seed)
    monitor = Monitor(NAMES, 5000, 0.5, "lower teacher_lr")
    rows = [row(rng.dirichlet((8, 3, 0.15))) for _ in range(1000)]
    assert said(monitor, rows) == []


@pytest.mark.parametrize("panoramas", [5, 40, 5000])
def test_a_rare_class_that_fades_is_told_within_200_steps(panoramas):
    rng = np.random.default_rng(0)
    monitor = Monitor(NAMES, panoramas, 0.5, "lower teacher_lr")
    epoch = rng.dirichlet((800, 300, 15), size=panoramas)
    rows = []
    for step in range(400):
        shares = epoch[step % panoramas].copy()
        shares[2] *= 0.5 ** (step / 150)
        rows.append(row(shares))
    told = [step for step, one in enumerate(rows) for text in monitor.see(one)]
    assert told
    assert told[0] < 200


def test_a_rare_class_that_was_named_too_often_and_settles_is_left_alone():
    """It has lost a tenth and stays there."""
    monitor = Monitor(NAMES, 20, 0.5, "lower teacher_lr")
    assert said(monitor, [row((80, 30, 1.6))] * 30 + [row((80, 30, 1.44))] * 100) == []


def test_a_class_that_fades_is_named_once_and_in_time():
    monitor = Monitor(NAMES, 5, 0.0, "lower teacher_lr")
    rows = [row((6, 3, max(0.0, 0.15 - step / 600))) for step in range(200)]
    fading, lost = said(monitor, rows)
    assert fading.startswith("pole is fading: 1.")
    assert lost.startswith("pole is being forgotten: 1.")
    assert "teacher_lr" in lost


def test_a_rare_class_that_was_hardly_there_is_no_loss():
    monitor = Monitor(NAMES, 5, 0.5, "lower teacher_lr")
    assert said(monitor, [row((6, 3, 0.01))] * SHORTEST + [row((6, 3, 0))] * 100) == []


def test_masks_that_overrule_the_ta_are_named():
    monitor = Monitor(NAMES, 5, 0.5, "lower teacher_lr")
    (text,) = said(monitor, [row((6, 3, 1), agreement=0.4)] * 100)
    assert "on only 40 % of the pixels" in text


@pytest.mark.parametrize("collapse", [0.0, 0.5])
def test_a_run_that_falls_into_one_class_is_stopped(collapse):
    monitor = Monitor(NAMES, 5, collapse, "lower teacher_lr")
    rows = [row((6, 3, 2))] * SHORTEST + [row((1000, 1, 1))] * SHORTEST
    if not collapse:
        assert len(said(monitor, rows)) == 2  # car and pole are named all the same
        return
    with pytest.raises(Collapse, match=r"was 0\.9\d and is 0\.\d\d; lower teacher_lr"):
        said(monitor, rows)


@pytest.mark.parametrize(
    ("labels", "rare_weight", "named"),
    [
        ("live", 0.0, {"labels=ema", "rare_weight=0.25"}),
        ("ema", 0.0, {"rare_weight=0.25"}),
        ("frozen", 0.25, set()),
    ],
)
def test_the_remedy_is_what_a_run_does_not_do_yet(labels, rare_weight, named):
    text = remedy(labels, rare_weight)
    assert text.startswith("lower teacher_lr")
    assert {part for part in ("labels=ema", "rare_weight=0.25") if part in text} == named
