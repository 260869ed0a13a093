"""Scores on labelled panoramas, and the best student beside the last."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from goodsam.data.errors import InputError
from goodsam.data.geometry import Geometry
from goodsam.data.panoramas import find_panoramas
from goodsam.stages.adapt.beyond.validation import Validation
from goodsam.stages.adapt.loop import adapt
from goodsam.stages.segformer.files import load_segformer
from goodsam.stages.segformer.origin import Origin, origin_of
from goodsam.stages.segformer.segmenter import Segmenter
from tests.stages.adapt.small import WINDOWS, config_for, panoramas, weights


@pytest.fixture(scope="module")
def labelled(world, tmp_path_factory):
    """The images, with what the untouched student says of them as labels: it is the best there."""
    root = tmp_path_factory.mktemp("labels")
    student = Segmenter.load(world / "student", device="cpu")
    for path in sorted((world / "images").iterdir()):
        with Image.open(path) as image:
            labels = student(np.asarray(image))
        Image.fromarray(labels).save(root / path.name)
    return [s for s in find_panoramas(world / "images", root) if s.labels is not None]


def validation(out, labelled, every=2):
    told: list[str] = []
    origin = Origin(Geometry(WINDOWS), ("own", "own"))
    return Validation(labelled, "labelled", out, every, origin, told.append), told


def rows_of(out):
    return [json.loads(line) for line in (out / "val.jsonl").read_text().splitlines()]


def test_scores_every_so_often_and_keeps_the_best(world, tmp_path, labelled):
    score, told = validation(tmp_path, labelled)
    adapt(panoramas(world), tmp_path, config_for(world, steps=5), score=score)
    rows = rows_of(tmp_path)
    assert [row["step"] for row in rows] == [0, 2, 4, 5]
    assert rows[0]["miou"] == rows[0]["pixel_accuracy"] == 100
    assert rows[-1]["miou"] < 100
    best = load_segformer(tmp_path / "best")
    assert all(torch.equal(a, b) for a, b in zip(
        best.state_dict().values(), weights(world / "student").values(), strict=True
    ))  # fmt: skip
    origin = origin_of(best, "best")
    assert origin.step == 0
    for words in ("chosen by labels", "3 labelled images", "100.00 %", "every 2 steps", "no test"):
        assert words in origin.chosen
    assert told[0] == "step 0: mIoU 100.00 on labelled (the best so far)"
    assert told[1].endswith("(the best was 100.00)")


def test_it_changes_nothing_of_what_is_learnt(world, tmp_path, labelled):
    score, _ = validation(tmp_path / "scored", labelled, every=1)
    adapt(panoramas(world), tmp_path / "scored", config_for(world), score=score)
    adapt(panoramas(world), tmp_path / "plain", config_for(world))
    one, two = (weights(tmp_path / name / "student") for name in ("scored", "plain"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_resumed_run_has_the_scores_of_an_unbroken_one(world, tmp_path, labelled):
    def stop(step, *_):
        if step == 3:
            raise KeyboardInterrupt

    config = config_for(world, steps=4)
    score, _ = validation(tmp_path / "cut", labelled)
    with pytest.raises(KeyboardInterrupt):
        adapt(panoramas(world), tmp_path / "cut", config, stop, score=score)
    with (tmp_path / "cut/val.jsonl").open("a") as torn:
        torn.write('{"step": 4, "miou": 1')
    for name in ("cut", "whole"):
        score, _ = validation(tmp_path / name, labelled)
        adapt(panoramas(world), tmp_path / name, config, score=score)
    assert rows_of(tmp_path / "cut") == rows_of(tmp_path / "whole")


def test_a_score_is_made_up_for_where_the_run_was_stopped_before_it(world, tmp_path, labelled):
    score, _ = validation(tmp_path, labelled)
    score._rows, network = [], load_segformer(world / "student")
    assert score(2, network, False)["val/miou"] == 100
    assert score(2, network, False) == {}
    assert score(3, network, False) == {}


def test_without_labels_it_is_refused(tmp_path):
    with pytest.raises(InputError, match="no labelled panoramas"):
        validation(tmp_path, [])
