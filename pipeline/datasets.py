"""Data sets as verbs: looked at, taken from videos, labelled, and written for other programs.

`goodsam.pipeline.api` offers them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from goodsam.data.errors import InputError
from goodsam.data.panoramas import (
    Sample,
    find_panoramas,
    image_root,
    is_video,
    not_taken_line,
    survey,
)
from goodsam.pipeline.stage1 import AnyPath, say_what_was_odd
from goodsam.pipeline.tell import bar_of_names, progress_bar, say

if TYPE_CHECKING:
    from goodsam.data.cache import SamCache
    from goodsam.data.check import Checked
    from goodsam.data.labels.export import Format
    from goodsam.pipeline.spheres import Plan
    from goodsam.stages.adapt.fusion import Rule
    from goodsam.stages.predict import PredictSummary
    from goodsam.stages.segformer.native import MapKind
    from goodsam.stages.segformer.segmenter import Segmenter
    from goodsam.stages.segformer.snapshot import Network


def check(
    images: AnyPath, *, labels: AnyPath | None = None, classes: AnyPath | None = None
) -> Checked:
    """Recognise a data set, pair its images with labels, and read every file once.

    images, labels, classes: as for `evaluate_predictions`. What is wrong stands in `.problems`, and
    files that are not taken, each with what to do about it, in `.not_taken`.

    >>> found = check("photos")
    >>> found.images, found.problems, dict(found.sizes)
    (2, [], {(500, 250): 2})
    """
    from goodsam.data.check import check as run

    if classes is None:
        class_map = None
    else:
        from goodsam.pipeline.class_maps import class_map_at

        class_map = class_map_at(Path(classes))
    with progress_bar("check") as update:
        return run(Path(images), None if labels is None else Path(labels), update, class_map)


def frames(video: AnyPath, out: AnyPath, *, every: float = 2.0) -> list[Path]:
    """Write the sharpest frame of each `every` seconds of a video to `out`, as photographs.

    Frames that show what the last one showed are left out. Needs the extra `video`. Raises
    InputError for a video that is broken or cut off; the frames before that are there then.

    >>> frames("clip.mp4", "photos of the clip", every=0.5)[0].suffix
    '.jpg'
    """
    from goodsam.data.frames import take_frames

    written: list[Path] = []
    with progress_bar("frames") as update:
        for path in take_frames(Path(video), Path(out), every):
            written.append(path)
            update(len(written), note=path.name)
    return written


def label(
    images: AnyPath,
    cache: AnyPath | SamCache,
    out: AnyPath,
    *,
    preset: str = "goodsam-m",
    settings: Iterable[str] = (),
    teacher_assistant: Segmenter | AnyPath | None = None,
    rule: Rule | None = None,
    classes: AnyPath | None = None,
    partial: bool = False,
    overlays: bool = True,
    verify: bool = False,
    device: str = "auto",
) -> PredictSummary:
    """Write the pseudo labels themselves: the ensemble of TA and cached masks, as label maps.

    What the student would learn from, in the photographs' own pixels, as `predict` writes it, with
    `OUT/confidence/` (the TA's probability of the label) and `OUT/trust/` (255 where the rule
    trusts the masks) beside it. images, cache, preset, settings, partial, verify: as for `train`;
    of the settings those of the fusion and the TA count (`step.fusion.votes=soft`).
    teacher_assistant: a run, whose adapted TA is taken, a network's directory or a hub name; the
    preset's if not given. classes: a class map (.yaml) of its classes. rule: ctcf (the paper), ssa,
    sepl, or none; the settings' if not given. overlays: without them photographs that stage 1 has
    fitted are not decoded again.

    >>> label("photos", "photos.zarr", "pseudo", teacher_assistant="runs/mine").done
    ['0.png', '1.png']
    """
    from goodsam.pipeline.class_maps import read_groups
    from goodsam.pipeline.config import adapt_config
    from goodsam.pipeline.rundir import Run, finished_panoramas, say_moment
    from goodsam.stages.predict import predict as run
    from goodsam.stages.pseudo_labels import EnsembleLabeller
    from goodsam.stages.segformer.segmenter import Segmenter

    settings = (*settings, *(() if rule is None else (f"step.fusion.rule={rule}",)))
    config = adapt_config(preset, settings)
    source = os.fspath(cache) if isinstance(cache, str | os.PathLike) else cache.path
    sam_cache, hashes = finished_panoramas(Path(images), source, partial, verify)
    root = image_root(Path(images))
    samples = [Sample(name, root / name) for name in hashes]
    say(not_taken_line(survey(Path(images)).not_taken, Path(images)))
    teacher = teacher_assistant or config.teacher_assistant
    if isinstance(teacher, str | os.PathLike):
        of_run = Run.found(teacher) is not None
        network: Network = "teacher_assistant" if of_run else "student"
        teacher = Segmenter.load(os.fspath(teacher), network, device=device)
        say_moment(teacher)
    groups = config.classes if classes is None else read_groups(Path(classes))
    if groups is not None:
        teacher = teacher.with_classes(groups)
    labeller = EnsembleLabeller(teacher, sam_cache, config.step.fusion)
    with bar_of_names("label", len(samples)) as finished:
        summary = run(
            labeller,
            samples,
            Path(out),
            finished,
            wanted=("confidence", "trust"),
            overlays=overlays,
            verify=verify,
        )
    say_what_was_odd(summary)
    return summary


def predict(
    model: Segmenter | AnyPath,
    images: AnyPath,
    out: AnyPath,
    *,
    batch: int = 1,
    confidence: bool = False,
    probabilities: bool = False,
    overlays: bool = True,
    plan: Plan = "auto",
    sound: bool = True,
    verify: bool = False,
) -> PredictSummary:
    """Write a label map and a colour overlay of every image, at the image's own size.

    `OUT/labels/<path>.png` (ids, in the classes' colours, 255 where the network does not see) and
    `OUT/overlays/<path>.png`, `<path>` as below `images`; `OUT/classes.json` says what ids mean.
    batch: images of one size seen together. confidence: also `OUT/confidence/<path>.png`, the
    label's probability, 255 for 1. probabilities: also `OUT/probabilities/<path>.npy`, float16
    (C, h, w), at the size that the network sees. overlays: label maps alone take a hundredth of
    the disk, and less time. plan: by which windows 2:1 photographs are seen:
    `vertical` or `tangent` ones, from pole to pole; `own`: as the network was loaded; `auto`:
    tangent ones if all photographs are 2:1 and the network was told nothing else. Files that are
    up to date are not written again; verify: read every image to decide, even if its size and
    modification time have not changed. Images that cannot be read are named in `.failed`.

    A video (.mp4, .mov and others) is written as one, `out`: its frames with the overlays, and its
    sound unless not `sound`. It needs the extra `video`.

    >>> predict("runs/mine", "photos", "predicted").done
    ['0.png', '1.png']
    """
    from goodsam.pipeline.api import load
    from goodsam.stages.predict import predict as run

    if is_video(Path(images)):
        if batch != 1 or confidence or probabilities or not overlays:
            raise InputError(f"{images}: of a video only the overlays are written, frame by frame")
        if plan not in ("auto", "own"):
            raise InputError(f"{images}: a video takes no --plan: leave it out")
        return _predict_video(model, Path(images), Path(out), sound)
    from goodsam.pipeline.spheres import choose_plan

    if is_video(Path(out)) and not Path(out).is_dir():
        raise InputError(f"{out}: of pictures a folder of label maps is written; name one")
    samples = find_panoramas(Path(images), say=say)
    asked: dict[MapKind, bool] = {"confidence": confidence, "probabilities": probabilities}
    wanted = [kind for kind, yes in asked.items() if yes]
    loaded = model if not isinstance(model, str | os.PathLike) else load(model)
    segmenter = choose_plan(loaded, samples, plan)
    with bar_of_names("predict", len(samples)) as finished:
        summary = run(
            segmenter,
            samples,
            Path(out),
            finished,
            batch=batch,
            wanted=wanted,
            overlays=overlays,
            verify=verify,
        )
    say_what_was_odd(summary)
    return summary


def _predict_video(
    model: Segmenter | AnyPath, video: Path, out: Path, sound: bool
) -> PredictSummary:
    from goodsam.pipeline.api import load
    from goodsam.stages.predict import PredictSummary
    from goodsam.stages.predict_video import predict_video

    if out.is_file():
        raise InputError(f"{out}: is there already; give another name, or remove it")
    segmenter = model if not isinstance(model, str | os.PathLike) else load(model)
    with progress_bar("predict") as update:
        count = predict_video(segmenter, video, out, update, sound)
    say(f"{video.name}: {count} frames")
    return PredictSummary(done=[video.name])


def export_labels(
    labelled: AnyPath, out: AnyPath, *, format: Format = "coco", prefix: str | None = None
) -> list[Path]:
    """Write all label maps of a folder for another program; the files that were written.

    labelled: a folder that `predict` or `label` wrote. out: a .json (coco, label-studio) or .xml
    (cvat). prefix: what Label Studio's links to the photographs begin with; files of the machine
    that it runs on if not given.

    >>> export_labels("predicted", "predicted.json")
    [PosixPath('predicted.json')]
    """
    from goodsam.data.labels.export import LOCAL_FILES
    from goodsam.data.labels.export import export_labels as run

    if prefix is not None and format != "label-studio":
        raise InputError(f"--prefix: {format} has no links to photographs; leave it out")
    prefix = LOCAL_FILES if prefix is None else prefix
    count, written = run(Path(labelled), Path(out), format, prefix)
    say(f"{count} label maps")
    return written
