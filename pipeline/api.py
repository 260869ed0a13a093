"""The verbs: paths in, results out. `import goodsam` offers them; commands and studies call them.

Whatever takes a path takes a `str` or a `Path`. A network is given by a run directory, a folder
that transformers loads, a name on the hub, or a `Segmenter` from `load`. Long work shows a bar
where stderr is a terminal, and whatever is killed resumes when it is called again. Wrong input
raises `InputError` before work begins.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from goodsam.data.errors import InputError
from goodsam.data.geometry import LEVELLED, Pose
from goodsam.data.panoramas import find_panoramas
from goodsam.data.windows import PAPER_HEIGHT, Windows, panorama_width
from goodsam.pipeline.datasets import check, export_labels, frames, label, predict
from goodsam.pipeline.stage1 import (
    AnyPath,
    Cached,
    cache_sam,
    estimate_sam,
    sam_factory,
)
from goodsam.pipeline.tell import say

if TYPE_CHECKING:
    from goodsam.data.cache import SamCache
    from goodsam.pipeline.rundir import Run
    from goodsam.pipeline.scoring import Result
    from goodsam.pipeline.spheres import Plan
    from goodsam.stages.adapt.learner import AdaptConfig
    from goodsam.stages.segformer.segmenter import Segmenter
    from goodsam.stages.segformer.snapshot import Network

__all__ = [
    "Cached",
    "cache_sam",
    "check",
    "estimate_sam",
    "evaluate",
    "evaluate_predictions",
    "export",
    "export_labels",
    "frames",
    "label",
    "load",
    "predict",
    "sam_factory",
    "train",
]


def train(
    images: AnyPath,
    cache: AnyPath | SamCache,
    out: AnyPath,
    *,
    preset: AnyPath | AdaptConfig = "goodsam-m",
    settings: Iterable[str] = (),
    teacher_assistant: str | None = None,
    student: str | None = None,
    classes: AnyPath | None = None,
    seed: int | None = None,
    device: str | None = None,
    partial: bool = False,
    verify: bool = False,
    val: AnyPath | None = None,
    commercial: bool = False,
) -> Run:
    """Stage 2: adapt TA and student to the panoramas, reading SAM's masks from the cache.

    cache: a folder, a zip made by `goodsam cache pack`, the URL of a folder, or what `cache_sam`
    returned. out: the run directory; an unfinished run is resumed with the same settings, except
    length, learning rates, precision, workers and `collapse`, which may change during a run.
    preset: a name, a YAML file, or an object with all settings. settings: `key=value` each, which
    override the preset's, as for `--set`. teacher_assistant, student: directories or hub names of
    networks. classes: a class map (.yaml). partial: leave out panoramas that the cache lacks,
    instead of refusing them. verify: read every image, even if its size and modification time have
    not changed. val: labelled panoramas, as `evaluate` takes them; the student is scored on them
    every `val_every` steps, and the best one is kept in OUT/best. The labels give no gradient.
    commercial: refuse SAM, TA or student whose licence forbids commercial use or is not known; the
    licences are printed and recorded in any case.

    Raises InputError where images, cache and run do not belong together, and where another process
    trains in OUT; FloatingPointError for a loss that is not finite, and `Collapse` for a run that
    collapses, both after saving. `load` accepts the run at any moment.

    >>> run = train("photos", "photos.zarr", "runs/mine", preset="demo", settings=["steps=2"])
    >>> run.student, str(run.geometry)[:42]
    (PosixPath('runs/mine/student'), 'panoramas of 1024 x 200, --fit --height 20')
    """
    from goodsam.pipeline.class_maps import read_groups
    from goodsam.pipeline.config import adapt_config
    from goodsam.pipeline.training import train_run

    named = {
        "teacher_assistant": teacher_assistant,
        "student": student,
        "classes": None if classes is None else read_groups(Path(classes)),
        "seed": seed,
        "device": device,
    }
    settings = tuple(settings)
    if isinstance(preset, str | os.PathLike):
        config = adapt_config(os.fspath(preset), settings, **named)
    elif settings or any(value is not None for value in named.values()):
        raise InputError("preset holds all settings already; change them there")
    else:
        config = preset
    source = os.fspath(cache) if isinstance(cache, str | os.PathLike) else cache.path
    labelled = None if val is None else Path(val)
    return train_run(Path(images), source, Path(out), config, labelled, partial, verify, commercial)


def load(
    model: AnyPath,
    *,
    network: Network = "student",
    by_windows: bool = False,
    wrap: bool = False,
    fit: bool = False,
    height: int | None = None,
    level: bool = True,
    pitch: float = 0.0,
    roll: float = 0.0,
    device: str = "auto",
) -> Segmenter:
    """Load a network: `load("runs/mine")(image)` is a label map of the image's own size.

    model: a run directory, a folder that transformers loads, or a hub name. network: which of the
    two of a run; an unfinished run gives its newest checkpoint, with a message. by_windows: segment
    the windows and join them, instead of the whole panorama; the TA of a run on whole spheres does
    so by itself. wrap: let the network see the panorama continue past both ends. fit, height: cut
    the band from 2:1 panoramas and resize to `height` px (400), for a network that no run of ours
    trained. A run applies its own geometry, and asking it for another is an InputError; only a run
    on panoramas as they were may be asked to fit others to their size. level, pitch, roll: of
    tilted cameras, as for `cache_sam`.

    >>> import numpy as np
    >>> model = load("street-student", device="cpu")
    >>> labels = model(np.zeros((200, 1024, 3), np.uint8))
    >>> labels.shape, labels.dtype, model.names[0]
    ((200, 1024), dtype('uint8'), 'road')
    """
    from goodsam.pipeline.rundir import say_moment
    from goodsam.stages.segformer.segmenter import Segmenter

    mode: Literal["windows"] | None = "windows" if by_windows else None
    loaded = Segmenter.load(os.fspath(model), network, mode, device=device, wrap=wrap)
    say_moment(loaded)
    pose = Pose(level, pitch, roll)
    if not fit and height is None and pose == LEVELLED:
        return loaded
    if loaded.geometry is None:
        if not fit:
            what = "--height" if height is not None else str(pose)
            raise InputError(f"{what}: is a matter of fitting; give --fit with it")
        rows = PAPER_HEIGHT if height is None else height
        return loaded.seeing(Windows.of(rows, panorama_width(rows)), fit=True, pose=pose)
    has = loaded.geometry
    if fit and has.plan == "band" and not has.fit and height in (None, has.windows.height):
        return replace(loaded, geometry=replace(has, fit=True, pose=pose))
    if (
        (fit and not (has.fit and has.plan == "band"))
        or (height is not None and height != has.windows.height)
        or pose not in (LEVELLED, has.pose)
    ):
        raise InputError(
            f"{os.fspath(model)}: was trained on {has}; leave --fit, --height and the pose out: a "
            "run applies its own"
        )
    return loaded


def evaluate(
    model: Segmenter | AnyPath,
    images: AnyPath,
    *,
    labels: AnyPath | None = None,
    protocol: str | None = None,
    classes: AnyPath | None = None,
    ignore_mask: AnyPath | None = None,
    boundary_radius: int | None = None,
    plan: Plan = "own",
    by_area: bool = False,
    out: AnyPath | None = None,
) -> Result:
    """Score a network on labelled images; without labels, describe its output.

    images, labels: folders, or a data set's root (DensePASS, WildPASS, Cityscapes, Stanford2D3D,
    Structured3D). protocol: "19", "13", "wildpass", and for rooms "stanford13", "stanford8",
    "structured8"; by default 19 classes, or the network's own. classes: a class map (.yaml) of the
    network's classes, or a run that was trained with one; label maps then have the ids that the map
    is made of. ignore_mask: a picture of the images' size; pixels that are not black in it are left
    out. boundary_radius: of the boundary F-score, px (3); 0 for none. plan: of 2:1 photographs, as
    for `predict`. by_area: their pixels count by their area on the sphere. out: where `eval.json`,
    `eval.md` and `report.html` are written; None: nowhere.

    >>> result = evaluate("runs/mine", "labelled")
    >>> 0 < result.miou < 100
    True
    >>> result.to_html("report.html")
    >>> evaluate("runs/mine", "photos").miou is None  # no labels: no accuracy
    True
    """
    from goodsam.pipeline.scoring import score_model

    return score_model(
        model if not isinstance(model, str | os.PathLike) else load(model),
        Path(images),
        labels=None if labels is None else Path(labels),
        protocol=protocol,
        classes=None if classes is None else Path(classes),
        ignore_mask=None if ignore_mask is None else Path(ignore_mask),
        boundary_radius=boundary_radius,
        plan=plan,
        by_area=by_area,
        out=None if out is None else Path(out),
    )


def evaluate_predictions(
    predictions: AnyPath,
    images: AnyPath,
    *,
    labels: AnyPath | None = None,
    protocol: str | None = None,
    classes: AnyPath | None = None,
    ignore_mask: AnyPath | None = None,
    boundary_radius: int | None = None,
    by_area: bool = False,
    out: AnyPath | None = None,
) -> Result:
    """Score label maps, whoever made them, on labelled images; otherwise as `evaluate`.

    predictions: a folder that `predict` or `label` wrote, or one of .png files with train ids that
    are called like the images. A labelled pixel without a prediction counts as wrong. classes: a
    class map of Cityscapes' 19, or a run with one; predictions then have the map's ids.

    >>> predict("street-student", "labelled", "seen").failed
    {}
    >>> evaluate_predictions("seen", "labelled").miou > 0
    True
    """
    from goodsam.pipeline.scoring import score_predictions

    return score_predictions(
        Path(predictions),
        Path(images),
        labels=None if labels is None else Path(labels),
        protocol=protocol,
        classes=None if classes is None else Path(classes),
        ignore_mask=None if ignore_mask is None else Path(ignore_mask),
        boundary_radius=boundary_radius,
        by_area=by_area,
        out=None if out is None else Path(out),
    )


def export(
    model: Segmenter | AnyPath,
    out: AnyPath,
    *,
    format: Literal["huggingface", "onnx", "openvino", "web"] | None = None,
    half: bool = False,
    int8: bool = False,
    calibrate: AnyPath | None = None,
    runtime: AnyPath | None = None,
    force: bool = False,
    scores: AnyPath | None = None,
    commercial: bool = False,
) -> Path:
    """Write a folder for transformers or OpenVINO, an ONNX file or a web page, compared with torch.

    format: by default `onnx` where `out` ends in `.onnx`, else `huggingface`. half: weights in
    float16. int8: products with weights in 8 bits, calibrated on the photographs `calibrate`, which
    every format is compared on; without them, on rendered streets. runtime: for a web page,
    onnxruntime-web as npm's tarball or folder; None: npm fetches it. scores: an eval.json, for the
    numbers on the card that `huggingface` writes. commercial: refuse a network whose licence, or
    that of anything it comes from, forbids commercial use or is not known. What was loaded with
    `wrap` wraps inside the file. Raises InputError if something is at `out`, RuntimeError,
    unless force, if too few pixels are labelled as by torch (float32 99.99 %, half 99.9, int8 99).

    >>> export("runs/mine", "mine-hf")
    PosixPath('mine-hf')
    >>> load("mine-hf").geometry == load("runs/mine").geometry
    True
    """
    from goodsam.pipeline.licences import LicensedNetwork, refuse_unless_commercial
    from goodsam.pipeline.rundir import facts_of, run_of
    from goodsam.pipeline.scoring import read_record
    from goodsam.stages.export.huggingface import export_huggingface
    from goodsam.stages.export.runtime_files import export_graph
    from goodsam.stages.export.web import export_web

    out = Path(out)
    named_so = out.suffix.lower() == ".onnx"
    chosen = format or ("onnx" if named_so else "huggingface")
    if chosen not in ("huggingface", "onnx", "openvino", "web"):
        raise InputError(f"format {format!r}: use huggingface or onnx or openvino or web")
    if named_so and chosen != "onnx":
        raise InputError(f"{out}: {chosen} is written as a folder; give a name without .onnx")
    if runtime is not None and chosen != "web":
        raise InputError(f"{os.fspath(runtime)}: --runtime is for --format web; leave it out")
    if scores is not None and chosen != "huggingface":
        raise InputError(f"{scores}: --scores is for --format huggingface's card; leave it out")
    if int8 and chosen == "huggingface":
        raise InputError(f"{out}: transformers' folders hold no int8; take onnx or openvino")
    loaded = model if not isinstance(model, str | os.PathLike) else load(model, device="cpu")
    run = run_of(loaded)
    if run is not None:
        loaded = replace(loaded, licence=run.licence)
    if commercial:
        own = (LicensedNetwork("model", loaded.source, loaded.licence),)
        refuse_unless_commercial(own if run is None else run.networks)
    samples = () if calibrate is None else find_panoramas(Path(calibrate), say=say)
    if chosen == "huggingface":
        record = None if scores is None else read_record(Path(scores))
        found = export_huggingface(
            loaded, out, facts_of(loaded), record, samples=samples, half=half, force=force
        )
    elif chosen == "web":
        runtime = None if runtime is None else Path(runtime)
        found = export_web(
            loaded, out, samples, runtime=runtime, half=half, eight_bits=int8, force=force
        )
    else:
        found = export_graph(
            loaded, out, samples, format=chosen, half=half, eight_bits=int8, force=force
        )
    say(f"{out}: {found}")
    return out
