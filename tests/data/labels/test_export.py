"""Exports, read back by the programs' own libraries, or as their documentation says."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from label_studio_converter.brush import decode_rle
from PIL import Image
from pycocotools.coco import COCO

from goodsam.data.classes import CITYSCAPES, PALETTE
from goodsam.data.errors import InputError
from goodsam.data.files import write_whole
from goodsam.data.labels import label_maps, label_png, read_classes, write_classes
from goodsam.data.labels.export import export_labels
from goodsam.data.labels.runs import Runs, packed


@pytest.fixture
def labelled(tmp_path):
    """Two label maps: blocks with noise, and one of a single class with a pixel of another."""
    rng = np.random.default_rng(0)
    first = np.repeat(np.repeat(rng.integers(0, 19, (4, 8)), 5, axis=0), 7, axis=1)
    first[rng.random(first.shape) < 0.2] = 255
    second = np.full((9, 31), 10)
    second[-1, -1] = 0
    folder = tmp_path / "out"
    for name, ids in (("a b/ü<&>.jpg", first), ("z.tif", second)):
        png = label_png(ids.astype(np.uint8), PALETTE, name)
        write_whole((folder / "labels" / name).with_suffix(".png"), png)
    write_classes(folder, CITYSCAPES, PALETTE)
    return folder, {"a b/ü<&>.jpg": first, "z.tif": second}


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # pycocotools, by numpy 2
def test_coco_is_read_by_pycocotools(labelled, tmp_path, capsys):
    folder, truth = labelled
    assert export_labels(folder, tmp_path / "c.json", "coco") == (2, [tmp_path / "c.json"])
    coco = COCO(str(tmp_path / "c.json"))
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == list(CITYSCAPES)
    for image in coco.loadImgs(coco.getImgIds()):
        ids = truth[image["file_name"]]
        assert (image["height"], image["width"]) == ids.shape
        rebuilt = np.full(ids.shape, 255)
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]])):
            mask = coco.annToMask(annotation).astype(bool)
            assert annotation["area"] == mask.sum()
            x, y, w, h = annotation["bbox"]
            assert mask[y : y + h, x : x + w].sum() == mask.sum()
            assert mask[y].any()
            assert mask[:, x + w - 1].any()
            rebuilt[mask] = annotation["category_id"]
        assert (rebuilt == ids).all()


def cvat_mask(element, shape):
    """As CVAT documents `mask`: runs of 0 and 1 in turn, row by row, within the box."""
    left, top, width, height = (int(element.get(k)) for k in ("left", "top", "width", "height"))
    lengths = [int(n) for n in element.get("rle").split(",")]
    values = np.repeat(np.arange(len(lengths)) % 2, lengths).astype(bool)
    mask = np.zeros(shape, bool)
    mask[top : top + height, left : left + width] = values.reshape(height, width)
    return mask


def test_cvat_is_read_as_documented(labelled, tmp_path):
    folder, truth = labelled
    export_labels(folder, tmp_path / "c.xml", "cvat")
    root = ET.parse(tmp_path / "c.xml").getroot()
    assert root.findtext("version") == "1.1"
    labels = root.findall("meta/task/labels/label")
    assert [label.findtext("name") for label in labels] == list(CITYSCAPES)
    assert labels[0].findtext("color") == "#804080"
    assert {image.get("name") for image in root.findall("image")} == set(truth)
    for image in root.findall("image"):
        ids = truth[image.get("name")]
        assert ids.shape == (int(image.get("height")), int(image.get("width")))
        rebuilt = np.full(ids.shape, 255)
        for mask in image.findall("mask"):
            rebuilt[cvat_mask(mask, ids.shape)] = CITYSCAPES.index(mask.get("label"))
        assert (rebuilt == ids).all()


def test_label_studio_is_read_by_its_converter(labelled, tmp_path):
    folder, truth = labelled
    written = export_labels(folder, tmp_path / "t.json", "label-studio", "https://x/")[1]
    for task in json.loads((tmp_path / "t.json").read_text()):
        ids = truth[task["data"]["image"].removeprefix("https://x/")]
        rebuilt = np.full(ids.shape, 255)
        for result in task["predictions"][0]["result"]:
            shape = (result["original_height"], result["original_width"], 4)
            rgba = decode_rle(result["value"]["rle"]).reshape(shape)
            assert (rgba == rgba[..., :1]).all()
            (name,) = result["value"]["brushlabels"]
            rebuilt[rgba[..., 3] > 0] = CITYSCAPES.index(name)
        assert (rebuilt == ids).all()
    interface = ET.parse(written[1]).getroot()
    assert interface.find("Image").get("name") == "image"
    assert [label.get("value") for label in interface.iter("Label")] == list(CITYSCAPES)


@pytest.mark.parametrize("length", [1, 3, 4, 5, 64, 65, 1024, 16383, 16384, 16385, 40000])
def test_runs_of_every_length_are_packed(length):
    mask = np.concatenate([np.ones(length), np.zeros(2 * length), np.ones(1)]).astype(np.uint8)
    counts = Runs.of(mask).counts(1)
    assert counts.tolist() == [0, length, 2 * length, 1]
    assert (decode_rle(packed(counts).tolist()) == np.repeat(mask * 255, 4)).all()


@pytest.mark.parametrize("name", ["all.json", "all.interface.xml"])
def test_a_file_that_is_there_is_kept(labelled, tmp_path, name):
    (tmp_path / name).write_text("precious")
    with pytest.raises(InputError, match="is there already"):
        export_labels(labelled, tmp_path / "all.json", "label-studio")
    assert (tmp_path / name).read_text() == "precious"
    assert not (tmp_path / "all.json").exists() or name == "all.json"


def test_bad_input_names_the_remedy(labelled, tmp_path):
    folder, _ = labelled
    with pytest.raises(InputError, match=r"one \.xml file"):
        export_labels(folder, tmp_path / "c.json", "cvat")
    (folder / "classes.json").write_text('[{"id": 0, "name": "road", "colour": [0, 0, 0]}]')
    with pytest.raises(InputError, match="holds id 1, which is no class"):
        export_labels(folder, tmp_path / "c.json", "coco")
    assert not list(tmp_path.glob("*c.json*"))
    (folder / "classes.json").write_text("[1]")
    with pytest.raises(InputError, match=r"classes\.json: does not say what the ids mean"):
        export_labels(folder, tmp_path / "c.json", "coco")


def test_a_label_map_is_seen_in_colours_and_read_as_ids(tmp_path):
    ids = np.array([[0, 10, 18, 255]], np.uint8)
    (tmp_path / "a.png").write_bytes(label_png(ids, PALETTE, "x/a.jpg"))
    write_classes(tmp_path, CITYSCAPES, PALETTE)
    with Image.open(tmp_path / "a.png") as picture:
        assert (np.asarray(picture) == ids).all()
        seen = np.asarray(picture.convert("RGB"))
    assert (seen[0] == [PALETTE[0], PALETTE[10], PALETTE[18], (0, 0, 0)]).all()
    (found,) = label_maps(tmp_path)
    assert (found.photograph, found.labels.tolist()) == ("x/a.jpg", ids.tolist())
    assert [c.name for c in read_classes(tmp_path)] == list(CITYSCAPES)
    assert read_classes(tmp_path)[1].hex == "#f423e8"
