import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from goodsam.data.classes import IGNORE
from goodsam.stages.score.boundary import BoundaryScores, boundary_counts

N = 3


def edge_pixels(labels, truth, c):
    """Pixels of class c with a 4-neighbour of another class; truth 255 is neither."""
    height, width = labels.shape
    found = []
    for y in range(height):
        for x in range(width):
            if labels[y, x] != c or truth[y, x] == IGNORE:
                continue
            for ny, nx in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                inside = 0 <= ny < height and 0 <= nx < width
                if inside and truth[ny, nx] != IGNORE and labels[ny, nx] != c:
                    found.append((y, x))
                    break
    return found


def naive_counts(prediction, truth, radius):
    def near(pixel, others):
        return any(np.hypot(pixel[0] - y, pixel[1] - x) <= radius for y, x in others)

    rows = []
    for c in range(N):
        predicted, true = edge_pixels(prediction, truth, c), edge_pixels(truth, truth, c)
        right = sum(near(pixel, true) for pixel in predicted)
        found = sum(near(pixel, predicted) for pixel in true)
        rows.append([len(predicted), right, len(true), found])
    return rows


maps = arrays(np.uint8, (7, 9), elements=st.sampled_from([0, 0, 0, 1, 2, IGNORE]))


@settings(deadline=None)
@given(maps, maps, st.integers(1, 4))
def test_counts_are_those_of_a_pixel_loop(prediction, truth, radius):
    counts = boundary_counts(prediction, truth, N, radius)
    assert counts.tolist() == naive_counts(prediction, truth, radius)


def test_more_classes_than_bits():
    labels = np.repeat(np.array([[3, 70, 149]], np.uint8), 4, axis=1)
    counts = boundary_counts(labels, labels, 150)
    assert counts[[3, 70, 149]].tolist() == [[1] * 4, [2] * 4, [1] * 4]
    assert counts.sum() == 16


def test_f_is_the_harmonic_mean_over_the_set():
    counts = np.array([[4, 2, 8, 8], [3, 0, 0, 0], [0, 0, 5, 0]])
    scores = BoundaryScores(counts, 3)
    assert scores.f[0] == pytest.approx(200 * 0.5 * 1 / 1.5)
    assert np.isnan(scores.f[1])  # predicted, but nowhere in the truth
    assert scores.f[2] == 0
    assert scores.mean == pytest.approx(scores.f[0] / 2)


def test_a_shift_within_the_radius_costs_nothing():
    truth = np.zeros((20, 20), np.uint8)
    truth[:, 10:] = 1
    shifted = np.roll(truth, 2, axis=1)
    shifted[:, :2] = 0
    near, far = (BoundaryScores(boundary_counts(shifted, truth, 2, r), r).mean for r in (3, 1))
    assert near == 100
    assert far < 100
