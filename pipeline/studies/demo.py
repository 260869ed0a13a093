"""`goodsam demo`: the whole method on the embedded street world, every stage live, and a report.

Street world -> SAM's masks -> adaptation, with the masks and without -> scores before and after ->
`report.html`. Started again, it resumes where it was stopped. Windows touch: half the work of the
paper's overlaps, which gain nothing on this world (docs/results.md, Table 3).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from goodsam.data.cache import SamCache
from goodsam.data.classes import CITYSCAPES, colourise, palette_for
from goodsam.data.files import check_folder, write_whole
from goodsam.data.panoramas import Sample, find_panoramas, image_size, read_image, read_labels
from goodsam.data.street.picture import DEFAULT_GAP
from goodsam.data.street.write import write_world
from goodsam.data.windows import Windows
from goodsam.pipeline import api
from goodsam.pipeline.config import adapt_config
from goodsam.pipeline.report.demo import DemoRow, demo_report
from goodsam.pipeline.report.pictures import Layer, error_picture, masks_picture
from goodsam.pipeline.studies.timing import SCORE, STEP, forward_seconds
from goodsam.pipeline.tell import duration
from goodsam.stages.adapt.learner import AdaptConfig
from goodsam.stages.adapt.watch import read_rows
from goodsam.stages.score.confusion import Scores
from goodsam.stages.score.ensemble import ensemble_labels, ensemble_scores
from goodsam.stages.score.evaluate import evaluate
from goodsam.stages.segformer.segmenter import Segmenter

PRESET = "street-robust"
BEFORE, AFTER = "student, before", "student, after"
NO_MASKS = "without masks"
SAM: dict[str, Any] = {"sam": "street", "boundaries": "windows", "points": "adaptive"}


@dataclass(frozen=True)
class DemoResult:
    """record: what `--json` prints. table: the same for people. report: the HTML file."""

    record: dict[str, Any]
    table: str
    report: Path


def run_demo(
    out: Path,
    *,
    seed: int,
    unlabelled: int,
    test: int,
    steps: int | None,
    say: Callable[[str], None],
) -> DemoResult:
    """Run everything below `out`; returns the numbers and where the report is."""
    check_folder(out)
    seconds: dict[str, float] = {}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        say(f"{name} ...")
        started = time.monotonic()
        yield
        seconds[name] = time.monotonic() - started
        say(f"{name}: {seconds[name]:.0f} s")

    world, run, unmasked = out / "world", out / "run", out / "without_masks"
    with stage("street world"):
        write_world(world, source=0, unlabelled=unlabelled, test=test, seed=seed, gap=DEFAULT_GAP)
    caches = {split: out / f"{split}.zarr" for split in ("unlabelled", "test")}
    length = [f"steps={steps}"] if steps else []
    config = adapt_config(PRESET, length, seed=seed, workers=0)
    size = image_size(find_panoramas(world / "unlabelled")[0].image)
    window = size[1] // 4
    windows = Windows(*size, window, window)
    say(_expected(world, caches, config, windows))
    with stage("SAM, once over all windows"):
        for split, path in caches.items():
            images = world / split
            failed = api.cache_sam(images, path, stride=window, **SAM).summary.failed
            if failed:
                raise RuntimeError(f"SAM failed on {', '.join(failed)}")

    with stage("training"):
        api.train(world / "unlabelled", caches["unlabelled"], run, preset=config)
    with stage("the same without masks"):
        bare = adapt_config(PRESET, [*length, "step.fusion.rule=none"], seed=seed, workers=0)
        api.train(world / "unlabelled", caches["unlabelled"], unmasked, preset=bare)

    samples = find_panoramas(world / "test")
    cache = SamCache.open(caches["test"])
    with stage("evaluation"):
        rows = _score_all(config, run, unmasked, samples, cache)
    scores = {row.name: row.scores for row in rows}
    record = {
        "student_before": scores[BEFORE].miou,
        "student_after": scores[AFTER].miou,
        "ta_direct": scores["TA, whole image"].miou,
        "ta_before": scores["TA, windows"].miou,
        "ta_after": scores["TA, windows, after"].miou,
        "ensemble_before": scores["ensemble"].miou,
        "ensemble_after": scores["ensemble, after"].miou,
        "student_without_masks": scores[f"student, {NO_MASKS}"].miou,
        "ta_without_masks": scores[f"TA, windows, {NO_MASKS}"].miou,
        "pixel_accuracy": {name: value.pixel_accuracy for name, value in scores.items()},
        "per_class": {name: value.per_class for name, value in scores.items()},
        "test_images": len(samples),
        "unlabelled_images": unlabelled,
        "seed": seed,
        "seconds": seconds,
    }
    with stage("report"):
        report = out / "report.html"
        _write_report(report, config, run, samples, cache, rows, seconds)
    write_whole(out / "demo.json", json.dumps(record, indent=1))
    return DemoResult(record, _table(rows, len(samples)), report)


def _expected(world: Path, caches: dict[str, Path], config: AdaptConfig, windows: Windows) -> str:
    """How long all of it takes on this machine, from single runs; less where a part is done."""
    images = {split: find_panoramas(world / split) for split in caches}
    pixels = read_image(images["unlabelled"][0].image)
    of_sam = sum(
        api.estimate_sam(world / split, path, stride=windows.stride, **SAM).seconds
        for split, path in caches.items()
    )
    of_teacher, of_student = forward_seconds(config, pixels, windows)
    steps = 2 * config.length(len(images["unlabelled"]))
    of_training = steps * STEP * (of_teacher + of_student)
    of_scores = SCORE * len(images["test"]) * (6 * of_teacher + 3 * of_student)
    return (
        f"about {duration(of_sam + of_training + of_scores)} on this machine: SAM "
        f"{duration(of_sam)}, two trainings {duration(of_training)}, evaluation "
        f"{duration(of_scores)}"
    )


def _score_all(
    config: AdaptConfig, run: Path, unmasked: Path, samples: list[Sample], cache: SamCache
) -> list[DemoRow]:
    def whole(source: str | Path) -> Scores:
        return evaluate(Segmenter.load(source), samples).scores

    def windows(source: str | Path) -> Scores:
        loaded = Segmenter.load(source, mode="windows", windows=cache.identity.windows)
        return evaluate(loaded, samples).scores

    def ensemble(source: str | Path) -> Scores:
        return ensemble_scores(Segmenter.load(source), samples, cache, config.step.fusion)

    teacher, student = config.teacher_assistant, config.student
    adapted = run / "teacher_assistant"
    return [
        DemoRow(BEFORE, whole(student), "trained on labelled source images alone"),
        DemoRow("TA, whole image", whole(teacher), "the teacher assistant, untouched"),
        DemoRow("TA, windows", windows(teacher), "the same by windows"),
        DemoRow("ensemble", ensemble(teacher), "its labels, fused with SAM's masks"),
        DemoRow("TA, windows, after", windows(adapted), "adapted"),
        DemoRow("ensemble, after", ensemble(adapted), "from the adapted TA"),
        DemoRow(AFTER, whole(run / "student"), "adapted; this is the product"),
        DemoRow(
            f"TA, windows, {NO_MASKS}",
            windows(unmasked / "teacher_assistant"),
            "adapted in the same way on its own labels",
        ),
        DemoRow(
            f"student, {NO_MASKS}", whole(unmasked / "student"), "what SAM adds is the difference"
        ),
    ]


def _table(rows: list[DemoRow], images: int) -> str:
    lines = [
        f"{images} test panoramas of the street world, never trained on; percent",
        f"{'':28}{'mIoU':>8}{'pixel accuracy':>16}",
    ]
    for row in rows:
        lines.append(f"{row.name:28}{row.scores.miou:8.2f}{row.scores.pixel_accuracy:16.2f}")
    return "\n".join(lines)


def _verdict(rows: list[DemoRow]) -> tuple[str, ...]:
    """One sentence where the masks did not do what the method wants of them."""
    miou = {row.name: row.scores.miou for row in rows}
    if miou[AFTER] > miou[f"student, {NO_MASKS}"]:
        return ()
    return (
        "The masks do not help here: the student is no better than one that was adapted without "
        "them.",
    )


def _write_report(
    path: Path,
    config: AdaptConfig,
    run: Path,
    samples: list[Sample],
    cache: SamCache,
    rows: list[DemoRow],
    seconds: dict[str, float],
) -> None:
    palette = palette_for(CITYSCAPES)
    windows = cache.identity.windows
    before, after = Segmenter.load(config.student), Segmenter.load(run / "student")
    teacher = Segmenter.load(config.teacher_assistant, mode="windows", windows=windows)

    def layers(sample: Sample) -> list[Layer]:
        assert sample.labels is not None
        image, truth = read_image(sample.image), read_labels(sample.labels)
        ensemble = ensemble_labels(teacher, image, cache, sample.name, config.step.fusion)
        then, now = before(image), after(image)
        masks = masks_picture(image, cache.read(sample.name).windows, windows)
        return [
            Layer("Panorama", image, "360° x 70.3°, no label"),
            Layer("SAM's masks", masks, "instances and their borders, no classes"),
            Layer("Teacher assistant", colourise(teacher(image), palette), "classes, by windows"),
            Layer("Ensemble", colourise(ensemble, palette), "one class for each mask"),
            Layer("Student before", colourise(then, palette)),
            Layer("Student after", colourise(now, palette)),
            Layer("Truth", colourise(truth, palette), "only for the scores"),
            Layer("Error after", error_picture(now, truth), "red: wrong"),
        ]

    # the story shows the median panorama, not the luckiest
    gains = []
    for sample in samples:
        assert sample.labels is not None
        image, truth = read_image(sample.image), read_labels(sample.labels)
        gains.append(float((after(image) == truth).mean() - (before(image) == truth).mean()))
    order = np.argsort(gains)[::-1]
    median = samples[order[len(order) // 2]]
    further = {
        "Largest gain of the student": samples[order[0]],
        "Least gain (or loss)": samples[order[-1]],
    }
    demo_report(
        path,
        story=layers(median)[:-1],
        results=rows,
        before=BEFORE,
        after=AFTER,
        palette=palette,
        panoramas={"The panorama above": layers(median)}
        | {f"{title}: {sample.name}": layers(sample) for title, sample in further.items()},
        metrics=read_rows(run / "metrics.jsonl"),
        settings=asdict(config),
        seconds=seconds,
        notes=(
            *_verdict(rows),
            "The panorama above is the one with the median gain in pixel accuracy; below it are "
            "those with the largest and the least. One run with one seed on a small set.",
        ),
    )
