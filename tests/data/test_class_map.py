import json

import numpy as np
import pytest
from PIL import Image

from goodsam.data.class_map import ClassMap
from goodsam.data.classes import CITYSCAPES
from goodsam.data.errors import InputError
from goodsam.data.panoramas import read_truth

OF = ("wall", "road", "path", "tree", "sky", "lake")
GROUPS = {"way": ["road", "path"], "plant": "tree", "sky": ["sky"]}


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ({}, "names no class"),
        (None, "names no class"),
        (["road"], "names no class"),
        ({"way": []}, "'way' names no class"),
        ({"way": None}, "'way' names no class"),
        ({"way": ["road", "raod"]}, "'raod', which the TA does not have; did you mean 'road'?"),
        ({"way": "road", "street": "road"}, "names 'road' twice"),
        ({"way": ["road", "road"]}, "names 'road' twice"),
        ({3: "road"}, "3 is no name"),
        ({"way": 3}, "'way' names no class"),
        ({"way": [["road"]]}, r"names \['road'\]"),
    ],
)
def test_a_map_that_is_none_is_refused_in_one_line(groups, says):
    with pytest.raises(InputError, match=says) as error:
        ClassMap.parse(groups, OF, "the TA")
    assert "\n" not in str(error.value)


def test_what_becomes_of_each_class():
    classes = ClassMap.parse(GROUPS, OF, "the TA")
    assert classes.names == ("way", "plant", "sky")
    assert classes.table.tolist() == [3, 0, 0, 1, 2, 3]
    assert classes.ignored == ("wall", "lake")
    kept = json.loads(json.dumps(classes.to_json(), sort_keys=True))
    assert ClassMap.from_json(kept) == classes
    assert ClassMap.from_json(kept).names == classes.names
    assert str(classes) == "way: road + path; plant: tree; sky: sky; 2 ignored"


def test_one_map_after_another():
    first = ClassMap.parse(GROUPS, OF, "the TA")
    second = ClassMap.parse({"all": ["sky", "way"]}, first.names, "the TA").after(first)
    assert second.groups == {"all": ("sky", "road", "path")}
    assert second.of == OF


def test_truth_in_the_ids_that_the_map_is_made_of(tmp_path):
    protocol = ClassMap.parse(GROUPS, OF, "the TA").protocol()
    ids = np.array([[0, 1, 2, 3, 4, 5, 255]], np.uint8)
    Image.fromarray(ids).save(tmp_path / "ids.png")
    assert read_truth(tmp_path / "ids.png", protocol).tolist() == [[255, 0, 0, 1, 2, 255, 255]]
    Image.fromarray(ids + 2).save(tmp_path / "more.png")
    with pytest.raises(InputError, match=r"label id 6 is none of the classes protocol's"):
        read_truth(tmp_path / "more.png", protocol)


def test_truth_in_the_label_ids_of_cityscapes(tmp_path):
    protocol = ClassMap.parse({"way": ["road", "sidewalk"]}, CITYSCAPES, "Cityscapes").protocol()
    Image.fromarray(np.array([[7, 8, 23]], np.uint8)).save(tmp_path / "a_labelIds.png")
    assert read_truth(tmp_path / "a_labelIds.png", protocol, True).tolist() == [[0, 0, 255]]
