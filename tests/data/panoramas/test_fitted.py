"""Fitted pictures are kept, taken for what they are alone, and never trusted beyond that."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from goodsam.data.geometry import Geometry, Pose
from goodsam.data.panoramas import fitted, read_panorama
from goodsam.data.panoramas.fitted import FittedPictures, hashes_beside, pictures_folder
from goodsam.data.windows import Windows

WINDOWS = Windows.of(40, 208)
GEOMETRY = Geometry(WINDOWS, fit=True)


@pytest.fixture
def photograph(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (100, 200, 3), np.uint8)
    path = tmp_path / "photos/x/a.jpg"
    path.parent.mkdir(parents=True)
    Image.fromarray(noise).save(path)
    return path


@pytest.fixture
def decoded(monkeypatch):
    """The photographs that were decoded."""
    seen = []

    def counted(path, *rest):
        seen.append(path)
        return read_panorama(path, *rest)

    monkeypatch.setattr(fitted, "read_panorama", counted)
    return seen


def test_a_photograph_is_decoded_once(photograph, tmp_path, decoded):
    pictures = FittedPictures(tmp_path / "c", GEOMETRY, write=True)
    expected = read_panorama(photograph, WINDOWS, fit=True)
    for reader in (pictures, pickle.loads(pickle.dumps(pictures)),
                   FittedPictures(tmp_path / "c", GEOMETRY)):  # fmt: skip
        assert (reader.read("x/a.jpg", photograph, "5" * 64) == expected).all()
    assert len(decoded) == 1
    assert (pictures.kept("x/a.jpg", "5" * 64) == expected).all()
    assert [p.name for p in (tmp_path / "c/x").iterdir()] == ["a.jpg.png"]


def test_another_photograph_geometry_or_torn_file_is_not_taken(photograph, tmp_path, decoded):
    folder = tmp_path / "c"
    FittedPictures(folder, GEOMETRY, write=True).read("x/a.jpg", photograph, "5" * 64)
    for geometry, sha256 in (
        (GEOMETRY, "6" * 64),
        (Geometry(Windows.of(20, 104), fit=True), "5" * 64),
        (replace(GEOMETRY, pose=Pose(pitch=9)), "5" * 64),
    ):
        assert FittedPictures(folder, geometry).kept("x/a.jpg", sha256) is None
    path = folder / "x/a.jpg.png"
    content = path.read_bytes()
    for harm in (content[: len(content) // 2], b"no image", b""):
        path.write_bytes(harm)
        seen = FittedPictures(folder, GEOMETRY).read("x/a.jpg", photograph, "5" * 64)
        assert (seen == read_panorama(photograph, WINDOWS, fit=True)).all()
    assert len(decoded) == 4


def test_what_need_not_be_fitted_is_not_kept(tmp_path):
    Image.fromarray(np.zeros((40, 208, 3), np.uint8)).save(tmp_path / "a.png")
    for geometry in (GEOMETRY, Geometry(WINDOWS)):
        pictures = FittedPictures(tmp_path / "c", geometry, write=True)
        assert pictures.read("a.png", tmp_path / "a.png", "5" * 64).shape == (40, 208, 3)
    assert not (tmp_path / "c").exists()


def test_a_place_that_cannot_be_written_costs_time_alone(photograph, tmp_path):
    (tmp_path / "c").write_text("a file in the way")
    pictures = FittedPictures(tmp_path / "c", GEOMETRY, write=True)
    for reader in (pictures, FittedPictures(None, GEOMETRY, write=True)):
        assert reader.read("x/a.jpg", photograph, "5" * 64).shape == (40, 208, 3)


def test_where_they_are_kept(tmp_path):
    assert pictures_folder(tmp_path / "c.zarr") == tmp_path / "c.zarr.pictures"
    assert pictures_folder("https://host/c.zarr") is None
    assert hashes_beside(tmp_path / "c.zarr") == tmp_path / "c.zarr.pictures/hashes.jsonl"
    assert hashes_beside("s3://bucket/c.zarr") is None
