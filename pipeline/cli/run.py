"""`goodsam run`: the whole way, in one command."""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from goodsam.pipeline.cli.options import (
    Boundaries,
    Checkpoint,
    Classes,
    Commercial,
    Images,
    Settings,
    sam_option,
)

if TYPE_CHECKING:
    from goodsam.pipeline.whole.price import Price


def run(
    images: Images,
    out: Annotated[
        Path, typer.Option(help="The run's folder; an unfinished run is resumed.")
    ] = Path("runs/mine"),
    preview: Annotated[
        bool,
        typer.Option(
            "--preview",
            help="Stop after the preview: a page with a few panoramas as the networks see them, "
            "and what the rest would cost.",
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Start long work without asking at the terminal.")
    ] = False,
    labels: Annotated[
        Path | None,
        typer.Option(help="The folder of label maps to score by, if there are any."),
    ] = None,
    sam: Annotated[
        str | None, sam_option("Which SAM to use; chosen for this machine if not given.")
    ] = None,
    no_sam: Annotated[
        bool,
        typer.Option(
            "--no-sam",
            help="Train without masks, on the TA's own labels: this saves the hours of SAM, and "
            "nothing corrects the TA.",
        ),
    ] = False,
    checkpoint: Checkpoint = None,
    boundaries: Annotated[
        Boundaries | None,
        typer.Option(
            help="Where SAM's boundaries come from: SAM on each overlap (the paper), or the "
            "windows' masks, in half the time; chosen for this machine if not given."
        ),
    ] = None,
    points: Annotated[
        Literal["grid", "adaptive"] | None,
        typer.Option(
            help="Prompt SAM at every point of the grid (the paper), or at fewer where masks "
            "agree; chosen for this machine if not given."
        ),
    ] = None,
    plan: Annotated[
        Literal["auto", "band", "vertical", "tangent"],
        typer.Option(
            help="By which windows photographs are seen: the paper's, of the 70.3° band, or those "
            "of whole 2:1 spheres; auto: tangent ones if all photographs are 2:1."
        ),
    ] = "auto",
    fit: Annotated[
        bool | None,
        typer.Option(
            help="Cut the 70.3° band from 2:1 panoramas and resize all images, or use them "
            "unchanged; decided from the photographs if not given."
        ),
    ] = None,
    height: Annotated[
        int | None,
        typer.Option(
            help="The height to resize to, px. Without --plan it also chooses the paper's band. If "
            "not given: 400, or what the demo's networks have seen, or that of whole spheres.",
            min=32,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="The settings of the training to begin with: a preset's name, or a YAML file; "
            "chosen if not given."
        ),
    ] = None,
    teacher_assistant: Annotated[
        str | None,
        typer.Option(help="The TA: a network's directory or hub name; the preset's if not given."),
    ] = None,
    student: Annotated[
        str | None,
        typer.Option(
            help="The student: a network's directory or hub name; the preset's if not given."
        ),
    ] = None,
    classes: Classes = None,
    set_: Settings = None,
    device: Annotated[
        str | None,
        typer.Option(help="Where to compute: auto, cpu or cuda; a GPU if there is one."),
    ] = None,
    commercial: Commercial = False,
) -> None:
    """Do everything: check, preview and price, masks, training, evaluation, report, export.

    What you do not give is chosen for this machine; the reason and the option are printed. Start
    the same command again to resume.
    """
    from goodsam.data.errors import InputError
    from goodsam.pipeline.whole.run import run as whole_run

    if no_sam and (sam or checkpoint or boundaries or points):
        raise InputError("--no-sam: there are no masks; leave the options of SAM out")

    def agree(price: Price) -> bool:
        if yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
            return True
        return typer.confirm("Continue?", err=True)

    done = whole_run(
        images,
        out,
        labels=labels,
        sam="none" if no_sam else sam,
        checkpoint=checkpoint,
        boundaries=boundaries,
        points=points,
        plan=plan,
        fit=fit,
        height=height,
        preset=preset,
        teacher_assistant=teacher_assistant,
        student=student,
        classes=classes,
        settings=set_ or (),
        device=device,
        commercial=commercial,
        preview_only=preview,
        agree=agree,
    )
    print(f"Preview: {done.preview}")
    if done.run is None:
        print(f"To continue: the same command{' without --preview' * preview}")
        return
    if done.result is not None:
        print(done.result.to_markdown())
    print(f"Report:  {done.report}")
    print(f"Model:   {done.model}; next: goodsam predict {quote(str(out))} IMAGES OUT")
