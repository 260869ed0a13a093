import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
from onnx import TensorProto

from goodsam.data.classes import CITYSCAPES
from goodsam.data.errors import InputError
from goodsam.data.geometry import Geometry
from goodsam.stages.export import graph
from goodsam.stages.export.runtime_files import export_graph
from goodsam.stages.export.runtimes import opened
from goodsam.stages.segformer.segmenter import Segmenter


@pytest.fixture(scope="module", params=["onnx", "openvino"])
def exported(run, tmp_path_factory, request):
    path = tmp_path_factory.mktemp("exported") / "student"
    found = export_graph(Segmenter.load(run, device="cpu"), path, format=request.param)
    assert found.agreement >= 99.99
    assert found.megabytes == pytest.approx(size(path) / 1e6)
    return path


def size(path):
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.iterdir()))


SHAPES = [(1, 64, 256), (3, 32, 32), (1, 99, 401), (1, 200, 1024)]


@pytest.mark.parametrize("shape", SHAPES)
def test_any_size_is_labelled_as_torch_does(run, picture, exported, shape):
    count, height, width = shape
    images = np.stack([picture(height, width, seed) for seed in range(count)])
    labels = opened(exported)(images)
    assert labels.dtype == np.uint8
    expected = Segmenter.load(run, device="cpu").classes(images)
    assert len(np.unique(expected)) > 1
    assert (labels == expected).mean() >= 0.9999


def said(path):
    """What a file says of itself, by key."""
    if path.is_file():
        return {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    model = openvino.Core().read_model(path / "labels.xml")
    return dict(model.get_rt_info("goodsam").value)


def test_a_file_names_its_classes(run, exported):
    known = said(exported)
    assert tuple(json.loads(known["classes"])) == CITYSCAPES
    assert Geometry.from_json(json.loads(known["geometry"])) == Segmenter.load(run).geometry
    assert known["weights"] == Segmenter.load(run).fingerprint
    with pytest.raises(InputError, match="is there already"):
        export_graph(Segmenter.load(run), exported)


def test_tensorrt_meets_8_bit_values_beside_casts_of_floats_alone(bare, photographs, tmp_path):
    export_graph(bare, tmp_path / "a.onnx", photographs)
    model = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "a.onnx"))
    onnx.checker.check_model(model)
    kinds = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    (first,) = (
        node for node in model.graph.node if "image" in node.input and node.op_type != "Shape"
    )
    (last,) = (node for node in model.graph.node if "labels" in node.output)
    assert (first.op_type, last.op_type) == ("Cast", "Cast")
    assert kinds[last.input[0]] == TensorProto.FLOAT
    assert {node.domain for node in model.graph.node} == {""}


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_wrapped_inside_it_labels_as_the_segmenter_that_wraps(
    bare, picture, photographs, tmp_path, format
):
    wrapping = replace(bare, wrap=True)
    export_graph(wrapping, tmp_path / "a", photographs, format=format)
    labels = opened(tmp_path / "a")
    for shape in SHAPES:
        image = picture(*shape[1:])[None]
        assert (labels(image) == wrapping.classes(image)).mean() >= 0.9999
    image = picture(64, 512, 5)[None]
    assert (wrapping.classes(image) != bare.classes(image)).any()


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_half_stores_half_and_computes_in_whole(bare, photographs, tmp_path, format):
    whole = export_graph(bare, tmp_path / "whole", photographs, format=format)
    half = export_graph(bare, tmp_path / "half", photographs, format=format, half=True)
    weights = sum(p.numel() for p in bare.model.parameters()) / 1e6
    assert whole.megabytes - half.megabytes == pytest.approx(2 * weights, rel=0.1)
    assert half.agreement >= 99.9


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_int8_multiplies_in_eight_bits(photographs, tmp_path, format):
    student = Segmenter.load("street-student", device="cpu")
    found = export_graph(
        student, tmp_path / "a", photographs, format=format, eight_bits=True, force=True
    )
    assert found.agreement > 90
    # in float32 they are 3.69 and 4.43 MB; a megabyte and a half of OpenVINO's is XML
    assert found.megabytes < {"onnx": 3.0, "openvino": 4.0}[format]
    assert found.miou[0] == pytest.approx(found.miou[1], abs=5)
    assert json.loads(said(tmp_path / "a")["classes"])[0] == "road"


def test_int8_leaves_attention_and_convolutions_alone(photographs, bare, tmp_path):
    export_graph(bare, tmp_path / "a.onnx", photographs, eight_bits=True, force=True)
    nodes = onnx.load(tmp_path / "a.onnx").graph.node
    by = {name: node for node in nodes for name in node.output}
    quantized = {
        node.op_type: {by[name].op_type == "DequantizeLinear" for name in node.input if name in by}
        for node in nodes
        if node.op_type in ("Conv", "Softmax", "LayerNormalization")
    }
    assert quantized == {"Conv": {False}, "Softmax": {False}, "LayerNormalization": {False}}
    products = [
        [by[name].op_type == "DequantizeLinear" for name in node.input if name in by]
        for node in nodes
        if node.op_type == "MatMul"
    ]
    assert sum(all(inputs) for inputs in products) > sum(not any(inputs) for inputs in products) > 0


def test_int8_needs_photographs(bare, tmp_path):
    with pytest.raises(InputError, match="--calibrate"):
        export_graph(bare, tmp_path / "a.onnx", eight_bits=True)


def test_windows_are_not_exported(bare, tmp_path):
    with pytest.raises(InputError, match="sees panoramas whole"):
        export_graph(replace(bare, mode="windows"), tmp_path / "a.onnx")


def test_a_file_that_labels_otherwise_is_written_only_if_forced(
    bare, photographs, tmp_path, monkeypatch
):
    monkeypatch.setattr(graph, "IMAGENET_MEAN", (0.0, 0.0, 0.0))
    with pytest.raises(RuntimeError, match=r"not written: \d+.\d+ % of the pixels"):
        export_graph(bare, tmp_path / "x.onnx", photographs)
    assert list(tmp_path.iterdir()) == []
    assert export_graph(bare, tmp_path / "x.onnx", photographs, force=True).agreement < 99.99
    assert onnxruntime.InferenceSession(tmp_path / "x.onnx").get_inputs()[0].name == "image"


@pytest.mark.parametrize("package", ["onnxruntime", "openvino"])
def test_without_the_packages_it_says_what_to_install(bare, tmp_path, monkeypatch, package):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(InputError, match=r"pip install onnx onnxruntime"):
        export_graph(bare, tmp_path / "x", format="openvino")
