"""The demo and the bench of the weights, as short as they go: every stage runs, numbers agree."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from goodsam.data.cache import SamCache
from goodsam.data.panoramas import find_panoramas, read_image, read_labels
from goodsam.data.weights import FOLDER
from goodsam.pipeline.studies.bench import weights
from goodsam.pipeline.studies.demo import AFTER, run_demo
from goodsam.stages.adapt.fusion import FusionConfig
from goodsam.stages.sam.generate import GeneratorConfig
from goodsam.stages.sam.registry import SAMS
from goodsam.stages.score.ensemble import ensemble_labels
from goodsam.stages.score.evaluate import evaluate
from goodsam.stages.segformer.segmenter import Segmenter

FEW_POINTS = replace(
    SAMS["street"],
    generator=GeneratorConfig(points_per_side=4, pred_iou_thresh=0.0, stability_score_thresh=0.0),
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SAMS, "street", FEW_POINTS)
        said: list[str] = []
        result = run_demo(out, seed=3, unlabelled=1, test=1, steps=2, say=said.append)
        again = run_demo(out, seed=3, unlabelled=1, test=1, steps=2, say=said.append)
    return out, result, again, said


def test_numbers_are_those_of_the_networks(demo):
    out, result, _, _ = demo
    samples = find_panoramas(out / "world" / "test")
    for key, network in (("student_before", "street-student"), ("student_after", out / "run")):
        assert result.record[key] == evaluate(Segmenter.load(network), samples).scores.miou
    written = json.loads((out / "demo.json").read_text())
    assert {**written, "seconds": 0} == {**result.record, "seconds": 0}
    assert f"{result.record['student_after']:.2f}" in result.table


def test_started_again_it_goes_on_to_the_same_numbers(demo):
    _, result, again, _ = demo
    assert {k: v for k, v in result.record.items() if k != "seconds"} == {
        k: v for k, v in again.record.items() if k != "seconds"
    }


def test_it_says_at_first_how_long_it_takes(demo):
    """When it is started again, without SAM, whose caches are whole."""
    *_, said = demo
    first, again = (line for line in said if "on this machine" in line)
    assert said.index(first) < said.index("SAM, once over all windows ...")
    assert re.fullmatch(r"about .+ on this machine: SAM .+, two trainings .+, evaluation .+", first)
    assert "SAM 0.0 s" in again
    assert "SAM 0.0 s" not in first


def test_the_report_is_one_file_with_its_pictures(demo):
    _, result, _, _ = demo
    page = result.report.read_text()
    assert AFTER in page
    assert page.count("data:image/") >= 7
    assert 'src="http' not in page


def test_ensemble_follows_the_teacher_outside_all_masks(demo):
    out, _, _, _ = demo
    sample = find_panoramas(out / "world" / "test")[0]
    cache = SamCache.open(out / "test.zarr")
    windows = cache.identity.windows
    teacher = Segmenter.load("street-ta", mode="windows", windows=windows)
    image = read_image(sample.image)
    ensemble = ensemble_labels(teacher, image, cache, sample.name, FusionConfig())
    cells = windows.join(np.stack([w.cells for w in cache.read(sample.name).windows]))
    uncovered = cells == 0
    assert uncovered.any()
    np.testing.assert_array_equal(ensemble[uncovered], teacher(image)[uncovered])
    assert sample.labels is not None
    assert ensemble.shape == read_labels(sample.labels).shape


def test_bench_weights_has_every_key(monkeypatch):
    monkeypatch.setitem(SAMS, "street", FEW_POINTS)
    record = weights.bench_weights(seed=5, panoramas=1, images=1)
    keys = {f"ta_{name}" for name in ("source_miou", "source_worst", "target_miou")}
    keys |= {"ta_target_worst", "ta_target_direct_miou", "student_target_miou", "bytes"}
    keys |= {"sam_best_iou", "masks_per_window"}
    keys |= {"fused_ssa_miou", "fused_ctcf_miou", "fused_true_miou"}
    assert keys <= set(record)
    assert record["bytes"] == sum(p.stat().st_size for p in FOLDER.rglob("*.safetensors"))
    assert weights.weights_table(record)


def test_the_weights_are_small_enough_to_be_shipped():
    assert sum(p.stat().st_size for p in FOLDER.rglob("*.safetensors")) < 25e6
