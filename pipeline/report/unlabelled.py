"""The report of `goodsam eval` without labels: what can be seen, and that it is no accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from goodsam.pipeline.report.page import write_report
from goodsam.pipeline.report.parts import (
    class_bars,
    counted,
    folded,
    heading,
    looked_at,
    section,
    settings_list,
    table,
    tiles,
    warning,
)
from goodsam.pipeline.report.pictures import Shown
from goodsam.pipeline.tell import percent
from goodsam.stages.score.record import AGREEMENTS
from goodsam.stages.score.unlabelled import Unlabelled


def unlabelled_report(
    path: Path,
    seen: Unlabelled,
    shown: Sequence[Shown],
    palette: np.ndarray,
    what: str,
    settings: Mapping[str, Any],
) -> None:
    """Write the report. what: the model that made the predictions."""
    names = tuple(seen.shares)
    texts = dict(zip(("windows", "roll", "teacher", "unchanged"), AGREEMENTS.values(), strict=True))
    means = {key: seen.mean(key) for key in texts}
    known = [key for key in texts if means[key] is not None]
    before = list(seen.shares_before.values()) or None
    write_report(
        path,
        "Predictions without labels",
        f"{what}, on {counted(len(seen.images), 'image')}.",
        section(
            "What can be said",
            "",
            warning(
                "There are no labels here, so nothing on this page is an accuracy. Agreement says "
                "how steady the prediction is, and a steady prediction can be wrong."
            ),
            heading("Labelled alike by, percent of the pixels"),
            tiles([(texts[key], percent(means[key]), "") for key in known]),
            heading(f"Share of all pixels by class, percent{', before and after' * bool(before)}"),
            class_bars(names, palette, list(seen.shares.values()), before, more_is_better=False),
        ),
        looked_at(shown, palette, names),
        _changes(seen),
        section(
            "Images",
            "The agreements of each, in percent.",
            folded(
                f"All {len(seen.images)}",
                table(
                    ["image", *known],
                    [
                        [name, *(percent(getattr(one, key)) for key in known)]
                        for name, one in seen.images.items()
                    ],
                ),
            ),
        ),
        section("Settings", "", settings_list(settings)),
    )


def _changes(seen: Unlabelled) -> Markup:
    """The section of what changed most; nothing where nothing did."""
    changes = [change for change in seen.largest_changes() if percent(change[2]) != "0.00"]
    if not changes:
        return Markup()
    return section(
        "Where the student changed its mind",
        "What it said of a pixel before the adaptation, and what it says now. A change may be "
        "for the better or for the worse.",
        table(
            ["before", "now", "of all pixels, percent"],
            [[then, now, percent(share)] for then, now, share in changes],
        ),
    )
