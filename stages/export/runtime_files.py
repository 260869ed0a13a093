"""A file for ONNX Runtime and TensorRT, or a folder for OpenVINO, compared with torch first."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from goodsam.data.errors import InputError
from goodsam.data.files import check_folder, write_whole, written_aside
from goodsam.data.panoramas import Sample
from goodsam.stages.export.compare import Comparison, bytes_of, compare, demand
from goodsam.stages.export.graph import onnx_graph, properties
from goodsam.stages.export.runtimes import OPENVINO_FILE, GraphFormat, need, opened
from goodsam.stages.export.smaller import half_weights, int8
from goodsam.stages.export.views import CALIBRATING, COMPARED, views_of
from goodsam.stages.segformer.segmenter import Segmenter


def export_graph(
    segmenter: Segmenter,
    out: Path,
    samples: Sequence[Sample] = (),
    *,
    format: GraphFormat = "onnx",
    half: bool = False,
    eight_bits: bool = False,
    force: bool = False,
) -> Comparison:
    """Write the network as one ONNX file or an OpenVINO folder; returns how it compares.

    Input and output: see `graph`. samples: photographs; two of them, without any rendered streets,
    are labelled by the export and by torch. eight_bits: products with weights in int8, calibrated
    on up to eight others. half: weights in float16. Written only if 99.99 % of the pixels are
    labelled alike (half 99.9, int8 99) or if forced, else RuntimeError. InputError if `out` is
    there, without photographs to calibrate on, or without the packages.
    """
    if out.exists():
        raise InputError(f"{out}: is there already; give a place that is not")
    if eight_bits and not samples:
        raise InputError(f"{out}: int8 is calibrated on photographs; give some with --calibrate")
    if segmenter.mode != "direct":
        raise InputError(
            f"{out}: an export sees panoramas whole; load the network without windows, or the "
            "student, or take --format huggingface"
        )
    check_folder(out.parent)
    need(format)
    views = views_of(segmenter, samples)
    on_cpu = replace(
        segmenter, model=copy.deepcopy(segmenter.model).cpu(), device=torch.device("cpu")
    )
    with TemporaryDirectory() as folder:
        calibrating = (views[:-COMPARED][:CALIBRATING] or views) if eight_bits else ()
        made = build(on_cpu, Path(folder), format, half, [view.image for view in calibrating])
        found = compare(on_cpu, opened(made), views[-COMPARED:], bytes_of(made))
        demand(found, out, half=half, int8=eight_bits, force=force)
        if made.is_file():
            write_whole(out, made.read_bytes())
        else:
            with written_aside(out) as aside:
                for part in made.iterdir():
                    write_whole(aside / part.name, part.read_bytes())
    return found


def build(
    segmenter: Segmenter,
    folder: Path,
    format: GraphFormat,
    half: bool = False,
    calibrating: Sequence[np.ndarray] = (),
) -> Path:
    """Write a network on the CPU into a folder, unchecked; returns where.

    calibrating: uint8 (H, W, 3) each; with any, products with weights in int8.
    """
    model = onnx_graph(segmenter)
    if calibrating:
        model = int8(model, calibrating)
    if half:
        model = half_weights(model)
    file = folder / "labels.onnx"
    file.write_bytes(model.SerializeToString())
    if format == "onnx":
        return file
    made = folder / "openvino"
    _to_openvino(file, made, segmenter, half)
    return made


def _to_openvino(file: Path, folder: Path, segmenter: Segmenter, half: bool) -> None:
    import openvino

    model = openvino.Core().read_model(file)
    for key, value in properties(segmenter).items():
        model.set_rt_info(value, ["goodsam", key])
    openvino.save_model(model, folder / OPENVINO_FILE, compress_to_fp16=half)
