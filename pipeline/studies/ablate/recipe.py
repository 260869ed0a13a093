"""The recipe that holds: its ingredients, its peers, what bounds it, how long it holds.

All rows have equal steps and equal panoramas and are scored at their last checkpoint. The peers
have the rates at which they are best on tuning scenes (docs/results.md).
"""

from __future__ import annotations

from goodsam.pipeline.studies.ablate.tables import (
    PERFECT_SAM,
    TOUCHING,
    TRAINED,
    UNTOUCHED,
    Row,
    Table,
)
from goodsam.stages.truth.degrade import DEMO_SAM, of_quality

PRESET = "street-robust"
RECIPE = "the recipe"
WITHOUT_MASKS = "the recipe without masks"
FAILURES = {
    "missing": "missing",
    "moved": "moved outlines",
    "parts": "parts",
    "merged": "merged neighbours",
}
NO_MASKS = ("step.fusion.rule=none",)
LONG = "steps=2500"


def _row(name: str, *settings: str, **others: object) -> Row:
    return Row(name, settings, stage1=TOUCHING, preset=PRESET, **others)  # type: ignore[arg-type]


PEERS = (
    _row(UNTOUCHED, trains=False),
    Row("the paper's recipe", ("steps=250",), stage1=TOUCHING, preset="demo"),
    _row("self-training, live, at its best rate", *NO_MASKS, "labels=live", "teacher_lr=4.0e-6"),
    _row(WITHOUT_MASKS, *NO_MASKS),
    _row(RECIPE),
    Row(
        f"the paper's recipe, {PERFECT_SAM}",
        ("steps=250",),
        stage1=TOUCHING,
        preset="demo",
        masks="true",
    ),
    _row(f"{RECIPE}, {PERFECT_SAM}", masks="true"),
    _row("the truth as labels", true_labels=True, shows=TRAINED),
)
"""What the recipe is held against, on the masks of the demo SAM and of a perfect one."""

_INGREDIENTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("labels of the frozen TA", ("labels=frozen",)),
    ("live labels", ("labels=live",)),
    (
        "an average that moves every 10 steps, and only if better",
        (
            "ema_decay=0.5",
            "labels_every=10",
            "labels_gate=true",
        ),
    ),
    (
        "a labeller replaced every 60 steps, if better",
        (
            "ema_decay=0",
            "labels_every=60",
            "labels_gate=true",
        ),
    ),
    ("labels of the windows alone, not mirrored", ("step.labels_mirrored=false",)),
    ("learners see no mirror image", ("view.mirror=false",)),
    ("the student sees no other turn", ("view.roll=false",)),
    ("CTCF", ("step.fusion.rule=ctcf",)),
    ("plain majority", ("step.fusion.votes=all", "step.fusion.small_share=0")),
    ("whole softmaxes, no exception for small classes", ("step.fusion.small_share=0",)),
    ("the surest half votes", ("step.fusion.votes=surest",)),
    ("masks overrule the surest pixels, too", ("step.fusion.sure=1",)),
    ("doubtful masks left out", ("step.fusion.believe=0.3",)),
    ("photometric changes, mild", ("view.photometric=0.3",)),
    ("small things pasted in", ("view.paste=true",)),
    ("thresholds by class", ("threshold=0.7",)),
    ("all classes weigh the same", ("rare_weight=0",)),
    ("rare classes weigh more still", ("rare_weight=0.5",)),
    ("half of each class's pixels, the surest", ("step.confident=0.5",)),
    ("a distance to the untouched TA", ("step.weights.anchor=0.3",)),
)

INGREDIENTS = Table(
    "The recipe's ingredients, one factor at a time",
    (
        _row(UNTOUCHED, trains=False),
        _row(RECIPE),
        *(_row(name, *settings) for name, settings in _INGREDIENTS),
        Row(
            "overlapping windows, half of them in each step",
            ("view.windows=4",),
            preset=PRESET,
        ),
        _row("TA at 4.0e-6", "teacher_lr=4.0e-6"),
        _row("TA at 1.5e-5", "teacher_lr=1.5e-5"),
        _row("average of 0.99, TA at 6.0e-5", "ema_decay=0.99", "teacher_lr=6.0e-5"),
    ),
    RECIPE,
    "Each row is the recipe with one thing changed.",
)

_QUALITIES = (
    *(
        _row(f"{RECIPE}, masks of quality {quality:g}", masks=of_quality(quality))
        for quality in (0, 0.25, 0.5, 0.75)
    ),
    _row(f"{RECIPE}, {PERFECT_SAM}", masks="true"),
)

QUALITY = Table(
    "What a better SAM is worth: true instances as masks, made worse by stated amounts",
    (
        _row(UNTOUCHED, trains=False),
        _row(WITHOUT_MASKS, *NO_MASKS),
        _row(RECIPE),
        *_QUALITIES,
        *(
            _row(f"{RECIPE}, {failure} alone, as the demo SAM", masks=DEMO_SAM.alone(name))
            for name, failure in FAILURES.items()
        ),
    ),
    WITHOUT_MASKS,
    "Quality 0: masks that are missing, moved, parted and merged by the amounts that were measured "
    "of the demo SAM; from there to 1 all four fall in proportion to nothing. Masks are judged on "
    "the labelled panoramas by what no training enters.",
    curve=tuple(row.name for row in _QUALITIES),
)

_LONG = (LONG, "ema_decay=0.99", "teacher_lr=1.5e-6")  # at 8e-6 the TA loses what it had won
LENGTH = (
    _row(f"{RECIPE}, ten times as long", *_LONG),
    _row(f"{RECIPE}, {PERFECT_SAM}, ten times as long", *_LONG, masks="true"),
)

PEERS_TABLE = Table(
    "The recipe and its peers",
    PEERS,
    UNTOUCHED,
    "Equal steps, equal panoramas, last checkpoint; windows that touch. A perfect SAM: the true "
    "instances as masks, in training too. The truth as labels: cross entropy to the true labels of "
    "the same panoramas, seen mirrored and turned as by the recipe: the most any labels can give.",
)

_MASKS = tuple(row for row in QUALITY.rows if row not in PEERS)

RECIPE_TABLE = Table(
    "The recipe: peers, bounds, ingredients, masks made worse, length",
    (*PEERS, *INGREDIENTS.rows[2:], *_MASKS, *LENGTH),
    UNTOUCHED,
    PEERS_TABLE.note,
)

RECIPE_TABLES = {
    "peers": PEERS_TABLE,
    "ingredients": INGREDIENTS,
    "quality": QUALITY,
    "recipe": RECIPE_TABLE,
}
