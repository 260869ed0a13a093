"""`goodsam data`: look at a data set."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Literal

import typer

from goodsam.pipeline.cli.options import Json, TruthClasses

app = typer.Typer(no_args_is_help=True, help="Inspect data sets, and export labels.")


@app.callback()
def group() -> None:
    """Inspect data sets, and export labels."""


@app.command("check")
def check(
    folder: Annotated[
        Path,
        typer.Argument(help="A folder, a data set's root, one image or a list of them (.txt)."),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(help="The folder of label maps, if the data set's layout does not say it."),
    ] = None,
    classes: TruthClasses = None,
    json: Json = False,
) -> None:
    """Recognise a data set, pair its images with labels, and read every file once."""
    from goodsam.pipeline import api

    found = api.check(folder, labels=labels, classes=classes)
    if json:
        print(json_module.dumps(found.to_json(), indent=1))
    else:
        print(f"layout:   {found.layout}")
        print(f"images:   {found.images}, {found.pairs} with labels")
        sizes = (f"{w} x {h} ({n})" for (w, h), n in found.sizes.most_common(8))
        print(f"sizes:    {', '.join(sizes)}")
        if found.classes:
            named = (f"{name} ({count})" for name, count in found.classes.most_common())
            print(f"classes:  {', '.join(named)}")
        if found.protocol and classes is None:
            print(f"protocol: goodsam eval --protocol {found.protocol}")
        elif found.protocol:
            print(f"protocol: goodsam eval --classes {classes}")
        for name, words in found.placed.items():
            print(f"placed:   {name}: {words}")
        for path, why in found.not_taken.items():
            print(f"left out: {path}: {why}")
        for note in found.notes:
            print(f"note:     {note}")
        for problem in found.problems:
            print(f"problem:  {problem}")
        if not found.problems:
            print("no problems")
    if found.problems:
        raise typer.Exit(1)


@app.command("export")
def export(
    labelled: Annotated[
        Path, typer.Argument(help="A folder that `goodsam predict` or `goodsam label` wrote.")
    ],
    out: Annotated[
        Path, typer.Argument(help="The file to write: .json (coco, label-studio) or .xml (cvat).")
    ],
    format: Annotated[
        Literal["coco", "cvat", "label-studio"],
        typer.Option(help="The program that is to read the labels."),
    ] = "coco",
    prefix: Annotated[
        str | None,
        typer.Option(
            help="With label-studio: what its links to the photographs begin with; files of the "
            "machine that it runs on if not given."
        ),
    ] = None,
) -> None:
    """Write label maps for another program: to correct them there, or to train there."""
    from goodsam.pipeline import api

    for path in api.export_labels(labelled, out, format=format, prefix=prefix):
        print(path)
