"""The folder of a page: what is in it, what is refused. That it works: test_web_in_a_browser."""

from __future__ import annotations

import base64
import gzip
import json
import re
import sys
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from goodsam.data.errors import InputError
from goodsam.data.geometry import Geometry, Pose
from goodsam.data.windows import Windows
from goodsam.stages.export import web
from goodsam.stages.export.browser_runtime import BrowserRuntime
from goodsam.stages.export.web import export_web, fitting
from goodsam.stages.segformer.segmenter import Segmenter


@pytest.fixture(autouse=True)
def runtime(monkeypatch):
    """A few bytes in the runtime's place."""
    made = BrowserRuntime(b"// script", b"// module", b"wasm")
    monkeypatch.setattr(web, "browser_runtime", lambda source: made)


def pack(folder, file: str, name: str) -> bytes:
    script = (folder / file).read_text()
    (found,) = re.findall(rf"^packs\.{name} = '([^']+)';$", script, re.MULTILINE)
    return gzip.decompress(base64.b64decode(found))


def facts_in(folder) -> dict:
    (found,) = re.findall(r"^self\.facts = (.*);$", (folder / "facts.js").read_text(), re.MULTILINE)
    return json.loads(found)


def test_the_page_holds_all_that_it_asks_for(run, tmp_path):
    segmenter = Segmenter.load(run, device="cpu")
    found = export_web(segmenter, tmp_path / "site")
    assert found.agreement > 99.99
    assert found.megabytes * 1e6 == sum(f.stat().st_size for f in (tmp_path / "site").iterdir())
    page = (tmp_path / "site/index.html").read_text()
    asked = re.findall(r'(?:src|href)="([^"]+\.\w+)"', page)
    asked += re.findall(r"script\('([^']+)'\)", (tmp_path / "site/page.js").read_text())
    assert {*asked, "index.html", "onnxruntime-web.txt"} == {
        file.name for file in (tmp_path / "site").iterdir()
    }
    facts = facts_in(tmp_path / "site")
    assert facts["view"] == [64, 256]
    assert facts["ignored"] == [0, 256, 64 * 256 - 256]
    assert facts["names"] == list(segmenter.names)
    assert np.array_equal(facts["palette"], segmenter.palette)
    worker = pack(tmp_path / "site", "runtime.js", "worker").decode()
    assert worker.startswith("// script\n")
    assert "function fitted(" in worker
    assert "function nativeLabels(" in worker
    assert pack(tmp_path / "site", "runtime.js", "wasm") == b"wasm"


def test_no_address_stands_in_it(bare, tmp_path):
    export_web(bare.seeing(Windows.of(64, 328)), tmp_path / "site")
    for file in (tmp_path / "site").iterdir():
        assert not re.findall(rb"https?://[\w.]+", file.read_bytes()), file.name


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("half", [False, True])
def test_the_graph_gives_the_logits_of_the_network(bare, tmp_path, wrap, half):
    segmenter = replace(bare, wrap=wrap).seeing(Windows.of(64, 328), fit=True)
    export_web(segmenter, tmp_path / "site", half=half)
    graph = pack(tmp_path / "site", "model.js", "model")
    margin = facts_in(tmp_path / "site")["margin"]
    assert margin == (32 if wrap else 0)
    known = {entry.key: entry.value for entry in onnx.load_from_string(graph).metadata_props}
    assert json.loads(known["classes"]) == list(segmenter.names)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 328, 3), dtype=np.uint8)
    (logits,) = session.run(["logits"], {"image": image})
    assert logits.shape == (1, len(segmenter.names), 16, 82 + margin // 2)


def test_int8_is_calibrated_and_compared(bare, photographs, tmp_path):
    segmenter = bare.seeing(Windows.of(64, 328), fit=True)
    export_web(segmenter, tmp_path / "site", photographs, eight_bits=True, force=True)
    graph = onnx.load_from_string(pack(tmp_path / "site", "model.js", "model"))
    assert "QuantizeLinear" in {node.op_type for node in graph.graph.node}
    with pytest.raises(InputError, match="--calibrate"):
        export_web(segmenter, tmp_path / "other", eight_bits=True)


def test_a_graph_that_labels_otherwise_is_not_written(bare, tmp_path, monkeypatch):
    segmenter = bare.seeing(Windows.of(64, 328), fit=True)
    monkeypatch.setattr(web, "_labels_of", lambda *_: lambda images: np.zeros_like(images[..., 0]))
    with pytest.raises(RuntimeError, match=r"99\.99 % is the least"):
        export_web(segmenter, tmp_path / "site")
    assert not (tmp_path / "site").exists()
    export_web(segmenter, tmp_path / "site", force=True)
    assert (tmp_path / "site/index.html").is_file()


def test_every_network_fits_what_it_is_shown(bare, run):
    assert fitting(bare).geometry == Geometry(Windows.of(400, 2048), fit=True)
    assert fitting(bare.seeing(Windows.of(64, 328))).geometry.fit
    own = Segmenter.load(run, device="cpu")
    assert fitting(own).geometry == own.geometry


def test_what_a_page_cannot_do_is_refused(bare, tmp_path):
    for mode in ("windows", "vertical", "tangent"):
        with pytest.raises(InputError, match="without windows"):
            export_web(replace(bare, mode=mode), tmp_path / "site")
    tilted = bare.seeing(Windows.of(64, 328), True, Pose(pitch=5))
    with pytest.raises(InputError, match="cameras were tilted"):
        export_web(tilted, tmp_path / "site")
    (tmp_path / "site").mkdir()
    with pytest.raises(InputError, match="is there already"):
        export_web(bare, tmp_path / "site")


def test_without_its_packages_a_page_says_so_of_itself(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"^--format web needs onnx, onnxruntime "):
        export_web(Segmenter.load(run, device="cpu"), tmp_path / "site")
