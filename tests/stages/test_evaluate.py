import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from data.classes import CITYSCAPES, IGNORE
from data.errors import InputError
from data.panoramas import Sample, find_panoramas
from stages.evaluate import (
    Scores,
    confusion,
    evaluate,
    evaluate_predictions,
    evaluation_record,
    write_record,
)

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
prediction_maps = arrays(np.uint8, (3, 5), elements=st.integers(0, N - 1))


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
    assert confusion(prediction, truth, 2).tolist() == [[0, 2], [0, 0]]


def test_a_class_predicted_but_absent_from_the_truth_does_not_enter_the_mean():
    scores = Scores(np.array([[3, 1], [0, 0]]), ("road", "sky"))
    assert scores.per_class == {"road": 75.0, "sky": None}
    assert scores.miou == 75.0


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 4)), "the prediction is 3 x 2, the truth 4 x 2"),
        (np.full((1, 1), 9), np.zeros((1, 1)), "the prediction holds id 9"),
        (np.full((1, 1), IGNORE), np.zeros((1, 1)), "the prediction holds id 255"),
        (np.zeros((1, 1)), np.full((1, 1), 9), "the truth holds id 9"),
    ],
)
def test_confusion_refuses(prediction, truth, message):
    with pytest.raises(InputError, match=message):
        confusion(prediction.astype(np.uint8), truth.astype(np.uint8), 3)


@pytest.fixture
def labelled(tmp_path):
    """Three images whose red channel is the label map, but for an error in the third."""
    rng = np.random.default_rng(0)
    for n, wrong in enumerate((0, 0, 10)):
        truth = rng.integers(0, 19, (6, 10), dtype=np.uint8)
        truth[0, 0] = IGNORE
        shown = truth.copy()
        shown.flat[1 : 1 + wrong] = (shown.flat[1 : 1 + wrong] + 1) % 19
        for path, array in (
            (f"leftImg8bit/val/{n}_.png", np.repeat(shown[..., None], 3, axis=2)),
            (f"gtFine/val/{n}_labelTrainIds.png", truth),
        ):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(tmp_path / path)
    return tmp_path


def read_red(image):
    return image[..., 0]


def test_evaluate(labelled, tmp_path):
    samples = find_panoramas(labelled)
    seen = []
    evaluation = evaluate(read_red, samples, progress=seen.append)
    assert seen == [s.name for s in samples]
    assert evaluation.scores.pixel_accuracy == pytest.approx(100 * (3 * 59 - 10) / (3 * 59))
    assert evaluation.ranked()[-1] == "leftImg8bit/val/2_.png"
    assert [evaluation.per_image[s.name].miou for s in samples][:2] == [100, 100]
    total = sum(s.confusion for s in evaluation.per_image.values())
    assert (evaluation.scores.confusion == total).all()

    record = evaluation_record(evaluation, samples, model="here")
    write_record(tmp_path / "out", record)
    stored = json.loads((tmp_path / "out/eval.json").read_text())
    assert stored == record
    assert stored["miou"] == evaluation.scores.miou
    assert stored["model"] == "here"
    assert list(stored["per_class"]) == list(CITYSCAPES)
    assert f"**{stored['miou']:.2f}**" in (tmp_path / "out/eval.md").read_text()


def test_evaluate_predictions_of_another_program(labelled, tmp_path):
    samples = find_panoramas(labelled)
    for sample in samples:
        path = tmp_path / "theirs" / f"{sample.image.stem.rstrip('_')}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(read_red(np.array(Image.open(sample.image)))).convert("L").save(path)
    Image.fromarray(np.full((6, 10), 18, np.uint8)).save(tmp_path / "theirs/0.png")
    theirs = evaluate_predictions(tmp_path / "theirs", samples[1:])
    ours = evaluate(read_red, samples[1:])
    assert (theirs.scores.confusion == ours.scores.confusion).all()


def test_evaluate_refuses(labelled):
    samples = find_panoramas(labelled)
    with pytest.raises(InputError, match="there are no images"):
        evaluate(read_red, [])
    with pytest.raises(InputError, match="has no labels; give their folder"):
        evaluate(read_red, [Sample(samples[0].name, samples[0].image)])
    with pytest.raises(InputError, match=r"leftImg8bit/val/0_.png: the prediction is 9 x 6"):
        evaluate(lambda image: image[:, 1:, 0], samples)
