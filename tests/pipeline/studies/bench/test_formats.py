from goodsam.data.classes import CITYSCAPES
from goodsam.pipeline.studies.bench import formats
from goodsam.pipeline.studies.bench.formats import bench_formats, formats_table
from tests.stages.networks.tiny import write


def test_a_family_that_cannot_be_traced_is_compared_in_torch_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(formats, "ROUNDS", 1)
    network = write(tmp_path / "network", "mobilenet_v2", CITYSCAPES)
    record = bench_formats(str(network), None, count=1, height=64)
    assert list(record["rows"]) == ["transformers", "torch"]
    assert record["rows"]["transformers"]["agreement"] > 99.9
    assert formats_table(record).count("\n") == 4


def test_all_formats_label_the_same_pictures(monkeypatch):
    monkeypatch.setattr(formats, "ROUNDS", 1)
    monkeypatch.setattr(formats, "CALIBRATING", 2)
    record = bench_formats("street-student", None, count=2, height=64)
    assert record["size"] == [328, 64]
    rows = record["rows"]
    assert rows["torch"]["agreement"] == 100
    assert min(rows[side]["agreement"] for side in ("transformers", "onnx", "openvino")) > 99.9
    assert 80 < rows["onnx-int8"]["agreement"] < 100
    assert rows["onnx-int8"]["file_mb"] < rows["onnx"]["file_mb"]
    for row in rows.values():
        assert row["ms"] > 0
        assert row["memory_mb"] > 0
        assert abs(row["miou"] - rows["torch"]["miou"]) < 5
    table = formats_table(record)
    assert table.count("\n") == 8
    assert f"{rows['openvino']['agreement']:.3f}" in table
