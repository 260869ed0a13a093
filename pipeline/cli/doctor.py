"""`goodsam doctor`: what there is, how fast it is, and what to expect."""

from __future__ import annotations

import json as json_module
from typing import Annotated, Any

import typer

from goodsam.pipeline.cli.options import Device, Json


def doctor(
    speed: Annotated[
        bool, typer.Option(help="Measure for about 20 seconds how fast this machine is.")
    ] = True,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Examine this machine: versions, device, memory, extras, speed, and what to expect of it.

    Include the output when you report a problem.
    """
    from goodsam.pipeline.tell import progress_bar
    from goodsam.pipeline.whole.doctor import expectations, facts, trial

    found: dict[str, Any] = {"facts": facts(device)}
    if speed:
        with progress_bar("speed") as update:
            found["speed"] = trial(device, update)
        found["expect"] = expectations(found["speed"])
    if json:
        print(json_module.dumps(found, indent=1))
        return
    for line in _of_facts(found["facts"]):
        print(line)
    if speed:
        for line in _of_speed(found["speed"], found["expect"]):
            print(line)


def _of_facts(facts: dict[str, Any]) -> list[str]:
    packages = ", ".join(f"{name} {number}" for name, number in facts["packages"].items())
    extras = [
        f"{name} ({'yes' if not lacks else 'lacks ' + ', '.join(lacks)})"
        for name, lacks in facts["extras"].items()
    ]
    return [
        f"goodsam    {facts['goodsam']}, Python {facts['python']}, {facts['system']}",
        f"packages   {packages}",
        f"extras     {', '.join(extras)}",
        f"device     {facts['device']}, {facts['threads']} threads, CUDA {facts['cuda'] or 'no'}",
        f"memory     {facts['memory_free_gib']:.1f} GiB of {facts['memory_gib']:.1f} are free",
        f"disk       {facts['disk_free_gib']:.1f} GiB are free in this folder",
        f"SAMs here  {', '.join(facts['sams_here'])}; others are downloaded when asked for",
        *([f"busy       {facts['busy']}"] if facts["busy"] else []),
    ]


def _of_speed(speed: dict[str, float], expect: dict[str, float]) -> list[str]:
    from goodsam.pipeline.tell import duration

    product = f"{speed['float32']:.0f} GFLOP/s in float32, {speed['bfloat16']:.0f} in bfloat16"
    sam, vit_b, paper, step, predict = (
        duration(expect[name]) for name in ("demo_sam", "vit_b", "vit_b_paper", "step", "predict")
    )
    return [
        f"speed      {product}",
        f"           a window: demo SAM {duration(speed['sam_window'])}, SegFormer-B5 "
        f"{duration(speed['teacher_window'])}; a panorama: SegFormer-B0 {predict}",
        "expect, a panorama, roughly, with nothing else running:",
        f"  stage 1  demo SAM {sam}; SAM ViT-B {vit_b} with adaptive prompts, {paper} as in the "
        "paper",
        f"  stage 2  a step of robust-m (SegFormer-B5 and B0) {step}",
        f"  predict  {predict} by its student",
        "`goodsam run PHOTOS --preview` measures all of it on your own photographs.",
    ]
