"""The benches as small as they go: they run, and give the keys that are promised."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from goodsam.data.errors import InputError
from goodsam.pipeline.cli.app import app
from goodsam.pipeline.studies.bench.fusion import bench_fusion, fusion_table
from goodsam.pipeline.studies.bench.step import bench_step, step_table


def test_bench_fusion_compares_ways_that_agree():
    arguments = ["bench", "fusion", "--masks", "12", "--height", "40", "--device", "cpu", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    parts = ("ctcf_loop", "ctcf_dense", "ctcf", "ssa", "sepl", "boundary_loop", "boundary")
    assert all(record[f"{part}_ms"] > 0 for part in parts)
    for part in ("ctcf", "boundary"):
        ratio = record[f"{part}_loop_ms"] / record[f"{part}_ms"]
        assert record[f"{part}_ratio"] == pytest.approx(ratio)
    assert "12 masks" in fusion_table(record)


def test_bench_fusion_notices_ways_that_do_not_agree(monkeypatch):
    monkeypatch.setattr(
        "goodsam.pipeline.studies.bench.fusion._theta",
        lambda area, pixels, config: area * 0 + 2.0,
    )
    with pytest.raises(RuntimeError, match="do not give the same maps"):
        bench_fusion(12, height=40, repeats=1, device="cpu")


def test_bench_step():
    record = bench_step("demo", "w16", "w16", height=40, masks=3, steps=1, device="cpu")
    assert record["ratio"] == pytest.approx(record["step_s"] / record["bare_s"])
    assert record["step_s"] > 0
    assert record["images_per_second"] == pytest.approx(1 / record["step_s"])
    assert "w16" in step_table(record)


def test_bench_step_refuses_a_preset_that_is_not_there():
    with pytest.raises(InputError, match=r"did you mean goodsam-."):
        bench_step("goodsam-x")
