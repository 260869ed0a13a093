"""The page's own arithmetic, run by node, beside what it is a twin of."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from goodsam.data.errors import InputError
from goodsam.data.geometry import Geometry, ignored_runs
from goodsam.data.panoramas.fit import to_band
from goodsam.data.windows import Windows
from goodsam.stages.export import web
from goodsam.stages.segformer.native import native_labels, unseen_pixels

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="no node on the path: apt-get install nodejs")
PAGE = web.files("goodsam.stages.export") / "page"


@pytest.fixture
def node(tmp_path):
    """node(code, **arrays): what the code returns, uint8; the arrays are there by name, flat."""

    def run(code: str, **arrays: np.ndarray) -> np.ndarray:
        lines = [(PAGE / name).read_text() for name in ("fit.js", "labels.js")]
        lines.append("const fs = require('fs');")
        for name, array in arrays.items():
            array.tofile(tmp_path / name)
            kind = "Float32Array" if array.dtype == np.float32 else "Uint8Array"
            path = json.dumps(str(tmp_path / name))
            lines.append(
                f"const {name} = new {kind}(new Uint8Array(fs.readFileSync({path})).buffer);"
            )
        lines.append(
            f"fs.writeFileSync({json.dumps(str(tmp_path / 'out'))}, (() => {{ {code} }})());"
        )
        (tmp_path / "all.js").write_text("\n".join(lines))
        found = subprocess.run([NODE, tmp_path / "all.js"], capture_output=True, text=True)
        if found.returncode:
            raise RuntimeError(found.stderr)
        return np.fromfile(tmp_path / "out", np.uint8)

    return run


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "size", [(64, 328), (128, 656), (50, 256), (97, 500), (200, 400), (41, 80)]
)
def test_photographs_are_fitted_as_pillow_does(node, size):
    image = noise(*size)
    rgba = np.concatenate([image, np.full((*size, 1), 255, np.uint8)], axis=2)
    code = f"return fitted(rgba, [{size[0]}, {size[1]}], [64, 328]);"
    seen = node(code, rgba=rgba).reshape(64, 328, 3)
    assert (seen == to_band(image, 64, 328)).all()


@pytest.mark.parametrize("size", [(300, 400), (100, 100), (64, 400)])
def test_what_python_refuses_is_refused(node, size):
    with pytest.raises(InputError):
        to_band(noise(*size), 64, 328)
    with pytest.raises(RuntimeError, match="twice as wide as high"):
        node(f"return String(bandShare([{size[0]}, {size[1]}], [64, 328]));")


def labelled(node, logits, size, margin=0, names="abcde", ignored=()) -> np.ndarray:
    classes, height, width = logits.shape
    facts = {"view": [32, 164], "margin": margin, "names": list(names), "ignored": list(ignored)}
    code = (
        f"return nativeLabels({{data: logits, classes: {classes}, height: {height}, "
        f"width: {width}}}, [{size[0]}, {size[1]}], {json.dumps(facts)});"
    )
    return node(code, logits=logits).reshape(size)


@pytest.fixture
def logits() -> np.ndarray:
    return 3 * np.random.default_rng(0).standard_normal((5, 8, 41), dtype=np.float32)


def in_python(logits: np.ndarray, size: tuple[int, int], margin: int = 0) -> np.ndarray:
    wide = (32, 164 + 2 * margin)
    whole = F.interpolate(
        torch.from_numpy(logits)[None], size=wide, mode="bilinear", align_corners=False
    )
    return native_labels(whole[..., margin : margin + 164].softmax(dim=1), size)[0]


@pytest.mark.parametrize("size", [(32, 164), (64, 328), (20, 102), (82, 164), (100, 200), (45, 91)])
@pytest.mark.parametrize("margin", [0, 32])
def test_labels_come_back_as_in_python(node, logits, size, margin):
    found = labelled(node, logits, size, margin)
    expected = in_python(logits, size, margin)
    assert (found == expected).mean() > 0.999  # float32 on both sides, not the same order
    assert len(np.unique(found)) >= 5


def test_what_a_run_left_out_has_no_labels(node, logits):
    left_out = np.zeros((32, 164), bool)
    left_out[20:, 10:40] = True
    for size in ((32, 164), (48, 246), (123, 246)):
        found = labelled(node, logits, size, ignored=ignored_runs(left_out))
        geometry = Geometry(Windows(32, 164, 41, 20), True, ignored_runs(left_out))
        assert ((found == 255) == unseen_pixels(geometry, size)).all()


def test_what_a_class_map_ignores_has_no_labels(node, logits):
    found = labelled(node, logits, (32, 164), names="abcd")
    whole = in_python(logits, (32, 164))
    assert (found == np.where(whole == 4, 255, whole)).mean() > 0.999
    assert (found == 255).any()
