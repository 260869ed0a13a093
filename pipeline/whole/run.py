"""The whole way from a folder of photographs to a model, in one run directory.

    check -> preview and price -> SAM's masks -> training -> evaluation -> export

OUT is the run directory of `train`, and has beside it `recipe.json`, `masks-*.zarr`,
`preview.html` and `preview.json`, `report/` (of `evaluate`) and `model/` (of `export`). Started
again, it resumes: masks and training know what of them is done, and `done.json` says
of what the rest was made.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from goodsam.data.cache import SamCache
from goodsam.data.errors import InputError
from goodsam.data.files import check_folder, write_whole
from goodsam.data.panoramas import Sample, find_panoramas, image_root
from goodsam.data.strangers import parse_json, read_bounded
from goodsam.data.street.mark import is_street_world
from goodsam.data.weights import SEGFORMERS
from goodsam.data.windows import is_band, is_sphere
from goodsam.pipeline import api
from goodsam.pipeline.class_maps import read_groups
from goodsam.pipeline.licences import learners_of, refuse_unless_commercial, sam_of, told
from goodsam.pipeline.report.parts import counted
from goodsam.pipeline.report.preview import preview_report
from goodsam.pipeline.rundir import Run
from goodsam.pipeline.scoring import Result
from goodsam.pipeline.tell import duration, each_line_once, say
from goodsam.pipeline.whole.machine import Machine
from goodsam.pipeline.whole.preview import measured, preview
from goodsam.pipeline.whole.price import (
    Price,
    Rates,
    Step,
    price,
    size_text,
    steps_done,
    try_step,
)
from goodsam.pipeline.whole.recipe import STREET, Recipe, choose, read_recipe
from goodsam.stages.adapt.reading import CachedPanoramas
from goodsam.stages.sam.factory import release_sam
from goodsam.stages.sam.without import NO_SAM
from goodsam.stages.segformer.segmenter import Segmenter

ASK_FROM = 600.0  # seconds of work before which is asked
CHECKPOINTS = 300.0  # seconds between two of them, about
RECIPE, DONE = "recipe.json", "done.json"
PAGE, PREVIEW = "preview.html", "preview.json"
REPORT, MODEL = "report", "model"


@dataclass(frozen=True)
class WholeRun:
    """What `run` has left in its folder. price: of what was still to be done after the preview.

    run: the finished run, None where only the preview was wanted or the price was too high. result:
    of the evaluation, None if it was there already.
    """

    path: Path
    price: Price
    run: Run | None = None
    result: Result | None = None

    @property
    def preview(self) -> Path:
        """The page of the preview."""
        return self.path / PAGE

    @property
    def report(self) -> Path:
        """The page of the evaluation."""
        return self.path / REPORT / "report.html"

    @property
    def model(self) -> Path:
        """The exported student: a folder that transformers loads, with a model card."""
        return self.path / MODEL


def run(
    images: api.AnyPath,
    out: api.AnyPath,
    *,
    labels: api.AnyPath | None = None,
    sam: str | None = None,
    checkpoint: api.AnyPath | None = None,
    boundaries: Literal["overlap", "windows"] | None = None,
    points: Literal["grid", "adaptive"] | None = None,
    plan: Literal["auto", "band", "vertical", "tangent"] = "auto",
    fit: bool | None = None,
    height: int | None = None,
    preset: str | None = None,
    teacher_assistant: str | None = None,
    student: str | None = None,
    classes: api.AnyPath | None = None,
    settings: Iterable[str] = (),
    device: str | None = None,
    commercial: bool = False,
    preview_only: bool = False,
    agree: Callable[[Price], bool] = lambda price: True,
) -> WholeRun:
    """Do everything: check, preview and price, SAM's masks, training, evaluation, export.

    What is None is chosen for this machine and these photographs; the reason is printed, and the
    choice is kept in OUT. sam: as for `cache_sam`; none: no masks, which is plain self-training.
    labels: for the evaluation alone. commercial: refuse networks as `train` does, before the
    preview. preview_only: stop after it. agree: asked before more than ten minutes of work. All
    else as for `cache_sam` and `train`.

    Called again, it resumes. Raises InputError for photographs that cannot be read,
    and as `cache_sam` and `train` do; RuntimeError for panoramas that fail in stage 1.

    >>> small = {"sam": "none", "height": 64, "preset": "demo", "settings": ["steps=2"]}
    >>> whole = run("photos", "runs/whole", **small)
    >>> whole.model.is_dir(), whole.preview.name, whole.report.name
    (True, 'preview.html', 'report.html')
    """
    images, out = Path(images), Path(out)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("run is one process; with torchrun, start `goodsam train`")
    check_folder(out)
    labels = None if labels is None else Path(labels)
    given = {
        "sam": sam,
        "checkpoint": None if checkpoint is None else os.fspath(checkpoint),
        "boundaries": boundaries,
        "points": points,
        "plan": None if plan == "auto" else plan,
        "fit": fit,
        "height": height,
        "preset": preset,
        "teacher_assistant": teacher_assistant,
        "student": student,
        "classes": None if classes is None else read_groups(Path(classes)),
        "settings": tuple(settings) or None,
        "device": device,
    }
    with each_line_once():
        samples = _checked(images, labels, out)
        machine = Machine.here(device or "auto")
        recipe = _recipe(samples, machine, out, {k: v for k, v in given.items() if v is not None})
        _say_licences(recipe, commercial)
        rates = _previewed(images, samples, machine, out, recipe)
        config = recipe.config
        if not any(text.startswith("checkpoint_every=") for text in recipe.settings):
            often = max(1, min(config.checkpoint_every, round(CHECKPOINTS / rates.step)))
            config = replace(config, checkpoint_every=often)
        cache = out / recipe.masks
        scored = _scored(labels, out).items() <= (_done(out, REPORT) or {}).items()
        left = price(rates, config, SamCache.open(cache), out, scored)
        whole = WholeRun(out, left)
        say(f"preview: {whole.preview}")
        say(f"still to be done: {left}")
        left.check_room(out)
        begun = steps_done(out) > 0
        if preview_only or (left.seconds > ASK_FROM and not begun and not agree(left)):
            return whole

        _cached(images, samples, cache, recipe)
        found = Run(out)
        if steps_done(out) < config.length(len(samples)) or not found.student.is_dir():
            say("training ...")
            api.train(images, cache, out, preset=config, commercial=commercial)
        else:
            say(f"training: all {steps_done(out)} steps are done")
        model = api.load(out, device=config.device)
        result = _evaluated(model, images, labels, out)
        _exported(model, out)
        return replace(whole, run=found, result=result)


def _checked(images: Path, labels: Path | None, out: Path) -> list[Sample]:
    """The photographs, each read once. InputError for the first one that is not as it must be."""
    samples = find_panoramas(images, labels, say)
    stamp = [
        [sample.name, *(_mark(path) for path in (sample.image, sample.labels) if path)]
        for sample in samples
    ]
    if _done(out, "check") == stamp:
        return samples
    found = api.check(images, labels=labels)
    odd = [f"{w} x {h}" for w, h in found.sizes if not (is_band(h, w) or is_sphere(h, w))]
    if found.problems:
        more = f" ({len(found.problems)} problems: `goodsam data check {images}` lists them)"
        raise InputError(f"{found.problems[0]}{more * (len(found.problems) > 1)}")
    if found.odd:
        raise InputError(
            f"{images}: {len(found.odd)} of {found.images} photographs ({', '.join(odd[:3])}) are "
            "neither 360° x 180° (2:1) nor 360° x 70.3° (512:100); move them away, or cut them"
        )
    sizes = ", ".join(f"{w} x {h}" for w, h in list(found.sizes)[:3])
    photographs = counted(found.images, "photograph")
    say(f"{photographs}, {sizes}, {found.pairs} with labels: nothing wrong with them")
    say(str(found.conversions))
    if found.placed:
        say(f"{len(found.placed)} photographs say that they are cropped or tilted: it is undone")
    _remember(out, "check", stamp)
    return samples


def _mark(path: Path) -> list[int]:
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns]


def _recipe(
    samples: Sequence[Sample], machine: Machine, out: Path, given: dict[str, Any]
) -> Recipe:
    """What was chosen before, with what the user changes now; said aloud.

    InputError for other masks than those that the run has been trained on.
    """
    kept = read_recipe(out / RECIPE)
    recipe = kept if kept and given.items() <= kept.given.items() else None
    if recipe is None:
        recipe = choose(samples, machine, {**(kept.given if kept else {}), **given})
    if kept and recipe.stage1 != kept.stage1 and steps_done(out):
        raise InputError(
            f"{out}: has been trained on {kept.masks}, not {recipe.masks}; leave out the options "
            "of SAM, or give another --out"
        )
    recipe.write(out / RECIPE)
    say(f"machine: {machine}")
    say(machine.busy)
    for name, value, why, switch in recipe.rows():
        say(f"{name}: {value} - {why} ({switch})")
    return recipe


def _say_licences(recipe: Recipe, commercial: bool) -> None:
    """Those of the networks to be used, before hours of work; InputError as of `train`."""
    networks = learners_of(recipe.config)
    if recipe.sam != NO_SAM:
        networks = [*sam_of(api.sam_factory(recipe.sam, recipe.checkpoint, {})), *networks]
    if commercial:
        refuse_unless_commercial(networks)
    for line in told(networks):
        say(line)


def _previewed(
    images: Path, samples: Sequence[Sample], machine: Machine, out: Path, recipe: Recipe
) -> Rates:
    """The preview, where it is not there already; what it measured."""
    key = {"recipe": recipe.to_json(), "panoramas": len(samples)}
    kept = _read(out / PREVIEW)
    there = (out / PAGE).is_file() and (out / recipe.masks).is_dir()
    if there and kept.get("made_of") == key:
        return Rates(**kept["rates"])
    say("preview ...")
    found = preview(images, samples, out / recipe.masks, recipe)
    config = recipe.config
    names = [one.name for one in found.seen]
    step = try_step(config, CachedPanoramas(image_root(images), found.cache, names))
    rates = Rates.of(found.seconds, step, found.cache)
    record = measured(found.seen, found.names)
    preview_report(
        out / PAGE,
        found,
        record,
        price(rates, config, found.cache, out),
        recipe.rows(),
        f"{counted(len(samples), 'photograph')} in {images}",
        str(machine),
        _warnings(samples, machine, recipe, record, step),
    )
    seen = {"panoramas": names, **record}
    content = {"made_of": key, "rates": rates.to_json(), "seen": seen}
    write_whole(out / PREVIEW, json.dumps(content, indent=1))
    return rates


def _warnings(
    samples: Sequence[Sample],
    machine: Machine,
    recipe: Recipe,
    record: dict[str, Any],
    step: Step,
) -> list[str]:
    """What speaks against going on, for people."""
    found = []
    toys = recipe.sam == STREET or recipe.config.teacher_assistant in SEGFORMERS
    if toys and not all(is_street_world(sample.image) for sample in samples):
        found.append(
            "These networks have seen a rendered street world only. On photographs their masks and "
            "classes mean nothing: this shows how it works, not how well."
        )
    if recipe.sam == NO_SAM:
        found.append(
            "No SAM: the student learns from the TA's own labels, and nothing corrects them."
        )
    elif record["covered"] < 50:
        found.append(
            f"SAM's masks cover {record['covered']:.0f} % of the pixels; everywhere else the "
            "ensemble is the TA alone."
        )
    if step.doubts:
        found.append(f"{step.doubts}."[:1].upper() + f"{step.doubts}."[1:])
    if machine.busy:
        found.append(machine.busy)
    if step.memory > 0.9 * machine.memory:
        found.append(
            f"A step takes {size_text(step.memory)} of the {size_text(machine.memory)} of memory; "
            "it may not fit beside anything else."
        )
    return found


def _cached(images: Path, samples: Sequence[Sample], cache: Path, recipe: Recipe) -> None:
    """Stage 1, what is left of it. RuntimeError for panoramas that failed."""
    there = SamCache.open(cache)
    if {sample.name for sample in samples} <= set(there.names) and not there.missing():
        say(f"SAM's masks: all {len(samples)} are there")
        return
    say("SAM's masks ...")
    summary = api.cache_sam(images, cache, **recipe.stage1).summary
    release_sam()
    if summary.failed:
        name, why = next(iter(summary.failed.items()))
        raise RuntimeError(
            f"{len(summary.failed)} panoramas have no masks (the first: {name}: {why}); mend them "
            "or move them away, and start the same command again"
        )
    say(f"SAM's masks: {summary.done} made in {duration(summary.seconds)}, {summary.skipped} there")


def _evaluated(model: Segmenter, images: Path, labels: Path | None, out: Path) -> Result | None:
    """The evaluation and its report; None where they are there already, of this very student on
    these very files."""
    made_of = {"weights": model.fingerprint, **_scored(labels, out)}
    if _done(out, REPORT) == made_of:
        say(f"evaluation: is there, {out / REPORT}")
        return None
    say("evaluation ...")
    # label maps of photographs have the ids of the TA
    classes = None if model.class_map is None else out
    result = api.evaluate(model, images, labels=labels, classes=classes, out=out / REPORT)
    _remember(out, REPORT, made_of)
    return result


def _scored(labels: Path | None, out: Path) -> dict[str, Any]:
    """On which files an evaluation looks."""
    return {"labels": None if labels is None else str(labels), "files": _done(out, "check")}


def _exported(model: Segmenter, out: Path) -> None:
    """The student for transformers, with a model card of its last evaluation."""
    folder, before, made_of = out / MODEL, _done(out, MODEL), _done(out, REPORT)
    if folder.is_dir() and before == made_of:
        say(f"export: is there, {folder}")
        return
    if folder.is_dir() and before is not None:  # ours, of an earlier student or evaluation
        shutil.rmtree(folder)
    _remember(out, MODEL, made_of)
    scores = out / REPORT / "eval.json"
    api.export(model.source, folder, scores=scores if "miou" in _read(scores) else None)
    say(f"export: {folder}")


def _done(out: Path, what: str) -> Any:
    """What a stage was made of when it was done; None if it was not."""
    return _read(out / DONE).get(what)


def _remember(out: Path, what: str, made_of: Any) -> None:
    write_whole(out / DONE, json.dumps({**_read(out / DONE), what: made_of}))


def _read(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file of this folder; empty where there is none that can be read."""
    try:
        values = parse_json(read_bounded(path))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
