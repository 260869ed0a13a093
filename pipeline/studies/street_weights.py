"""`make weights`: train the demo weights again, from nothing but the code.

From the street world: the teacher assistant, the student and a smaller TA to compare with, on its
labelled source images, and a small SAM on pictures in random looks. Every part goes on where it
was stopped; the results replace what is in `data/weights`. `docs/weights.md` says how long and how
good.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

from goodsam.data.files import written_aside
from goodsam.data.panoramas import find_panoramas
from goodsam.data.street.write import write_world
from goodsam.data.weights import SEGFORMERS, STREET_SAM
from goodsam.stages.segformer.files import load_segformer, save_segformer
from goodsam.stages.source import SourceConfig, train_source
from goodsam.stages.street_sam.train import PretrainConfig, pretrain_sam

WORLD_SEED = 0
SOURCE_IMAGES = 4000

_TEACHER = SourceConfig(
    model="w32",
    steps=7500,
    batch=8,
    crop=(200, 256),
    scale=(0.75, 2.0),
    learning_rate=6e-4,
    head_factor=2.0,
    warmup=100,
    precision="bfloat16",
    workers=1,
    checkpoint_every=200,
    compile=True,
)
NETWORKS = {
    "street-ta": _TEACHER,
    "street-student": replace(_TEACHER, model="w16", steps=4000, learning_rate=1e-3),
    "street-w8": replace(_TEACHER, model="w8", steps=3000, learning_rate=2e-3),
}
SAM = PretrainConfig()


def train_segformer(runs: Path, name: str, device: str, warm: bool) -> Path:
    """Train one of NETWORKS on the world's source images; returns its directory.

    warm: start from the weights that are shipped instead of from nothing.
    """
    world = runs / "world"
    write_world(world, source=SOURCE_IMAGES, unlabelled=0, test=0, seed=WORLD_SEED)
    samples = [s for s in find_panoramas(world / "source") if "/train/" in s.name]

    def report(step: int, steps: int, row: dict[str, float]) -> None:
        if step % 20 == 0:
            print(
                f"{name} {step}/{steps} loss {row['loss']:.3f} {row['seconds']:.0f} s", flush=True
            )

    config = replace(NETWORKS[name], device=device)
    if warm:
        config = replace(config, model=str(SEGFORMERS[name]))
    return train_source(samples, runs / name, config, report)


def ship(name: str, trained: Path) -> None:
    """Put a trained SegFormer into `data/weights`, in half precision."""
    target = SEGFORMERS[name]
    with written_aside(target) as aside:
        save_segformer(load_segformer(trained).half(), aside)
        shutil.rmtree(target, ignore_errors=True)


def main() -> None:
    """Train what `--only` names, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/weights"))
    parser.add_argument("--only", choices=(*NETWORKS, "sam"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--warm", action="store_true", help="start from the weights shipped")
    given = parser.parse_args()
    for name in NETWORKS:
        if given.only in (None, name):
            ship(name, train_segformer(given.runs, name, given.device, given.warm))

    def report(figures: dict[str, float]) -> None:
        print("sam", *(f"{name} {value:.4g}" for name, value in figures.items()), flush=True)

    if given.only in (None, "sam"):
        device = "cpu" if given.device == "auto" else given.device
        trained = pretrain_sam(given.runs / "sam", replace(SAM, device=device), report)
        with written_aside(STREET_SAM) as aside:
            shutil.copyfile(trained, aside)


if __name__ == "__main__":
    main()
