"""The command `goodsam`.

Exit status: 0 done; 2 wrong usage or input, found before work began; 1 anything that failed or was
skipped after that. An error is one line; `--debug` anywhere adds the traceback. Heavy modules are
imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import json as json_module
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from goodsam.data.errors import InputError
from goodsam.pipeline.cli import ablate, bench, cache, reproduce
from goodsam.pipeline.cli.options import (
    ByWindows,
    Cache,
    Device,
    Fit,
    FitHeight,
    Images,
    Json,
    Model,
    WhichNetwork,
    Wrap,
    fitted,
    panorama_width,
)
from goodsam.pipeline.tell import bar_of_names, progress_bar, say
from goodsam.stages.memory import keep_freed_memory

app = typer.Typer(
    name="goodsam",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Panoramic segmentation without labels: SAM's masks and a SegFormer's classes, fused and "
    "taught to a small student (GoodSAM, CVPR 2024).",
)
data_app = typer.Typer(no_args_is_help=True, help="Look at a data set.")
app.add_typer(cache.app, name="cache")
app.add_typer(data_app, name="data")
app.add_typer(bench.app, name="bench")
app.add_typer(reproduce.app, name="reproduce")
app.command()(ablate.ablate)


def main() -> None:
    """Run the command; turn errors into one line and an exit status."""
    keep_freed_memory()
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    try:
        app()
    except InputError as error:
        _fail(error, str(error), 2, debug)
    except KeyboardInterrupt as error:
        _fail(error, "stopped; start the same command again to go on", 130, debug)
    except Exception as error:
        what = str(error) or type(error).__name__
        _fail(error, f"{what} (--debug shows where)", 1, debug)


def _fail(error: BaseException, message: str, status: int, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    print(f"goodsam: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where everything is written.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Of the street world and the training.")] = 0,
    unlabelled: Annotated[int, typer.Option(help="Panoramas to adapt to.", min=1)] = 24,
    test: Annotated[int, typer.Option(help="Labelled panoramas to score on.", min=1)] = 10,
    steps: Annotated[
        int | None, typer.Option(help="Training steps; the preset's by default.")
    ] = None,
    json: Json = False,
) -> None:
    """The whole method on the embedded street world, and a report. Minutes on two cores."""
    from goodsam.pipeline.studies.demo import run_demo

    result = run_demo(out, seed=seed, unlabelled=unlabelled, test=test, steps=steps, say=say)
    if json:
        print(json_module.dumps(result.record, indent=1))
    else:
        print(result.table)
        print(f"\nReport: {result.report}")


@app.command()
def world(
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    source: Annotated[int, typer.Option(help="Labelled pinhole images.", min=0)] = 200,
    unlabelled: Annotated[int, typer.Option(help="Unlabelled panoramas.", min=0)] = 16,
    test: Annotated[int, typer.Option(help="Labelled panoramas.", min=0)] = 12,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.", min=0)] = 0,
    height: Annotated[int, typer.Option(help="Of all images, px.", min=32)] = 200,
    gap: Annotated[
        float | None, typer.Option(help="How far the panoramas' look is from the source's, 0 to 1.")
    ] = None,
) -> None:
    """Write the street world: source/ (Cityscapes layout), unlabelled/, test/ (DensePASS)."""
    from goodsam.data.street.picture import DEFAULT_GAP
    from goodsam.data.street.write import write_world

    with progress_bar("street world", source + unlabelled + test) as update:
        write_world(
            out,
            source=source,
            unlabelled=unlabelled,
            test=test,
            seed=seed,
            height=height,
            gap=DEFAULT_GAP if gap is None else gap,
            progress=lambda done, _: update(done),
        )
    print(f"{out}: {source} source images, {unlabelled} unlabelled and {test} test panoramas")


@app.command("cache-sam")
def cache_sam(
    images: Images,
    cache: Annotated[Path, typer.Argument(help="NAME.zarr; an unfinished one goes on.")],
    sam: Annotated[
        str, typer.Option(help="vit_h, vit_l, vit_b, or street (the demo's).")
    ] = "vit_h",
    checkpoint: Annotated[
        Path | None, typer.Option(help="The SAM's .pth file; official ones are downloaded.")
    ] = None,
    window: Annotated[int | None, typer.Option(help="px; a quarter of the width.")] = None,
    stride: Annotated[int | None, typer.Option(help="px; half the window.")] = None,
    wrap: Annotated[bool, typer.Option(help="Windows run over the seam.")] = True,
    boundaries: Annotated[
        str, typer.Option(help="overlap: SAM on each overlap (paper); windows: no further SAM run.")
    ] = "overlap",
    fit: Fit = False,
    height: Annotated[int | None, typer.Option(help="With --fit: px to resize to; 400.")] = None,
    ignore_mask: Annotated[
        Path | None,
        typer.Option(help="Picture; where it is not black: no masks here, no loss in training."),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="float32 throughout; bfloat16 where it is faster else.")
    ] = False,
    points: Annotated[
        str, typer.Option(help="grid; adaptive: fewer prompts where masks agree.")
    ] = "grid",
    points_per_side: Annotated[int | None, typer.Option(help="Prompt grid.", min=1)] = None,
    points_per_batch: Annotated[int | None, typer.Option(help="Memory.", min=1)] = None,
    pred_iou_thresh: Annotated[float | None, typer.Option(help="Masks below are dropped.")] = None,
    stability_score_thresh: Annotated[float | None, typer.Option(help="Likewise.")] = None,
    workers: Annotated[int, typer.Option(help="Local processes; 0: this one alone.", min=0)] = 0,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler, tcp://HOST:PORT.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how much there is to do, and how long; do none.")
    ] = False,
) -> None:
    """Stage 1: SAM once over all windows of all panoramas, into a cache."""
    from goodsam.pipeline.report.parts import duration
    from goodsam.pipeline.stage1 import run_stage1, sam_factory
    from goodsam.stages.sam.cache_sam import Stage1Config
    from goodsam.stages.sam.estimate import estimate_stage1

    chosen = {
        "mode": "exact" if exact else "fast",
        "points": points,
        "points_per_side": points_per_side,
        "points_per_batch": points_per_batch,
        "pred_iou_thresh": pred_iou_thresh,
        "stability_score_thresh": stability_score_thresh,
    }
    generator = {key: value for key, value in chosen.items() if value is not None}
    settings: dict[str, Any] = {
        "window": window,
        "stride": stride,
        "wrap": wrap,
        "boundaries": boundaries,
        "fit": fit,
        "height": height,
        "width": None if height is None else panorama_width(height),
        "ignore_mask": ignore_mask,
        "workers": workers,
        "scheduler": scheduler,
    }
    if dry_run:
        factory = sam_factory(sam, checkpoint, generator)
        plan = estimate_stage1(images, cache, Stage1Config(**settings), factory)
        print(
            f"{plan.panoramas} panoramas to do: {plan.windows} windows and {plan.overlaps} "
            f"overlaps; about {duration(plan.seconds)} for one process like this one; "
            f"the cache: about {plan.size / 2**20:.1f} MiB. Nothing was written."
        )
        return
    summary = run_stage1(
        images, cache, sam=sam, checkpoint=checkpoint, generator=generator, say=say, **settings
    )
    print(
        f"{cache}: {summary.done} panoramas done in {duration(summary.seconds)}, "
        f"{summary.skipped} were there, {len(summary.failed)} failed"
    )
    if summary.failed:
        raise typer.Exit(1)


@app.command()
def train(
    images: Images,
    cache: Cache,
    out: Annotated[Path, typer.Option(help="Run directory; the same one goes on.")],
    preset: Annotated[str, typer.Option(help="A preset's name, or a YAML file.")] = "goodsam-m",
    teacher_assistant: Annotated[
        str | None, typer.Option(help="SegFormer directory or hub name, or street-ta.")
    ] = None,
    student: Annotated[
        str | None, typer.Option(help="SegFormer directory or hub name, or street-student.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value, e.g. step.lambda_=0.1; repeatable."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Order of the panoramas.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Leave out panoramas that the cache lacks.")
    ] = False,
) -> None:
    """Stage 2: adapt TA and student to the panoramas, reading SAM's masks from the cache."""
    from goodsam.pipeline.config import adapt_config
    from goodsam.pipeline.rundir import open_run
    from goodsam.stages.adapt.loop import adapt

    config = adapt_config(
        preset,
        set_ or (),
        teacher_assistant=teacher_assistant,
        student=student,
        seed=seed,
        device=device,
    )
    panoramas = open_run(images, cache, out, config, partial)
    with progress_bar("train", None) as update:
        adapt(
            panoramas,
            out,
            config,
            lambda step, steps, row: update(
                step, steps, f"student {row['student_total']:.2f} TA {row['teacher_total']:.2f}"
            ),
            warn=lambda text: say(f"WARNING: {text}"),
        )
    print(f"{out}: student/ and teacher_assistant/ written; next: goodsam eval {out} IMAGES")


@app.command("eval")
def eval_(
    model: Annotated[
        str,
        typer.Argument(
            help="Run directory, SegFormer directory or hub name (not with --predictions)."
        ),
    ],
    images: Annotated[Path | None, typer.Argument(help="Folder or data set of panoramas.")] = None,
    out: Annotated[Path, typer.Option(help="Where eval.json and report.html go.")] = Path("eval"),
    labels: Annotated[
        Path | None, typer.Option(help="Folder of label maps, if not beside.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Score these label maps instead of a model.")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="19, 13 or wildpass; by default 19, or the model's own classes."),
    ] = None,
    ignore_mask: Annotated[
        Path | None,
        typer.Option(help="Picture of the images' size; what is not black in it is left out."),
    ] = None,
    boundary_radius: Annotated[
        int, typer.Option(help="Of the boundary F-score, px; 0 for none.", min=0, max=32)
    ] = 3,
    network: WhichNetwork = "student",
    windows: ByWindows = False,
    wrap: Wrap = False,
    fit: Fit = False,
    height: FitHeight = 400,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Score a model, or another program's label maps; without labels, say what can be said."""
    from goodsam.pipeline.scoring import Use, score_model, score_predictions

    if predictions is not None:
        record = score_predictions(
            predictions,
            images if images is not None else Path(model),
            out,
            labels=labels,
            protocol=protocol,
            ignore_mask=ignore_mask,
            boundary_radius=boundary_radius,
        )
    elif images is None:
        raise InputError(
            "eval takes a model and a folder: goodsam eval RUN_OR_MODEL IMAGES --out DIR"
        )
    else:
        record = score_model(
            model,
            Use(network, windows, wrap, device),
            images,
            out,
            labels=labels,
            fit=fitted(fit, height),
            protocol=protocol,
            ignore_mask=ignore_mask,
            boundary_radius=boundary_radius,
            say=say,
        )
    if json:
        print(json_module.dumps(record, indent=1))
    else:
        print((out / "eval.md").read_text())
        print(f"Report: {out / 'report.html'}")


@app.command()
def predict(
    model: Model,
    images: Images,
    out: Annotated[Path, typer.Argument(help="labels/ and overlays/ are written here.")],
    network: WhichNetwork = "student",
    windows: ByWindows = False,
    wrap: Wrap = False,
    batch: Annotated[int, typer.Option(help="Images of one size seen together.", min=1)] = 1,
    probabilities: Annotated[
        bool,
        typer.Option("--probabilities", help="Also probabilities/: float16 .npy, class x H x W."),
    ] = False,
    fit: Fit = False,
    height: FitHeight = 400,
    device: Device = "auto",
) -> None:
    """Label maps and colour overlays of all images in a folder."""
    from goodsam.data.panoramas import find_panoramas
    from goodsam.pipeline.scoring import Use
    from goodsam.stages.predict import predict as predict_all

    samples = find_panoramas(images)
    segmenter = Use(network, windows, wrap, device).load(model)
    with bar_of_names("predict", len(samples)) as finished:
        summary = predict_all(
            segmenter,
            samples,
            out,
            fitted(fit, height),
            finished,
            batch=batch,
            probabilities=probabilities,
        )
    say(str(summary.conversions))
    for name, why in summary.failed.items():
        say(f"failed: {name}: {why}")
    print(
        f"{out}: {len(summary.done)} written, {len(summary.skipped)} already there, "
        f"{len(summary.failed)} failed"
    )
    if summary.failed:
        raise typer.Exit(1)


@app.command()
def source(
    dataset: Annotated[Path, typer.Argument(help="Labelled images in Cityscapes' layout.")],
    out: Annotated[Path, typer.Option(help="OUT/model is the SegFormer; the same OUT goes on.")],
    model: Annotated[
        str, typer.Option(help="b0 to b5, w16, w32 from scratch; or a SegFormer to start from.")
    ] = "b0",
    steps: Annotated[int, typer.Option(help="Optimiser steps.", min=1)] = 40_000,
    batch: Annotated[int, typer.Option(help="Crops per step.", min=1)] = 8,
    crop: Annotated[tuple[int, int], typer.Option(help="Height and width of a crop, px.")] = (
        512,
        1024,
    ),
    learning_rate: Annotated[float, typer.Option(help="Of the encoder; AdamW.")] = 6e-5,
    seed: Annotated[int, typer.Option()] = 0,
    precision: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    device: Device = "auto",
) -> None:
    """Supervised training: the fine-tuned SegFormer that the method starts from."""
    from goodsam.data.panoramas import find_panoramas
    from goodsam.stages.predict import Segmenter
    from goodsam.stages.score.evaluate import evaluate
    from goodsam.stages.source import SourceConfig, train_source

    labelled = [sample for sample in find_panoramas(dataset) if sample.labels is not None]
    if not labelled:
        raise InputError(f"{dataset}: no labelled images; Cityscapes' layout has gtFine/ in it")
    training = [s for s in labelled if "/train/" in f"/{s.name}"] or labelled
    held_out = [s for s in labelled if "/val/" in f"/{s.name}"]
    config = SourceConfig(
        model=model,
        steps=steps,
        batch=batch,
        crop=crop,
        learning_rate=learning_rate,
        warmup=min(1500, steps // 10),
        seed=seed,
        precision=precision,
        device=device,
    )
    with progress_bar("source training", steps) as update:
        folder = train_source(
            training, out, config, lambda step, n, row: update(step, n, f"loss {row['loss']:.3f}")
        )
    print(f"{folder}: trained on {len(training)} images")
    if held_out:
        scores = evaluate(Segmenter.load(folder, device=device), held_out).scores
        print(f"mIoU on {len(held_out)} val images: {scores.miou:.2f}")


@app.command()
def export(
    run: Annotated[str, typer.Argument(help="Run directory or SegFormer directory.")],
    out: Annotated[Path, typer.Option(help="Folder to write; with onnx the file.")],
    format: Annotated[str, typer.Option(help="huggingface or onnx.")] = "huggingface",
    network: WhichNetwork = "student",
    scores: Annotated[
        Path | None, typer.Option(help="An eval.json, for the model card's numbers.")
    ] = None,
) -> None:
    """A directory that transformers loads, or one ONNX file, checked against torch."""
    from goodsam.pipeline.scoring import network_name, read_record
    from goodsam.stages.export import export_huggingface, export_onnx

    if format == "onnx":
        agreement = export_onnx(run, out, network_name(network))
        print(f"{out}: written; ONNX Runtime labels {agreement:.3f} % of the pixels as torch does")
    elif format == "huggingface":
        record = None if scores is None else read_record(scores)
        export_huggingface(run, out, network_name(network), record)
        print(f"{out}: written")
    else:
        raise InputError(f"format {format!r}: use huggingface or onnx")


@data_app.command("check")
def data_check(
    folder: Annotated[Path, typer.Argument(help="Folder or data set.")],
    labels: Annotated[
        Path | None, typer.Option(help="Folder of label maps, if not beside.")
    ] = None,
    json: Json = False,
) -> None:
    """Recognise a data set, pair its images with labels, and read every file once."""
    from goodsam.data.check import check

    with progress_bar("check") as update:
        found = check(folder, labels, update)
    if json:
        print(json_module.dumps(found.to_json(), indent=1))
    else:
        print(f"layout:   {found.layout}")
        print(f"images:   {found.images}, {found.pairs} with labels")
        sizes = (f"{w} x {h} ({n})" for (w, h), n in found.sizes.most_common(8))
        print(f"sizes:    {', '.join(sizes)}")
        if found.classes:
            classes = (f"{name} ({count})" for name, count in found.classes.most_common())
            print(f"classes:  {', '.join(classes)}")
        if found.protocol:
            print(f"protocol: goodsam eval --protocol {found.protocol}")
        for note in found.notes:
            print(f"note:     {note}")
        for problem in found.problems:
            print(f"problem:  {problem}")
        if not found.problems:
            print("no problems")
    if found.problems:
        raise typer.Exit(1)
