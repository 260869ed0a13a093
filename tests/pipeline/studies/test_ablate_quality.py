"""What masks of a measured quality are worth: the table of it, and the curve."""

from __future__ import annotations

import json

import pytest

from goodsam.pipeline.studies.ablate.quality import measured, quality_table
from goodsam.pipeline.studies.ablate.recipe import QUALITY
from goodsam.pipeline.studies.ablate.results import write_results
from goodsam.pipeline.studies.ablate.tables import Row, Table
from goodsam.stages.truth.degrade import Degradation

TABLE = Table(
    "T",
    (Row("none"), Row("worse"), Row("better"), Row("real")),
    "none",
    curve=("worse", "better", "a row that was left out"),
)


def record(miou, best_iou, large=None):
    scores = {"miou": miou, "pixel_accuracy": miou, "per_class": {}}
    areas = {"<250": [best_iou / 2, 3], **({} if large is None else {">10000": [large, 1]})}
    numbers = {"best_iou": best_iou, "by_area": areas}
    return {
        "scores": {"ensemble": scores, "ta": scores, "student": scores},
        "masks": None if best_iou is None else numbers | {"masks": 20, "purity": 1, "covered": 0.5},
        "seconds": {},
        "panoramas": {"unlabelled": 1, "test": 1},
    }


ROWS = {
    ("none", 0): record(50.0, 0.3) | {"masks": None},
    ("worse", 0): record(52.0, 0.2),
    ("worse", 1): record(54.0, 0.4, large=0.9),
    ("better", 0): record(60.0, 0.8),
    ("real", 0): record(51.0, 0.3),
}


def test_the_quality_of_a_row_is_the_mean_of_the_seeds_that_know_it():
    worse = measured(TABLE.rows[1], (0, 1, 2), ROWS)
    assert worse["mean best IoU"] == pytest.approx(0.3)
    assert worse["<250 px"] == pytest.approx(0.15)
    assert worse[">10000 px"] == 0.9
    assert measured(TABLE.rows[0], (0, 1), ROWS) == {}
    lines = quality_table(TABLE, (0, 1), ROWS).splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("| masks | mean best IoU | masks a window | purity | covered |")
    assert lines[2] == "| worse | 0.300 | 20.0 | 1.000 | 0.500 | 0.150 | 0.900 |"
    assert lines[3] == "| better | 0.800 | 20.0 | 1.000 | 0.500 | 0.400 |  |"
    assert quality_table(TABLE, (0, 1), {}) == ""


def test_a_table_with_a_curve_has_both(tmp_path):
    text = write_results(tmp_path, "t", TABLE, (0, 1), ROWS)
    assert quality_table(TABLE, (0, 1), ROWS) in text
    curve = (tmp_path / "t-curve.svg").read_text()
    assert curve.count("mean best IoU of the true instances") == 3
    assert "real" in curve
    write_results(tmp_path, "early", TABLE, (0, 1), {})  # before the first row is done
    assert (tmp_path / "early-curve.svg").exists()
    write_results(tmp_path, "plain", Table("T", TABLE.rows, "none"), (0, 1), ROWS)
    assert not (tmp_path / "plain-curve.svg").exists()
    assert "mean best IoU" not in (tmp_path / "plain.md").read_text()
    assert json.loads((tmp_path / "t.json").read_text())["rows"][1]["seeds"]["0"]["masks"]


def test_the_curve_goes_from_the_demo_sams_failures_to_the_truth():
    table = QUALITY
    by_name = {row.name: row for row in table.rows}
    amounts = [by_name[name].masks for name in table.curve]
    assert amounts[-1] == "true"
    worse = [own.missing[0] for own in amounts[:-1] if isinstance(own, Degradation)]
    assert worse == sorted(worse, reverse=True)
    assert len(worse) == 4
    off = [row for row in table.rows if row.name not in {*table.curve, table.reference}]
    assert sum(isinstance(row.masks, Degradation) for row in off) == 4  # each failure alone
