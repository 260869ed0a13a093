"""Data sets on disk: finds images and pairs them with labels by name.

Recognised: a plain folder; DensePASS (three variants), WildPASS2K (with and without `train/`) and
Cityscapes, all of which keep images under `leftImg8bit/` and labels under `gtFine/`; Stanford2D3D
and Structured3D, which keep both beside each other (`indoor`). Files are
paired by their path and name, never by their place in a sorted list, so that a missing file is an
error and not a shift of all that follow.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from goodsam.data.errors import InputError
from goodsam.data.panoramas.sources import (
    IMAGE_SUFFIXES,
    NotTaken,
    given_files,
    image_root,
    is_image_suffix,
    is_own,
    left_out,
    not_taken_line,
    rank,
    same_name,
)

IMAGE_FOLDER, LABEL_FOLDER = "leftImg8bit", "gtFine"
PREDICTED_FOLDER = "labels"

# Endings of the stems of label maps; where a picture has several, the first of these is taken.
_LABEL_ENDINGS = ("_gtFine_labelTrainIds", "_labelTrainIds", "_gtFine_labelIds", "_labelIds")
_NO_LABELS = ("_gtFine_color", "_gtFine_instanceIds", "_color", "_instanceIds")  # beside them


@dataclass(frozen=True)
class Sample:
    """One image of a data set.

    name: its path below the folder that was given, with `/` and suffix; it identifies the image in
    caches and predictions. labels: its label map, None for an unlabelled image.
    """

    name: str
    image: Path
    labels: Path | None = None

    @property
    def label_ids(self) -> bool:
        """Whether the label map says by its name that it holds Cityscapes' label ids.

        A name that the image has too says nothing.
        """
        return self.labels is not None and says_label_ids(self.labels, self.image)


def says_label_ids(labels: Path, image: Path | str) -> bool:
    """Whether a label map is called after its image with `_labelIds` added to the name."""
    return labels.stem.endswith("_labelIds") and labels.stem != Path(image).stem


def find_panoramas(
    images: Path, labels: Path | None = None, say: Callable[[str], None] = lambda text: None
) -> list[Sample]:
    """The images of a folder or data set, sorted by name, each with its label map if there is one.

    images: a plain folder, a data set's root (which holds `leftImg8bit/`), or a folder inside it;
    or one image, or a list of them (.txt). say: is told how many files are not taken, if any.
    labels: the folder of label maps; when `images` is a root that holds `gtFine/` too, it is found
    by itself. Paths are compared below these folders; where none agrees, the names alone.

    Raises InputError for a folder without images, for images without labels or labels without
    images when there are labels at all, and for names that cannot be told apart.
    """
    found = survey(images, labels)
    if line := not_taken_line(found.not_taken, images):
        say(line)
    hint = ""
    if labels is None and found.label_root is not None:
        hint = f"; give {images / IMAGE_FOLDER} to use the images alone"
        if found.label_root == images:
            hint = "; a list (.txt) of images is taken as it is"
    for alone, total, root, what, other in (
        (found.images_alone, found.images, found.label_root, "image", "label map"),
        (found.labels_alone, found.labels, images, "label map", "image"),
    ):
        if alone:
            raise InputError(
                f"{root}: no {other} for the {what} {alone[0]} ({len(alone)} of {total} have "
                f"none); pairs are made by name{hint}"
            )
    return found.samples


@dataclass(frozen=True)
class Survey:
    """What a folder holds, paired or not.

    samples: all images, sorted by name. label_root: where labels were looked for, None if nowhere.
    images_alone, labels_alone: the keys (paths without what only one of the two has) of those
    without a partner, where there are labels at all. not_taken: files beside the images that are
    none, or have the name of another.
    """

    samples: list[Sample]
    label_root: Path | None = None
    labels: int = 0
    images_alone: tuple[str, ...] = ()
    labels_alone: tuple[str, ...] = ()
    not_taken: tuple[NotTaken, ...] = ()

    @property
    def images(self) -> int:
        return len(self.samples)


def survey(images: Path, labels: Path | None = None) -> Survey:
    """The images and label maps of a folder or data set, and what of them has no partner.

    As `find_panoramas`, but a file without a partner is reported and no error.
    """
    given, files = images, given_files(images)
    images = image_root(images)
    root = _below(images, IMAGE_FOLDER) if files is None else images
    all_files = list(_files(root)) if files is None else files
    if labels is None and (beside := _of_rooms(all_files, files is not None)):
        return _survey_of_rooms(beside, images, strict=files is None)
    pictures = [path for path in all_files if is_image_suffix(path.suffix)]
    if files is None:
        pictures = list(_without_label_maps(pictures, root))
    by_key, not_taken = _unique((_image_key(path, root), path) for path in pictures)
    not_taken += [left_out(path) for path in all_files if not is_image_suffix(path.suffix)]
    if not by_key:
        found = not_taken_line(not_taken, given)
        raise InputError(
            f"{given}: no images here; give a folder with {', '.join(sorted(IMAGE_SUFFIXES))}"
            + (f"; {found}" if found else "")
        )
    if labels is None and root != images and (images / LABEL_FOLDER).is_dir():
        labels = images / LABEL_FOLDER
    label_of: dict[str, Path] = {}
    maps: dict[str, Path] = {}
    alone: list[tuple[str, ...]] = []
    if labels is not None:
        maps = find_labels(labels, by_key)
        label_of, *alone = _pair(by_key, maps, images, labels)
    samples = [
        Sample(path.relative_to(images).as_posix(), path, label_of.get(key))
        for key, path in by_key.items()
    ]
    samples.sort(key=lambda sample: sample.name)
    images_alone, labels_alone = alone or ((), ())
    return Survey(samples, labels, len(maps), images_alone, labels_alone, tuple(not_taken))


def _of_rooms(files: list[Path], given: bool) -> dict[Path, Path]:
    """The images of a data set of rooms and where their labels would be; {} for any other set.

    Of files that are `given` all are taken, or none.
    """
    from goodsam.data.panoramas.indoor import all_room_photographs, labels_beside, room_photographs

    found = room_photographs(files)
    if given:
        found = files if all_room_photographs(files) else []
    return {path: labels_beside(path) for path in found}


def _survey_of_rooms(beside: dict[Path, Path], root: Path, strict: bool) -> Survey:
    """strict: where some images have labels, those without are named as such."""
    samples = [
        Sample(path.relative_to(root).as_posix(), path, labels if labels.is_file() else None)
        for path, labels in beside.items()
    ]
    samples.sort(key=lambda sample: sample.name)
    alone = tuple(sample.name for sample in samples if sample.labels is None)
    labelled = len(samples) - len(alone)
    alone = alone if labelled and strict else ()
    return Survey(samples, root if labelled else None, labelled, alone)


def find_labels(folder: Path, images: Collection[str] = ()) -> dict[str, Path]:
    """The label maps of a folder or data set's root, by the key of the image they belong to.

    images: the keys of images; an ending that is part of an image's own name is none of a label's.
    Raises InputError for a folder that is not there or holds none.
    """
    root = _below(_folder(folder), LABEL_FOLDER)
    best: dict[str, tuple[int, Path]] = {}
    names = {key.rpartition("/")[2] for key in images}
    for path in _files(root):
        own = path.stem in names
        if path.suffix.lower() != ".png" or (path.stem.endswith(_NO_LABELS) and not own):
            continue
        found = enumerate(() if own else _LABEL_ENDINGS)
        endings = [i for i, ending in found if path.stem.endswith(ending)]
        rank = endings[0] if endings else len(_LABEL_ENDINGS)
        stem = path.stem.removesuffix(_LABEL_ENDINGS[rank]) if endings else path.stem
        key = _key(path, root, stem)
        if key in best and best[key][0] == rank:
            raise InputError(f"{path}: {best[key][1].name} is a label map for the same image")
        if key not in best or rank < best[key][0]:
            best[key] = (rank, path)
    if not best:
        raise InputError(f"{folder}: no label maps here; give a folder with .png files")
    return {key: path for key, (_, path) in best.items()}


def pair_predictions(samples: Iterable[Sample], predictions: Path) -> list[tuple[Sample, Path]]:
    """Each sample with its label map in a folder of predictions, ours or another program's.

    Label maps of images that are not among the samples are left aside. InputError when one is
    missing.
    """
    keyed = {_image_key(Path(sample.name), Path()): sample for sample in samples}
    found = find_labels(maps_folder(predictions), keyed)
    if not keyed.keys() & found.keys():
        keyed, found = _by_name_alone(keyed), _by_name_alone(found)
    missing = sorted(sample.name for key, sample in keyed.items() if key not in found)
    if missing:
        raise InputError(
            f"{predictions}: no prediction for {missing[0]} ({len(missing)} of {len(keyed)} images "
            "are missing); name each label map like its image, with .png"
        )
    return [(sample, found[key]) for key, sample in keyed.items()]


def maps_folder(folder: Path) -> Path:
    """Where the label maps lie: in `labels/` of a folder that `goodsam predict` wrote, or in it."""
    return _below(folder, PREDICTED_FOLDER)


def _folder(path: Path) -> Path:
    if not path.is_dir():
        problem = "a file, not a folder" if path.exists() else "no such folder"
        raise InputError(f"{path}: {problem}; give the folder that holds the images or labels")
    return path


def _below(folder: Path, name: str) -> Path:
    return folder / name if (folder / name).is_dir() else folder


def _files(root: Path) -> Iterator[Path]:
    """All files below `root` that are not hidden, through links but never in circles.

    Folders that goodsam wrote are passed over: its own pictures are no photographs.
    """
    seen = set()
    for folder, subfolders, files in os.walk(root, followlinks=True, onerror=_unreadable):
        seen.add(os.path.realpath(folder))
        subfolders[:] = sorted(
            name
            for name in subfolders
            if not name.startswith(".")
            and os.path.realpath(os.path.join(folder, name)) not in seen
            and not is_own(Path(folder, name))
        )
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))


def _unreadable(error: OSError) -> NoReturn:
    raise InputError(
        f"{error.filename}: cannot be read ({error.strerror}); let it be read, or move it away"
    ) from error


def _without_label_maps(pictures: list[Path], root: Path) -> Iterator[Path]:
    """The pictures found below `root`, without the label maps that lie beside them.

    A picture called `x_color` or `x_labelIds` is one of these where there is a picture `x` too, and
    where all are called so, or lie under `gtFine/`.
    """
    other = (*_LABEL_ENDINGS, *_NO_LABELS)
    plain = {_image_key(path, root) for path in pictures if not path.stem.endswith(other)}
    for path in pictures:
        stems = [path.stem.removesuffix(end) for end in other if path.stem.endswith(end)]
        beside = any(_key(path, root, stem) in plain for stem in stems)
        if not stems or (plain and not beside and LABEL_FOLDER not in path.parts):
            yield path


def _image_key(path: Path, root: Path) -> str:
    """What an image has in common with its label map: its path without suffix and endings."""
    return _key(path, root, path.stem)


def _key(path: Path, root: Path, stem: str) -> str:
    parents = path.relative_to(root).parent.parts
    kept = [part for part in parents if part not in {IMAGE_FOLDER, LABEL_FOLDER}]
    # Cityscapes ends its images in _leftImg8bit, DensePASS some of its own in a bare underscore.
    return "/".join([*kept, stem.removesuffix("_leftImg8bit").rstrip("_")])


def _unique(keyed: Iterable[tuple[str, Path]]) -> tuple[dict[str, Path], list[NotTaken]]:
    """The file of each key, and those that are left out since another has their key."""
    found: dict[str, Path] = {}
    others: list[NotTaken] = []
    for key, path in keyed:
        kept = min(found.get(key, path), path, key=rank)
        if key in found:
            others.append(same_name(path if kept == found[key] else found[key], kept))
        found[key] = kept
    return found, others


def _by_name_alone(found: dict) -> dict:
    names = {key.rpartition("/")[2]: value for key, value in found.items()}
    return names if len(names) == len(found) else {}


def _pair(
    images: dict[str, Path], labels: dict[str, Path], image_root: Path, label_root: Path
) -> tuple[dict[str, Path], tuple[str, ...], tuple[str, ...]]:
    """The label map of each image's key, and the keys of images and of labels without a partner.

    Raises InputError where paths do not agree and names repeat.
    """
    key_of = {key: key for key in images}
    if not images.keys() & labels.keys():
        key_of = {name: key for key in images for name in [key.rpartition("/")[2]]}
        labels = _by_name_alone(labels)
        if len(key_of) < len(images) or not labels:
            raise InputError(
                f"{label_root}: no label map has the path of an image in {image_root}, and names "
                "repeat; arrange both folders alike"
            )
    return (
        {key: labels[name] for name, key in key_of.items() if name in labels},
        tuple(sorted(key_of.keys() - labels.keys())),
        tuple(sorted(labels.keys() - key_of.keys())),
    )
