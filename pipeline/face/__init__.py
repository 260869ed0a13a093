"""GoodSAM (CVPR 2024): panoramic semantic segmentation without labels, in two stages.

    import goodsam as gs

    cache = gs.cache_sam("photos", "photos.zarr", sam="vit_h", fit=True)
    run = gs.train("photos", cache, "runs/mine", preset="goodsam-m")
    model = gs.load("runs/mine")
    labels = model(image)                           # uint8 (H, W), in the image's own pixels
    result = gs.evaluate(model, "DensePASS")        # .miou, .to_markdown(), .to_html(path)
    gs.predict(model, "photos", "labelled")
    gs.label("photos", cache, "pseudo")             # the pseudo labels themselves
    gs.export_labels("pseudo", "pseudo.json")       # for other programs: coco, cvat, label-studio
    gs.export(model, "mine.onnx")
    gs.push("me/mine", "runs/mine")                 # to the hub; gs.card("runs/mine") shows how

`gs.run("photos", "runs/mine")` does the whole of it. `gs.check("photos")` says what a data set is
and what is wrong with it, `gs.frames("clip.mp4", "photos")` takes photographs from a video. Beside
these verbs, what they are made of: `Windows`, `WindowMasks`, `SamCache`, `Segmenter`, `fuse` and
`InputError`. Nothing else is public. Everything is imported on first use, so that `import goodsam`
costs next to nothing.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goodsam.data.cache import SamCache
    from goodsam.data.errors import InputError
    from goodsam.data.window_masks import WindowMasks
    from goodsam.data.windows import Windows
    from goodsam.pipeline.api import (
        cache_sam,
        check,
        evaluate,
        evaluate_predictions,
        export,
        export_labels,
        frames,
        label,
        load,
        predict,
        train,
    )
    from goodsam.pipeline.sharing import card, push
    from goodsam.pipeline.whole.run import run
    from goodsam.stages.adapt.fusion import fuse
    from goodsam.stages.segformer.segmenter import Segmenter

    __version__: str

# Threads that wait for each other spin for milliseconds unless torch's OpenMP is told otherwise
# before it is loaded: beside busy processes a step on two cores then took 30 times as long.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

_HOMES = {
    "check": "goodsam.pipeline.api",
    "frames": "goodsam.pipeline.api",
    "cache_sam": "goodsam.pipeline.api",
    "train": "goodsam.pipeline.api",
    "load": "goodsam.pipeline.api",
    "evaluate": "goodsam.pipeline.api",
    "evaluate_predictions": "goodsam.pipeline.api",
    "predict": "goodsam.pipeline.api",
    "label": "goodsam.pipeline.api",
    "export_labels": "goodsam.pipeline.api",
    "export": "goodsam.pipeline.api",
    "card": "goodsam.pipeline.sharing",
    "push": "goodsam.pipeline.sharing",
    "run": "goodsam.pipeline.whole.run",
    "Windows": "goodsam.data.windows",
    "WindowMasks": "goodsam.data.window_masks",
    "SamCache": "goodsam.data.cache",
    "Segmenter": "goodsam.stages.segformer.segmenter",
    "fuse": "goodsam.stages.adapt.fusion",
    "InputError": "goodsam.data.errors",
}

__all__ = [
    "InputError",
    "SamCache",
    "Segmenter",
    "WindowMasks",
    "Windows",
    "__version__",
    "cache_sam",
    "card",
    "check",
    "evaluate",
    "evaluate_predictions",
    "export",
    "export_labels",
    "frames",
    "fuse",
    "label",
    "load",
    "predict",
    "push",
    "run",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("goodsam")
    if name not in _HOMES:
        raise AttributeError(f"module 'goodsam' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
