"""Exported files in use: ONNX Runtime and OpenVINO, on the CPU."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np

from goodsam.data.errors import InputError

GraphFormat = Literal["onnx", "openvino"]
Labels = Callable[[np.ndarray], np.ndarray]  # uint8 (N, H, W, 3) -> uint8 (N, H, W)

OPENVINO_FILE = "labels.xml"  # in the folder of an OpenVINO export; its weights beside it


def need(format: GraphFormat | Literal["web"]) -> None:
    """InputError without the packages of a format."""
    packages = ("onnx", "onnxruntime", *(["openvino"] if format == "openvino" else []))
    try:
        for package in packages:
            importlib.import_module(package)
    except ImportError as error:
        raise InputError(
            f"--format {format} needs {', '.join(packages)} ({error}): "
            f"pip install {' '.join(packages)}"
        ) from error


def opened(path: Path, threads: int = 0) -> Labels:
    """An exported file or folder as a function. threads: 0 for as many as the runtime likes."""
    return _openvino(path, threads) if path.is_dir() else _onnx(path, threads)


def _onnx(path: Path, threads: int) -> Labels:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["labels"], {"image": images})[0]


def _openvino(path: Path, threads: int) -> Labels:
    import openvino

    # On CPUs with bfloat16 OpenVINO takes it unasked: what is compared here is the file.
    how = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    core = openvino.Core()
    # It gives the thread that compiles a stack for signals which is too small where registers are
    # large (AMX): the next signal would end the process. So it is a thread that ends here.
    with ThreadPoolExecutor(1) as passing:
        model = passing.submit(core.compile_model, path / OPENVINO_FILE, "CPU", how).result()
    return lambda images: model([np.ascontiguousarray(images)])["labels"]
