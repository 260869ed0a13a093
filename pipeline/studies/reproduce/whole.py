"""Panoramas -> SAM's masks -> adaptation, seed by seed -> scores on the test set -> the table.

Started again, it resumes where it was stopped. OUT holds cache.zarr, run/, scores/, eval/ (the
student's report) and reproduce.{json,md,html,csv,tex}; of further seeds run-seedN/ and eval-seedN/;
of a fold the lists training.txt and test.txt.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from goodsam.data.files import file_hash, write_whole
from goodsam.pipeline import api
from goodsam.pipeline.studies.reproduce.plan import (
    Plan,
    not_as_in_the_paper,
    origin_of,
    stage1_config,
)
from goodsam.pipeline.studies.reproduce.table import write_table
from goodsam.pipeline.tell import bar_of_names, percent
from goodsam.stages.score.evaluate import evaluate
from goodsam.stages.score.record import evaluation_record
from goodsam.stages.segformer.segmenter import Mode, Segmenter

Say = Callable[[str], None]


def reproduce(plan: Plan, say: Say) -> dict[str, Any]:
    """Do all of it, or what is left; returns the content of `OUT/reproduce.json`.

    Raises RuntimeError where panoramas could not be cached: start again when they are mended.
    """
    request, benchmark = plan.request, plan.benchmark
    started = time.monotonic()
    origin = json.dumps(origin_of(plan), indent=1)
    write_whole(request.out / "request.json", origin)
    images, test = plan.training_images(request.out), plan.test_images(request.out)
    say("SAM, once over all windows ...")
    summary = api.cache_sam(
        images,
        request.cache,
        sam=request.sam,
        checkpoint=request.checkpoint,
        boundaries=request.boundaries,
        window=stage1_config(request, plan.training).window,
        workers=request.workers,
        **asdict(request.generator),
    ).summary
    if summary.failed:
        name, why = next(iter(summary.failed.items()))
        raise RuntimeError(
            f"{len(summary.failed)} panoramas could not be cached (the first: {name}: {why}); "
            "replace them and start the same command again"
        )
    say(f"SAM: {summary.done} panoramas done, {summary.skipped} were there")

    for seed in plan.seeds:
        say(f"training, seed {seed} ...")
        api.train(images, request.cache, plan.run(seed), preset=replace(plan.config, seed=seed))

    say("scores ...")
    rows, after = _score_all(plan, say)
    for seed in plan.seeds:
        api.evaluate(
            api.load(plan.run(seed), device=plan.config.device),
            test,
            protocol=benchmark.protocol,
            out=plan.report(seed),
        )
    record = {
        "benchmark": benchmark.name,
        "preset": request.preset,
        "seeds": list(plan.seeds),
        "ours": over_seeds(after),
        "rows": rows,
        "published": [
            {**asdict(row), "iou": list(row.iou), "per_class": row.per_class}
            for row in benchmark.rows
        ],
        "protocol_note": plan.protocol.note,
        "not_as_in_the_paper": not_as_in_the_paper(plan),
        "settings": asdict(plan.config),
        "seconds_of_this_call": time.monotonic() - started,
    }
    write_table(request.out, record)
    return record


def over_seeds(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean of the seeds' rows, None for a class that the truth lacks; one row: itself.

    miou_sd: the standard deviation of the mIoU; None for one seed.
    """
    if len(rows) == 1:
        return {**rows[0], "miou_sd": None}
    classes = {name: [row["per_class"][name] for row in rows] for name in rows[0]["per_class"]}
    mious = [row["miou"] for row in rows]
    return {
        "miou": statistics.fmean(mious),
        "miou_sd": statistics.stdev(mious),
        "pixel_accuracy": statistics.fmean(row["pixel_accuracy"] for row in rows),
        "per_class": {
            name: None if None in found else statistics.fmean(found)
            for name, found in classes.items()
        },
    }


def _score_all(plan: Plan, say: Say) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """What each network scores, by name; and the students after their training, by seed."""
    config = plan.config
    jobs: dict[str, tuple[str | Path, Mode]] = {
        "student, before": (config.student, "direct"),
        "TA, whole image, before": (config.teacher_assistant, "direct"),
        "TA, windows, before": (config.teacher_assistant, "windows"),
    }
    students = []
    for seed in plan.seeds:
        run, of_seed = plan.run(seed), f", seed {seed}" if seed != config.seed else ""
        jobs[f"TA, windows, after{of_seed}"] = run / "teacher_assistant", "windows"
        jobs[f"student, after{of_seed}"] = run / "student", "direct"
        students.append(f"student, after{of_seed}")
    files = [file_hash(path) for s in plan.test for path in (s.image, s.labels) if path]
    rows = {}
    for name, (source, mode) in jobs.items():
        windows = plan.windows if mode == "windows" else None
        loaded = Segmenter.load(source, mode=mode, windows=windows, device=config.device)
        key = {"weights": loaded.fingerprint, "files": files, "protocol": plan.benchmark.protocol}
        path = plan.request.out / "scores" / f"{name.replace(', ', '-').replace(' ', '_')}.json"
        rows[name] = _kept(path, key)
        if not rows[name]:
            with bar_of_names(name, len(plan.test)) as finished:
                result = evaluate(loaded, plan.test, plan.protocol, finished)
            record = evaluation_record(result, plan.test)
            kept = ("miou", "pixel_accuracy", "per_class", "boundary_f")
            rows[name] = {field: record[field] for field in kept}
            write_whole(path, json.dumps({"key": key, "row": rows[name]}, indent=1))
        say(f"{name}: mIoU {percent(rows[name]['miou'])}")
    return rows, [rows[name] for name in students]


def _kept(path: Path, key: dict[str, Any]) -> dict[str, Any]:
    """A row scored before, of the same weights on the same files; empty if there is none."""
    if not path.is_file():
        return {}
    stored = json.loads(path.read_text())
    return stored["row"] if stored["key"] == key else {}
