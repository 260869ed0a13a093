"""`goodsam export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from goodsam.pipeline.cli.options import Commercial, Fit, FittedHeight, Model, WhichNetwork, Wrap


def export(
    model: Model,
    out: Annotated[Path, typer.Option(help="The folder to write; with onnx, the file.")],
    format: Annotated[
        Literal["huggingface", "onnx", "openvino", "web"] | None,
        typer.Option(
            help="A folder that transformers loads, one file for ONNX Runtime and TensorRT, a "
            "folder for OpenVINO, or a page that labels panoramas in a browser; onnx if --out ends "
            "in .onnx, else huggingface."
        ),
    ] = None,
    network: WhichNetwork = "student",
    wrap: Wrap = False,
    fit: Fit = False,
    height: FittedHeight = None,
    half: Annotated[bool, typer.Option("--half", help="Store the weights in float16.")] = False,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Compute products with weights in 8 bits; needs --calibrate."),
    ] = False,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="Photographs like those it will be used on, to calibrate int8 and to compare "
            "every export with torch; rendered streets if not given."
        ),
    ] = None,
    runtime: Annotated[
        Path | None,
        typer.Option(
            help="For web: onnxruntime-web, as a tarball or folder of its npm package; fetched by "
            "npm if not given."
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Write the export even if too few of its labels equal those of torch."
        ),
    ] = False,
    scores: Annotated[
        Path | None, typer.Option(help="An eval.json, for the numbers on the model card.")
    ] = None,
    commercial: Commercial = False,
) -> None:
    """Export a network to transformers, ONNX Runtime, TensorRT, OpenVINO or a web page, checked."""
    from goodsam.pipeline import api

    loaded = api.load(model, network=network, wrap=wrap, fit=fit, height=height, device="cpu")
    written = api.export(
        loaded,
        out,
        format=format,
        half=half,
        int8=int8,
        calibrate=calibrate,
        runtime=runtime,
        force=force,
        scores=scores,
        commercial=commercial,
    )
    print(f"{written}: written")
