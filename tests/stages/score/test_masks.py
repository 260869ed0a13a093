import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsam.data.window_masks import WindowMasks
from goodsam.stages.score.masks import MaskQuality, best_iou_by_area, mean_by_range


def window_masks(masks: np.ndarray) -> WindowMasks:
    return WindowMasks.of(masks, np.ones(len(masks)), np.ones(len(masks)))


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), n_masks=st.integers(0, 6))
def test_best_iou_is_the_formula_s(seed: int, n_masks: int) -> None:
    rng = np.random.default_rng(seed)
    instances = rng.integers(0, 5, (7, 9)).astype(np.uint16)
    masks = rng.random((n_masks, 7, 9)) < 0.5
    area, best = best_iou_by_area(window_masks(masks), instances)
    ids = [i for i in np.unique(instances) if i > 0]
    assert area.tolist() == [(instances == i).sum() for i in ids]
    for i, found in zip(ids, best, strict=True):
        truth = instances == i
        ious = [(truth & mask).sum() / (truth | mask).sum() for mask in masks]
        assert found == pytest.approx(max(ious, default=0.0))


def test_means_by_range() -> None:
    first = np.array([10, 249, 250]), np.array([0.2, 0.4, 0.5])
    second = np.array([1000, 2500, 10_000]), np.array([0.6, 0.7, 0.9])
    means = mean_by_range([first, second])
    assert means == {
        "<250": (pytest.approx(0.3), 2),
        "250-1000": (0.5, 1),
        "1000-2500": (0.6, 1),
        "2500-10000": (0.7, 1),
        ">10000": (0.9, 1),
    }


def test_no_windows_have_no_means() -> None:
    assert mean_by_range([]) == {}


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), n_masks=st.integers(0, 6))
def test_quality_is_the_formula_s(seed: int, n_masks: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = [(rng.random((n_masks, 7, 9)) < 0.5, rng.integers(0, 5, (7, 9))) for _ in range(2)]
    found = MaskQuality.of((window_masks(masks), ids) for masks, ids in pairs)
    best, purity, covered = [], [], []
    for masks, ids in pairs:
        things = [ids == i for i in range(1, 5) if (ids == i).any()]
        for thing in things:
            ious = [(thing & mask).sum() / (thing | mask).sum() for mask in masks]
            best.append(max(ious, default=0.0))
        purity += [max((mask & thing).sum() / mask.sum() for thing in things) for mask in masks]
        covered.append(np.logical_or.reduce(masks, axis=0).mean() if n_masks else 0.0)
    assert found.best_iou == pytest.approx(np.mean(best))
    assert found.by_area == {"<250": (pytest.approx(np.mean(best)), len(best))}
    assert found.masks == n_masks
    assert found.covered == pytest.approx(np.mean(covered))
    if n_masks:
        assert found.purity == pytest.approx(np.mean(purity))
    else:
        assert np.isnan(found.purity)


def test_nothing_has_no_quality() -> None:
    assert np.isnan(MaskQuality.of([]).best_iou)
