import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from goodsam.stages.export.smaller import half_weights


def test_half_takes_weights_and_leaves_biases_and_scales():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((32, 2048)).astype(np.float32)
    bias = rng.standard_normal(2048).astype(np.float32)
    row = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 32])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2048])
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["y"]),
    ]
    tensors = [numpy_helper.from_array(a, n) for a, n in ((weight, "weight"), (bias, "bias"))]
    whole = helper.make_model(helper.make_graph(nodes, "g", [row], [out], tensors))
    half = half_weights(whole)
    kinds = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    assert kinds == {"weight/half": TensorProto.FLOAT16, "bias": TensorProto.FLOAT}
    x = rng.standard_normal((1, 32)).astype(np.float32)
    (found,) = ReferenceEvaluator(half).run(None, {"x": x})
    assert found.dtype == np.float32
    np.testing.assert_allclose(
        found, x @ weight.astype(np.float16).astype(np.float32) + bias, rtol=1e-5, atol=1e-5
    )
    assert [tensor.name for tensor in whole.graph.initializer] == ["weight", "bias"]
