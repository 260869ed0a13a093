"""The confusion matrix and its scores, against a loop over pixels and against torchmetrics."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torchmetrics.classification import MulticlassJaccardIndex

from goodsam.data.classes import IGNORE
from goodsam.data.errors import InputError
from goodsam.stages.score.area import row_areas
from goodsam.stages.score.confusion import Scores, confusion

N = 4


def naive_scores(predictions, truths, n_classes):
    """Per-class IoU, their mean over classes in the truth, and pixel accuracy, pixel by pixel."""
    intersection, union = [0] * n_classes, [0] * n_classes
    occurs = [False] * n_classes
    right = counted = 0
    for prediction, truth in zip(predictions, truths, strict=True):
        for p, t in zip(prediction.ravel().tolist(), truth.ravel().tolist(), strict=True):
            if t == IGNORE:
                continue
            counted += 1
            right += p == t
            occurs[t] = True
            for c in range(n_classes):
                intersection[c] += p == c and t == c
                union[c] += p == c or t == c
    ious = [100 * i / u if o else None for i, u, o in zip(intersection, union, occurs, strict=True)]
    present = [iou for iou in ious if iou is not None]
    return ious, sum(present) / len(present), 100 * right / counted


labels = st.sampled_from([*range(N), IGNORE])
truth_maps = arrays(np.uint8, (3, 5), elements=labels)
prediction_maps = arrays(np.uint8, (3, 5), elements=labels)  # 255: no class given


@settings(deadline=None)
@given(st.lists(st.tuples(prediction_maps, truth_maps), min_size=1, max_size=3))
def test_scores_are_those_of_a_pixel_loop(pairs):
    predictions, truths = zip(*pairs, strict=True)
    matrix = sum(confusion(p, t, N) for p, t in pairs)
    scores = Scores(matrix, ("a", "b", "c", "d"))
    if all((t == IGNORE).all() for t in truths):
        assert np.isnan(scores.miou)
        assert np.isnan(scores.pixel_accuracy)
        return
    ious, mean, accuracy = naive_scores(predictions, truths, N)
    assert list(scores.per_class.values()) == [
        None if v is None else pytest.approx(v) for v in ious
    ]
    assert scores.miou == pytest.approx(mean)
    assert scores.pixel_accuracy == pytest.approx(accuracy)


def test_rows_are_the_truth():
    prediction, truth = np.uint8([[1, 1, 0]]), np.uint8([[0, 0, IGNORE]])
    assert confusion(prediction, truth, 2).tolist() == [[0, 2, 0], [0, 0, 0]]


def test_a_labelled_pixel_without_a_class_is_wrong():
    scores = Scores(confusion(np.uint8([[0, IGNORE]]), np.uint8([[0, 0]]), 2), ("a", "b"))
    assert scores.confusion.tolist() == [[1, 0, 1], [0, 0, 0]]
    assert (scores.miou, scores.pixel_accuracy, scores.confusion[:, -1].sum()) == (50, 50, 1)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(prediction_maps, truth_maps), min_size=1, max_size=3))
def test_iou_is_that_of_torchmetrics(pairs):
    """On the whole set, with "no class" as one more class of the predictions."""
    theirs = MulticlassJaccardIndex(N + 1, average="none", ignore_index=IGNORE)
    for prediction, truth in pairs:
        given = np.where(prediction == IGNORE, N, prediction)
        theirs.update(torch.from_numpy(given), torch.from_numpy(truth.astype(np.int64)))
    ours = Scores(np.asarray(sum(confusion(p, t, N) for p, t in pairs)), ("a", "b", "c", "d"))
    occurs = ~np.isnan(ours.iou)
    if occurs.any():
        expected = 100 * theirs.compute().numpy()[:N]
        np.testing.assert_allclose(ours.iou[occurs], expected[occurs], rtol=1e-5)


def test_a_class_predicted_but_absent_from_the_truth_does_not_enter_the_mean():
    scores = Scores(np.array([[3, 1], [0, 0]]), ("road", "sky"))
    assert scores.per_class == {"road": 75.0, "sky": None}
    assert scores.miou == 75.0


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 4)), "the prediction is 3 x 2, the truth 4 x 2"),
        (np.full((1, 1), 9), np.zeros((1, 1)), "the prediction holds id 9"),
        (np.zeros((1, 1)), np.full((1, 1), 9), "the truth holds id 9"),
    ],
)
def test_confusion_refuses(prediction, truth, message):
    with pytest.raises(InputError, match=message):
        confusion(prediction.astype(np.uint8), truth.astype(np.uint8), 3)


def naive_area(row, height):
    """Of a pixel's row on the unit sphere, by an integral over its latitudes; the mean is 1."""
    fine = np.radians(90 - 180 * (row + (np.arange(2000) + 0.5) / 2000) / height)
    return np.cos(fine).mean() * np.pi / 2


@pytest.mark.parametrize("height", [1, 2, 5, 512])
def test_areas_of_rows_are_those_of_the_sphere(height):
    areas = row_areas(height)
    assert areas.mean() == pytest.approx(1)
    assert areas == pytest.approx([naive_area(row, height) for row in range(height)], rel=1e-4)


@settings(deadline=None)
@given(prediction_maps, truth_maps, arrays(float, (3, 1), elements=st.floats(1e-3, 2)))
def test_pixels_count_by_their_area(prediction, truth, areas):
    matrix = confusion(prediction, truth, N, areas)
    expected = np.zeros((N, N + 1))
    for (row, column), true in np.ndenumerate(truth):
        if true != IGNORE:
            given_ = min(prediction[row, column], N)
            expected[true, given_] += areas[row, 0]
    assert matrix == pytest.approx(expected)
    scores = Scores(matrix, ("a", "b", "c", "d"))
    if (truth == IGNORE).all():
        assert np.isnan(scores.miou)
        return
    assert scores.pixel_accuracy == pytest.approx(100 * np.trace(expected) / expected.sum())
    for c, iou in enumerate(scores.per_class.values()):
        union = expected[c].sum() + expected[:, c].sum() - expected[c, c]
        occurs = expected[c].sum() > 0
        assert iou == (pytest.approx(100 * expected[c, c] / union) if occurs else None)
