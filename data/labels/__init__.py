"""Label maps on disk: as pictures that people and programs open, and in other programs' formats."""

from goodsam.data.labels.classes_file import LabelClass, read_classes, write_classes
from goodsam.data.labels.maps import LabelMap, grey_png, label_maps, label_png, rgb_png

__all__ = [
    "LabelClass",
    "LabelMap",
    "grey_png",
    "label_maps",
    "label_png",
    "read_classes",
    "rgb_png",
    "write_classes",
]
