"""Stage 2: train teacher assistant (TA) and student on a folder of panoramas and its SAM cache.

    goodsam train IMAGES CACHE --preset goodsam-m --out RUN
    torchrun --nproc-per-node 4 --no-python goodsam train ... --set accumulate=4

A run directory holds config.yaml (by the caller), metrics.jsonl, tensorboard/, pictures/,
checkpoints/ and, at the end, teacher_assistant/ and student/: directories that `transformers`
loads. Before, a checkpoint has both networks (`segformer/snapshot.py`). The order of the panoramas
depends on seed and epoch alone, views on seed and position, and all that a run
remembers of its past is in its checkpoint or its metrics, so a killed run resumes and ends with the
same weights, on a CPU bit for bit.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from goodsam.data.errors import InputError
from goodsam.stages.adapt.beyond.monitor import Collapse, Monitor, remedy
from goodsam.stages.adapt.beyond.running import RunningFigures
from goodsam.stages.adapt.keeping import Keeper
from goodsam.stages.adapt.learner import AdaptConfig, Learner
from goodsam.stages.adapt.processes import processes
from goodsam.stages.adapt.reading import CachedPanoramas, read_in_order, schedule
from goodsam.stages.adapt.watch import Journal, read_rows, strip
from goodsam.stages.schedule import poly_schedule

if TYPE_CHECKING:
    from goodsam.stages.adapt.beyond.validation import Score

SAVED = "saved the networks as they were before this step"
SPOILT = "the networks are no finite numbers any more, and the newest checkpoint is of before"
LOWER = "lower the learning rates (teacher_lr, student_lr)"


def adapt(
    panoramas: CachedPanoramas,
    out: Path,
    config: AdaptConfig,
    progress: Callable[[int, int, dict[str, float]], None] | None = None,
    warn: Callable[[str], None] = warnings.warn,
    score: Score | None = None,
) -> Path:
    """Adapt TA and student; returns `OUT/student`. Resumes from OUT's last checkpoint.

    progress: called after each step with its number, their count and the step's figures. warn:
    called with what `Monitor` says and what speaks against the networks. score: shown the
    student before the first step and after each. A run that is stopped saves first. Raises
    FloatingPointError for a loss that is not finite and Collapse for a run that collapses, both
    after saving, and InputError for a run that is longer already, or views that the plan of windows
    has not.
    """
    if not len(panoramas):
        raise InputError("no panoramas to train on")
    config.view.check(panoramas.windows)
    with processes(config.device) as group:
        share = group.share_of(config.accumulate)
        learner = Learner(config, group, panoramas.windows, panoramas.kept, panoramas.geometry)
        if group.first and (doubts := learner.doubts()):
            warn(doubts)
        keeper = Keeper(learner, out / "checkpoints", config.checkpoint_every)
        first, steps = keeper.resume(), config.length(len(panoramas))
        if first > steps:
            raise InputError(f"{out}: has done {first} steps already, and {steps} are asked for")
        begin, end = first * config.accumulate + group.rank, steps * config.accumulate
        order = schedule(len(panoramas), config.seed, begin, end, stride=group.count)
        keys = zip(range(begin, end, group.count), order, strict=True)
        items = read_in_order(
            panoramas, keys, config.workers, group.device, config.view, config.seed
        )
        helps = remedy(config.labels, config.rare_weight)
        monitor = Monitor(learner.names, len(panoramas), config.collapse, helps)
        figures = RunningFigures(
            learner.names,
            hold_shares=config.hold_shares,
            rare_weight=config.rare_weight,
            threshold=config.threshold,
            labels_every=config.labels_every,
            labels_gate=config.labels_gate and config.labels == "ema",
        )
        for row in read_rows(out / "metrics.jsonl", first):
            monitor.see(row)  # it warned then, and need not warn again
            figures.see(row)
        journal = Journal(out, first, group.first, config.trackers, asdict(config))
        with journal, keeper.at_a_stop():
            _show(score if group.first else None, learner, journal, first, first == steps)
            for step in range(first, steps):
                started, waited = time.monotonic(), 0.0
                learner.set_rate(poly_schedule(step, steps, config.warmup))
                learner.weigh(*figures.by_class())
                for index in range(share):
                    asked = time.monotonic()
                    item = next(items)
                    waited += time.monotonic() - asked
                    outcome = learner.learn(item, 1 / share, last=index == share - 1)
                row, wrong = learner.measured()
                if wrong:
                    kept = SAVED if keeper.save(step) else SPOILT
                    raise FloatingPointError(f"step {step}, {wrong}; {kept}; {LOWER}")
                keeper.moving()
                learner.update(follow=figures.see(row))
                try:
                    for text in monitor.see(row):
                        if group.first:
                            warn(f"step {step + 1}: {text}")
                except Collapse as collapse:
                    keeper.save(step + 1)
                    raise Collapse(f"step {step + 1}, saved: {collapse}") from None

                seconds = time.monotonic() - started
                row |= {"images_per_second": config.accumulate / seconds, "seconds_waited": waited}
                journal.numbers(step + 1, row)
                last = step + 1 == steps
                keeper.moved(step + 1, last)
                if config.pictures_every and step % config.pictures_every == 0:
                    picture = strip(item.image, outcome, learner.names)
                    journal.picture(step + 1, item.name, picture)
                if progress and group.first:
                    progress(step + 1, steps, row)
                _show(score if group.first else None, learner, journal, step + 1, last)
        learner.write(out, steps)
    return out / "student"


def _show(score: Score | None, learner: Learner, journal: Journal, step: int, last: bool) -> None:
    """Have the student scored after `step` steps, where somebody scores."""
    if score is not None:
        journal.curves(step, score(step, learner.networks["student"], last))
