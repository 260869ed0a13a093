"""Stanford2D3D from the genuine folders to the table; several seeds; CSV and LaTeX."""

from __future__ import annotations

import csv
import json
import statistics
from pathlib import Path

import pytest
import torch

from goodsam.data.classes import CITYSCAPES, protocol_for
from goodsam.data.panoramas import find_panoramas
from goodsam.data.panoramas.indoor import fold
from goodsam.data.rooms import STANFORD, STANFORD_EIGHT
from goodsam.pipeline.studies.reproduce import published, table
from goodsam.pipeline.studies.reproduce.plan import BENCHMARKS
from goodsam.pipeline.studies.reproduce.whole import over_seeds
from goodsam.stages.sam.registry import street_sam
from goodsam.stages.score.evaluate import evaluate
from goodsam.stages.segformer.build import build_segformer
from goodsam.stages.segformer.files import save_segformer
from goodsam.stages.segformer.segmenter import Segmenter
from tests.data.panoramas.rooms import write_stanford

CLASSES = tuple(reversed(STANFORD))  # an order of their own


@pytest.fixture(scope="module")
def pieces(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("rooms")
    write_stanford(root / "Stanford2D3D", height=64)
    torch.manual_seed(0)
    save_segformer(build_segformer("w16", CLASSES), root / "ta")
    save_segformer(build_segformer("w16", CLASSES), root / "student")
    save_segformer(build_segformer("w16", CITYSCAPES), root / "street")
    torch.save(street_sam().state_dict(), root / "sam.pth")
    return root


def options(pieces: Path, out: Path, *more: str) -> list[str]:
    return (
        f"reproduce stanford2d3d --stanford2d3d {pieces}/Stanford2D3D --sam street "
        f"--checkpoint {pieces}/sam.pth --points-per-side 2 --boundaries windows "
        f"--teacher-assistant {pieces}/ta --student {pieces}/student "
        f"--set steps=1 --set workers=0 --out {out}"
    ).split() + list(more)


def test_a_fold_to_the_table_with_two_seeds(pieces, tmp_path, goodsam):
    out = tmp_path / "out"
    status, text, said = goodsam(*options(pieces, out, "--fold", "2"))
    assert status == 0, said
    train, test = fold(find_panoramas(pieces / "Stanford2D3D"), 2)
    assert (len(train), len(test)) == (5, 2)
    assert "SAM: 5 panoramas done, 0 were there" in said
    assert "windows of 32 px over the whole sphere" in text
    assert "| OmniSAM, L | 79.06 | no | yes | OmniSAM (arXiv 2503.07098) |" in text
    record = json.loads((out / "reproduce.json").read_text())
    assert tuple(record["ours"]["per_class"]) == STANFORD_EIGHT.names
    first = evaluate(
        Segmenter.load(out / "run"), test, protocol_for("stanford8", CLASSES)
    ).scores.miou
    assert record["ours"]["miou"] == first
    assert json.loads((out / "eval/eval.json").read_text())["miou"] == first

    status, text, said = goodsam(*options(pieces, out, "--fold", "2", "--seeds", "2"))
    assert status == 0, said
    assert "SAM: 0 panoramas done, 5 were there" in said
    record = json.loads((out / "reproduce.json").read_text())
    second = record["rows"]["student, after, seed 1"]["miou"]
    assert record["ours"]["miou"] == statistics.fmean([first, second])
    assert record["ours"]["miou_sd"] == statistics.stdev([first, second])
    assert (out / "run-seed1" / "student").is_dir()
    with (out / "reproduce.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[-1]["method"] == "goodsam-m, this run, mean of 2 seeds"
    assert rows[-1]["mIoU"] == f"{record['ours']['miou']:.2f}"
    assert rows[-1]["± over 2 seeds"] == f"{record['ours']['miou_sd']:.2f}"
    assert [row["mIoU"] for row in rows[:-1]] == [f"{r.miou:.2f}" for r in published.STANFORD_8]
    status, _, said = goodsam(*options(pieces, out, "--fold", "1"))
    assert status == 2
    assert "started with another fold" in said


def test_thirteen_classes_and_networks_of_streets(pieces, tmp_path, goodsam):
    status, _, said = goodsam(*options(pieces, tmp_path / "out", "--classes", "13", "--check"))
    assert status == 0, said
    assert "test: 2 labelled panoramas, 13 classes" in said
    assert not (tmp_path / "out").exists()
    arguments = [a.replace("/ta", "/street") for a in options(pieces, tmp_path / "out")]
    status, _, said = goodsam(*arguments)
    assert status == 2
    assert "the model has no ceiling" in said


def test_means_of_seeds():
    rows = [
        {"miou": 50.0, "pixel_accuracy": 80.0, "per_class": {"wall": 40.0, "sofa": None}},
        {"miou": 54.0, "pixel_accuracy": 90.0, "per_class": {"wall": 60.0, "sofa": None}},
    ]
    assert over_seeds(rows) == {
        "miou": 52.0,
        "miou_sd": pytest.approx(8**0.5),
        "pixel_accuracy": 85.0,
        "per_class": {"wall": 50.0, "sofa": None},
    }
    assert over_seeds(rows[:1]) == {**rows[0], "miou_sd": None}


def test_latex_is_escaped_and_has_a_cell_a_column():
    header, rows = table.published_table(published.STANFORD_13)
    rows.append(["a_b & 50 % ± 1", "1.00", "yes", "no", ""])
    lines = table.latex_table(header, rows).splitlines()
    assert lines[0] == r"\begin{tabular}{lrlll}"
    assert r"a\_b \& 50 \% $\pm$ 1 & 1.00 & yes & no &  \\" in lines
    cells = [line for line in lines if line.endswith(r"\\")]
    assert len(cells) == len(rows) + 1
    assert all(line.replace(r"\&", "").count("&") == 4 for line in cells)


@pytest.mark.parametrize("name", [*BENCHMARKS, "synpass"])
def test_every_published_row_says_where_it_is_printed(name):
    rows = BENCHMARKS[name].rows if name in BENCHMARKS else published.SYNPASS
    for row in rows:
        assert row.source, row.method
        assert (row.source_free is None) == (
            bool(row.trained) or row.method in {"ERFNet", "PASS", "Omni-sup"}
        )
        assert 0 < row.miou < 100


def test_the_page_has_the_rows_that_the_tables_have():
    page = (Path(__file__).parents[3] / "docs" / "reproduce.md").read_text()
    for rows in (published.SYNPASS, *(benchmark.rows for benchmark in BENCHMARKS.values())):
        assert table.markdown_table(*table.published_table(rows)) in page
