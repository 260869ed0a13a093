"""Whatever lies in a folder of images: read rightly, or refused by name, without waiting for it."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from goodsam.data.check import check
from goodsam.data.errors import InputError
from goodsam.data.files import file_hash
from goodsam.data.panoramas import (
    Conversions,
    find_panoramas,
    image_size,
    pair_predictions,
    read_ids,
    read_ignore_mask,
    read_image,
    read_labels,
)
from goodsam.data.street.mark import is_street_world

pytestmark = pytest.mark.attack("bad inputs")

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 40, 3), dtype=np.uint8)
FORMATS = {
    "png": {},
    "jpeg": {},
    "jpeg ": {"progressive": True},
    "webp": {},
    "webp ": {"lossless": True},
    "mpo": {},
    "tiff": {},
    "tiff ": {"compression": "tiff_lzw"},
    "tiff  ": {"compression": "tiff_deflate"},
    "tiff   ": {"compression": "jpeg"},
}


def encoded(kind: str, orientation: int) -> bytes:
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(buffer, kind.strip(), exif=exif, **FORMATS[kind])
    return buffer.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_the_size_in_the_header_is_the_size_as_read(tmp_path, kind, tries):
    orientations = range(1, 9) if "tiff " in kind else range(11)  # the others, libtiff refuses
    tries(len(orientations))
    for orientation in orientations:
        path = tmp_path / f"{orientation}.png"
        path.write_bytes(encoded(kind, orientation))
        assert image_size(path) == read_image(path).shape[:2], orientation
        turned = orientation in (5, 6, 7, 8)
        assert image_size(path) == ((40, 16) if turned else (16, 40)), orientation


@pytest.mark.parametrize("text", [False, True])
def test_orientation_behind_the_pixels_of_a_png(tmp_path, text):
    content = encoded("png", 6)
    at = content.index(b"eXIf") - 4
    length = 12 + struct.unpack(">I", content[at : at + 4])[0]
    chunk, rest = content[at : at + length], content[:at] + content[at + length :]
    if text:
        data = b"XML:com.adobe.xmp\0\0\0\0\0" + b'<x tiff:Orientation="6"/>'
        sealed = b"iTXt" + data
        chunk = struct.pack(">I", len(data)) + sealed + struct.pack(">I", zlib.crc32(sealed))
    path = tmp_path / "late.png"
    path.write_bytes(rest[:-12] + chunk + rest[-12:])
    assert image_size(path) == read_image(path).shape[:2]


STRANGE = {
    "dds of unknown flags": b"DDS " + struct.pack("<7I", 124, 0x1007, 4, 4, 0, 0, 0) + bytes(96),
    "gif": b"GIF89a",
    "nothing": b"",
    "text": b"no picture",
    "zip": b"PK\3\4" + bytes(40),
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
    "fits": b"SIMPLE  =                    T" + bytes(2850),
}


@pytest.mark.parametrize("what", STRANGE)
@pytest.mark.parametrize("read", [read_image, image_size, read_ids, read_ignore_mask])
def test_what_is_no_image_is_refused_by_name(tmp_path, what, read):
    (tmp_path / "03.png").write_bytes(STRANGE[what])
    with pytest.raises(InputError, match=r"03\.png"):
        read(tmp_path / "03.png")


GOOD = [encoded(kind, 6) for kind in FORMATS]


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(
    good=st.sampled_from(GOOD),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
    kept=st.floats(0.01, 1),
)
def _mutated(good, changes, kept):
    content = bytearray(good)
    for place, value in changes:
        content[int(place**2 * (len(content) - 1))] = value  # most of them near the header
    path = Path(tempfile.gettempdir()) / f"mutated-{os.getpid()}.png"
    path.write_bytes(content[: max(1, int(len(content) * kept))])
    for read in (read_image, image_size, read_ids):
        with contextlib.suppress(InputError):
            read(path)
    path.unlink()


def test_images_with_changed_bytes_are_read_or_refused(tries):
    tries(1000)
    _mutated()


# What is no file


def pipe(path):
    os.mkfifo(path)


def zeros(path):
    path.symlink_to("/dev/zero")


def full(path):
    path.symlink_to("/dev/full")


def a_pipe_far_away(path):
    os.mkfifo(path.parent / "pipe")
    path.symlink_to(path.parent / "pipe")


READERS = [read_image, image_size, read_ids, read_labels, read_ignore_mask, file_hash]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("made", [pipe, zeros, full, a_pipe_far_away])
def test_what_is_no_regular_file_is_refused(tmp_path, made):
    made(tmp_path / "a.png")
    for read in READERS:
        with pytest.raises(InputError, match=r"a\.png: no regular file"):
            read(tmp_path / "a.png")
    assert not is_street_world(tmp_path / "a.png")
    assert "no regular file" in check(tmp_path).problems[0]


def test_a_folder_that_cannot_be_read_is_named():
    with tempfile.TemporaryDirectory() as folder:  # whose parents anybody may enter
        root = Path(folder)
        root.chmod(0o755)
        Image.fromarray(PIXELS).save(root / "a.png")
        (root / "closed").mkdir(0o000)
        (root / "a.png").chmod(0o644)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            with pytest.raises(InputError, match="closed: cannot be read"):
                check(root)
        finally:
            os.seteuid(user)
            (root / "closed").chmod(0o755)


# Names


def write(path, array=PIXELS):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


PLAIN = ["labelIds_1", "my_labelIds", "beach_color", "a_labelTrainIds", "gtFine_instanceIds_2"]


def test_plain_pictures_of_any_name_are_images(tmp_path):
    for name in PLAIN:
        write(tmp_path / f"i/{name}.png")
    write(tmp_path / "i/other.png")
    found = find_panoramas(tmp_path / "i")
    assert sorted(s.name for s in found) == sorted(f"{name}.png" for name in [*PLAIN, "other"])


def test_label_maps_beside_their_images_are_none(tmp_path):
    for name in ("a", "a_labelIds", "a_color", "b_leftImg8bit", "b_gtFine_labelTrainIds", "c_"):
        write(tmp_path / f"i/{name}.png")
    write(tmp_path / "i/c_labelTrainIds.png")
    names = ["a.png", "b_leftImg8bit.png", "c_.png"]
    assert [s.name for s in find_panoramas(tmp_path / "i")] == names
    for name in ("a_labelIds", "a_color"):
        write(tmp_path / f"l/{name}.png")
    with pytest.raises(InputError, match="no images here"):
        find_panoramas(tmp_path / "l")


@pytest.mark.parametrize("name", PLAIN)
def test_a_label_map_of_the_images_own_name_holds_train_ids(tmp_path, name):
    ids = np.full((16, 40), 7, np.uint8)
    for folder in ("i", "l", "p"):
        write(tmp_path / folder / f"{name}.png", PIXELS if folder == "i" else ids)
        write(tmp_path / folder / "other.png", PIXELS if folder == "i" else ids)
    samples = find_panoramas(tmp_path / "i", tmp_path / "l")
    assert [(s.labels.name, s.label_ids) for s in samples] == [(s.name, False) for s in samples]
    pairs = pair_predictions(samples, tmp_path / "p")
    assert [path.name for _, path in pairs] == [s.name for s in samples]


def test_the_ending_of_a_label_map_still_says_what_it_holds(tmp_path):
    write(tmp_path / "i/a.png")
    write(tmp_path / "l/a_labelIds.png", np.full((16, 40), 7, np.uint8))
    (sample,) = find_panoramas(tmp_path / "i", tmp_path / "l")
    assert sample.label_ids
    assert (read_labels(sample.labels) == 0).all()
    assert str(Conversions()) == ""
