import numpy as np
import pytest
from PIL import Image

from goodsam.data.check import PLAIN, check
from goodsam.data.errors import InputError


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def picture(height=4, width=8):
    return np.zeros((height, width, 3), dtype=np.uint8)


def ids(*values):
    """A label map of 4 x 8 that holds these ids."""
    return np.resize(np.array(values, dtype=np.uint8), (4, 8))


DENSEPASS = ("leftImg8bit/val/{}_.png", "gtFine/val/{}_labelTrainIds.png")
WILDPASS = ("leftImg8bit/val/cs/{}.png", "gtFine/val/cs/{}_labelTrainIds.png")


@pytest.mark.parametrize(
    ("image", "label", "layout"),
    [
        (*DENSEPASS, "DensePASS, leftImg8bit/val/N_.png"),
        (
            "leftImg8bit/val/cs/{}_.png",
            "gtFine/val/cs/{}_labelTrainIds.png",
            "DensePASS, leftImg8bit/val/cs/N_.png",
        ),
        (*WILDPASS, "DensePASS, leftImg8bit/val/cs/N.png"),
        (
            "leftImg8bit/val/ulm/ulm_{}_leftImg8bit.png",
            "gtFine/val/ulm/ulm_{}_gtFine_labelTrainIds.png",
            "Cityscapes",
        ),
        ("leftImg8bit/train/Accra/{}.png", None, "WildPASS2K, leftImg8bit/train/CITY/N"),
        ("leftImg8bit/Accra/{}.png", None, "WildPASS2K, leftImg8bit/CITY/N"),
        ("holiday/{}.png", None, PLAIN),
    ],
)
def test_layouts_are_recognised(tmp_path, image, label, layout):
    for n in (1, 2, 3):
        write(tmp_path / image.format(n), picture())
        if label:
            write(tmp_path / label.format(n), ids(0, 10, 255))
    found = check(tmp_path)
    assert found.layout == layout
    assert found.problems == []
    assert (found.images, found.pairs) == (3, 3 if label else 0)
    assert found.sizes == {(8, 4): 3}
    assert found.classes == ({"road": 3, "sky": 3} if label else {})
    assert found.protocol == ("19" if label else None)


def test_wildpass_is_known_by_its_mapillary_ids(tmp_path):
    for n, values in enumerate([(11, 12), (11, 24, 13), (4, 255)]):
        write(tmp_path / WILDPASS[0].format(n), picture())
        write(tmp_path / WILDPASS[1].format(n), ids(*values))
    found = check(tmp_path)
    assert found.layout.startswith("WildPASS, ")
    assert found.protocol == "wildpass"
    assert found.classes == {"road": 2, "sidewalk": 2, "car": 1}
    assert "the published set has 500 images" in found.notes


def test_everything_that_is_wrong_is_said(tmp_path):
    for n in range(5):
        write(tmp_path / DENSEPASS[0].format(n), picture())
        write(tmp_path / DENSEPASS[1].format(n), ids(1))
    (tmp_path / DENSEPASS[0].format(0)).write_bytes(b"no image")
    write(tmp_path / DENSEPASS[1].format(1), ids(1)[:, 1:])
    write(tmp_path / DENSEPASS[1].format(2), ids(77))
    (tmp_path / DENSEPASS[1].format(3)).unlink()
    (tmp_path / DENSEPASS[0].format(4)).unlink()
    write(tmp_path / DENSEPASS[0].format(5), picture(height=6))
    found = check(tmp_path)
    words = ["0_.png: cannot be read", "7 x 4, its image is 8 x 4", "label id 77",
             "no label map for the image val/3", "no label map for the image val/5",
             "no image for the label map val/4"]  # fmt: skip
    for word in words:
        assert sum(word in problem for problem in found.problems) == 1, word
    assert len(found.problems) == len(words)
    assert any("differ in size" in note for note in found.notes)
    assert found.to_json()["labels_without_images"] == ["val/4"]


def test_ordinary_photographs_are_pointed_out(tmp_path):
    write(tmp_path / "a.png", picture(40, 80))
    write(tmp_path / "b.png", picture(25, 128))
    write(tmp_path / "c.png", picture(60, 90))
    assert [note for note in check(tmp_path).notes if note.startswith("1 of neither")]


def test_nothing_to_check(tmp_path):
    with pytest.raises(InputError, match="no images here"):
        check(tmp_path)
