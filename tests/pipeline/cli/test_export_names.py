"""`goodsam export`: the name of the output says the format, and may not contradict it."""

from __future__ import annotations

SMALL = ("export", "street-student", "--fit", "--height", 64)


def test_a_name_in_onnx_is_an_onnx_file(goodsam, tmp_path):
    assert goodsam(*SMALL, "--out", tmp_path / "e.onnx")[0] == 0
    assert (tmp_path / "e.onnx").is_file()


def test_a_folder_is_not_called_onnx(goodsam, tmp_path):
    status, _, said = goodsam(*SMALL, "--out", tmp_path / "f.onnx", "--format", "openvino")
    assert status == 2
    (line,) = said.splitlines()
    assert "written as a folder" in line
    assert not (tmp_path / "f.onnx").exists()
