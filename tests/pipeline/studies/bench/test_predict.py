import pytest

from goodsam.pipeline.studies.bench import predict
from goodsam.pipeline.studies.bench.predict import bench_predict, predict_table


def test_both_sides_label_alike_and_are_timed(monkeypatch):
    monkeypatch.setattr(predict, "ROUNDS", 1)
    record = bench_predict("w16", None, count=2, height=64, batch=2, device="cpu")
    assert record["images"] == 2
    assert record["size"] == [328, 64]
    assert record["agreement"] > 99.9
    assert record["ratio"] == pytest.approx(record["peer_s"] / record["ours_s"])
    assert 0 <= record["seam_plain"] <= 100
    assert f"{record['ratio']:.2f}" in predict_table(record)
