"""Overlays of a video: each frame's own labels, tilted cameras too; nothing half-written."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from goodsam.data.errors import InputError
from goodsam.data.geometry import Pose
from goodsam.data.panoramas import Placement
from goodsam.data.video import open_video
from goodsam.data.windows import Windows
from goodsam.pipeline import api
from goodsam.stages.predict import overlay
from goodsam.stages.predict_video import predict_video
from goodsam.stages.segformer.segmenter import Segmenter
from tests.data.test_video import clip, scene

pytest.importorskip("av")


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory, write_model):
    return Segmenter.load(write_model(tmp_path_factory.mktemp("m") / "m", seed=1), device="cpu")


@pytest.mark.parametrize("pose", [Pose(), Pose(pitch=20)])
def test_overlays_of_every_frame(segmenter, tmp_path, pose):
    fitting = segmenter.seeing(Windows.of(40, 208), fit=True, pose=pose)
    source = clip(tmp_path / "a.mp4", [scene(4 * n) for n in range(3)])
    told = []
    assert predict_video(fitting, source, tmp_path / "b.mp4", lambda *n: told.append(n)) == 3
    assert told == [(1, 3), (2, 3), (3, 3)]
    where = Placement((64, 128), pitch=20) if pose.pitch else None
    with open_video(source) as frames, open_video(tmp_path / "b.mp4") as overlays:
        for frame, shown in zip(frames, overlays, strict=True):
            image = frame.image()
            expected = overlay(image, fitting(image, where), fitting.palette)
            assert np.abs(shown.image().astype(int) - expected).mean() < 10
            assert np.abs(shown.image().astype(int) - image).mean() > 12


def test_a_video_that_is_no_panorama_leaves_nothing(segmenter, tmp_path):
    fitting = segmenter.seeing(Windows.of(40, 208), fit=True)
    source = clip(tmp_path / "a.mp4", [scene(0, (64, 96))])
    with pytest.raises(InputError, match=r"a.mp4: 96 x 64 is neither a 2:1 panorama"):
        predict_video(fitting, source, tmp_path / "b.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_video_is_not_written_over(segmenter, tmp_path):
    source = clip(tmp_path / "a.mp4", [scene(0)])
    before = source.read_bytes()
    with pytest.raises(InputError, match="is there already"):
        api.predict(segmenter, source, source)
    assert source.read_bytes() == before


def test_pictures_are_not_written_as_a_video(segmenter, tmp_path):
    Image.fromarray(scene(0)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="folder"):
        api.predict(segmenter, tmp_path / "a.png", tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()
