"""The study of whole spheres, as small as it goes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from goodsam.data.panoramas import find_panoramas
from goodsam.data.street.write import write_world
from goodsam.data.windows import Windows
from goodsam.pipeline.cli.app import app
from goodsam.pipeline.studies.bench import spheres
from goodsam.stages.score.evaluate import evaluate
from goodsam.stages.segformer.segmenter import Segmenter


@pytest.mark.slow
def test_the_table_of_whole_spheres(tmp_path, monkeypatch):
    monkeypatch.setattr(spheres, "HEIGHT", 50)  # spheres of 256 x 128
    monkeypatch.setattr(spheres, "TILTS", (0, 30))
    arguments = ["bench", "spheres", "--out", str(tmp_path), "--seeds", "1", "--first-seed", "4"]
    arguments += ["--unlabelled", "1", "--test", "1", "--steps", "1"]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert len(rows) == len(spheres.ROWS) == 12
    values = [v for tilts in rows.values() for parts in tilts.values() for v in parts.values()]
    assert len(values) == 12 * 2 * 2
    assert all(len(seeds) == 1 and 0 < seeds[0] < 100 for seeds in values)
    # what was trained is not what was not, and each way is one of its own
    for tilt in ("0", "30"):
        assert len({parts[tilt]["sphere"][0] for parts in rows.values()}) == 12

    def never(*args, **settings):
        raise AssertionError("done twice")

    for name in ("train", "cache_sam"):
        monkeypatch.setattr(spheres.api, name, never)
    row = next(tmp_path.glob("rows/*/teacher_assistant-tangent-trained-4-0.json"))
    row.unlink()
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 0, again.output
    assert "| TA | trained | tangent |" in again.stdout
    assert row.exists()
    assert json.loads((tmp_path / "spheres.json").read_text())["rows"] == rows


def test_scores_by_area_count_what_is_unseen(tmp_path):
    write_world(tmp_path, source=0, unlabelled=0, test=1, seed=0, height=50, whole=True)
    samples = find_panoramas(tmp_path / "test")
    plain = Segmenter.load("street-student", device="cpu")
    scores = spheres.score_spheres(plain, samples)
    assert scores["sphere"].per_class == evaluate(plain, samples, by_area=True).scores.per_class
    band = plain.seeing(Windows.of(50, 256), fit=True)
    whole, inside = spheres.score_spheres(band, samples).values()
    seen = evaluate(band, samples, by_area=True, unseen=band.unseen)
    assert whole.confusion[:, -1].sum() > 0  # above and below
    assert inside.miou == pytest.approx(seen.scores.miou, abs=1)
    assert whole.pixel_accuracy < inside.pixel_accuracy


def test_rows_of_the_band():
    rows = np.flatnonzero(spheres.band_rows(512))
    assert (rows[0], rows[-1]) == (156, 355)


def test_a_spread_needs_two_seeds():
    values = {str(tilt): {"sphere": [40.0], "band": [50.0, 52.0]} for tilt in spheres.TILTS}
    record = {"rows": {row.key: values for row in spheres.ROWS}}
    line = spheres.spheres_table(record).splitlines()[2]
    assert line == "| TA | untouched | as one picture |" + " 40.0 |" * 3 + " 51.0 ± 1.4 |" * 3
