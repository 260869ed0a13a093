"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

# A test holds this against the registry, which takes seconds to import.
SAM_NAMES = (
    "street",
    "vit_b",
    "vit_l",
    "vit_h",
    *(
        f"{v}-{size}"
        for v in ("sam2.1", "sam2")
        for size in ("tiny", "small", "base-plus", "large")
    ),
    "edgetam",
    "sam3",
    "sam_hq_vit_b",
    "sam_hq_vit_l",
    "sam_hq_vit_h",
    "mobile_sam",
)


def sam_option(help: str) -> Any:
    """The option of a SAM: a known name, a directory of transformers, or a name on the hub."""
    return typer.Option(
        help=f"{help} Or a transformers directory or a name on the hub; `goodsam teachers` lists "
        "the known ones.",
        metavar=f"[{'|'.join(SAM_NAMES[:4])}|...]",
        parser=_sam,
    )


def _sam(value: str) -> str:
    if value in SAM_NAMES or "/" in value or Path(value).is_dir():
        return value
    known = ", ".join(map(repr, SAM_NAMES))
    raise typer.BadParameter(
        f"{value!r} is not one of {known}, nor a directory here or a name like 'facebook/sam3'."
    )


Boundaries = Literal["overlap", "windows"]
Precision = Literal["float32", "bfloat16"]

Images = Annotated[
    Path,
    typer.Argument(help="A folder of panoramas, a data set's root, one image, or a list (.txt)."),
]
Cache = Annotated[str, typer.Argument(help="A SAM cache: a folder, a zip, or a folder's URL.")]
Classes = Annotated[
    Path | None,
    typer.Option(
        help="A class map: a YAML file with lines like  road: [road, path]  that picks, merges and "
        "renames the TA's classes; those that it does not name are ignored."
    ),
]
TruthClasses = Annotated[
    Path | None,
    typer.Option(
        help="A class map (.yaml), or a run that was trained with one: the labels have the ids of "
        "the classes that the map is made of."
    ),
]
Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda or cuda:N.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Change a setting of stage 2, as KEY=VALUE (step.lambda_=0.1); may be repeated. "
        "`goodsam settings` lists all settings.",
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        help="The file with SAM's weights, for SAM 2 and the like a transformers directory; "
        "published weights are downloaded if it is not given."
    ),
]
Commercial = Annotated[
    bool,
    typer.Option(
        "--commercial",
        help="Refuse networks whose licence forbids commercial use or is not known.",
    ),
]

# How a network is used: eval and predict
Model = Annotated[
    str, typer.Argument(help="A run directory, a network's directory, or a name on the hub.")
]
WhichNetwork = Annotated[
    Literal["student", "teacher_assistant"],
    typer.Option(help="Which network of a run to use."),
]
ByWindows = Annotated[
    bool,
    typer.Option(
        "--windows",
        help="Segment window by window and join the labels, instead of the whole panorama.",
    ),
]
Wrap = Annotated[
    bool,
    typer.Option(
        "--wrap",
        help="Extend the panorama past both ends before segmenting it, so that the seam does not "
        "show.",
    ),
]
Fit = Annotated[
    bool,
    typer.Option(
        "--fit",
        help="Cut the 70.3° band from 2:1 panoramas and resize it. A run that was trained "
        "this way does so by itself.",
    ),
]
Height = Annotated[
    int | None,
    typer.Option(
        help="With --fit, or a --plan of whole spheres: the height to resize to, px; 400 if not "
        "given, for spheres their own, but 512 where they are larger or differ.",
        min=32,
    ),
]
FittedHeight = Annotated[
    int | None,
    typer.Option(
        help="With --fit: the height to resize to, px; 400 if not given. A run applies its own.",
        min=32,
    ),
]
SeenBy = Annotated[
    Literal["auto", "own", "vertical", "tangent"],
    typer.Option(
        "--plan",
        help="By which windows 2:1 photographs are seen, from pole to pole; own: as the run "
        "and the other options say; auto: tangent ones where these say nothing.",
    ),
]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify",
        help="Read every image again, even if its size and modification time have not changed.",
    ),
]
_LEVEL = "undo the pitch and roll that the XMP of a photograph records."
_PITCH = "pitch of the camera above the horizon, degrees, for photographs without XMP."
_ROLL = "how far the horizon is turned counterclockwise, degrees, for photographs without XMP."
_SPHERES = "With --fit, or of whole spheres"  # stage 1 levels both; a network without a run the one
Level = Annotated[bool, typer.Option(help=f"{_SPHERES}: {_LEVEL}")]
Pitch = Annotated[float, typer.Option(help=f"{_SPHERES}: {_PITCH}")]
Roll = Annotated[float, typer.Option(help=f"{_SPHERES}: {_ROLL}")]
FittedLevel = Annotated[bool, typer.Option(help=f"With --fit: {_LEVEL}")]
FittedPitch = Annotated[float, typer.Option(help=f"With --fit: {_PITCH}")]
FittedRoll = Annotated[float, typer.Option(help=f"With --fit: {_ROLL}")]
IgnoreMask = Annotated[
    Path | None,
    typer.Option(
        help="An image of the same size as the panoramas; pixels that are not black in it are not "
        "scored. A run that was trained with one applies it by itself."
    ),
]
