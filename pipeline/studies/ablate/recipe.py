"""The recipe that holds: its ingredients, its peers, what bounds it, how long it holds.

All rows have equal steps and equal panoramas and are scored at their last checkpoint. The peers
have the rates at which they are best on tuning scenes (docs/results.md).
"""

from __future__ import annotations

from goodsam.pipeline.studies.ablate.tables import (
    AS_IT_COMES,
    PERFECT_SAM,
    TOUCHING,
    TRAINED,
    Row,
    Table,
)

PRESET = "street-robust"
RECIPE = "the recipe"
NO_MASKS = ("step.fusion.rule=none",)
LONG = "steps=2500"


def _row(name: str, *settings: str, **others: object) -> Row:
    return Row(name, settings, stage1=TOUCHING, preset=PRESET, **others)  # type: ignore[arg-type]


PEERS = (
    _row(AS_IT_COMES, trains=False),
    Row("the paper's recipe", ("steps=250",), stage1=TOUCHING, preset="demo"),
    _row("self-training, live, at its best rate", *NO_MASKS, "labels=live", "teacher_lr=4.0e-6"),
    _row("the recipe without masks", *NO_MASKS),
    _row(RECIPE),
    Row(
        f"the paper's recipe, {PERFECT_SAM}",
        ("steps=250",),
        stage1=TOUCHING,
        preset="demo",
        true_masks=True,
    ),
    _row(f"{RECIPE}, {PERFECT_SAM}", true_masks=True),
    _row("the truth as labels", true_labels=True, shows=TRAINED),
)
"""What the recipe is held against, on the masks of the demo SAM and of a perfect one."""

_INGREDIENTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("labels of the frozen TA", ("labels=frozen",)),
    ("live labels", ("labels=live",)),
    (
        "an average that moves every 10 steps, and only if better",
        (
            "ema_decay=0.9",
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
    ("photometric changes, mild", ("view.photometric=0.3",)),
    ("small things pasted in", ("view.paste=true",)),
    ("thresholds by class", ("threshold=0.7",)),
    ("rare classes weigh more", ("rare_weight=0.25",)),
    ("half of each class's pixels, the surest", ("step.confident=0.5",)),
    ("a distance to the untouched TA", ("step.weights.anchor=0.3",)),
)

INGREDIENTS = Table(
    "The recipe's ingredients, one factor at a time",
    (
        _row(AS_IT_COMES, trains=False),
        _row(RECIPE),
        *(_row(name, *settings) for name, settings in _INGREDIENTS),
        Row(
            "overlapping windows, half of them in each step",
            ("view.windows=4",),
            preset=PRESET,
        ),
        _row("TA at 2.0e-5", "teacher_lr=2.0e-5"),
        _row("TA at 1.5e-4", "teacher_lr=1.5e-4"),
        _row("average of 0.98", "ema_decay=0.98"),
        _row("average of 0.995", "ema_decay=0.995"),
    ),
    RECIPE,
    "Each row is the recipe with one thing changed.",
)

LENGTH = (
    _row(f"{RECIPE}, ten times as long", LONG, "ema_decay=0.999"),
    _row(f"{RECIPE}, {PERFECT_SAM}, ten times as long", LONG, "ema_decay=0.999", true_masks=True),
)

PEERS_TABLE = Table(
    "The recipe and its peers",
    PEERS,
    AS_IT_COMES,
    "Equal steps, equal panoramas, last checkpoint; windows that touch. A perfect SAM: the true "
    "instances as masks, in training too. The truth as labels: cross entropy to the true labels of "
    "the same panoramas, seen mirrored and turned as by the recipe: the most any labels can give.",
)

RECIPE_TABLE = Table(
    "The recipe: peers, bounds, ingredients, length",
    (*PEERS, *INGREDIENTS.rows[2:], *LENGTH),
    AS_IT_COMES,
    PEERS_TABLE.note,
)

RECIPE_TABLES = {"peers": PEERS_TABLE, "ingredients": INGREDIENTS, "recipe": RECIPE_TABLE}
