import json

import numpy as np
import pytest
from PIL import Image

from goodsam.data.classes import CITYSCAPES, IGNORE, THIRTEEN, WILDPASS, own_classes
from goodsam.data.errors import InputError
from goodsam.data.panoramas import Sample, find_panoramas
from goodsam.stages.score.evaluate import evaluate, evaluate_predictions
from goodsam.stages.score.record import evaluation_record, markdown, write_record


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
    write_record(tmp_path / "out", record, markdown(record))
    stored = json.loads((tmp_path / "out/eval.json").read_text())
    assert stored == record
    assert stored["miou"] == evaluation.scores.miou
    assert stored["model"] == "here"
    assert list(stored["per_class"]) == list(CITYSCAPES)
    assert np.asarray(stored["confusion"]).shape == (19, 19)
    assert stored["protocol"] == "19"
    assert stored["boundary_f"]["radius_px"] == 3
    assert list(stored["boundary_f"]["per_class"]) == list(CITYSCAPES)
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
    with pytest.raises(
        InputError, match=r"0_labelTrainIds.png: 10 x 6, and .*0_.png is 9 x 6; both"
    ):
        evaluate(lambda image: image[:, 1:, 0], samples)


def test_thirteen_classes_are_scored_on_merged_labels(labelled):
    samples = find_panoramas(labelled)
    merged = evaluate(read_red, samples, THIRTEEN)
    naive = np.zeros((13, 14), np.int64)
    for sample in samples:
        shown, truth = (
            np.array(Image.open(sample.image))[..., 0],
            np.array(Image.open(sample.labels)),
        )
        for p, t in zip(THIRTEEN.lookup[shown].flat, THIRTEEN.lookup[truth].flat, strict=True):
            if t != IGNORE:
                naive[t, 13 if p == IGNORE else p] += 1
    assert (merged.scores.confusion == naive).all()
    assert merged.scores.names == THIRTEEN.names
    record = evaluation_record(merged, samples)
    assert record["protocol"] == "13"
    assert "Another benchmark" in record["protocol_note"]


def wildpass(folder, ids):
    truth = np.array([ids], dtype=np.uint8)
    for path, array in (
        ("leftImg8bit/val/cs/1.png", np.zeros((*truth.shape, 3), np.uint8)),
        ("gtFine/val/cs/1_labelTrainIds.png", truth),
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(folder / path)
    return find_panoramas(folder)


def test_wildpass_is_scored_by_its_mapillary_ids(tmp_path):
    samples = wildpass(tmp_path, [4, 5, 8, 11, 12, 13, 17, 24, 255, 65, 0])
    said = np.uint8([[13, 14, 15, 0, 1, 1, 11, 0, 5, 5, 5]])  # the train ids that they stand for
    right = evaluate(lambda image: said, samples, WILDPASS)
    assert right.scores.miou == 100
    assert right.scores.confusion.sum() == 8
    wrong = said.copy()
    wrong[0, :2] = 2  # a building where a car is: no class of the protocol
    scores = evaluate(lambda image: wrong, samples, WILDPASS).scores
    assert scores.confusion[:, -1].sum() == 2
    assert scores.per_class == {
        "road": 100, "sidewalk": 100, "person": 100, "car": 0, "truck": 0, "bus": 100,
    }  # fmt: skip


def test_protocols_are_not_mixed_up(labelled, tmp_path):
    with pytest.raises(InputError, match=r"none of the wildpass protocol's; .*--protocol 19"):
        evaluate(read_red, find_panoramas(labelled), WILDPASS)
    with pytest.raises(InputError, match="label id 24 is outside the 19"):
        evaluate(read_red, wildpass(tmp_path, [24]))


def test_an_ignore_mask_leaves_pixels_out(labelled):
    samples = find_panoramas(labelled)
    ignore = np.zeros((6, 10), bool)
    ignore.flat[:11] = True  # all that is wrong in the third image
    evaluation = evaluate(read_red, samples, ignore=ignore)
    assert evaluation.scores.miou == 100
    assert evaluation.scores.confusion.sum() == 3 * 49
    with pytest.raises(InputError, match="the labels are 10 x 6, the ignore mask 9 x 6: draw it"):
        evaluate(read_red, samples, ignore=ignore[:, 1:])


def test_a_model_with_classes_of_its_own_is_scored_by_them(labelled):
    names = tuple(f"class {i}" for i in range(19))
    evaluation = evaluate(read_red, find_panoramas(labelled), own_classes(names))
    assert tuple(evaluation.scores.per_class) == names
    assert evaluation.protocol.key == "own"
