"""Ablations: rows run once, tables that say what the rows say, and the paper's own values."""

from __future__ import annotations

import csv
import itertools
import json
from dataclasses import astuple, replace
from functools import partial
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from goodsam.data.errors import InputError
from goodsam.data.panoramas import find_panoramas
from goodsam.data.street.picture import panorama
from goodsam.data.street.seeds import split_seed
from goodsam.data.street.write import write_world
from goodsam.data.windows import Windows
from goodsam.pipeline.cli.ablate import TableName, ablate
from goodsam.pipeline.studies.ablate import cost, whole
from goodsam.pipeline.studies.ablate.cost import estimate
from goodsam.pipeline.studies.ablate.recipe import RECIPE_TABLES
from goodsam.pipeline.studies.ablate.results import markdown, write_results
from goodsam.pipeline.studies.ablate.runs import (
    Place,
    Study,
    _by_windows,
    _folder,
    _squeezed,
    needed_caches,
    place_of,
    run_row,
)
from goodsam.pipeline.studies.ablate.tables import (
    COLUMNS,
    LOSSES,
    METHOD,
    TABLES,
    Row,
    Table,
    losses,
    table5,
)
from goodsam.pipeline.studies.timing import SCORE, STEP
from goodsam.stages.adapt.learner import AdaptConfig
from goodsam.stages.score.evaluate import evaluate
from goodsam.stages.segformer.segmenter import Segmenter
from goodsam.stages.truth.degrade import of_quality

STEPS = ("steps=1", "warmup=0", "workers=0")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("ablate")
    write_world(root / "own", source=0, unlabelled=1, test=1, seed=9, height=64)
    return Study(
        root / "out",
        settings=STEPS,
        generator=(("points_per_side", 2), ("pred_iou_thresh", 0.0)),
        images=root / "own/unlabelled",
        test=root / "own/test",
    )


def record(row, seed, **mious):
    scores = {
        column: {"miou": miou, "pixel_accuracy": miou, "per_class": {"road": miou, "sky": None}}
        for column, miou in mious.items()
    }
    sizes = {"unlabelled": 1, "test": 2}
    return {"row": row, "seed": seed, "scores": scores, "seconds": {"a": 1.0}, "panoramas": sizes}


def test_a_table_is_the_means_the_spreads_and_the_paired_differences(tmp_path):
    table = Table("T", (Row("a"), Row("b", printed={"student": 55.93})), "a")
    rows = {
        ("a", 0): record("a", 0, student=10.0, ta=1.0),
        ("b", 0): record("b", 0, student=13.0, ta=1.0),
        ("a", 1): record("a", 1, student=20.0, ta=3.0),
        ("b", 1): record("b", 1, student=25.0, ta=4.0),
    }
    text = write_results(tmp_path, "t", table, (0, 1), rows)
    assert "| a |  | 2.00 ± 1.41 | 15.00 ± 7.07 |  |  |  |  |" in text
    assert "| 19.00 ± 8.49 |  | +0.50 ± 0.71 | +4.00 ± 1.41 | 55.93 |" in text
    assert "| road | 15.0 | 19.0 |" in text
    assert "UNFINISHED" not in text
    with (tmp_path / "t.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["miou"] for line in lines if line["row"] == "b" and line["network"] == "student"]
    assert len(lines) == 8
    written = json.loads((tmp_path / "t.json").read_text())
    assert written["rows"][1]["summary"]["student"] == {
        "mean": 19.0, "sd": pytest.approx(8.485, abs=1e-3), "n": 2,
    }  # fmt: skip
    assert (tmp_path / "t.svg").read_text().count("<path") > 2
    del rows["b", 1]
    assert "UNFINISHED: 3 of 4 runs" in markdown(table, (0, 1), rows)


def test_rows_are_run_once_and_shared_among_tables(study, monkeypatch):
    table = Table("T", (Row("as is", trains=False), Row("all")), "as is")
    said: list[str] = []
    text = whole.run_table(study, "one", table, [0], said.append)
    assert said[0].startswith("0 of 2 runs are done, 2 to do: about ")
    assert "SAM " in said[0]
    assert "1 training of 1 steps together" in said[0]
    place = place_of(study, 0)
    samples = find_panoramas(study.test)
    as_is = run_row(study, table.rows[0], place, 0, said.append)["scores"]
    student = evaluate(Segmenter.load("street-student"), samples).scores
    assert as_is["student"]["miou"] == student.miou
    assert f"{student.miou:.2f}" in text
    assert not list(study.out.rglob("checkpoints"))
    monkeypatch.setattr(whole, "run_row", None)  # nothing is run any more
    again = Table("U", (Row("another name, the same thing"), table.rows[0]), "as is")
    assert "UNFINISHED" not in whole.run_table(study, "two", again, [0], said.append)
    assert {path.name for path in study.out.glob("*.md")} == {"one.md", "two.md"}


def test_what_a_table_will_take_is_said_of_what_is_left_of_it(study, tmp_path, monkeypatch):
    own = replace(study, out=tmp_path)
    place = place_of(own, 0)  # one panorama to train on, one to score

    approx = partial(pytest.approx, rel=0.01)  # 328 columns are no whole number of strides

    def cost_of(*rows):
        return astuple(estimate(own, [(row, 0) for row in rows], {0: place}))

    row = Row("all", settings=("steps=50",))
    assert min(cost_of(row)) > 0  # by trial
    monkeypatch.setattr(cost, "_sam_seconds", lambda *_: 10.0)
    monkeypatch.setattr(cost, "forward_seconds", lambda *_: (2.0, 1.0))
    # windows overlap by half: the TA sees all pixels twice in training and for the ensemble
    assert cost_of(row) == approx((20, STEP * 3 * 50, SCORE * (1 + 1 + 2), 1, 50))
    again = replace(row, name="the same caches", shows=("student",))
    assert cost_of(row, again) == approx((20, 2 * STEP * 3 * 50, SCORE * 5, 2, 100))
    untrained = replace(row, trains=False, shows=("student",))
    assert cost_of(untrained) == (0, 0, SCORE, 0, 0)
    run_row(own, replace(row, trains=False, shows=("ensemble",)), place, 0, print)
    assert cost_of(row)[0] == 10  # the labelled panorama is cached
    said = str(cost.TableEstimate(0, 0, 8, 0, 0))
    assert said == "about 8.0 s on this machine, from single runs: scores 8.0 s"


def test_every_row_of_every_table_is_a_setting_that_there_is(study):
    tables = TABLES | RECIPE_TABLES
    for table in [*tables.values(), table5({"B5": "x", "w32": "street-ta"})]:
        names = [row.name for row in table.rows]
        assert len(set(names)) == len(names)
        assert table.reference in names
        for row in table.rows:
            config = study.config(row, 0)
            assert isinstance(config, AdaptConfig)
            stage1 = study.stage1(row, 1024)
            assert 0 < stage1["stride"] <= stage1["window"] <= 1024
            assert set(row.shows) <= set(COLUMNS)
            assert set(row.printed) <= set(row.shows)


def test_the_ladder_switches_on_one_loss_after_the_other(study):
    on = []
    for row in TABLES["table3"].rows[3:]:
        weights = study.config(row, 0).step.weights
        on.append({name for name in LOSSES if getattr(weights, name)})
    assert on[0] == {"whole_image", "teacher_windows"}
    assert on[-1] == set(LOSSES)
    assert [len(after - before) for before, after in itertools.pairwise(on)] == [1, 1, 1, 1]
    assert study.stage1(TABLES["table3"].rows[3], 1024)["stride"] == 256
    assert study.stage1(TABLES["table3"].rows[4], 1024)["stride"] == 128
    assert losses(*LOSSES) == ()


def test_the_papers_values(study):
    assert TABLES["table3"].rows[-1].printed["student"] == 55.93
    five = {row.name: row.printed for row in table5({"B3": "x", "B5": "y"}).rows}
    assert five["B5, CTCF"] == {"ensemble": 55.88}
    assert five["B3, SSA"] == {"ensemble": 49.13}
    assert five["B3, SEPL"] == {}
    assert five["B5, trained (CTCF)"] == {"student": 60.56}


def test_worlds_of_their_own(tmp_path):
    study = Study(tmp_path, settings=STEPS, unlabelled=1, labelled=1)
    places = [place_of(s, seed) for s in (study, replace(study, tuning=True)) for seed in (0, 1)]
    pictures = {find_panoramas(place.test)[0].image.read_bytes() for place in places}
    assert len(pictures) == len({place.key for place in places}) == 4


def test_a_street_world_can_have_true_masks_and_ones_own_panoramas_cannot(tmp_path, study):
    own = Study(tmp_path, settings=STEPS, unlabelled=1, labelled=1, masks="true")
    place = place_of(own, 0)
    row = Row("a", trains=False, shows=("ta", "ensemble"))
    record = run_row(own, row, place, 0, print)
    scores = record["scores"]
    assert scores["ensemble"]["miou"] > scores["ta"]["miou"]  # what masks are good for
    assert record["masks"]["best_iou"] == record["masks"]["covered"] == 1
    worse = run_row(own, replace(row, masks=of_quality(0)), place, 0, print)
    assert worse["scores"]["ensemble"]["miou"] < scores["ensemble"]["miou"]
    assert worse["masks"]["best_iou"] < 0.6
    names = [row.name for row in study.table(TABLES["effect"]).rows]
    assert names == [
        row.name
        for row in TABLES["effect"].rows
        if row.masks in (None, "sam") and not row.true_labels
    ]
    assert own.table(TABLES["effect"]) is TABLES["effect"]
    with pytest.raises(InputError, match="only street worlds"):
        replace(study, masks="true")


def test_where_masks_come_from_is_part_of_what_a_row_is(tmp_path):
    study, row = Study(tmp_path), Row("a")
    place = Place(tmp_path, tmp_path, 200, 1024, "some")
    half = of_quality(0.5)
    kinds = ("sam", "true", half, replace(half, seed=1), of_quality(0.25), half.alone("moved"))
    rows = [replace(row, masks=kind) for kind in kinds]
    assert len({_folder(study, own, place, 0) for own in rows}) == len(kinds)
    assert len({needed_caches(study, own, place)["test"][1] for own in rows}) == len(kinds)
    for kind, own in zip(kinds, rows, strict=True):  # a row's own word comes first
        everywhere = replace(study, masks=kind)
        assert _folder(everywhere, row, place, 0) == _folder(study, own, place, 0)
        assert _folder(everywhere, rows[0], place, 0) == _folder(study, rows[0], place, 0)


def test_a_networks_files_are_part_of_what_a_row_is(tmp_path, study):
    (tmp_path / "a.safetensors").write_bytes(b"one")
    own = replace(study, settings=(*STEPS, f"student={tmp_path}"))
    place, row = place_of(own, 0), Row("a")
    before = _folder(own, row, place, 0)
    assert _folder(own, row, place, 0) == before
    (tmp_path / "a.safetensors").write_bytes(b"two")
    assert _folder(own, row, place, 0) != before


def test_squeezed_labels_come_back_at_the_images_size():
    seen = []

    def predict(image):
        seen.append(image.shape)
        return (image[..., 0] > 100).astype(np.uint8)

    image = np.zeros((40, 200, 3), np.uint8)
    image[:, 100:] = 200
    labels = _squeezed(predict, 60)(image)
    assert seen == [(60, 60, 3)]
    np.testing.assert_array_equal(labels, image[..., 0] > 100)
    assert _squeezed(predict, None) is predict
    by_windows = _by_windows(_squeezed(predict, 60), Windows(40, 200, 50, 50))
    np.testing.assert_array_equal(by_windows(image), image[..., 0] > 100)
    assert seen == [(60, 60, 3)] * 5


def test_windows_are_seen_as_the_segmenter_sees_them():
    image = panorama(split_seed("tuning", 5), 64, 328).image
    windows = Windows.of(64, 328)
    whole, own = Segmenter.load("street-ta"), Segmenter.load("street-ta", "student", "windows")
    assert (_by_windows(whole, windows)(image) == own(image)).mean() > 0.999


def test_settings_are_looked_at_before_the_first_hour(study):
    wrong = replace(study, settings=("step.lamda_=1",))
    with pytest.raises(InputError, match=r"did you mean.*lambda_|lambda_"):
        whole.run_table(wrong, "t", TABLES["effect"], [0], print)
    with pytest.raises(InputError, match="both"):
        replace(study, test=None)


def test_the_command_names_what_is_wrong(tmp_path, goodsam):
    status, _, err = goodsam("ablate", "table9", "--out", tmp_path)
    assert status == 2
    assert "figure7" in err
    assert set(get_args(TableName)) == {*TABLES, *RECIPE_TABLES, "table5"}
    with pytest.raises(InputError, match="NAME=SEGFORMER"):
        ablate("table5", out=tmp_path, teachers=["B5"])
    with pytest.raises(InputError, match="--quality 0 to 1"):
        ablate("quality", out=tmp_path, masks="degraded")
    with pytest.raises(InputError, match="goes with --masks degraded"):
        ablate("quality", out=tmp_path, quality=0.5)
    assert not list(tmp_path.iterdir())


def test_the_method_is_the_presets_own(study):
    row = next(row for row in TABLES["choices"].rows if row.name == METHOD)
    assert row.settings == ()
    assert row.stage1 == row.generator == {}


def test_a_picture_of_another_width_keeps_the_proportions(tmp_path, study):
    Image.new("RGB", (512, 100)).save(tmp_path / "a.png")
    own = replace(study, images=tmp_path, test=tmp_path)
    assert place_of(own, 0).width == 512
    assert own.stage1(Row("a"), 512)["window"] == 128
