"""Label maps for other programs: to correct them there, or to train there.

COCO (JSON), CVAT (`CVAT for images 1.1`) and Label Studio (tasks with predictions). Classes become
masks, one for each class of a photograph: a label map knows no instances. Pixels of 255 are in no
mask. Maps are read one at a time and written as they come, so that memory does not grow with them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Literal, get_args
from xml.sax.saxutils import escape, quoteattr

from goodsam.data.errors import InputError
from goodsam.data.files import written_aside
from goodsam.data.labels.classes_file import LabelClass, read_classes
from goodsam.data.labels.maps import LabelMap, label_maps
from goodsam.data.labels.runs import Runs, box, packed, present

Format = Literal["coco", "cvat", "label-studio"]
Maps = Iterable[tuple[LabelMap, list[LabelClass]]]  # each with the classes that occur in it
LOCAL_FILES = "/data/local-files/?d="  # where Label Studio serves files of its own machine


def export_labels(
    folder: Path, out: Path, format: Format, prefix: str = LOCAL_FILES
) -> tuple[int, list[Path]]:
    """Write all label maps of a folder into one file; how many there were, and what was written.

    folder: with `labels/` and `classes.json`. out: a .json (coco, label-studio) or .xml (cvat).
    prefix: of Label Studio's links to the photographs. For Label Studio the labelling interface is
    written beside, `<out>.interface.xml`. Raises InputError for a file that is there already, for a
    folder without maps or classes, and for an id that is no class.
    """
    if format not in get_args(Format):
        raise InputError(f"format {format!r}: use one of {', '.join(get_args(Format))}")
    suffix = ".xml" if format == "cvat" else ".json"
    if out.suffix != suffix:
        raise InputError(f"{out}: {format} is written to one {suffix} file; name it so")
    interface = out.with_suffix(".interface.xml")
    for path in (out, interface) if format == "label-studio" else (out,):
        if path.exists():
            raise InputError(f"{path}: is there already; give another name, or remove it")
    classes = read_classes(folder)
    maps = _checked(label_maps(folder), classes, folder)
    written = [out]
    with written_aside(out) as aside, aside.open("w", encoding="utf-8") as file:
        if format == "coco":
            count = _write_coco(file, maps, classes)
        elif format == "cvat":
            count = _write_cvat(file, maps, classes)
        else:
            count = _write_label_studio(file, maps, prefix)
    if format == "label-studio":
        with written_aside(interface) as aside:
            aside.write_text(label_studio_interface(classes), encoding="utf-8")
        written.append(interface)
    return count, written


def _checked(
    maps: Iterable[LabelMap], classes: tuple[LabelClass, ...], folder: Path
) -> Iterator[tuple[LabelMap, list[LabelClass]]]:
    """Each map with those of the classes that occur in it."""
    known = {c.id: c for c in classes}
    for map_ in maps:
        ids = present(map_.labels, range(255))
        strange = [id for id in ids if id not in known]
        if strange:
            raise InputError(
                f"{folder}: the label map of {map_.photograph} holds id {strange[0]}, which is no "
                "class of its classes.json; write the maps again"
            )
        yield map_, [known[id] for id in ids]


def _write_coco(file: IO[str], maps: Maps, classes: tuple[LabelClass, ...]) -> int:
    """COCO's object format: a mask (uncompressed run lengths, column by column) an annotation."""
    images: list[dict] = []
    put = _items(file, '{"annotations": [\n')
    number = 0
    for map_, found in maps:
        height, width = map_.labels.shape
        images.append(
            {"id": len(images), "file_name": map_.photograph, "width": width, "height": height}
        )
        runs = Runs.of(map_.labels.ravel(order="F"))
        for c in found:
            counts = runs.counts(c.id)
            put(
                {
                    "id": (number := number + 1),
                    "image_id": images[-1]["id"],
                    "category_id": c.id,
                    "segmentation": {"size": [height, width], "counts": counts.tolist()},
                    "area": int(counts[1::2].sum()),
                    "bbox": list(box(map_.labels, c.id)),
                    "iscrowd": 0,
                }
            )
    categories = [
        {"id": c.id, "name": c.name, "supercategory": "", "color": list(c.colour), "isthing": 0}
        for c in classes
    ]
    rest = {"images": images, "categories": categories, "info": {"description": "goodsam"}}
    file.write("\n], " + json.dumps(rest)[1:] + "\n")
    return len(images)


def _write_cvat(file: IO[str], maps: Maps, classes: tuple[LabelClass, ...]) -> int:
    """CVAT for images 1.1: run lengths within a mask's box, row by row."""
    file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
    file.write("<meta><task><name>goodsam</name><mode>annotation</mode><labels>\n")
    for c in classes:
        file.write(
            f"<label><name>{escape(c.name)}</name><color>{c.hex}</color><type>mask</type>"
            "<attributes></attributes></label>\n"
        )
    file.write("</labels></task></meta>\n")
    count = 0
    for map_, found in maps:
        count += 1
        height, width = map_.labels.shape
        name = quoteattr(map_.photograph)
        file.write(f'<image id="{count - 1}" name={name} width="{width}" height="{height}">\n')
        for c in found:
            left, top, w, h = box(map_.labels, c.id)
            inside = map_.labels[top : top + h, left : left + w]
            lengths = ", ".join(map(str, Runs.of(inside.ravel()).counts(c.id).tolist()))
            file.write(
                f'<mask label={quoteattr(c.name)} source="auto" occluded="0" rle="{lengths}" '
                f'left="{left}" top="{top}" width="{w}" height="{h}" z_order="0"></mask>\n'
            )
        file.write("</image>\n")
    file.write("</annotations>\n")
    return count


def _write_label_studio(file: IO[str], maps: Maps, prefix: str) -> int:
    """Tasks, each with one prediction, whose results are brush masks."""
    put = _items(file, "[\n")
    count = 0
    for map_, found in maps:
        count += 1
        height, width = map_.labels.shape
        runs = Runs.of(map_.labels.ravel())
        results = [
            {
                "id": f"class-{c.id}",
                "type": "brushlabels",
                "from_name": "labels",
                "to_name": "image",
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": {
                    "format": "rle",
                    "rle": packed(runs.counts(c.id)).tolist(),
                    "brushlabels": [c.name],
                },
            }
            for c in found
        ]
        prediction = {"model_version": "goodsam", "result": results}
        put({"data": {"image": prefix + map_.photograph}, "predictions": [prediction]})
    file.write("\n]\n")
    return count


def label_studio_interface(classes: Iterable[LabelClass]) -> str:
    """The labelling interface that the exported tasks are for."""
    labels = "".join(
        f"    <Label value={quoteattr(c.name)} background={quoteattr(c.hex)}/>\n" for c in classes
    )
    return (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        f'  <BrushLabels name="labels" toName="image">\n{labels}  </BrushLabels>\n</View>\n'
    )


def _items(file: IO[str], start: str) -> Callable[[dict], None]:
    """Writes the items of a JSON array one by one."""
    file.write(start)
    first = True

    def put(item: dict) -> None:
        nonlocal first
        file.write(("" if first else ",\n") + json.dumps(item))
        first = False

    return put
