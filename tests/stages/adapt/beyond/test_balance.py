"""Weights that hold class shares: ones at first, more for a class that fades, within limits."""

from __future__ import annotations

import numpy as np
import pytest

from goodsam.stages.adapt.beyond.balance import KNOWN, LIMIT, STEPS, Balance

NAMES = ("road", "car", "train", "sky")


def seen(*shares, hold=2.0):
    """A balance after so many steps."""
    balance = Balance(NAMES, hold)
    for row in shares:
        balance.see({f"share/{name}": share for name, share in zip(NAMES, row, strict=True)})
    return balance


def test_all_weigh_the_same_until_the_first_mean_is_there():
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.ones(4), STEPS)
    for count in (0, 1, STEPS):
        weights = seen(*rows[:count]).weights()
        assert weights.dtype == np.float32
        assert (weights == 1).all()
    np.testing.assert_allclose(seen(*rows).first, rows.mean(axis=0))


@pytest.mark.parametrize("hold", [0.0, 1.0, 2.0])
def test_the_weight_is_the_ratio_of_first_and_late_to_a_power(hold):
    first, then = (0.5, 0.2, 0.1, 0.2), (0.6, 0.1, 0.1, 0.2)
    late = np.array(first)
    for _ in range(7):
        late = (1 - 1 / STEPS) * late + np.array(then) / STEPS
    expected = (np.array(first) / late) ** hold
    weights = seen(*[first] * STEPS, *[then] * 7, hold=hold).weights()
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    if hold:
        assert weights[1] > 1 > weights[0]


def test_limits_and_a_class_that_was_hardly_there_at_first():
    first, then = (0.6 - KNOWN / 2, 0.4, KNOWN / 2, 0.0), (0.0, 0.05, 0.0, 0.95)
    weights = seen(*[first] * STEPS, *[then] * 20 * STEPS).weights()
    assert weights.tolist() == [LIMIT, LIMIT, 1, 1]
    spread = seen(*[(0.01, 0.99, 0, 0)] * STEPS, *[(0.99, 0.01, 0, 0)] * 20 * STEPS).weights()
    np.testing.assert_allclose(spread[:2], [1 / LIMIT, LIMIT])


def test_rare_classes_weigh_more_and_the_mean_pixel_weighs_one():
    shares = np.array([0.6, 0.3, 0.02, 0.08])
    balance = Balance(NAMES, 0.0, rare=0.5)
    assert (balance.weights() == 1).all()
    for _ in range(3):
        balance.see({f"share/{name}": s for name, s in zip(NAMES, shares, strict=True)})
    weights = balance.weights()
    expected = shares**-0.5 / (shares**0.5).sum()
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert (weights * shares).sum() == pytest.approx(1)
