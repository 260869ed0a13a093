"""What can be given for IMAGES besides a folder, and what of it is no photograph, and why not."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from goodsam.data.errors import InputError
from goodsam.data.hashes import NAME as HASHES
from goodsam.data.panoramas.read import HEIC_SUFFIXES, heic_can_be_read
from goodsam.data.strangers import read_bounded

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi"})
LIST_SUFFIX = ".txt"

# What goodsam writes may lie among the photographs: folders that hold all of one of these are its.
PICTURES = ".pictures"  # the ending of what is kept beside a cache
_OWN = (
    ("zarr.json",),
    (HASHES,),
    ("classes.json", "labels"),
    ("config.yaml", "origin.json"),
    ("eval.json", "report.html"),
)

# Where several files have one name, the first of these is taken.
_PREFERRED = (".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".tif", ".tiff", ".bmp")

_REMEDIES = {
    HEIC_SUFFIXES: "HEIC, as phones write it: pip install pillow-heif, or convert it to .jpg",
    VIDEO_SUFFIXES: "a video: `goodsam frames {} FOLDER` takes its sharp frames",
    frozenset({".insp"}): "two fisheye discs of an Insta360: export it from its program, or "
    "ffmpeg -f image2 -i {} -vf v360=dfisheye:equirect:ih_fov=190:iv_fov=190 OUT.jpg",
    frozenset({".insv", ".360", ".lrv"}): "a camera's own video, not yet stitched: export it from "
    "the camera's program as .mp4, 360 degrees, then `goodsam frames`",
    frozenset({".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".gpr"}): "a raw "
    "photograph: develop it to .jpg or .tif",
    frozenset({".exr", ".hdr"}): "high dynamic range: tone-map it to .jpg or .tif",
    frozenset({".avif", ".gif", ".jp2", ".jxl", ".psd", ".pdf", ".svg"}): "no format that is "
    "read: convert it to .jpg or .png",
}


@dataclass(frozen=True)
class NotTaken:
    """A file among the photographs that is left out. why: with what to do about it."""

    path: Path
    why: str
    kind: str


def not_taken_line(files: Iterable[NotTaken], where: Path) -> str:
    """`3 files are not taken (2 .heic, 1 .mp4): goodsam data check DIR says why`, or nothing."""
    kinds = Counter(file.kind for file in files)
    total = sum(kinds.values())
    if not total:
        return ""
    each = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    verb = "file is" if total == 1 else "files are"
    return f"{total} {verb} not taken ({each}): `goodsam data check {where}` says why"


def is_image_suffix(suffix: str) -> bool:
    """Whether files that end so are read here, HEIC where its extra is installed."""
    suffix = suffix.lower()
    return suffix in IMAGE_SUFFIXES or (suffix in HEIC_SUFFIXES and heic_can_be_read())


def is_video(path: Path) -> bool:
    """Whether a path ends as a video does."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def is_own(folder: Path) -> bool:
    """Whether goodsam wrote a folder: a cache, its pictures, a run, label maps, an evaluation."""
    if folder.name.endswith(PICTURES) and Path(str(folder).removesuffix(PICTURES)).exists():
        return True
    return any(all(os.path.exists(folder / name) for name in marks) for marks in _OWN)


def left_out(path: Path) -> NotTaken:
    """Why a file that does not end like an image is none, and what to do."""
    suffix = path.suffix.lower()
    for suffixes, remedy in _REMEDIES.items():
        if suffix in suffixes:
            return NotTaken(path, remedy.format(path.name), suffix)
    return NotTaken(path, "no picture, by its name: nothing to do", suffix or "without ending")


def same_name(path: Path, taken: Path) -> NotTaken:
    """Of two files that a label map could not tell apart, the one that is left out."""
    why = f"{taken.name} is taken, which has the same name: rename one of them to have both"
    return NotTaken(path, why, "of a name that is taken")


def rank(path: Path) -> tuple[int, str]:
    """The first of several files of one name is that of the lowest rank."""
    suffix = path.suffix.lower()
    return _PREFERRED.index(suffix) if suffix in _PREFERRED else len(_PREFERRED), path.name


def image_root(images: Path) -> Path:
    """The folder that the names of images begin at. InputError for nothing that has images.

    A folder itself. Of one file its folder; of a list the list's folder, or, where some of its
    images lie elsewhere, the folder that they have in common.
    """
    if images.is_dir():
        return images
    if images.suffix.lower() != LIST_SUFFIX:
        return _one(images).parent
    return _root_of(images, listed(images))


def given_files(images: Path) -> list[Path] | None:
    """The one image, or those of a list, in its order; None for a folder, which is searched."""
    if images.is_dir():
        return None
    return listed(images) if images.suffix.lower() == LIST_SUFFIX else [_one(images)]


def listed(path: Path) -> list[Path]:
    """The files of a list: one path a line, from the list's folder; `#` begins a remark.

    InputError for a list that cannot be read or names none, and for a file that is not there.
    """
    try:
        lines = read_bounded(path).decode().splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a list of images ({error})") from error
    found = [
        Path(os.path.normpath(path.parent / line.strip()))
        for line in lines
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not found:
        raise InputError(f"{path}: names no image; write one path a line")
    missing = [file for file in found if not file.is_file()]
    if missing:
        raise InputError(
            f"{path}: {missing[0]} is not there ({len(missing)} of {len(found)} are not); "
            "paths are read from the list's folder"
        )
    return list(dict.fromkeys(found))


def _root_of(path: Path, files: list[Path]) -> Path:
    if all(file.is_relative_to(path.parent) for file in files):
        return path.parent
    try:
        return Path(os.path.commonpath([os.path.abspath(file.parent) for file in files]))
    except ValueError as error:  # on different drives
        raise InputError(f"{path}: its images have no folder in common") from error


def _one(path: Path) -> Path:
    """A file that is an image by its name. InputError, with the remedy, for any other."""
    if not os.path.exists(path):
        raise InputError(f"{path}: no such folder, image or list of images")
    if not path.is_file():
        raise InputError(f"{path}: no folder and no regular file; give a folder of images")
    if is_video(path):
        raise InputError(f"{path}: {left_out(path).why}")
    if not is_image_suffix(path.suffix):
        raise InputError(f"{path}: not taken for an image; {left_out(path).why}")
    return path
