"""Which seeds belong to which split: the one place that says so.

A seed is `(world_seed * SPLITS + split) * ROOM + index`, so the splits of every world, and the
worlds among themselves, are disjoint by construction:

========== ==================================================================
split      used for
========== ==================================================================
source     labelled pinhole images that the source networks are trained on
unlabelled panoramas of the target look, never with labels
tuning     scenes on which gap, thresholds and schedules are chosen
test       scenes that nothing but a final figure may ever look at
sam        scenes in random looks that the demo SAM is trained on
========== ==================================================================
"""

from typing import Literal, get_args

from goodsam.data.errors import InputError

Split = Literal["source", "unlabelled", "tuning", "test", "sam"]

ROOM = 10_000_000  # seeds per split of one world
SPLITS = len(get_args(Split))


def split_seed(split: Split, index: int, world_seed: int = 0) -> int:
    """Seed of the `index`-th scene of `split` in world `world_seed`.

    Raises InputError for an unknown split, a negative number or an index beyond `ROOM`.
    """
    names = get_args(Split)
    if split not in names:
        raise InputError(f"split {split!r}: unknown; take one of {', '.join(names)}")
    if not 0 <= index < ROOM:
        raise InputError(f"scene index {index}: outside 0 to {ROOM - 1}; take another world seed")
    if world_seed < 0:
        raise InputError(f"world seed {world_seed}: negative; take 0 or more")
    return (world_seed * SPLITS + names.index(split)) * ROOM + index
