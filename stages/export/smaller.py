"""Fewer bytes for a graph: weights in float16, or layers in int8.

Measured on the street student (docs/decisions.md): what is quantized are the products with
weights, but for those after a GELU, whose long tail costs more agreement than all others together.
Convolutions cost a point more, and products within attention have no weights; they, softmax and
normalisation stay in floating point.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_SMALLEST = 1024  # elements of a tensor that is worth it; biases and scales of int8 stay whole


def half_weights(model: ModelProto) -> ModelProto:
    """The same graph, its large float32 weights stored as float16; it still computes in float32.

    Runtimes fold the casts as they load. Which arithmetic to use is theirs to choose.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    halved = onnx.ModelProto()
    halved.CopyFrom(model)
    casts = []
    for tensor in halved.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.dtype == np.float32 and weights.ndim > 1 and weights.size >= _SMALLEST:
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(weights.astype(np.float16), f"{name}/half"))
            casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = list(halved.graph.node)
    del halved.graph.node[:]
    halved.graph.node.extend([*casts, *nodes])
    return halved


def int8(model: ModelProto, views: Sequence[np.ndarray]) -> ModelProto:
    """The same graph, most products with weights in 8 bits, as pairs of Quantize and Dequantize.

    Weights a scale a channel; inputs a scale a layer, the range that they have in `views`,
    uint8 (H, W, 3). ONNX Runtime and OpenVINO compute the products in integers.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    excluded = [
        node.name
        for node in model.graph.node
        if node.op_type == "MatMul" and not _takes_8_bits(node, model)
    ]
    with TemporaryDirectory() as folder:
        shaped, quantized = Path(folder) / "shaped.onnx", Path(folder) / "int8.onnx"
        # without ONNX Runtime's own fusions, which other runtimes would not read
        quant_pre_process(model, shaped, skip_optimization=True, skip_symbolic_shape=True)
        quantize_static(
            shaped,
            quantized,
            _Reader(iter(views)),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul"],
            nodes_to_exclude=excluded,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        found = onnx.load(quantized)
    onnx.helper.set_model_props(found, {entry.key: entry.value for entry in model.metadata_props})
    return found


def _takes_8_bits(product: NodeProto, model: ModelProto) -> bool:
    """Whether a product is one with weights, of something else than what a GELU ends in."""
    weights = {tensor.name for tensor in model.graph.initializer}
    made = {name: node.op_type for node in model.graph.node for name in node.output}
    return bool(weights & set(product.input)) and made.get(product.input[0]) != "Mul"


class _Reader:
    """Views, one after another, as ONNX Runtime's calibration takes them."""

    def __init__(self, views: Iterator[np.ndarray]) -> None:
        self._views = views

    def get_next(self) -> dict[str, Any] | None:
        view = next(self._views, None)
        return None if view is None else {"image": view[None]}
