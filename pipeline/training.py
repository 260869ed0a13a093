"""Stage 2 in a run directory, which is locked, logged and watched meanwhile."""

from __future__ import annotations

import contextlib
from pathlib import Path

from goodsam.data.files import check_folder
from goodsam.data.panoramas import find_panoramas, not_taken_line, survey
from goodsam.pipeline.history import end_recorded
from goodsam.pipeline.licences import networks_of, refuse_unless_commercial, told
from goodsam.pipeline.rundir import Run, claimed, finished_panoramas, held, write_cards
from goodsam.pipeline.tell import log_file, progress_bar, say
from goodsam.stages.adapt.learner import AdaptConfig
from goodsam.stages.adapt.loop import adapt
from goodsam.stages.adapt.processes import is_first
from goodsam.stages.checkpoint import latest_checkpoint, step_of
from goodsam.stages.segformer.origin import Origin

LOG = "train.log"


def train_run(
    images: Path,
    cache: Path | str,
    out: Path,
    config: AdaptConfig,
    labelled: Path | None = None,
    partial: bool = False,
    verify: bool = False,
    commercial: bool = False,
) -> Run:
    """Adapt TA and student in the run directory `out`, from its start or from where it is.

    labelled: a data set with labels on which the student is scored now and then. The others, and
    what is raised, as for `goodsam.train`.
    """
    check_folder(out)
    sam_cache, hashes = finished_panoramas(images, cache, partial, verify)
    networks = networks_of(config, sam_cache)
    if commercial:
        refuse_unless_commercial(networks)
    with held(out), log_file(out / LOG) if is_first() else contextlib.nullcontext():
        panoramas = claimed(out, config, images, sam_cache, hashes, networks)
        for line in told(networks):
            say(line)
        say(not_taken_line(survey(images).not_taken, images))
        score = None
        if labelled is not None:
            from goodsam.stages.adapt.beyond.validation import Validation

            samples = [s for s in find_panoramas(labelled, say=say) if s.labels is not None]
            origin = Origin(panoramas.geometry, (config.student, config.teacher_assistant))
            score = Validation(samples, str(labelled), out, config.val_every, origin, say)
        newest = latest_checkpoint(out / "checkpoints")
        first = 0 if newest is None else step_of(newest)
        with (
            end_recorded(out, first) if is_first() else contextlib.nullcontext() as at,
            progress_bar("train", unit="step") as update,
        ):

            def after(step: int, steps: int, row: dict[str, float]) -> None:
                if at is not None:
                    at(step)
                note = f"student {row['student_total']:.2f} TA {row['teacher_total']:.2f}"
                update(step, steps, note)

            try:
                adapt(
                    panoramas,
                    out,
                    config,
                    after,
                    warn=lambda text: say(f"WARNING: {text}", always=True),
                    score=score,
                )
            finally:  # a run that is stopped may have a best student already
                if is_first():
                    write_cards(Run(out))
    return Run(out)
