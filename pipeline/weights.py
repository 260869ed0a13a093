"""`make weights`: train the demo weights again, from nothing but the code.

Three networks from the street world: the teacher assistant and the student on its labelled source
images, and a small SAM on pictures in random looks. Every part goes on where it was stopped.
"""

from __future__ import annotations

from pathlib import Path

from data.panoramas import find_panoramas
from data.street import write_world
from stages.source import SourceConfig, train_source

WORLD_SEED = 0
SOURCE_IMAGES = 2400

TEACHER_ASSISTANT = SourceConfig(
    model="w32",
    steps=1200,
    batch=8,
    crop=(200, 256),
    scale=(0.75, 2.0),
    learning_rate=6e-4,
    head_factor=2.0,
    warmup=60,
    workers=1,
    checkpoint_every=100,
    compile=True,
)
STUDENT = SourceConfig(**{**vars(TEACHER_ASSISTANT), "model": "w16"})


def train_network(runs: Path, name: str, config: SourceConfig) -> Path:
    """Train `name` on the street world's source images below `runs`; returns its directory."""
    world = runs / "world"
    write_world(world, source=SOURCE_IMAGES, unlabelled=0, test=0, seed=WORLD_SEED)
    samples = [s for s in find_panoramas(world / "source") if "/train/" in s.name]

    def report(step: int, steps: int, row: dict[str, float]) -> None:
        if step % 20 == 0:
            print(
                f"{name} {step}/{steps} loss {row['loss']:.3f} {row['seconds']:.0f} s", flush=True
            )

    return train_source(samples, runs / name, config, report)
