"""`goodsam export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from goodsam.pipeline.cli.options import Commercial, Model, WhichNetwork


def export(
    model: Model,
    out: Annotated[Path, typer.Option(help="The folder to write; with onnx, the file.")],
    format: Annotated[
        Literal["huggingface", "onnx"],
        typer.Option(help="A folder that transformers loads, or one file for ONNX Runtime."),
    ] = "huggingface",
    network: WhichNetwork = "student",
    scores: Annotated[
        Path | None, typer.Option(help="An eval.json, for the numbers on the model card.")
    ] = None,
    commercial: Commercial = False,
) -> None:
    """A directory that transformers loads, or one ONNX file, checked against torch."""
    from goodsam.pipeline import api

    loaded = api.load(model, network=network, device="cpu")
    written = api.export(loaded, out, format=format, scores=scores, commercial=commercial)
    print(f"{written}: written")
