"""WildPASS2K -> SAM's masks -> adaptation -> scores on DensePASS or WildPASS -> the table.

Started again, it resumes where it was stopped. OUT holds cache.zarr, run/, scores/, eval/ (the
student's report) and reproduce.{json,md,html}.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from goodsam.data.files import file_hash, write_whole
from goodsam.pipeline import api
from goodsam.pipeline.studies.reproduce.plan import Plan, images_of, not_as_in_the_paper, origin_of
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
    images = images_of(request.training)
    origin = json.dumps(origin_of(plan), indent=1)
    write_whole(request.out / "request.json", origin)
    say("SAM, once over all windows ...")
    summary = api.cache_sam(
        images,
        request.cache,
        sam=request.sam,
        checkpoint=request.checkpoint,
        boundaries=request.boundaries,
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

    say("training ...")
    api.train(images, request.cache, request.run, preset=plan.config)

    say("scores ...")
    rows = _score_all(plan, say)
    api.evaluate(
        api.load(request.run, device=plan.config.device),
        request.test,
        protocol=benchmark.protocol.key,
        out=request.out / "eval",
    )
    record = {
        "benchmark": benchmark.name,
        "preset": request.preset,
        "ours": rows["student, after"],
        "rows": rows,
        "published": [
            {**asdict(row), "iou": list(row.iou), "per_class": row.per_class}
            for row in benchmark.rows
        ],
        "protocol_note": benchmark.protocol.note,
        "not_as_in_the_paper": not_as_in_the_paper(plan),
        "settings": asdict(plan.config),
        "seconds_of_this_call": time.monotonic() - started,
    }
    write_table(request.out, record)
    return record


def _score_all(plan: Plan, say: Say) -> dict[str, dict[str, Any]]:
    config, run = plan.config, plan.request.run
    jobs: dict[str, tuple[str | Path, Mode]] = {
        "student, before": (config.student, "direct"),
        "TA, whole image, before": (config.teacher_assistant, "direct"),
        "TA, windows, before": (config.teacher_assistant, "windows"),
        "TA, windows, after": (run / "teacher_assistant", "windows"),
        "student, after": (run / "student", "direct"),
    }
    files = [file_hash(path) for s in plan.test for path in (s.image, s.labels) if path]
    rows = {}
    for name, (source, mode) in jobs.items():
        windows = plan.windows if mode == "windows" else None
        loaded = Segmenter.load(source, mode=mode, windows=windows, device=config.device)
        key = {"weights": loaded.fingerprint, "files": files}
        path = plan.request.out / "scores" / f"{name.replace(', ', '-').replace(' ', '_')}.json"
        rows[name] = _kept(path, key)
        if not rows[name]:
            with bar_of_names(name, len(plan.test)) as finished:
                result = evaluate(loaded, plan.test, plan.benchmark.protocol, finished)
            record = evaluation_record(result, plan.test)
            kept = ("miou", "pixel_accuracy", "per_class", "boundary_f")
            rows[name] = {field: record[field] for field in kept}
            write_whole(path, json.dumps({"key": key, "row": rows[name]}, indent=1))
        say(f"{name}: mIoU {percent(rows[name]['miou'])}")
    return rows


def _kept(path: Path, key: dict[str, Any]) -> dict[str, Any]:
    """A row scored before, of the same weights on the same files; empty if there is none."""
    if not path.is_file():
        return {}
    stored = json.loads(path.read_text())
    return stored["row"] if stored["key"] == key else {}
