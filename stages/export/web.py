"""A folder that labels panoramas in a browser, from a server or opened as a file.

`page/` holds the page: `fit.js` and `labels.js` do to a photograph what `goodsam.data.panoramas`
and `segformer.native` do, on either side of the network, whose graph ONNX Runtime runs there. What
the page needs besides lies beside it as scripts, since a page that was opened as a file may fetch
nothing.
"""

from __future__ import annotations

import base64
import copy
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from goodsam.data.classes import IGNORE
from goodsam.data.errors import InputError
from goodsam.data.files import check_folder, write_whole, written_aside
from goodsam.data.labels.maps import rgb_png
from goodsam.data.panoramas import Sample
from goodsam.data.windows import PAPER_HEIGHT, Windows, panorama_width
from goodsam.stages.export.browser_runtime import VERSION, BrowserRuntime, browser_runtime
from goodsam.stages.export.compare import Comparison, compare, demand
from goodsam.stages.export.graph import onnx_graph
from goodsam.stages.export.runtimes import Labels, need
from goodsam.stages.export.smaller import half_weights, int8
from goodsam.stages.export.views import CALIBRATING, COMPARED, rendered_views, views_of
from goodsam.stages.segformer.segment import wrap_margin
from goodsam.stages.segformer.segmenter import Segmenter

if TYPE_CHECKING:
    from onnx import ModelProto

_PAGE = ("index.html", "style.css", "fit.js", "png.js", "view.js", "page.js", "onnxruntime-web.txt")
_WORKER = ("fit.js", "labels.js", "worker.js")  # behind the runtime's own script, in this order


def export_web(
    segmenter: Segmenter,
    out: Path,
    samples: Sequence[Sample] = (),
    *,
    runtime: Path | None = None,
    half: bool = False,
    eight_bits: bool = False,
    force: bool = False,
) -> Comparison:
    """Write the page with the network in it; returns how its graph compares with torch.

    The page labels a photograph as `predict` does with `fitting(segmenter)`. samples, half,
    eight_bits, force: as for `export_graph`. runtime: onnxruntime-web, a tarball or folder; None:
    npm fetches it. InputError if `out` is there, for a run of tilted cameras or of windows, and
    without the packages or the runtime.
    """
    if out.exists():
        raise InputError(f"{out}: is there already; give a place that is not")
    if eight_bits and not samples:
        raise InputError(f"{out}: int8 is calibrated on photographs; give some with --calibrate")
    if segmenter.mode != "direct":
        raise InputError(
            f"{out}: an export sees panoramas whole; load the network without windows, or the "
            "student, or take --format huggingface"
        )
    fitted = fitting(segmenter)
    if fitted.geometry is not None and (fitted.geometry.pose.pitch or fitted.geometry.pose.roll):
        raise InputError(
            f"{out}: its cameras were tilted ({fitted.geometry.pose}), which a page does not undo; "
            "take another format"
        )
    check_folder(out.parent)
    need("web")
    found_runtime = browser_runtime(runtime)
    views = views_of(fitted, samples)
    on_cpu = replace(fitted, model=copy.deepcopy(fitted.model).cpu(), device=torch.device("cpu"))
    graph = onnx_graph(on_cpu, "logits")
    if eight_bits:
        graph = int8(graph, [v.image for v in views[:-COMPARED][:CALIBRATING] or views])
    if half:
        graph = half_weights(graph)
    site = _site(on_cpu, graph, found_runtime)
    size = sum(len(content) for content in site.values())
    found = compare(on_cpu, _labels_of(on_cpu, graph), views[-COMPARED:], size)
    demand(found, out, half=half, int8=eight_bits, force=force)
    with written_aside(out) as aside:
        for name, content in site.items():
            write_whole(aside / name, content)
    return found


def fitting(segmenter: Segmenter) -> Segmenter:
    """The same network, fitting whatever it is shown: to its own geometry's size, or 400 x 2048."""
    geometry = segmenter.geometry
    if geometry is None:
        return segmenter.seeing(Windows.of(PAPER_HEIGHT, panorama_width(PAPER_HEIGHT)), fit=True)
    return replace(segmenter, geometry=replace(geometry, fit=True))


def facts(segmenter: Segmenter) -> dict[str, Any]:
    """What the page knows of its network. Ends as `facts` in its scripts."""
    geometry = segmenter.geometry
    assert geometry is not None
    height, width = geometry.windows.height, geometry.windows.width
    return {
        "title": Path(segmenter.source).name or "a network",
        "names": segmenter.names,
        "palette": segmenter.palette.tolist(),
        "view": [height, width],
        "margin": wrap_margin(width) if segmenter.wrap else 0,
        "ignored": geometry.ignored,
        "licence": str(segmenter.licence),
        "runtime": VERSION,
    }


def _site(segmenter: Segmenter, graph: ModelProto, runtime: BrowserRuntime) -> dict[str, bytes]:
    """The files of the page, by name."""
    page = files("goodsam.stages.export") / "page"
    worker = b"\n".join([runtime.script, *((page / name).read_bytes() for name in _WORKER)])
    (sample,) = rendered_views(segmenter, 1)
    return {
        **{name: (page / name).read_bytes() for name in _PAGE},
        "facts.js": _script("facts", facts(segmenter)),
        "runtime.js": _packs({"worker": worker, "module": runtime.module, "wasm": runtime.wasm}),
        "model.js": _packs({"model": graph.SerializeToString()}),
        "sample.js": _packs({"sample": rgb_png(sample.image)}),
    }


def _script(name: str, value: Any) -> bytes:
    return f"'use strict';\nself.{name} = {json.dumps(value)};\n".encode()


def _packs(contents: Mapping[str, bytes]) -> bytes:
    """A script with bytes in it: what a page that was opened as a file can load."""
    lines = ["'use strict';", "self.packs ??= {};"]
    for name, content in contents.items():
        packed = base64.b64encode(gzip.compress(content, mtime=0)).decode()
        lines.append(f"packs.{name} = '{packed}';")
    return "\n".join([*lines, ""]).encode()


def _labels_of(segmenter: Segmenter, graph: ModelProto) -> Labels:
    """What the page makes of a view of its own size, here: the graph's logits, enlarged."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )

    def labels(images):
        height, width = images.shape[1:3]
        margin = wrap_margin(width) if segmenter.wrap else 0
        logits = torch.from_numpy(session.run(["logits"], {"image": images})[0])
        size = (height, width + 2 * margin)
        whole = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        found = whole.argmax(dim=1)[..., margin : margin + width]
        return found.masked_fill(found >= len(segmenter.names), IGNORE).byte().numpy()

    return labels
