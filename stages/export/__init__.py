"""Out of the door: a trained network for transformers, ONNX Runtime, TensorRT and OpenVINO."""
