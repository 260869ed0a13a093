"""One image, lists, and files that are not taken, each with what to do about it."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from goodsam.data.check import check
from goodsam.data.errors import InputError
from goodsam.data.panoramas import find_panoramas, image_root, read_image, sources, survey


def picture(path, size=(8, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)).save(
        path
    )
    return path


def test_one_image(tmp_path):
    path = picture(tmp_path / "x/a.jpg")
    picture(tmp_path / "x/b.jpg")
    (sample,) = find_panoramas(path)
    assert (sample.name, sample.image) == ("a.jpg", path)
    assert image_root(path) / sample.name == path
    assert find_panoramas(path, picture(tmp_path / "l/a.png").parent)[0].labels is not None


def test_a_list_names_its_images_from_its_own_folder(tmp_path):
    for name in ("x/a.jpg", "x/y/b.png", "c.jpg"):
        picture(tmp_path / name)
    path = tmp_path / "list.txt"
    path.write_text(f"# mine\nx/a.jpg\n\n{tmp_path}/x/y/b.png\nx/../x/a.jpg\n")
    found = find_panoramas(path)
    assert [s.name for s in found] == ["x/a.jpg", "x/y/b.png"]
    assert [image_root(path) / s.name for s in found] == [s.image for s in found]


def test_a_list_of_images_elsewhere_names_them_from_what_they_have_in_common(tmp_path):
    picture(tmp_path / "x/a.jpg")
    picture(tmp_path / "x/y/b.png")
    (tmp_path / "lists").mkdir()
    path = tmp_path / "lists/mine.txt"
    path.write_text("../x/a.jpg\n../x/y/b.png\n")
    found = find_panoramas(path)
    assert [s.name for s in found] == ["a.jpg", "y/b.png"]
    assert [os.path.samefile(image_root(path) / s.name, s.image) for s in found] == [True, True]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "names no image"),
        ("a.jpg\ngone.jpg\n", r"gone.jpg is not there \(1 of 2"),
        (b"\xff\xfe", "cannot be read as a list"),
        ("a.mp4", r"no images here.*1 \.mp4"),
    ],
)
def test_bad_lists(tmp_path, content, says):
    picture(tmp_path / "a.jpg")
    (tmp_path / "a.mp4").touch()
    path = tmp_path / "l.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=says):
        find_panoramas(path)


@pytest.mark.parametrize(
    ("name", "says"),
    [("a.mp4", "goodsam frames a.mp4"), ("a.dng", "develop it"), ("a.xyz", "no picture")],
)
def test_one_file_that_is_no_image(tmp_path, name, says):
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=says):
        find_panoramas(tmp_path / name)


def test_every_file_that_is_not_taken_has_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "heic_can_be_read", lambda: False)
    picture(tmp_path / "a.jpg", (10, 5))
    for name in ("b.HEIC", "c.mp4", "d.insp", "e.insv", "f.cr3", "g.exr", "h.avif", "notes.txt"):
        (tmp_path / name).touch()
    picture(tmp_path / "a.tif", (10, 5))
    picture(tmp_path / "a_labelTrainIds.png", (10, 5))  # a label map is not in question
    told = []
    assert [s.name for s in find_panoramas(tmp_path, say=told.append)] == ["a.jpg"]
    assert told[0].startswith("9 files are not taken (1 ")
    found = check(tmp_path).not_taken
    remedies = {
        "b.HEIC": "pip install pillow-heif", "c.mp4": "goodsam frames c.mp4",
        "d.insp": "v360=dfisheye", "e.insv": "export it", "f.cr3": "develop it",
        "g.exr": "tone-map", "h.avif": "convert it", "notes.txt": "nothing to do",
        "a.tif": "a.jpg is taken",
    }  # fmt: skip
    assert {os.path.basename(path) for path in found} == set(remedies)
    for path, why in found.items():
        assert remedies[os.path.basename(path)] in why
    assert survey(tmp_path).images == 1


@pytest.mark.parametrize(
    "marks",
    [
        ("c.zarr/zarr.json", "c.zarr.pictures/a.jpg.png"),
        ("gone.zarr.pictures/hashes.jsonl", "gone.zarr.pictures/a.jpg.png"),
        ("out/classes.json", "out/labels/a.png", "out/overlays/a.png"),
        ("run/config.yaml", "run/origin.json", "run/x.png"),
        ("eval/eval.json", "eval/report.html"),
    ],
)
def test_what_goodsam_wrote_among_the_photographs_is_none_of_them(tmp_path, marks):
    picture(tmp_path / "a.jpg")
    picture(tmp_path / "my.pictures/labels/b.jpg")
    for name in marks:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        picture(tmp_path / name) if name.endswith(".png") else (tmp_path / name).touch()
    found = survey(tmp_path)
    assert [sample.name for sample in found.samples] == ["a.jpg", "my.pictures/labels/b.jpg"]
    assert not found.not_taken
    given = tmp_path / marks[-1]
    if given.suffix == ".png":  # whoever gives such a folder means it
        assert survey(given.parent).images == 1


def test_heic_is_read_where_its_extra_is_installed(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    array = np.zeros((40, 80, 3), np.uint8)
    array[:20] = (200, 50, 20)
    heif.from_pillow(Image.fromarray(array)).save(tmp_path / "a.heic", quality=95)
    (sample,) = find_panoramas(tmp_path)
    image = read_image(sample.image)
    assert image.shape == array.shape
    assert np.abs(image.astype(int) - array).mean() < 4
