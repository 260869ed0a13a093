"""Data sets on disk: finds images and pairs them with labels by name.

Recognised: a plain folder; DensePASS (three variants), WildPASS2K (with and without `train/`) and
Cityscapes, all of which keep images under `leftImg8bit/` and labels under `gtFine/`. Files are
paired by their path and name, never by their place in a sorted list, so that a missing file is an
error and not a shift of all that follow.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from goodsam.data.errors import InputError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
IMAGE_FOLDER, LABEL_FOLDER = "leftImg8bit", "gtFine"

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


def find_panoramas(images: Path, labels: Path | None = None) -> list[Sample]:
    """The images of a folder or data set, sorted by name, each with its label map if there is one.

    images: a plain folder, a data set's root (which holds `leftImg8bit/`), or a folder inside it.
    labels: the folder of label maps; when `images` is a root that holds `gtFine/` too, it is found
    by itself. Paths are compared below these folders; where none agrees, the names alone.

    Raises InputError for a folder without images, for images without labels or labels without
    images when there are labels at all, and for names that cannot be told apart.
    """
    found = survey(images, labels)
    hint = ""
    if labels is None and found.label_root is not None:
        hint = f"; give {images / IMAGE_FOLDER} to use the images alone"
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
    without a partner, where there are labels at all.
    """

    samples: list[Sample]
    label_root: Path | None = None
    labels: int = 0
    images_alone: tuple[str, ...] = ()
    labels_alone: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        return len(self.samples)


def survey(images: Path, labels: Path | None = None) -> Survey:
    """The images and label maps of a folder or data set, and what of them has no partner.

    As `find_panoramas`, but a file without a partner is reported and no error.
    """
    images = _folder(images)
    image_root = _below(images, IMAGE_FOLDER)
    by_key = _unique(
        ((_image_key(path, image_root), path) for path in _files(image_root) if _is_image(path)),
    )
    if not by_key:
        raise InputError(
            f"{images}: no images here; give a folder with {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    if labels is None and image_root != images and (images / LABEL_FOLDER).is_dir():
        labels = images / LABEL_FOLDER
    label_of: dict[str, Path] = {}
    found: dict[str, Path] = {}
    alone: list[tuple[str, ...]] = []
    if labels is not None:
        found = find_labels(labels)
        label_of, *alone = _pair(by_key, found, images, labels)
    samples = [
        Sample(path.relative_to(images).as_posix(), path, label_of.get(key))
        for key, path in by_key.items()
    ]
    samples.sort(key=lambda sample: sample.name)
    return Survey(samples, labels, len(found), *alone)


def find_labels(folder: Path) -> dict[str, Path]:
    """The label maps of a folder or data set's root, by the key of the image they belong to.

    Raises InputError for a folder that is not there or holds none.
    """
    root = _below(_folder(folder), LABEL_FOLDER)
    best: dict[str, tuple[int, Path]] = {}
    for path in _files(root):
        if path.suffix.lower() != ".png" or path.stem.endswith(_NO_LABELS):
            continue
        endings = [i for i, ending in enumerate(_LABEL_ENDINGS) if path.stem.endswith(ending)]
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
    """Each sample with its label map in a folder of predictions, as `goodsam predict` writes them.

    Label maps of images that are not among the samples are left aside. InputError when one is
    missing.
    """
    found = find_labels(predictions)
    keyed = {_image_key(Path(sample.name), Path()): sample for sample in samples}
    if not keyed.keys() & found.keys():
        keyed, found = _by_name_alone(keyed), _by_name_alone(found)
    missing = sorted(sample.name for key, sample in keyed.items() if key not in found)
    if missing:
        raise InputError(
            f"{predictions}: no prediction for {missing[0]} ({len(missing)} of {len(keyed)} images "
            "are missing); name each label map like its image, with .png"
        )
    return [(sample, found[key]) for key, sample in keyed.items()]


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image as it is seen, from its header. InputError if unreadable."""
    with _opened(path) as image:
        width, height = image.size
        # pillow decodes a whole PNG to look for EXIF behind the pixels: look in front of them only
        in_front = not isinstance(image, PngImageFile) or "exif" in image.info
        orientation = image.getexif().get(0x0112, 1) if in_front else 1
        turned = orientation >= 5  # EXIF orientations 5 to 8 stand on a side
    return (width, height) if turned else (height, width)


def read_image(path: Path, conversions: Conversions | None = None) -> np.ndarray:
    """uint8 (H, W, 3) RGB, turned as its EXIF orientation says.

    Grey, palette and other images are converted and counted in `conversions`; transparency is
    dropped. Raises InputError for unreadable, truncated and 16-bit images.
    """
    with _opened(path) as opened:
        image = ImageOps.exif_transpose(opened)
        kind = {"L": "grey", "1": "grey", "P": "palette"}.get(image.mode, image.mode)
        if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
            kind = "alpha"
            image = image.convert("RGBA")
        pixels = np.array(image.convert("RGB"))
    if conversions is not None and kind != "RGB":
        conversions.kinds[kind] += 1
    return pixels


def read_labels(path: Path, n_classes: int = 19) -> np.ndarray:
    """uint8 (H, W) train ids below `n_classes`, 255 where ignored.

    Files named `*labelIds*` hold Cityscapes label ids and are mapped to train ids. Raises
    InputError for a file that is no map of ids or holds one outside the classes.
    """
    ids = read_ids(path)
    if "labelIds" in path.name:
        limit, ids_known = 34, (ids < 34) | (ids == IGNORE)
        labels = LABEL_IDS[ids]
    else:
        limit, ids_known = n_classes, (ids < n_classes) | (ids == IGNORE)
        labels = ids
    if not ids_known.all():
        raise InputError(
            f"{path}: label id {ids[~ids_known].max()} is outside the {limit} ids 0 to {limit - 1} "
            "(255: ignored); give train ids of these classes"
        )
    return labels


def read_truth(path: Path, protocol: Protocol) -> np.ndarray:
    """uint8 (H, W): the classes of `protocol` in a label map, 255 where it has none.

    Raises InputError for ids that do not belong to the protocol.
    """
    if protocol.label_lookup is None:
        return protocol.lookup[read_labels(path, protocol.ids)]
    ids = read_ids(path)
    classes = protocol.label_lookup[ids]
    if (classes == IGNORE).any():
        raise InputError(
            f"{path}: label id {ids[classes == IGNORE].min()} is none of the {protocol.key} "
            "protocol's; label maps of train ids are scored with --protocol 19"
        )
    return np.where(classes == LEFT_OUT, IGNORE, classes).astype(np.uint8)


def read_ids(path: Path) -> np.ndarray:
    """uint8 (H, W): what a map of ids holds, whatever it means. InputError for colours."""
    with _opened(path) as image:
        if image.mode not in {"L", "P", "1"}:
            raise InputError(
                f"{path}: a label map holds one 8-bit id a pixel, this is {image.mode}; "
                "give train ids, not colours"
            )
        ids = np.array(image, dtype=np.uint8)
        if image.mode == "1":
            ids = ids.astype(bool).astype(np.uint8)
        elif image.mode == "L" and (bits := _bits(image)) < 8:
            ids //= 255 // (2**bits - 1)  # pillow stretches shallow greys to 0..255
    return ids


def read_ignore_mask(path: Path) -> np.ndarray:
    """bool (H, W): true where a mask image is not black: pixels to leave out, such as the rig.

    Raises InputError for an unreadable image.
    """
    return read_image(path).max(axis=2) > 0


def fitted_ignore_mask(path: Path, windows: Windows, fit: bool = False) -> np.ndarray:
    """`read_ignore_mask` of exactly the windows' size; one of the images' own is fitted if `fit`.

    A pixel is left out if any part of it is. Raises InputError for another size.
    """
    ignored = read_ignore_mask(path)
    height, width = windows.height, windows.width
    if ignored.shape == (height, width):
        return ignored
    if not fit:
        raise InputError(
            f"{path}: the ignore mask is {ignored.shape[1]} x {ignored.shape[0]} where the "
            f"panoramas are {width} x {height}; draw it at their size"
        )
    grey = np.repeat(ignored[..., None].astype(np.uint8) * 255, 3, axis=2)
    try:
        return _fit(grey, height, width)[..., 0] > 25
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def band_share(size: tuple[int, int], fitted: tuple[int, int]) -> float:
    """The share of a photograph's height that it keeps when it is fitted. Sizes: (height, width).

    1 for a photograph of the fitted aspect (within 2 %). A 2:1 panorama covers 360° x 180°, of
    which the central band of `360° * height / width` is kept (70.3° for 400 x 2048). InputError
    for any other aspect.
    """
    (h, w), (height, width) = size, fitted
    if math.isclose(w / h, width / height, rel_tol=_ASPECT_TOLERANCE):
        return 1.0
    if math.isclose(w / h, 2, rel_tol=_ASPECT_TOLERANCE) and 2 * height <= width:
        return 2 * height / width
    raise InputError(
        f"{w} x {h} is neither a 2:1 panorama nor of the aspect {width} x {height}: "
        "it cannot be fitted without distortion"
    )


def fit(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 (h, w, 3) -> uint8 (height, width, 3), antialiased, the seam kept closed.

    An image of the same aspect (within 2 %) is resized. From a 2:1 panorama, which covers
    360° x 180°, the central band of `360° * height / width` (70.3° for 400 x 2048) is cut first.
    Raises InputError for any other aspect.
    """
    h, w = image.shape[:2]
    if (h, w) == (height, width):
        return image
    band = band_share((h, w), (height, width))
    # The filter may look `pad` columns past the border: on a circle those are the other end's.
    pad = min(w, math.ceil(3 * max(w / width, 1)) + 1)
    circle = np.concatenate([image[:, w - pad :], image, image[:, :pad]], axis=1)
    top = h * (1 - band) / 2
    resized = Image.fromarray(circle).resize(
        (width, height), Image.Resampling.LANCZOS, box=(pad, top, pad + w, h - top)
    )
    return np.array(resized)


def read_panorama(
    path: Path, windows: Windows, fit: bool = False, conversions: Conversions | None = None
) -> np.ndarray:
    """uint8 (H, W, 3) of exactly the windows' size; others are fitted if `fit`, else InputError."""
    image = read_image(path, conversions)
    height, width = windows.height, windows.width
    if image.shape[:2] == (height, width):
        return image
    if not fit:
        raise InputError(
            f"{path}: {image.shape[1]} x {image.shape[0]} where {width} x {height} is expected; "
            "pass --fit to have panoramas cut to the band and resized"
        )
    try:
        return _fit(image, height, width)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


_fit = fit  # `read_panorama` has an argument of that name


def _folder(path: Path) -> Path:
    if not path.is_dir():
        problem = "a file, not a folder" if path.exists() else "no such folder"
        raise InputError(f"{path}: {problem}; give the folder that holds the images or labels")
    return path


def _below(folder: Path, name: str) -> Path:
    return folder / name if (folder / name).is_dir() else folder


def _files(root: Path) -> Iterator[Path]:
    """All files below `root` that are not hidden, through links but never in circles."""
    seen = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        seen.add(os.path.realpath(folder))
        subfolders[:] = sorted(
            name
            for name in subfolders
            if not name.startswith(".") and os.path.realpath(os.path.join(folder, name)) not in seen
        )
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))


def _is_image(path: Path) -> bool:
    other = (*_LABEL_ENDINGS, *_NO_LABELS)
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.stem.endswith(other)


def _image_key(path: Path, root: Path) -> str:
    """What an image has in common with its label map: its path without suffix and endings."""
    return _key(path, root, path.stem)


def _key(path: Path, root: Path, stem: str) -> str:
    parents = path.relative_to(root).parent.parts
    kept = [part for part in parents if part not in {IMAGE_FOLDER, LABEL_FOLDER}]
    # Cityscapes ends its images in _leftImg8bit, DensePASS some of its own in a bare underscore.
    return "/".join([*kept, stem.removesuffix("_leftImg8bit").rstrip("_")])


def _unique(keyed: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for key, path in keyed:
        if key in found:
            raise InputError(
                f"{path}: cannot be told from {found[key].name} by name; rename one of them"
            )
        found[key] = path
    return found


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
