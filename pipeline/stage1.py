"""`goodsam cache-sam`: stage 1 with a progress bar, and what has to be said beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from goodsam.data.panoramas import find_panoramas
from goodsam.data.street.mark import is_street_world
from goodsam.pipeline.tell import progress_bar
from goodsam.stages.sam.cache_sam import (
    Stage1Config,
    Stage1Progress,
    Stage1Summary,
    cache_sam,
)
from goodsam.stages.sam.factory import SamFactory
from goodsam.stages.sam.registry import default_generator

STREET_WARNING = (
    "WARNING: --sam street is a toy, trained on the rendered street world alone. On real pictures "
    "it is for trying the commands: its masks mean nothing. Use --sam vit_h for results."
)


def sam_factory(sam: str, checkpoint: Path | None, generator: dict[str, Any] | None) -> SamFactory:
    """A SAM with its own settings, but for the fields of GeneratorConfig in `generator`."""
    config = replace(default_generator(sam), **(generator or {}))
    return SamFactory(sam, checkpoint, config)


def run_stage1(
    images: Path,
    cache: Path,
    *,
    sam: str = "street",
    checkpoint: Path | None = None,
    generator: dict[str, Any] | None = None,
    say: Callable[[str], None],
    **settings: Any,
) -> Stage1Summary:
    """Cache SAM's masks of all panoramas below `images`; settings are those of Stage1Config.

    generator: fields of GeneratorConfig that differ from the SAM's defaults.
    """
    if sam == "street" and not all(is_street_world(s.image) for s in find_panoramas(images)):
        say(STREET_WARNING)
    factory = sam_factory(sam, checkpoint, generator)
    with progress_bar("SAM") as update:

        def report(progress: Stage1Progress) -> None:
            note = f"{progress.windows_per_second:.2f} windows/s"
            update(progress.done + progress.failed, progress.total, note)

        summary = cache_sam(images, cache, Stage1Config(**settings), factory, report)
    say(str(summary.conversions))
    for name, why in summary.failed.items():
        say(f"failed: {name}: {why}")
    return summary
