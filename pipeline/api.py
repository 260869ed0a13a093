"""The verbs: paths in, results out. `import goodsam` offers them; commands and studies call them.

Whatever takes a path takes a `str` or a `Path`. A network is given by a run directory, a folder
that transformers loads, a name on the hub, or a `Segmenter` from `load`. Long work shows a bar
where stderr is a terminal, and whatever is killed resumes when it is called again. Wrong input
raises `InputError` before work begins.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from goodsam.data.errors import InputError
from goodsam.data.panoramas import find_panoramas
from goodsam.data.windows import PAPER_HEIGHT, Windows, panorama_width
from goodsam.pipeline.tell import bar_of_names, progress_bar, say

if TYPE_CHECKING:
    from goodsam.data.cache import SamCache
    from goodsam.pipeline.rundir import Run
    from goodsam.pipeline.scoring import Result
    from goodsam.stages.adapt.learner import AdaptConfig
    from goodsam.stages.predict import PredictSummary
    from goodsam.stages.sam.cache_sam import Stage1Config, Stage1Summary
    from goodsam.stages.sam.estimate import Stage1Estimate
    from goodsam.stages.sam.factory import SamFactory
    from goodsam.stages.segformer.segmenter import Network, Segmenter

AnyPath = str | os.PathLike[str]

STREET_WARNING = (
    "WARNING: --sam street is a toy, trained on the rendered street world alone. On real pictures "
    "it is for trying the commands: its masks mean nothing. Use --sam vit_h for results."
)


@dataclass(frozen=True)
class Cached:
    """What `cache_sam` did. It can be given wherever the path of the cache can.

    path: of the cache. summary: panoramas done now, found done, and failed (name -> why).
    """

    path: Path
    summary: Stage1Summary

    def __fspath__(self) -> str:
        return str(self.path)

    def open(self) -> SamCache:
        """The cache, to be read."""
        from goodsam.data.cache import SamCache

        return SamCache.open(self.path)


def cache_sam(
    images: AnyPath,
    cache: AnyPath,
    *,
    sam: str = "vit_h",
    checkpoint: AnyPath | None = None,
    fit: bool = False,
    height: int | None = None,
    window: int | None = None,
    stride: int | None = None,
    wrap: bool = True,
    boundaries: Literal["overlap", "windows"] = "overlap",
    ignore_mask: AnyPath | None = None,
    workers: int = 0,
    scheduler: str | None = None,
    **generator: Any,
) -> Cached:
    """Stage 1: SAM once over all windows of all panoramas below `images`, into the cache `cache`.

    sam: a name that `goodsam teachers` lists (vit_h, sam2.1-large, ...; downloaded once if no
    `checkpoint` is given; street is the demo's), a directory of transformers, or a hub name.
    fit, height: cut the 70.3° band from 2:1 panoramas and resize all images to `height` px
    (default 400). window, stride: px; a quarter of the width, and half the window. wrap: windows
    run over the seam. boundaries: of an overlap by SAM on its crop (the paper), or from the masks
    of its two windows, at no further SAM run. ignore_mask: a picture; where it is not black there
    are no masks, no loss in training and no labels in prediction. workers: local processes beside
    this one; scheduler: address of a Dask scheduler. generator: fields of `GeneratorConfig` that
    differ from the SAM's defaults, such as `points_per_side=16` or `mode="exact"`.

    Images that cannot be read are left out and named in `.summary.failed`. Raises InputError for
    images of different sizes without `fit`, and for a cache that was made otherwise.

    >>> settings = {"fit": True, "height": 200, "boundaries": "windows"}
    >>> cached = cache_sam("photos", "photos.zarr", sam="street", **settings)
    >>> cached.summary.done, cached.open().names
    (2, ['0.png', '1.png'])
    """
    from goodsam.data.street.mark import is_street_world
    from goodsam.stages.sam.cache_sam import Stage1Progress
    from goodsam.stages.sam.cache_sam import cache_sam as run

    images, cache = Path(images), Path(cache)
    config, factory = _stage1(
        sam,
        checkpoint,
        {
            "fit": fit,
            "height": height,
            "window": window,
            "stride": stride,
            "wrap": wrap,
            "boundaries": boundaries,
            "ignore_mask": ignore_mask,
            "workers": workers,
            "scheduler": scheduler,
            **generator,
        },
    )
    if sam == "street" and not all(is_street_world(s.image) for s in find_panoramas(images)):
        say(STREET_WARNING)
    with progress_bar("SAM") as update:

        def report(progress: Stage1Progress) -> None:
            note = f"{progress.windows_per_second:.2f} windows/s"
            update(progress.done + progress.failed, progress.total, note)

        summary = run(images, cache, config, factory, report)
    _say_what_was_odd(summary)
    return Cached(cache, summary)


def estimate_sam(
    images: AnyPath,
    cache: AnyPath,
    *,
    sam: str = "vit_h",
    checkpoint: AnyPath | None = None,
    **settings: Any,
) -> Stage1Estimate:
    """What `cache_sam` with these arguments would cost here, by one window; writes nothing."""
    from goodsam.stages.sam.estimate import estimate_stage1

    return estimate_stage1(Path(images), Path(cache), *_stage1(sam, checkpoint, settings))


def sam_factory(sam: str, checkpoint: AnyPath | None, generator: Mapping[str, Any]) -> SamFactory:
    """A SAM with its own settings, but for the fields of GeneratorConfig in `generator`."""
    from goodsam.stages.sam.factory import SamFactory
    from goodsam.stages.sam.registry import default_generator

    path = None if checkpoint is None else Path(checkpoint)
    return SamFactory(sam, path, replace(default_generator(sam), **generator))


def _stage1(
    sam: str, checkpoint: AnyPath | None, settings: Mapping[str, Any]
) -> tuple[Stage1Config, SamFactory]:
    """What is cut and who works, and the SAM: settings are fields of either's configuration.

    InputError for a name that is neither's.
    """
    from goodsam.stages.sam.cache_sam import Stage1Config
    from goodsam.stages.sam.generate import GeneratorConfig

    of_run, of_sam = ({f.name for f in fields(kind)} for kind in (Stage1Config, GeneratorConfig))
    if unknown := sorted(settings.keys() - of_run - of_sam):
        raise InputError(f"cache_sam takes no {unknown[0]}; see help(goodsam.cache_sam)")
    generator = {name: value for name, value in settings.items() if name in of_sam}
    chosen = {name: value for name, value in settings.items() if name in of_run}
    if chosen.get("height") is not None:
        chosen["width"] = panorama_width(chosen["height"])
    if chosen.get("ignore_mask") is not None:
        chosen["ignore_mask"] = Path(chosen["ignore_mask"])
    return Stage1Config(**chosen), sam_factory(sam, checkpoint, generator)


def _say_what_was_odd(summary: Stage1Summary | PredictSummary) -> None:
    """Images that were converted, and those that failed and why."""
    say(str(summary.conversions))
    for name, why in summary.failed.items():
        say(f"failed: {name}: {why}")


def train(
    images: AnyPath,
    cache: AnyPath | SamCache,
    out: AnyPath,
    *,
    preset: AnyPath | AdaptConfig = "goodsam-m",
    settings: Iterable[str] = (),
    teacher_assistant: str | None = None,
    student: str | None = None,
    seed: int | None = None,
    device: str | None = None,
    partial: bool = False,
) -> Run:
    """Stage 2: adapt TA and student to the panoramas, reading SAM's masks from the cache.

    cache: a folder, a zip made by `goodsam cache pack`, the URL of a folder, or what `cache_sam`
    returned. out: the run directory; called again with the same settings, it resumes there.
    preset: a name, a YAML file, or all settings, to which nothing is added then. settings:
    `key=value` each, over the preset's, as for `--set`. teacher_assistant, student: SegFormer
    directories or hub names. partial: leave out panoramas that the cache lacks, not refuse them.

    Raises InputError where images, cache and run do not belong together, FloatingPointError for a
    loss that is not finite, and `Collapse` for a run that falls apart, both after saving.

    >>> run = train("photos", "photos.zarr", "runs/mine", preset="demo", settings=["steps=2"])
    >>> run.student, str(run.geometry)[:42]
    (PosixPath('runs/mine/student'), 'panoramas of 1024 x 200, --fit --height 20')
    """
    from goodsam.pipeline.config import adapt_config
    from goodsam.pipeline.rundir import Run, open_run
    from goodsam.stages.adapt.loop import adapt

    named = {
        "teacher_assistant": teacher_assistant,
        "student": student,
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
    panoramas = open_run(Path(images), source, Path(out), config, partial)
    with progress_bar("train") as update:
        adapt(
            panoramas,
            Path(out),
            config,
            lambda step, steps, row: update(
                step, steps, f"student {row['student_total']:.2f} TA {row['teacher_total']:.2f}"
            ),
            warn=lambda text: say(f"WARNING: {text}"),
        )
    return Run(Path(out))


def load(
    model: AnyPath,
    *,
    network: Network = "student",
    by_windows: bool = False,
    wrap: bool = False,
    fit: bool = False,
    height: int | None = None,
    device: str = "auto",
) -> Segmenter:
    """A network in use: `load("runs/mine")(image)` is a label map, in the image's own pixels.

    model: a run directory, a folder that transformers loads, or a hub name. network: which of a
    run's two. by_windows: see the windows and join them, instead of the whole panorama. wrap: let
    the network see the panorama continue past both ends. fit, height: cut the band from 2:1
    panoramas and resize to `height` px (400), for a network that no run of ours trained; a run
    applies its own geometry, and asking it for another is an InputError.

    >>> import numpy as np
    >>> model = load("street-student", device="cpu")
    >>> labels = model(np.zeros((200, 1024, 3), np.uint8))
    >>> labels.shape, labels.dtype, model.names[0]
    ((200, 1024), dtype('uint8'), 'road')
    """
    from goodsam.stages.segformer.segmenter import Segmenter

    mode: Literal["direct", "windows"] = "windows" if by_windows else "direct"
    loaded = Segmenter.load(os.fspath(model), network, mode, device=device, wrap=wrap)
    if not fit and height is None:
        return loaded
    if loaded.geometry is None:
        if not fit:
            raise InputError("--height: is the height to fit to; give --fit with it")
        rows = PAPER_HEIGHT if height is None else height
        return loaded.seeing(Windows.of(rows, panorama_width(rows)), fit=True)
    has = loaded.geometry
    if (fit and not has.fit) or (height is not None and height != has.windows.height):
        raise InputError(
            f"{os.fspath(model)}: was trained on {has}; leave --fit and --height out: a run "
            "applies its own"
        )
    return loaded


def evaluate(
    model: Segmenter | AnyPath,
    images: AnyPath,
    *,
    labels: AnyPath | None = None,
    protocol: str | None = None,
    ignore_mask: AnyPath | None = None,
    boundary_radius: int | None = None,
    out: AnyPath | None = None,
) -> Result:
    """Score a network on labelled images; without labels, say what can be said.

    images, labels: folders, or a data set's root (DensePASS, WildPASS, Cityscapes). protocol:
    "19", "13" or "wildpass"; by default 19 classes, or the network's own. ignore_mask: a picture
    of the images' size; what is not black in it is left out. boundary_radius: of the boundary
    F-score, px (3); 0 for none. out: where `eval.json`, `eval.md` and `report.html` are written;
    None: nowhere.

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
        ignore_mask=None if ignore_mask is None else Path(ignore_mask),
        boundary_radius=boundary_radius,
        out=None if out is None else Path(out),
    )


def predict(
    model: Segmenter | AnyPath,
    images: AnyPath,
    out: AnyPath,
    *,
    batch: int = 1,
    probabilities: bool = False,
) -> PredictSummary:
    """Write a label map and a colour overlay of every image, in the image's own pixels.

    `OUT/labels/<path>.png` (uint8 ids, 255 where the network has not looked) and
    `OUT/overlays/<path>.png`, `<path>` as below `images`. batch: images of one size seen together.
    probabilities: also `OUT/probabilities/<path>.npy`, float16 (C, h, w), at the size that the
    network sees. What is there and still right is not written again. Images that cannot be read are
    named in `.failed`.

    >>> predict("runs/mine", "photos", "predicted").done
    ['0.png', '1.png']
    """
    from goodsam.stages.predict import predict as run

    samples = find_panoramas(Path(images))
    segmenter = model if not isinstance(model, str | os.PathLike) else load(model)
    with bar_of_names("predict", len(samples)) as finished:
        summary = run(
            segmenter, samples, Path(out), finished, batch=batch, probabilities=probabilities
        )
    _say_what_was_odd(summary)
    return summary


def export(
    model: Segmenter | AnyPath,
    out: AnyPath,
    *,
    format: Literal["huggingface", "onnx"] | None = None,
    scores: AnyPath | None = None,
) -> Path:
    """A folder that transformers loads, with a model card, or one ONNX file, checked against torch.

    format: by default `onnx` where `out` ends in `.onnx`, else `huggingface`. scores: an eval.json,
    for the card's numbers. Raises InputError if something is at `out`, RuntimeError if ONNX Runtime
    does not label as torch does.

    >>> export("runs/mine", "mine-hf")
    PosixPath('mine-hf')
    >>> load("mine-hf").geometry == load("runs/mine").geometry
    True
    """
    from goodsam.pipeline.rundir import Run
    from goodsam.pipeline.scoring import read_record
    from goodsam.stages.export import export_huggingface, export_onnx

    out = Path(out)
    loaded = model if not isinstance(model, str | os.PathLike) else load(model, device="cpu")
    chosen = format or ("onnx" if out.suffix == ".onnx" else "huggingface")
    if chosen not in ("huggingface", "onnx"):
        raise InputError(f"format {format!r}: use huggingface or onnx")
    if chosen == "onnx":
        agreement = export_onnx(loaded, out)
        say(f"{out}: ONNX Runtime labels {agreement:.3f} % of the pixels as torch does")
        return out
    record = None if scores is None else read_record(Path(scores))
    run = Run.found(loaded.source)
    export_huggingface(loaded, out, () if run is None else run.facts(), record)
    return out
